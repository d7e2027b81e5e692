"""`microlite config`, against a platform."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import msgspec
import pytest
import yaml

from microlite import Service
from microlite.cli.config_text import for_terminal, rendered

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.testing.harness import RunningPlatform
    from tests.config.conftest import Microlite


async def test_set_and_get_as_in_micro(microlite: Microlite) -> None:
    """`set` is silent; text comes bare, everything else as JSON; what is missing is an error of one line."""
    assert await microlite("set", "a.b", "<hello & all>") == (0, "", "")
    assert await microlite("get", "a.b") == (0, "<hello & all>\n", "")
    assert (await microlite("set", "a.n", "42")).code == 0
    assert (await microlite("get", "a.n")).out == "42\n"
    assert json.loads((await microlite("get", "a")).out) == {"b": "<hello & all>", "n": 42}
    assert json.loads((await microlite("get", "--all")).out) == {"a": {"b": "<hello & all>", "n": 42}}
    assert (await microlite("set", "--string", "a.n", "42")).code == 0
    assert (await microlite("get", "a.n", "--output", "json")).out == '"42"\n'
    assert (await microlite("del", "a.n")).out == ""
    missing = await microlite("get", "a.n")
    assert (missing.code, missing.out, missing.err) == (127, "", "Nothing is set at a.n\n")
    assert (await microlite("get")).code == 2
    malformed = await microlite("set", "a..b", "1")
    assert (malformed.code, malformed.err.count("\n")) == (127, 1)


async def test_a_secret_comes_in_by_stdin_and_stays_hidden(microlite: Microlite, p: RunningPlatform) -> None:
    """It is in no output, history or export that did not ask for it."""
    assert await microlite("set", "db.password", "--secret-stdin", stdin="hush\n") == (0, "", "")
    assert (await microlite("get", "db.password")).out == "[secret]\n"
    assert (await microlite("get", "-s", "db.password")).out == "hush\n"
    assert (await microlite("set", "db.password", "hush2")).code == 0
    assert (await microlite("get", "db.password")).out == "[secret]\n", "what is secret stays it"
    warned = await microlite("set", "-s", "db.password", "hush3")
    assert (warned.code, "history of your shell" in warned.err) == (0, True)
    asked = await microlite("set", "-s", "db.password")
    assert (asked.code, "--secret-stdin" in asked.err) == (2, True)
    for words in (("history",), ("diff", "0"), ("export",), ("get", "--all", "--explain"), ("history", "-o", "json")):
        said = await microlite(*words)
        assert said.code == 0
        assert "hush" not in said.out + said.err
    assert json.loads((await microlite("export", "-s")).out) == {"db": {"password": {"$secret": "hush3"}}}
    assert b"hush" not in b"".join(file.read_bytes() for file in p.home.rglob("*") if file.is_file())


async def test_history_diff_and_rollback(microlite: Microlite, p: RunningPlatform) -> None:
    """Who changed what; what is different between revisions; and back to one of them."""
    await p.call("config.set", path="a", value={"x": 1, "y": [1]})
    await p.call("config.set", path="a.x", value=2)
    await p.call("config.unset", path="a.y")
    listed = (await microlite("history")).out.splitlines()
    assert listed[0].split() == ["REVISION", "WHEN", "BY", "ACTION", "PATH", "OLD", "NEW"]
    assert [line.split()[0] for line in listed[1:]] == ["3", "2", "1", "a.y"]
    assert (await microlite("diff")).out == "- a.y = [1]\n"
    assert (await microlite("diff", "1", "2")).out == "- a.x = 1\n+ a.x = 2\n"
    assert await microlite("rollback", "1", "--path", "a.y") == (0, "", "")
    assert json.loads((await microlite("get", "a")).out) == {"x": 2, "y": [1]}
    await microlite("rollback", "1")
    assert json.loads((await microlite("get", "a")).out) == {"x": 1, "y": [1]}
    last = json.loads((await microlite("history", "-n", "1", "-o", "json")).out)
    assert (last[0]["action"], last[0]["author"]) == ("rollback to 1", "admin")
    assert "the latest is 5" in (await microlite("rollback", "9")).err


@pytest.mark.parametrize("form", ["json", "yaml", "toml"])
async def test_what_is_exported_can_be_imported(microlite: Microlite, form: str, tmp_path: Path) -> None:
    """Secrets and odd names included, with `-s`; the file is for its owner only then."""
    values = {"a": {"b": [1, 2.5, {"c": True}], "d.e": '<&>"\\ é'}, "hosts": {"": "x", "empty": {}}, "n": -3}
    await microlite("import", "--format", "json", "-", stdin=json.dumps({**values, "s": {"$secret": "hush"}}))
    file = tmp_path / f"saved.{form}"
    assert (await microlite("export", "-s", str(file))).code == 0
    assert file.stat().st_mode & 0o077 == 0
    await microlite("set", "more", "1")
    assert (await microlite("import", "--replace", str(file))).code == 0
    assert json.loads((await microlite("get", "-s", "--all")).out) == {**values, "s": "hush"}
    assert (await microlite("get", "s")).out == "[secret]\n"


async def test_a_env_file_is_imported_by_path(microlite: Microlite, tmp_path: Path) -> None:
    """`LIMITS__MAX=3` is `limits.max`, a number."""
    file = tmp_path / ".env"
    file.write_text("# some\nexport LIMITS__MAX=3\nNAME='two words' # here\nTEXT=\"a\\nb\"\n")
    assert (await microlite("import", str(file))).code == 0
    found = json.loads((await microlite("get", "--all")).out)
    assert found == {"limits": {"max": 3}, "name": "two words", "text": "a\nb"}


async def test_text_that_reads_as_a_number_is_told_how_to_be_text(microlite: Microlite, p: RunningPlatform) -> None:
    """Where a service declares text, the refusal says what to add."""
    service = Service("shop")
    service.config("zip", str)
    await p.serve(service)
    refused = await microlite("set", "zip", "12345")
    assert (refused.code, "--string" in refused.err) == (127, True)
    assert (await microlite("set", "--string", "zip", "12345")).code == 0
    assert (await microlite("check")).code == 0


async def test_explain_says_where_a_value_comes_from(microlite: Microlite, p: RunningPlatform) -> None:
    """A line for the value, and below it what it hides."""
    service = Service("shop")
    service.config("limits.max", int, default=7)
    await p.serve(service)
    assert (await microlite("get", "--explain", "limits")).out == "limits.max = 7    default shop\n"
    await p.call("config.set", path="limits.max", value=8)
    lines = (await microlite("get", "--explain", "limits.max")).out.splitlines()
    assert lines[0].startswith("limits.max = 8    set by admin")
    assert lines[1] == "  hides 7    default shop"


async def test_the_key_is_rotated(microlite: Microlite) -> None:
    """One line, and the secret is what it was."""
    await microlite("set", "a", "--secret-stdin", stdin="hush")
    assert "2 secret values are encrypted with the new key" in (await microlite("rotate-key")).out
    assert (await microlite("get", "-s", "a")).out == "hush\n"


async def test_what_is_set_commands_no_terminal(microlite: Microlite, p: RunningPlatform) -> None:
    """Escapes are shown as text in all that is not the bare value for a program."""
    evil = "a\x1b[2J\x9b31m\u202eb"
    await p.call("config.set", path="evil", value=evil)
    for words in (("history",), ("diff", "0"), ("get", "--explain", "evil"), ("get", "--all")):
        assert not set((await microlite(*words)).out) & set("\x1b\x9b\u202e"), words
    assert (await microlite("get", "evil")).out == f"{evil}\n", "no terminal, no change"
    assert for_terminal(evil) == "a\ufffd[2J\ufffd31m\ufffdb"


def test_documents_read_back_in_each_format() -> None:
    """What is written is what a reader of the format reads."""
    values = {"a": {"b": {"c": 1}, "d e": [True, {"x": "\x7f\n"}]}, "top": 1.5, "t": {}}
    assert tomllib.loads(rendered(values, "toml")) == values
    assert yaml.safe_load(rendered(values, "yaml")) == values
    assert msgspec.json.decode(rendered(values, "json")) == values
