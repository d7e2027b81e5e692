"""Secrets: encrypted, hidden, bound to their place, rotated, and what happens when the key is gone."""

from __future__ import annotations

import logging
import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from microlite import Context, Service, errors
from microlite.core.audit.audit import Audit
from microlite.core.clock import ManualClock
from microlite.core.config import rotation
from microlite.core.config.api import Set
from microlite.core.config.configuration import Configuration
from microlite.core.config.declarations import Declarations
from microlite.core.config.keys import Keys
from microlite.core.config.layers import Layers
from microlite.core.config.records import HISTORY, LEAVES, decode_kept, encode
from microlite.core.context import Account, Origin
from microlite.core.engine.api import Batch, Put
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.registry.registry import Registry
from microlite.core.rpc.call import UnaryCall
from microlite.testing import platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from microlite.testing.harness import RunningPlatform

ORIGIN = Origin("default", "", "ann")


@pytest.fixture
async def configuration(tmp_path: Path) -> AsyncIterator[Configuration]:
    """A configuration over a file of its own."""
    clock = ManualClock()
    async with SQLiteEngine(tmp_path / "microlite.db", clock) as engine:
        declarations = Declarations(Registry(clock))
        yield Configuration(engine, Keys(tmp_path), clock, Layers(declarations), declarations, Audit(engine))


async def _set(configuration: Configuration, path: str, value: Any, *, secret: bool = True) -> None:
    await configuration.change(ORIGIN, [Set(path=path, value=value, secret=secret)], "set")


async def _as(p: RunningPlatform, account: Account, endpoint: str, **fields: object) -> Any:
    """Call as somebody, past the socket, which trusts its own user as an admin."""
    call = UnaryCall("config", endpoint, msgspec.msgpack.encode(fields), namespace="default", account=account)
    return msgspec.msgpack.decode(await call.run(p._booted.router.send))


async def test_nobody_but_admins_and_services_sees_a_secret() -> None:
    """An account without that right gets `[secret]`, and 403 when it insists."""
    ann = Account(id="ann")
    async with platform() as p:
        await p.call("config.set", path="a", value="hush", secret=True)
        assert await _as(p, ann, "get", path="a") == "[secret]"
        for endpoint in ("get", "explain", "export"):
            with pytest.raises(errors.Forbidden, match="ann is neither"):
                await _as(p, ann, endpoint, path="a", secret=True)
        with pytest.raises(errors.Forbidden):
            await _as(p, ann, "rotate-key")
        assert await _as(p, Account(id="root", scopes=("admin",)), "get", path="a", secret=True) == "hush"


async def test_a_secret_is_in_no_log_of_a_service_that_cannot_use_it(caplog: pytest.LogCaptureFixture) -> None:
    """What does not fit is told by path and type."""
    service = Service("worker")

    @service.endpoint
    async def use(ctx: Context) -> int:
        return ctx.config.get("a", int, default=1)

    @service.endpoint
    async def insist(ctx: Context) -> int:
        return ctx.config.get("a", int)

    async with platform() as p:
        await p.serve(service)
        await p.call("config.set", path="a", value="hush", secret=True)
        with caplog.at_level(logging.DEBUG):
            assert await p.call("worker.use") == 1
            with pytest.raises(errors.InternalServerError, match="a: what is set does not fit int") as caught:
                await p.call("worker.insist")
        assert "hush" not in caplog.text + caught.value.detail


async def test_the_key_lies_beside_the_database_for_its_owner_alone(
    configuration: Configuration, tmp_path: Path
) -> None:
    """It is made with the first secret; without one there is none."""
    await _set(configuration, "plain", 1, secret=False)
    assert not (tmp_path / "config.keys").exists()
    await _set(configuration, "a", "hush")
    assert stat.S_IMODE((tmp_path / "config.keys").stat().st_mode) == 0o600
    (tmp_path / "config.keys").chmod(0o644)
    with pytest.raises(errors.Forbidden, match="chmod 600"):
        Keys(tmp_path).current("default")


async def test_a_lost_key_names_what_is_lost_and_the_rest_goes_on(configuration: Configuration, tmp_path: Path) -> None:
    """The secret can be set anew; everything else is read as ever."""
    await _set(configuration, "a.secret", "hush")
    await _set(configuration, "a.plain", 1, secret=False)
    (tmp_path / "config.keys").unlink()
    again = Configuration(
        configuration.engine,
        Keys(tmp_path),
        ManualClock(),
        configuration.layers,
        configuration.declarations,
        Audit(configuration.engine),
    )
    assert await again.read("default", "a", reveal=False) == {"secret": "[secret]", "plain": 1}
    with pytest.raises(errors.Unprocessable, match=r"the secret a\.secret cannot be read.*set a\.secret anew"):
        await again.read("default", "a", reveal=True)
    (misfit,) = await again.check("default")
    assert misfit.path == "a.secret"
    await _set(again, "a.secret", "new")
    assert await again.read("default", "a.secret", reveal=True) == "new"


async def test_a_secret_that_is_moved_in_the_database_does_not_open(configuration: Configuration) -> None:
    """Ciphertext is bound to namespace and path."""
    await _set(configuration, "a", "hush")
    await _set(configuration, "b", "other")
    engine = configuration.engine
    record = await engine.get("default", LEAVES, "a")
    assert record is not None
    await engine.commit(Batch("default", (Put(LEAVES, "b", record.value),)))
    with pytest.raises(errors.Unprocessable, match="belongs to another place"):
        await configuration.read("default", "b", reveal=True)


async def test_a_rotation_encrypts_everything_anew_and_the_history_too(
    configuration: Configuration, tmp_path: Path
) -> None:
    """After it the old key is gone, and earlier secrets can still be rolled back to."""
    for number in range(50):
        await _set(configuration, f"a.k{number}", f"hush {number}")
    await _set(configuration, "a.k0", "newer")
    before = (tmp_path / "config.keys").read_bytes()
    done = await rotation.rotate(configuration, "default")
    assert done.values == 50 + 52, "50 leaves; 51 changes, of which one has an old value too"
    assert len(done.retired) == 1
    assert done.retired[0].encode() in before
    assert done.retired[0].encode() not in (tmp_path / "config.keys").read_bytes()
    assert await configuration.read("default", "a.k0", reveal=True) == "newer"
    await configuration.rollback(ORIGIN, 50)
    assert await configuration.read("default", "a.k0", reveal=True) == "hush 0"


async def test_a_rotation_that_was_cut_off_loses_nothing_and_is_gone_on_with(
    configuration: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stops, both keys are there, and every secret opens; the next one ends it."""
    for number in range(45):
        await _set(configuration, f"a.k{number}", number)
    commit = configuration.engine.commit
    left = 3

    async def fail(batch: Batch) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise errors.ServiceUnavailable("the power went")
        return await commit(batch)

    monkeypatch.setattr(configuration.engine, "commit", fail)
    with pytest.raises(errors.ServiceUnavailable):
        await rotation.rotate(configuration, "default")
    monkeypatch.undo()
    again = Configuration(
        configuration.engine,
        Keys(tmp_path),
        ManualClock(),
        configuration.layers,
        configuration.declarations,
        Audit(configuration.engine),
    )
    wanted = {f"k{number}": number for number in range(45)}
    assert await again.read("default", "a", reveal=True) == wanted
    assert len((await rotation.rotate(again, "default")).retired) == 2
    assert await again.read("default", "a", reveal=True) == wanted


async def test_a_change_that_was_made_ready_before_a_rotation_is_refused(configuration: Configuration) -> None:
    """Nothing is committed under a key that is about to be forgotten."""
    await _set(configuration, "a", "hush")
    operations = await configuration.plan(ORIGIN, Set(path="b", value="late", secret=True))
    await rotation.rotate(configuration, "default")
    with pytest.raises(errors.Conflict):
        await configuration.engine.commit(Batch("default", operations))


async def test_the_history_keeps_no_secret_in_clear(configuration: Configuration) -> None:
    """Neither what it shows nor what is on disk."""
    await _set(configuration, "a", "hush")
    await _set(configuration, "a", {"b": "hush too"})
    assert "hush" not in str(await configuration.history.entries("default"))
    assert "hush" not in str(await configuration.history.diff("default", 0))
    page = await configuration.engine.scan("default", HISTORY)
    assert not any(b"hush" in record.value for record in page.records)
    stored = await configuration.stored("default")
    assert [leaf.setting.secret for leaf in stored.values()] == [True], "what takes the place of a secret is one"


def test_what_was_written_by_an_older_release_still_reads() -> None:
    """A field that is not there has its default."""
    assert decode_kept(encode({"value": 1})).value == 1
