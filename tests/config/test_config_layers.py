"""Defaults in code, files, the environment and what was set: which is in force, and what hides what."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from microlite import Service, errors
from microlite.core.app import Platform
from microlite.core.clock import SystemClock
from microlite.core.config.files import format_of, parse
from microlite.core.config.layers import config_file
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.core.settings import ServerOptions
from microlite.testing.harness import RunningPlatform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def platform_with(tmp_path: Path, *files: str) -> AsyncIterator[RunningPlatform]:
    """A platform that was started with configuration files."""
    options = ServerOptions(home=tmp_path / "home", port=0, dashboard=False, config_files=files)
    async with Platform(options, SystemClock()) as booted:
        client = await dial(str(platform_socket(options.home)), RefuseCalls(), role="client")
        running = RunningPlatform(booted, client)
        try:
            yield running
        finally:
            await running.end()
            client.close()
            await client.closed


async def explained(p: RunningPlatform, path: str) -> list[tuple[Any, ...]]:
    """The value in force and what it hides: value, layer, end of the source."""
    (one,) = await p.call("config.explain", path=path)
    return [
        (leaf.get("value"), leaf.get("layer", "store"), Path(leaf.get("source", "")).name)
        for leaf in (one["setting"], *one.get("hides", ()))
    ]


async def test_a_later_layer_hides_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set, then environment, then files (the last one first), then code; and each comes back when what hides it goes."""
    first, second = tmp_path / "first.toml", tmp_path / "second.yaml"
    first.write_text("[limits]\nmax = 2\nname = 'first'\n")
    second.write_text("limits: {max: 3}\n")
    monkeypatch.setenv("MICROLITE_CONFIG_LIMITS__MAX", "4")
    service = Service("worker")
    service.config("limits.max", int, default=1)
    async with platform_with(tmp_path, str(first), str(second)) as p:
        await p.serve(service)
        await p.call("config.set", path="limits.max", value=5)
        assert await explained(p, "limits.max") == [
            (5, "store", ""),
            (4, "environment", "MICROLITE_CONFIG_LIMITS__MAX"),
            (3, "file", "second.yaml"),
            (2, "file", "first.toml"),
            (1, "default", "worker"),
        ]
        assert await p.call("config.get", path="limits") == {"max": 5, "name": "first"}
        await p.call("config.unset", path="limits.max")
        assert await p.call("config.get", path="limits.max") == 4
        with pytest.raises(errors.NotFound, match="comes from environment MICROLITE_CONFIG_LIMITS__MAX"):
            await p.call("config.unset", path="limits.max")


async def test_a_saved_file_reaches_who_watches(tmp_path: Path) -> None:
    """A change of a file is a change as any other; one that is malformed leaves the last in force, and is told."""
    file = tmp_path / "config.json"
    file.write_text('{"a": 1}')
    async with platform_with(tmp_path, str(file)) as p:
        stream = p.stream("config.watch", path="a", state=True)
        async with aclosing(stream) as updates, asyncio.timeout(10):
            assert (await anext(updates))["settings"][0]["value"] == 1
            file.write_text('{"a": 2}')
            assert (await anext(updates))["settings"][0]["value"] == 2
            file.write_text('{"a": ')
            while not (problems := await p.call("config.check")):
                await asyncio.sleep(0.02)  # nobody is told of a file that changes nothing
            assert "is not valid JSON" in problems[0]["problem"]
            assert await p.call("config.get", path="a") == 2
            file.unlink()
            assert (await anext(updates))["gone"] == ["a"]


async def test_text_is_read_as_the_type_that_is_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declared text stays one, also where it reads as a number; what nobody declares is JSON if it can be."""
    dotenv = tmp_path / ".env"
    dotenv.write_text('ZIP=12345\nFREE=12345\nTAGS=["a"]\nNAME=<&> "x"\n')
    monkeypatch.setenv("MICROLITE_CONFIG_CODE", "007")
    service = Service("worker")
    service.config("zip", str)
    service.config("tags", list[str])
    async with platform_with(tmp_path, str(dotenv)) as p:
        await p.serve(service)
        found = await p.call("config.get")
        assert found == {"zip": "12345", "free": 12345, "tags": ["a"], "name": '<&> "x"', "code": "007"}


async def test_secrets_of_other_layers_are_hidden_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service declares secret is not shown, wherever it stands."""
    monkeypatch.setenv("MICROLITE_CONFIG_DB__PASSWORD", "hush")
    service = Service("worker")
    handle = service.config("db.password", str, secret=True)
    async with platform_with(tmp_path) as p:
        await p.serve(service)
        assert handle.value == "hush"
        assert "hush" not in str(await p.call("config.explain"))
        assert await p.call("config.get", path="db.password", secret=True) == "hush"
        await p.call("config.set", path="db.password", value="other")
        assert "hush" not in str(await p.call("config.explain"))


async def test_a_file_is_for_the_namespace_that_is_named(tmp_path: Path) -> None:
    """`team=file` is for one namespace, a file alone for the default one."""
    (tmp_path / "a.toml").write_text("a = 1")
    async with platform_with(tmp_path, f"team={tmp_path / 'a.toml'}") as p:
        assert await p.call("config.get") == {}
        await p.call("namespaces.create", name="team")
        assert await p.options(namespace="team").call("config.get") == {"a": 1}


async def test_a_platform_whose_file_is_wrong_does_not_start(tmp_path: Path) -> None:
    """It says which, and never what stands there."""
    (tmp_path / "a.toml").write_text("password = hush\n")
    for name, says in (("a.toml", "a.toml: is not valid TOML"), ("none.toml", "cannot be read: No such file")):
        with pytest.raises(ExceptionGroup) as caught:
            async with platform_with(tmp_path, str(tmp_path / name)):
                pass
        (error,) = caught.value.exceptions
        assert isinstance(error, errors.BadRequest)
        assert says in error.detail
        assert "hush" not in error.detail


async def test_a_nodes_own_environment_stands_above_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables are those that it was started with, which need not be the platform's."""
    (tmp_path / "a.toml").write_text("a = 1\nb = 1\n")
    service = Service("worker")

    @service.endpoint
    async def both() -> list[int]:
        return [a.value, b.value]

    a, b = service.config("a", int), service.config("b", int)
    async with platform_with(tmp_path, str(tmp_path / "a.toml")) as p:
        monkeypatch.setenv("MICROLITE_CONFIG_A", "2")
        monkeypatch.setenv("MICROLITE_CONFIG_B", "2")
        await p.call("config.set", path="b", value=3)
        await p.serve(service)
        assert await p.call("worker.both") == [2, 3]
        assert os.environ["MICROLITE_CONFIG_A"] == "2"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.toml", "toml"),
        ("a.yml", "yaml"),
        ("A.YAML", "yaml"),
        ("a.json", "json"),
        (".env", "env"),
        (".env.local", "env"),
    ],
)
def test_a_format_is_told_by_the_name(name: str, form: str) -> None:
    """By the ending, and `.env` by its name."""
    assert format_of(name) == form


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        (b"a = 'hush\n", "toml", r"^f: is not valid TOML"),
        (b"a: [hush\n", "yaml", r"^f: is not valid YAML, line 2"),
        (b'{"a": hush}', "json", r"^f: is not valid JSON"),
        (b"a hush", "env", r"^f, line 1: expected NAME=value"),
        (b'A="hush', "env", r"^f, line 1: the quote is not closed"),
        (b"[1]", "json", r"^f: expected a table at the top, got a list"),
        (b"\xff", "toml", r"^f: is not UTF-8"),
        (b"{[1]: 2}", "yaml", r"^f: is not valid YAML"),
        (b"? 1.5\n: 2", "yaml", r"a float must stand in quotes"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_not_what(text: bytes, form: str, says: str) -> None:
    """It may hold secrets."""
    with pytest.raises(errors.BadRequest, match=says) as caught:
        parse(text, form, "f")
    assert "hush" not in caught.value.detail


def test_dates_of_files_are_texts() -> None:
    """What JSON has no word for."""
    assert parse(b"a = 2026-01-31", "toml", "f") == {"a": "2026-01-31"}
    assert parse(b"a: 2026-01-31\n8080: x", "yaml", "f") == {"a": "2026-01-31", "8080": "x"}
    assert msgspec.json.decode(b"1") == 1


def test_the_option_names_file_and_namespace(tmp_path: Path) -> None:
    """A file whose own name has an equals sign is one, where it is there."""
    (tmp_path / "x=y.toml").touch()
    assert config_file("a.toml", tmp_path) == (tmp_path / "a.toml", "default")
    assert config_file("team-a=a.toml", tmp_path) == (tmp_path / "a.toml", "team-a")
    assert config_file("x=y.toml", tmp_path) == (tmp_path / "x=y.toml", "default")
