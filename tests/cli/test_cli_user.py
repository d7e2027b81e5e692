"""`microlite user config`: settings of the user, of which secrets are kept and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.user_config import Credential, UserConfig
from tests.cli.conftest import Microlite

TOKEN = "git.credentials.github.com"


def test_a_setting_is_set_shown_and_deleted(microlite: Microlite) -> None:
    assert microlite("user", "config") == (0, "", "")
    assert microlite("user", "config", "set", "git.baseurl", "github.com/o/r") == (0, "", "")
    assert microlite("user", "config", "get", "git.baseurl") == (0, "github.com/o/r\n", "")
    assert microlite("user", "config").out.splitlines()[1].split() == ["git.baseurl", "github.com/o/r"]
    assert json.loads(microlite("-o", "json", "user", "config").out) == {"git.baseurl": "github.com/o/r"}
    assert json.loads(microlite("user", "config", "get", "-o", "json").out) == {"git.baseurl": "github.com/o/r"}
    assert microlite("user", "config", "get", "git.baseurl", "-o", "json").out == '"github.com/o/r"\n'
    assert microlite("user", "config", "delete", "git.baseurl") == (0, "", "")
    assert microlite("user", "config", "get", "git.baseurl").code == 1
    assert microlite("user", "config", "delete", "git.baseurl").err == "Nothing is set for git.baseurl\n"


def test_a_secret_is_read_from_stdin_kept_for_its_owner_and_shown_as_hidden(microlite: Microlite, home: Path) -> None:
    assert microlite("user", "config", "set", TOKEN, "--secret-stdin", stdin="s3cret\n") == (0, "", "")
    assert microlite("user", "config", "get", TOKEN).out == "hidden\n"
    assert json.loads(microlite("user", "config", "-o", "json").out) == {TOKEN: "hidden"}
    assert (home / "user.json").stat().st_mode & 0o777 == 0o600
    assert UserConfig(home).credential("GitHub.com") == Credential("x-access-token", "s3cret")


def test_a_secret_on_the_command_line_works_and_warns(microlite: Microlite, home: Path) -> None:
    said = microlite("user", "config", "set", TOKEN, "ann:s3cret")
    assert said.code == 0
    assert "history of your shell" in said.err
    assert "s3cret" not in said.err + said.out
    assert UserConfig(home).credential("github.com") == Credential("ann", "s3cret")


def test_a_secret_is_asked_for_without_showing_it(
    microlite: Microlite, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microlite.cli.user._can_ask", lambda: True)
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: "s3cret")
    said = microlite("user", "config", "set", TOKEN)
    assert (said.code, said.out) == (0, "")
    assert UserConfig(home).all() == {TOKEN: "s3cret"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "git.baseuri", "x"), "There is no key git.baseuri: did you mean git.baseurl?"),
        (("get", "colour"), "There is no key colour: there are git.baseurl and git.credentials.<host>"),
        (("set", "git.credentials.", "x"), "'' is no name of a host"),
        (("set", "git.credentials.a b", "x"), "'a b' is no name of a host"),
        (("set", "git.baseurl"), "Say the value"),
        (("set", "git.baseurl", " "), "a value is one line"),
        (("set", "git.baseurl", "https://ann:secret@x/y"), "is no address"),
        (("set", "git.baseurl", "--secret-stdin"), "--secret-stdin is for secrets"),
        (("set", TOKEN), "nobody can be asked here: give it with --secret-stdin"),
        (("set", TOKEN, "x", "--secret-stdin"), "not both"),
        (("set", TOKEN, "--secret-stdin"), "a value is one line"),
        (("put", "x"), "Unrecognized subcommand for microlite user config: put"),
    ],
)
def test_what_is_wrong_is_a_sentence(microlite: Microlite, words: tuple[str, ...], said: str) -> None:
    result = microlite("user", "config", *words)
    assert result.code != 0
    assert said.lower() in result.err.lower()
    assert len(result.err.splitlines()) == 1


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    config = UserConfig(tmp_path)
    config.set(TOKEN, "s3cret")
    (tmp_path / "user.json").chmod(0o644)
    with pytest.raises(errors.Forbidden, match="chmod 600"):
        config.all()


def test_a_host_with_a_port_has_a_credential_of_its_own_else_that_of_its_name(tmp_path: Path) -> None:
    config = UserConfig(tmp_path)
    config.set("git.credentials.git.example.org", "one")
    config.set("git.credentials.git.example.org:8443", "two")
    config.set("git.credentials.gitlab.com", "three")
    assert config.credential("git.example.org:9000") == Credential("x-access-token", "one")
    assert config.credential("git.example.org:8443") == Credential("x-access-token", "two")
    assert config.credential("gitlab.com") == Credential("oauth2", "three")
    assert config.credential("example.org") is None
