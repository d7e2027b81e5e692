"""The parts of isolation that need no process: which walls are chosen, ids, copies, and what a sandbox is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from microlite import errors
from microlite.core.runtime.isolation import availability, ids
from microlite.core.runtime.isolation.availability import FIRST_ID, IDS, choose, unreachable
from microlite.core.runtime.isolation.copying import copy_library, copy_sources
from microlite.core.runtime.isolation.modes import Isolation
from microlite.core.runtime.isolation.sandbox import View

OFF, AUTO, UID, BWRAP, DEFAULT = (
    Isolation.OFF,
    Isolation.AUTO,
    Isolation.UID,
    Isolation.BWRAP,
    Isolation.DEFAULT,
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A machine that has these reasons against bwrap and uid."""

    def have(bwrap: str, uid: str) -> None:
        monkeypatch.setattr(availability, "_LOOKS", ((BWRAP, lambda: bwrap), (UID, lambda: uid)))

    return have


@pytest.mark.parametrize(
    ("asked", "here", "bwrap", "uid", "chosen"),
    [
        (DEFAULT, OFF, "", "", OFF),
        (OFF, OFF, "", "", OFF),
        (DEFAULT, AUTO, "", "", BWRAP),
        (DEFAULT, AUTO, "no bwrap", "", UID),
        (AUTO, OFF, "no bwrap", "", UID),
        (UID, OFF, "", "", UID),
        (UID, BWRAP, "", "", UID),
        (BWRAP, UID, "", "", BWRAP),
    ],
)
def test_the_strongest_wall_that_is_there_is_chosen(
    machine: Callable[[str, str], None], asked: Isolation, here: Isolation, bwrap: str, uid: str, chosen: Isolation
) -> None:
    machine(bwrap, uid)
    assert choose(asked, here) is chosen


@pytest.mark.parametrize("asked", [AUTO, UID, BWRAP])
def test_what_cannot_be_had_is_refused_with_each_reason(machine: Callable[[str, str], None], asked: Isolation) -> None:
    """Nothing is started without the walls that were asked for."""
    machine("no bwrap", "no ids")
    with pytest.raises(errors.ServiceUnavailable) as refused:
        choose(asked, OFF)
    assert ("no bwrap" in refused.value.detail) == (asked in (AUTO, BWRAP))
    assert ("no ids" in refused.value.detail) == (asked in (AUTO, UID))


def test_a_service_cannot_turn_off_what_the_platform_demands(machine: Callable[[str, str], None]) -> None:
    machine("", "")
    with pytest.raises(errors.Forbidden, match="isolates every service"):
        choose(OFF, AUTO)


def test_without_bubblewrap_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install bubblewrap" in availability.why_not_bwrap()


def test_an_id_is_kept_and_never_given_twice(tmp_path: Path) -> None:
    """Also where two owners would begin to look at the same one, and where the machine knows a user of that id."""
    first = ids.allot(tmp_path, "home\0a\0x")
    assert FIRST_ID <= first < FIRST_ID + IDS
    assert ids.allot(tmp_path, "home\0a\0x") == first
    (tmp_path / str(first)).rename(tmp_path / "aside")
    (tmp_path / str(first)).write_text("another home\0b\0y")
    second = ids.allot(tmp_path, "home\0a\0x")
    assert second == first + 1
    assert ids.given(tmp_path, "home") == [second]


def test_an_id_that_the_machine_knows_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.allot(tmp_path / "one", "home\0a\0x")
    monkeypatch.setattr(ids, "_is_known", lambda number: number == first)
    assert ids.allot(tmp_path / "two", "home\0a\0x") == first + 1


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another group, which only root can")
def test_a_copy_follows_no_link_and_takes_no_cache(tmp_path: Path) -> None:
    """A project with a link to a file of root must not make root copy that file."""
    secret = tmp_path / "secret"
    secret.write_text("hush")
    project = tmp_path / "project"
    for folder in (project / "package", project / ".git", project / "node_modules", project / "home"):
        folder.mkdir(parents=True)
        (folder / "file.py").write_text("pass")
    (project / "link").symlink_to(secret)
    (project / "package" / "folder").symlink_to(tmp_path)
    os.mkfifo(project / "pipe")
    (project / "tool").write_text("#!/bin/sh")
    (project / "tool").chmod(0o700)
    copy = tmp_path / "copy"
    copy_sources(project, copy, group=FIRST_ID, without=(project / "home",))
    names = {str(path.relative_to(copy)) for path in copy.rglob("*") if not path.is_symlink()}
    assert names == {"package", "package/file.py", "tool"}
    assert (copy / "link").readlink() == secret
    found = (copy / "tool").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, FIRST_ID, 0o750)
    assert (copy / "package" / "file.py").stat().st_mode & 0o777 == 0o640


def test_too_large_a_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "large").write_bytes(b"x" * 100)
    monkeypatch.setattr("microlite.core.runtime.isolation.copying.MOST_BYTES", 50)
    with pytest.raises(errors.PayloadTooLarge, match="too large to be copied"):
        copy_sources(tmp_path / "project", tmp_path / "copy", group=os.getgid())


def test_the_library_is_copied_for_everybody_to_read(tmp_path: Path) -> None:
    """It may be a folder of links to packages."""
    package = tmp_path / "package"
    package.mkdir(mode=0o700)
    (package / "module.py").write_text("pass")
    (package / "module.py").chmod(0o600)
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "package").symlink_to(package)
    copy_library(tmp_path / "library", tmp_path / "copy")
    copied = tmp_path / "copy" / "package" / "module.py"
    assert copied.stat().st_mode & 0o777 == 0o644
    assert not copied.parent.is_symlink()


def test_a_path_that_others_cannot_pass_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("")
    assert "closed to other users" in unreachable(closed / "file")
    assert unreachable(Path("/usr/bin/env")) == ""


def test_a_sandbox_shows_what_it_is_told_and_hides_the_home_within(tmp_path: Path) -> None:
    """The home lies in the project, the environment in the home, and the project is reached by a link."""
    project, home = tmp_path / "project", tmp_path / "project" / ".microlite"
    (home / "environments" / "one").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to("project")
    view = View(hidden=str(home), write=(str(home / "work"),), open_parents=False)
    view.show(str(link))
    view.show(str(home / "environments" / "one"))
    words = view.words()
    text = " ".join(words)
    shown = text.index(f"--ro-bind {project} {project}")
    hidden = text.index(f"--tmpfs {home}")
    assert shown < hidden < text.index(f"--ro-bind {home}/environments/one {home}/environments/one")
    assert f"--symlink project {link}" in text
    assert f"--bind {home}/work {home}/work" in text
    assert text.count("--bind ") == 1, "all else is read-only"
    for own in ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--cap-drop ALL"):
        assert own in text
