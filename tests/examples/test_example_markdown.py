"""`examples/markdown`: a service on a library from PyPI, in an environment of its own."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.usefixtures("registry")]

TEXT = """# The *first* chapter

It's a table[^1]:

| a | b |
|---|---|
| 1 | <script> |

## Second

[^1]: with a footnote
"""


async def test_it_renders_with_the_versions_that_it_pins(shown: Any) -> None:
    await shown.run("markdown")
    page = await shown.post("/markdown/render", text=TEXT)
    assert "<table>" in page["html"]
    assert "footnote" in page["html"]
    assert "It’s" in page["html"]
    assert "<script>" not in page["html"]
    assert page["title"] == "The *first* chapter"
    assert await shown.caller.call("markdown.outline", text=TEXT) == [
        {"level": 1, "text": "The *first* chapter", "anchor": "the-first-chapter"},
        {"level": 2, "text": "Second", "anchor": "second"},
    ]
    missing = await shown.post("/markdown/render", code=400)
    assert missing["detail"].startswith("text:")
    environments = list((shown.platform.options.home / "environments").glob("*/bin/python"))
    assert len(environments) == 1, "it has an environment of its own"
    assert importlib.util.find_spec("mdit_py_plugins") is None, "and the platform does not have its packages"
