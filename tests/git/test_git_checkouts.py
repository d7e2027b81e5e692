"""Commits of real repositories become folders: over file://, and over HTTP with a name and a password."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.clock import SystemClock
from microlite.core.runtime.git.address import Address, address_of
from microlite.core.runtime.git.checkouts import UNUSED, Checkout, Checkouts
from microlite.core.runtime.git.program import Git
from microlite.core.runtime.git.refs import Kind
from microlite.core.user_config import UserConfig
from tests.git.git_parts import ENVIRONMENT, Repository, serve


class Bench:
    """The checkouts of a home, and a repository."""

    def __init__(self, folder: Path, environment: dict[str, str] = ENVIRONMENT) -> None:
        self.home = folder / "home"
        self.folder = self.home / "checkouts"
        self.config = UserConfig(self.home)
        self.clock = SystemClock()
        self.checkouts = Checkouts(self.folder, Git(environment, self.config), self.clock)
        self.repository = Repository(folder / "repositories")
        self.said: list[str] = []

    async def get(self, typed: str = "") -> Checkout:
        return await self.checkouts.get(self.address(typed or self.repository.url), self.said.append)

    @staticmethod
    def address(typed: str) -> Address:
        address = address_of(typed)
        assert address is not None
        return address

    def tree(self, checkout: Checkout) -> dict[str, str]:
        root = Path(checkout.folder)
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_branch_a_tag_and_a_commit(bench: Bench) -> None:
    """Without a ref it is the default branch; a commit may be abbreviated, also one that no branch or tag ends with."""
    first = bench.repository.commit({"a.txt": "1", "sub/b.txt": "1"})
    bench.repository.tag("v1")
    second = bench.repository.commit({"a.txt": "2"})
    bench.repository.tag("v2", "--annotate", "--message", "Two")
    third = bench.repository.commit({"a.txt": "3"})
    other = bench.repository.commit({"a.txt": "other"}, branch="feature/x")
    url = bench.repository.url
    for ref, commit, text, kind in (
        ("", third, "3", Kind.BRANCH),
        ("@main", third, "3", Kind.BRANCH),
        ("@feature/x", other, "other", Kind.BRANCH),
        ("@v1", first, "1", Kind.TAG),
        ("@v2", second, "2", Kind.TAG),
        (f"@{second}", second, "2", Kind.COMMIT),
        (f"@{first[:9]}", first, "1", Kind.COMMIT),
    ):
        checkout = await bench.get(url + ref)
        assert (checkout.commit, checkout.kind) == (commit, kind), ref
        assert bench.tree(checkout) == {"a.txt": text, "sub/b.txt": "1"}
        assert Path(checkout.folder).name == "shop"
    inside = bench.repository.commit({"a.txt": "4"})
    bench.repository.commit({"a.txt": "5"})
    assert (await bench.get(f"{url}@{inside[:10]}")).commit == inside


async def test_the_copy_has_no_history_and_nobody_else_can_enter_it(bench: Bench) -> None:
    bench.repository.commit({"a.txt": "1"})
    folder = Path((await bench.get()).folder)
    assert list((folder / ".git").iterdir()) == []
    assert bench.folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith(".")] == []


async def test_a_commit_is_fetched_once_also_by_two_at_a_time(bench: Bench) -> None:
    commit = bench.repository.commit({"a.txt": "1"})
    first, second = await asyncio.gather(bench.get(), bench.get())
    assert first == second
    assert sum(line.startswith("fetching") for line in bench.said) == 1
    bench.repository.bare.rename(bench.repository.bare.with_name("gone.git"))
    address = Address(repository=bench.repository.url, url=bench.repository.url, ref=commit)
    kept = await bench.checkouts.get(address, bench.said.append)
    assert kept.folder == first.folder, "a whole commit that is here needs no repository"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("{url}@mian", "has no branch, tag or commit 'mian'; there are main"),
        ("{url}@" + "e" * 40, "has no branch, tag or commit 'eeee"),
        ("{url}@abcdef1", "has no branch, tag or commit 'abcdef1'"),
        ("http://127.0.0.1:9/o/r", "127.0.0.1:9 does not answer"),
        ("ssh://git@127.0.0.1:9/o/r", "127.0.0.1:9 does not answer|ssh"),
    ],
)
async def test_what_cannot_be_fetched_is_a_sentence(bench: Bench, typed: str, said: str) -> None:
    bench.repository.commit({"a.txt": "1"})
    with pytest.raises(errors.Error, match=said):
        await bench.get(typed.format(url=bench.repository.url))
    assert not list(bench.folder.glob(".new-*"))


async def test_an_empty_repository_says_so(bench: Bench) -> None:
    with pytest.raises(errors.NotFound, match="nothing in it yet"):
        await bench.get()


async def test_without_git_it_says_how_to_install_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {**ENVIRONMENT, "PATH": "/nonexistent"})
    bench.repository.commit({"a.txt": "1"})
    with pytest.raises(errors.Unprocessable, match="apt install git"):
        await bench.get()


async def test_no_code_of_the_repository_or_of_a_template_runs(tmp_path: Path) -> None:
    """Neither hooks, nor filters that only the repository names; and no variable of git leads elsewhere."""
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    hook = template / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    variables = {"GIT_TEMPLATE_DIR": str(template), "GIT_DIR": "/nonexistent", "GIT_TRACE": str(tmp_path / "trace")}
    bench = Bench(tmp_path, {**ENVIRONMENT, **variables})
    bench.repository.commit({"a.txt": "1", ".gitattributes": "* filter=evil\n", ".gitmodules": ""})
    await bench.get()
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "trace").exists()
    assert "its submodules are not fetched" in bench.said


async def test_a_cancelled_fetch_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    """The program is killed, and what it wrote is gone."""
    slow = tmp_path / "bin"
    slow.mkdir()
    began = tmp_path / "began"
    os.mkfifo(began)
    (slow / "git").write_text(
        f'#!/bin/sh\ntest "$1" = fetch && echo > {began} && exec sleep 600\n'
        f'PATH="{ENVIRONMENT["PATH"]}" exec git "$@"\n'
    )
    (slow / "git").chmod(0o755)
    other = Bench(tmp_path / "x", {**ENVIRONMENT, "PATH": f"{slow}:{ENVIRONMENT['PATH']}"})
    other.repository.commit({"a.txt": "1"})
    task = asyncio.create_task(other.get())
    await asyncio.to_thread(began.read_text)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not list(other.folder.glob(".new-*"))


# -- over HTTP ----------------------------------------------------------------------------------------------------------


async def test_a_public_repository_over_http(bench: Bench) -> None:
    bench.repository.commit({"a.txt": "1"})
    with serve(bench.repository.bare.parent) as served:
        assert bench.tree(await bench.get(f"{served.url}/shop.git@main")) == {"a.txt": "1"}
        assert {shown for _, shown in served.seen} == {""}
        with pytest.raises(
            errors.NotFound, match=rf"no such repository, or it is private: .*git.credentials.{served.host} <token>"
        ):
            await bench.get(f"{served.url}/nothing.git")


async def test_a_private_repository_opens_with_the_credential_of_its_host(bench: Bench) -> None:
    """Without one, and with a wrong one, it says what to set; the secret is in no file and no message."""
    bench.repository.commit({"a.txt": "1"})
    with serve(bench.repository.bare.parent, "s3cret-token") as served:
        url, key = f"{served.url}/shop.git", f"git.credentials.{served.host}"
        with pytest.raises(errors.NotFound, match=f"or it is private: microlite user config set {key} <token>"):
            await bench.get(url)
        bench.config.set(key, "wrong-token")
        with pytest.raises(errors.Forbidden, match=f"does not open it: microlite user config set {key}") as refused:
            await bench.get(url)
        assert "wrong-token" not in str(refused.value)
        for value in ("s3cret-token", "ann:s3cret-token"):
            bench.config.set(key, value)
            served.seen.clear()
            checkout = await bench.get(url)
            assert bench.tree(checkout) == {"a.txt": "1"}
            assert any(shown.startswith("Basic ") for _, shown in served.seen)
        where = [path for path in bench.home.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
        assert [path.name for path in where] == ["user.json"]
        assert "s3cret" not in "\n".join(bench.said)


async def test_a_secret_is_in_no_list_of_processes_and_in_no_store_of_git(tmp_path: Path) -> None:
    """Not even where the user has a credential helper that keeps what it is told."""
    words = tmp_path / "words"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {words}\nPATH="{ENVIRONMENT["PATH"]}" exec git "$@"\n')
    wrapper.chmod(0o755)
    mine = tmp_path / "gitconfig"
    mine.write_text(f"[credential]\n\thelper = store --file {tmp_path}/kept\n")
    path = f"{wrapper.parent}:{ENVIRONMENT['PATH']}"
    bench = Bench(tmp_path, {**ENVIRONMENT, "PATH": path, "GIT_CONFIG_GLOBAL": str(mine)})
    bench.repository.commit({"a.txt": "1"})
    with serve(bench.repository.bare.parent, "s3cret") as served:
        bench.config.set(f"git.credentials.{served.host}", "s3cret")
        await bench.get(f"{served.url}/shop.git")
    assert "ls-remote" in words.read_text()
    assert "s3cret" not in words.read_text()
    assert not (tmp_path / "kept").exists()


# -- what is kept -------------------------------------------------------------------------------------------------------


async def test_unused_commits_go_after_a_week_and_used_ones_stay(bench: Bench) -> None:
    bench.repository.commit({"a.txt": "1"})
    old = Path((await bench.get()).folder)
    bench.repository.commit({"a.txt": "2"})
    used = Path((await bench.get()).folder)
    bench.repository.commit({"a.txt": "3"})
    new = Path((await bench.get()).folder)
    then = bench.clock.now() - UNUSED - 60
    for folder in (old, used):
        os.utime(folder.parent, (then, then))
    leftover = bench.folder / ".new-1-1"
    leftover.mkdir()
    assert await bench.checkouts.prune([str(used / "services")]) == [str(old.parent)]
    assert (old.exists(), used.exists(), new.exists(), leftover.exists()) == (False, True, True, False)
    assert await bench.checkouts.prune([]) == [], "what was just in use is kept for another week"


async def test_a_commit_that_was_removed_is_fetched_again(bench: Bench) -> None:
    commit = bench.repository.commit({"a.txt": "1"})
    checkout = await bench.get()
    bench.repository.commit({"a.txt": "2"})
    Path(checkout.folder).parent.rename(bench.home / "away")
    await bench.checkouts.restore(bench.address(bench.repository.url), commit, bench.said.append)
    assert bench.tree(checkout) == {"a.txt": "1"}
