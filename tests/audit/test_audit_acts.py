"""Every act with special rights leaves its entry: the catalogue says which acts there are."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest

from microlite import Context, Service, errors
from microlite.core.catalog import Parts, built_in_services
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.description import Role
from microlite.testing import RunningPlatform, platform

Act = Callable[[RunningPlatform, Path], Awaitable[Any]]

MAIN = '''
from microlite import Service

greeter = Service("greeter")


@greeter.endpoint
async def hello() -> str:
    """Greet."""
    return "hello"


if __name__ == "__main__":
    greeter.run()
'''


def project(folder: Path) -> str:
    (folder / "main.py").write_text(MAIN)
    return str(folder)


async def run(p: RunningPlatform, folder: Path) -> None:
    await p.call("runtime.run", request={"sources": [project(folder)], "watch": False})


async def session(p: RunningPlatform, folder: Path) -> None:
    async with p.stream("runtime.session", request={"sources": [project(folder)], "watch": False}) as happenings:
        async for happening in happenings:
            if happening["topic"] != "progress":
                return


async def update(p: RunningPlatform, folder: Path) -> None:
    await run(p, folder)
    await p.call("runtime.update", service="greeter")


async def kill(p: RunningPlatform, folder: Path) -> None:
    await run(p, folder)
    await p.call("runtime.kill", services=["greeter"])


async def unsubscribe(p: RunningPlatform, _: Path) -> None:
    async with p.stream("broker.subscribe", topic="prices") as messages:
        waiting = asyncio.ensure_future(anext(aiter(messages)))
        while not (found := await p.call("broker.subscriptions")):
            await asyncio.sleep(0)
        await p.call("broker.unsubscribe", id=found[0]["id"])
        waiting.cancel()


async def dead(p: RunningPlatform) -> str:
    await p.call("events.publish", topic="t", payload=1)
    [event] = await p.call("events.pull", topic="t", group="g", wait=1.0)
    await p.call("events.nack", delivery=event["delivery"], error="no", dead=True)
    page = await p.call("events.dead-letters", topic="t", group="g")
    return str(page["letters"][0]["id"])


async def edit_dead(p: RunningPlatform, _: Path) -> None:
    await p.call("events.edit-dead-letter", topic="t", group="g", id=await dead(p), payload=2)


async def redrive(p: RunningPlatform, _: Path) -> None:
    await dead(p)
    assert await p.call("events.redrive", topic="t", group="g") == 1


async def delete_dead(p: RunningPlatform, _: Path) -> None:
    await dead(p)
    assert await p.call("events.delete-dead-letters", topic="t", group="g") == 1


async def backup(p: RunningPlatform, _: Path) -> None:
    async for _part in p.stream("backup.create"):
        pass


async def download(p: RunningPlatform, _: Path) -> None:
    async for _part in p.stream("backup.download"):
        pass


def calls(*steps: tuple[str, dict[str, Any]]) -> Act:
    """An act that is a few calls, the last of which counts."""

    async def act(p: RunningPlatform, _: Path) -> None:
        for target, request in steps:
            await p.call(target, **request)

    return act


ACCOUNT: Final = ("auth.accounts.create", {"id": "ann", "scopes": []})
RULE: Final = (
    "auth.rules.create",
    {"id": "r", "scope": "guest", "resource": {"type": "topic", "name": "x"}, "access": "denied"},
)
TOPIC: Final = ("events.set-topic", {"topic": "t", "settings": {}})
GROUP: Final = ("events.set-group", {"topic": "t", "group": "g", "settings": {}})


async def delete_join_token(p: RunningPlatform, _: Path) -> None:
    made = await p.call("auth.join-tokens.create")
    await p.call("auth.join-tokens.delete", id=made["id"])


async def delete_namespace(p: RunningPlatform, _: Path) -> None:
    await p.call("namespaces.create", name="shop")
    async with p.stream("namespaces.delete", name="shop", confirm="shop") as progress:
        async for _ in progress:
            pass


NAMESPACE: Final = ("namespaces.create", {"name": "shop"})

ACTS: Final[dict[str, Act]] = {
    "auth.accounts.create": calls(ACCOUNT),
    "auth.accounts.update": calls(ACCOUNT, ("auth.accounts.update", {"id": "ann", "name": "Ann"})),
    "auth.accounts.delete": calls(ACCOUNT, ("auth.accounts.delete", {"id": "ann"})),
    "auth.rules.create": calls(RULE),
    "auth.rules.delete": calls(RULE, ("auth.rules.delete", {"id": "r"})),
    "auth.keys.rotate": calls(("auth.keys.rotate", {})),
    "auth.join-tokens.create": calls(("auth.join-tokens.create", {})),
    "auth.join-tokens.delete": delete_join_token,
    "backup.create": backup,
    "backup.download": download,
    "broker.unsubscribe": unsubscribe,
    "config.set": calls(("config.set", {"path": "a.b", "value": 1})),
    "config.unset": calls(("config.set", {"path": "a", "value": 1}), ("config.unset", {"path": "a"})),
    "config.rollback": calls(("config.set", {"path": "a", "value": 1}), ("config.rollback", {"revision": 0})),
    "config.import": calls(("config.import", {"values": {"a": {"b": 1}}})),
    "config.rotate-key": calls(("config.set", {"path": "a", "value": "x", "secret": True}), ("config.rotate-key", {})),
    "events.set-topic": calls(TOPIC),
    "events.delete-topic": calls(TOPIC, ("events.delete-topic", {"topic": "t"})),
    "events.set-group": calls(TOPIC, GROUP),
    "events.reset-group": calls(TOPIC, GROUP, ("events.reset-group", {"topic": "t", "group": "g"})),
    "events.delete-group": calls(TOPIC, GROUP, ("events.delete-group", {"topic": "t", "group": "g"})),
    "events.edit-dead-letter": edit_dead,
    "events.redrive": redrive,
    "events.delete-dead-letters": delete_dead,
    "namespaces.create": calls(NAMESPACE),
    "namespaces.update": calls(NAMESPACE, ("namespaces.update", {"name": "shop", "max_records": 5})),
    "namespaces.delete": delete_namespace,
    "runtime.run": run,
    "runtime.session": session,
    "runtime.update": update,
    "runtime.kill": kill,
}
"""How each act is done. Its entry has the name of its endpoint."""

WITHOUT: Final = {
    "auth.tickets.create": "a node renews what it proves itself by",
    "auth.tickets.inspect": "it reads",
    "auth.confirm": "a node says by which rules it decides; it changes nothing",
    "backup.check": "it reads",
    "registry.register": "a node comes: the registry and the log of its service tell of it",
    "registry.deregister": "a node goes, likewise",
    "runtime.breakpoint": "a node says that it stands still, for as long as it does",
}
"""Endpoints for services and admins that leave no entry, and why."""

READS: Final = ("backup.create", "backup.download")
"""What changes nothing, and is written down all the same: they hand out everything that the platform keeps."""


def endpoints() -> dict[str, Any]:
    nothing = cast("Any", None)
    services = built_in_services(Parts(**dict.fromkeys(inspect.signature(Parts).parameters, nothing)))
    return {f"{one.name}.{endpoint.name}": endpoint for one in services for endpoint in one.describe().endpoints}


def test_every_privileged_act_is_known_here() -> None:
    """An endpoint that changes something and is for services, admins or the platform stands in one of the two lists."""
    privileged = {
        name
        for name, one in endpoints().items()
        if one.role in (Role.SERVICE, Role.ADMIN, Role.PLATFORM) and not one.reads
    }
    known = {*ACTS, *WITHOUT}
    assert privileged - known == set()
    assert known - set(endpoints()) == set()


@pytest.mark.parametrize("target", sorted(ACTS))
async def test_the_act_is_in_the_log(p: RunningPlatform, tmp_path: Path, target: str) -> None:
    """With who has done it, and what it was done to."""
    before = [one["action"] for one in await entries(p)]
    await ACTS[target](p, tmp_path)
    found = [one for one in await entries(p) if one["action"] == target]
    assert len(found) == 1 + before.count(target), await entries(p)
    assert (found[0]["actor"], found[0]["actor_namespace"]) == ("admin", PLATFORM_NAMESPACE)
    assert found[0]["resource"] or target in (*READS, "auth.keys.rotate")


async def entries(p: RunningPlatform) -> list[dict[str, Any]]:
    """Of the namespace and of the platform."""
    here = await p.call("auth.audit.list")
    there = await p.call("auth.audit.list", platform=True)
    return [*here["entries"], *there["entries"]]


async def test_an_act_that_is_refused_leaves_nothing(p: RunningPlatform) -> None:
    """Since entry and act are one commit, or the entry comes after all that can be said against the act."""
    for target, request in (
        ("config.unset", {"path": "nothing"}),
        ("events.delete-topic", {"topic": "nothing"}),
        ("events.delete-group", {"topic": "t", "group": "nothing"}),
        ("runtime.kill", {"services": ["nothing"]}),
        ("runtime.update", {"service": "nothing"}),
        ("broker.unsubscribe", {"id": "nothing"}),
    ):
        with pytest.raises(errors.NotFound):
            await p.call(target, **request)
    assert not [one for one in await entries(p) if one["actor"] == "admin"]


async def test_a_transaction_says_what_it_changed_of_the_configuration(p: RunningPlatform) -> None:
    """And positions of events in it stay those of the events."""
    outcome = await p.call(
        "tx.call",
        operations=[
            {"op": "events.publish", "topic": "t", "payload": 1},
            {"op": "config.set", "path": "limits.max", "value": 3},
            {"op": "events.publish", "topic": "t", "payload": 2},
        ],
    )
    assert [one["position"] for one in outcome["published"]] == [1, 2]
    [entry] = (await p.call("auth.audit.list", action="config."))["entries"]
    assert (entry["action"], entry["resource"]) == ("config.set", "config:limits.max")
    assert entry["detail"]["part_of"] == "transaction"


async def test_no_secret_is_in_the_log(p: RunningPlatform) -> None:
    """Paths are, values are not."""
    await p.call("config.set", path="mail.password", value="hunter2-seeded", secret=True)
    await p.call("config.set", path="mail.host", value="hunter2-plain")
    await p.call("config.import", values={"mail": {"key": {"$secret": "hunter2-imported"}}})
    text = str(await entries(p))
    assert "mail.password" in text
    assert "hunter2" not in text


HOSTILE: Final = ("auth/audit", "../auth/audit", "auth/audit/", "audit", "events/../auth/audit", "auth%2faudit")


async def test_nothing_reaches_the_log_but_acts(p: RunningPlatform) -> None:
    """No topic, table, blob or group can be named so that the log is read, changed or dropped by it."""
    await p.call("config.set", path="a", value=1)
    before = await p.call("auth.audit.list")
    for name in HOSTILE:
        for target, request in (
            ("events.publish", {"topic": name, "payload": 1}),
            ("events.read", {"topic": name}),
            ("events.delete-topic", {"topic": name}),
            ("store.write", {"table": name, "key": "a", "value": 1}),
            ("store.scan", {"database": name}),
            ("store.delete", {"database": name, "key": "a"}),
            ("store.blobs.head", {"name": name}),
            ("store.blobs.delete", {"name": name, "database": name}),
            ("tx.call", {"operations": [{"op": "events.publish", "topic": name, "payload": 1}]}),
        ):
            try:
                answer = await p.call(target, **request)
            except errors.Error:
                continue
            assert "config.set" not in str(answer), target
    kept = await p.call("auth.audit.list", action="config.")
    assert kept["entries"] == before["entries"]


async def test_services_write_and_read_it_as_themselves(p: RunningPlatform) -> None:
    """What a service changes of the configuration is written down as its own; reading the log is for admins."""
    service = Service("tuner")

    @service.endpoint
    async def tune(ctx: Context) -> None:
        await ctx.config.set("limits.max", 7)

    await p.serve(service)
    await p.call("tuner.tune")
    [entry] = (await p.call("auth.audit.list", action="config."))["entries"]
    assert (entry["actor"], entry["service"]) == ("tuner", "tuner")


async def test_the_log_is_followed(p: RunningPlatform) -> None:
    """From a position on, act by act."""
    async with p.stream("auth.audit.watch", action="config.", after=0) as following:
        news = aiter(following)
        for number in range(3):
            await p.call("config.set", path="a", value=number)
            assert (await anext(news))["action"] == "config.set"


async def test_log_ins_are_written_down_and_failures_do_not_flood(p: RunningPlatform) -> None:
    """Who has logged in, who has failed, who was not let try; and no secret of anybody."""
    made = await p.call("auth.accounts.create", id="ann")
    await p.call("auth.token", id="ann", secret=made["secret"])
    for number in range(60):
        with pytest.raises((errors.Unauthorized, errors.TooManyRequests)):
            await p.call("auth.token", id=f"eve{number // 30}", secret="seeded-guess")
    [entry] = (await p.call("auth.audit.list", action="auth.log-in"))["entries"]
    assert (entry["actor"], entry["action"], entry["resource"]) == ("ann", "auth.log-in", "account:ann")
    failed = (await p.call("auth.audit.list", action="auth.log-in", platform=True, limit=500))["entries"]
    assert {one["action"] for one in failed} == {"auth.log-in-failed", "auth.log-in-throttled"}
    assert len(failed) == 20
    p.advance(60)
    with pytest.raises(errors.Unauthorized):
        await p.call("auth.token", id="eve0", secret="seeded-guess")
    newest = (await p.call("auth.audit.list", platform=True))["entries"][0]
    assert (newest["resource"], newest["detail"]["more_before"]) == ("account:default/eve0", "40")
    assert made["secret"] not in str([entry, *failed])
    assert "seeded-guess" not in str(failed)


async def test_nobody_pushes_the_log_out_by_what_everybody_may_do() -> None:
    """Neither by logging in again and again, nor by tokens that are made and deleted: the log says how often."""
    async with platform() as p:
        await p.call("auth.accounts.create", id="ann", secret="a secret of ann")
        for _ in range(60):
            await p.call("auth.token", id="ann", secret="a secret of ann", renewable=False)
        assert len((await p.call("auth.audit.list", action="auth.log-in"))["entries"]) == 20
        p.advance(3_600)
        await p.call("auth.token", id="ann", secret="a secret of ann")
        (latest, *_) = (await p.call("auth.audit.list", action="auth.log-in"))["entries"]
        assert latest["detail"]["more_before"] == "40"
        for _ in range(100):
            made = await p.call("auth.tokens.create", name="ci", account="ann")
            await p.call("auth.tokens.delete", id=made["id"], account="ann")
        with pytest.raises(errors.TooManyRequests, match="within an hour"):
            await p.call("auth.tokens.create", name="ci", account="ann")
        p.advance(3_600)
        await p.call("auth.tokens.create", name="ci", account="ann")
