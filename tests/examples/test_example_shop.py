"""`examples/shop`: a project file, two services that share a package, and a program, started in order."""

from __future__ import annotations

from typing import Any


async def test_the_whole_shop_runs_and_adds_up(shown: Any) -> None:
    await shown.run("shop")
    assert [status["name"] for status in await shown.caller.call("runtime.status")] == ["basket", "catalog", "front"]
    assert await shown.get("/basket/total?products=tea&products=honey") == "11.10 EUR"
    assert await shown.get("/catalog/products") == {"bread": "3.80 EUR", "honey": "6.90 EUR", "tea": "4.20 EUR"}
    assert "<h1>Shop</h1>" in await shown.get("/front/")
    healthy = {
        status["name"]: min(node["healthy"] for node in status["nodes"])
        for status in await shown.caller.call("runtime.status")
    }
    assert healthy["catalog"] <= healthy["basket"] <= healthy["front"]
