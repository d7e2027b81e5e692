"""Saves become changes: quickly, once, and only where the content of a source file is another."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microlite.core.clock import SystemClock
from microlite.core.runtime.watcher import Change, Watch, Watcher

PATIENCE = 10.0


@pytest.fixture(params=[False, True], ids=["notified", "polling"])
async def watcher(request: pytest.FixtureRequest) -> AsyncIterator[Watcher]:
    async with Watcher(SystemClock(), polling=request.param, interval=0.05) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "orders"
    (folder / "shop").mkdir(parents=True)
    (folder / "main.py").write_text("one = 1\n")
    (folder / "shop" / "__init__.py").write_text("")
    (folder / "shop" / "items.py").write_text("items = []\n")
    return folder


def swap(folder: Path, successor: Path) -> None:
    folder.rename(folder.with_name("old"))
    successor.rename(folder)


async def next_change(watch: Watch) -> Change:
    async with asyncio.timeout(PATIENCE):
        return await anext(watch)


async def next_names(watch: Watch, folder: Path) -> list[str]:
    return [path.removeprefix(f"{folder}/") for path in (await next_change(watch)).paths]


async def saw_nothing_before(watch: Watch, folder: Path) -> None:
    """What happened before is told from nothing by a change of which we know that it is one."""
    (folder / "marker.toml").write_text(os.urandom(8).hex())
    assert await next_names(watch, folder) == ["marker.toml"]


async def test_a_save_is_a_change_with_its_path_and_time(watcher: Watcher, project: Path) -> None:
    clock = SystemClock()
    watch = await watcher.watch(project)
    before = clock.now()
    (project / "main.py").write_text("two = 2\n")
    change = await next_change(watch)
    assert change.paths == (str(project / "main.py"),)
    assert before <= change.at <= clock.now()


async def test_a_file_of_a_package_counts_and_new_packages_too(watcher: Watcher, project: Path) -> None:
    watch = await watcher.watch(project)
    (project / "shop" / "items.py").write_text("items = [1]\n")
    assert await next_names(watch, project) == ["shop/items.py"]
    (project / "stock").mkdir()
    (project / "stock" / "rows.py").write_text("rows = 1\n")
    assert await next_names(watch, project) == ["stock/rows.py"]
    (project / "stock" / "rows.py").write_text("rows = 2\n")
    assert await next_names(watch, project) == ["stock/rows.py"]


async def test_what_an_editor_writes_beside_is_no_change_and_its_rename_is(watcher: Watcher, project: Path) -> None:
    watch = await watcher.watch(project)
    # As vim does: a probe, a swap file, a backup by rename, the new text, and all else removed.
    (project / "4913").write_text("")
    (project / "4913").unlink()
    (project / ".main.py.swp").write_bytes(b"swap")
    (project / "main.py").rename(project / "main.py~")
    (project / "main.py").write_text("vim = 1\n")
    (project / "main.py~").unlink()
    (project / ".main.py.swp").unlink()
    assert await next_names(watch, project) == ["main.py"]
    # As most others do: a new file, renamed over the old one.
    (project / "main.py.tmp").write_text("atomic = 1\n")
    (project / "main.py.tmp").replace(project / "main.py")
    assert await next_names(watch, project) == ["main.py"]
    await saw_nothing_before(watch, project)


async def test_touching_and_writing_the_same_bytes_is_no_change(watcher: Watcher, project: Path) -> None:
    watch = await watcher.watch(project)
    (project / "main.py").touch()
    (project / "main.py").write_text("one = 1\n")
    (project / "copy.tmp").write_text("one = 1\n")
    (project / "copy.tmp").replace(project / "main.py")
    await saw_nothing_before(watch, project)


@pytest.mark.parametrize(
    "path",
    [
        ".git/index.json",
        ".venv/lib/x.py",
        "env/lib/y.py",
        "node_modules/x/index.json",
        "__pycache__/main.py",
        "main.pyc",
        "orders.db",
        "orders.db-wal",
        "run.log",
        ".hidden.py",
        "#main.py#",
        "main.py.swx",
        "main.py___jb_tmp___",
    ],
)
async def test_what_is_no_source_is_ignored(path: str, project: Path) -> None:
    (project / "env").mkdir()
    (project / "env" / "pyvenv.cfg").write_text("home = /usr\n")
    async with Watcher(SystemClock()) as watcher:
        watch = await watcher.watch(project)
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("x = 1\n")
        await saw_nothing_before(watch, project)


async def test_env_files_count_and_extensions_can_be_chosen(project: Path) -> None:
    async with Watcher(SystemClock()) as watcher:
        usual, chosen = await watcher.watch(project), await watcher.watch(project, extensions=[".csv"])
        (project / "data.csv").write_text("a,b")
        assert await next_names(chosen, project) == ["data.csv"]
        (project / ".env").write_text("A=1")
        assert await next_names(usual, project) == [".env"]


async def test_many_saves_while_the_reader_is_busy_are_one_change(watcher: Watcher, project: Path) -> None:
    watch, witness = await watcher.watch(project), await watcher.watch(project)
    for number in range(10):
        (project / "main.py").write_text(f"number = {number}\n")
        await next_change(witness)
    assert await next_names(watch, project) == ["main.py"]
    await saw_nothing_before(watch, project)


async def test_each_watch_hears_of_its_own_folders_only(watcher: Watcher, tmp_path: Path) -> None:
    left, right, shared = (tmp_path / name for name in ("left", "right", "shared"))
    for folder in (left, right, shared):
        folder.mkdir()
    first, second = await watcher.watch(left, shared), await watcher.watch(right)
    (left / "main.py").write_text("1")
    assert await next_names(first, tmp_path) == ["left/main.py"]
    (right / "main.py").write_text("1")
    assert await next_names(second, tmp_path) == ["right/main.py"]
    (shared / "both.py").write_text("1")
    assert await next_names(first, tmp_path) == ["shared/both.py"]


async def test_a_deleted_file_is_a_change(watcher: Watcher, project: Path) -> None:
    watch = await watcher.watch(project)
    (project / "shop" / "items.py").unlink()
    assert await next_names(watch, project) == ["shop/items.py"]
    shutil.rmtree(project / "shop")
    assert await next_names(watch, project) == ["shop/__init__.py"]


async def test_what_a_platform_writes_into_its_home_is_no_change(watcher: Watcher, project: Path) -> None:
    """Wherever the home lies and whatever it is called."""
    home = project / "data"
    home.mkdir()
    (home / "microlite.db").write_text("")
    watch = await watcher.watch(project)
    (home / "server.json").write_text("{}")
    (home / "copy").mkdir()
    (home / "copy" / "main.py").write_text("one = 1\n")
    await saw_nothing_before(watch, project)


async def test_a_folder_that_goes_and_comes_back_is_watched_on(watcher: Watcher, project: Path) -> None:
    watch = await watcher.watch(project)
    shutil.copytree(project, project.with_name("kept"))
    shutil.rmtree(project)
    # The same content again, but for one file: only that one has changed.
    shutil.copytree(project.with_name("kept"), project)
    (project / "main.py").write_text("back = 1\n")
    assert await next_names(watch, project) == ["main.py"]
    (project / "shop" / "items.py").write_text("back = 2\n")
    assert await next_names(watch, project) == ["shop/items.py"]
    # Replaced by a rename, as deployments do.
    swap(project, project.with_name("kept"))
    assert set(await next_names(watch, project)) == {"main.py", "shop/items.py"}
    (project / "main.py").write_text("renamed = 1\n")
    assert await next_names(watch, project) == ["main.py"]


async def test_a_root_may_appear_later(watcher: Watcher, tmp_path: Path) -> None:
    watch = await watcher.watch(tmp_path / "later")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "main.py").write_text("1")
    assert await next_names(watch, tmp_path) == ["later/main.py"]


async def test_closing_a_watch_ends_its_iterator_and_not_the_others(watcher: Watcher, project: Path) -> None:
    closed, open_one = await watcher.watch(project), await watcher.watch(project)
    waiting = asyncio.ensure_future(anext(closed))
    await asyncio.sleep(0)
    closed.close()
    closed.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    (project / "main.py").write_text("on = 1\n")
    assert await next_names(open_one, project) == ["main.py"]


async def test_closing_the_watcher_ends_all_iterators(project: Path) -> None:
    watcher = Watcher(SystemClock())
    async with watcher:
        watch = await watcher.watch(project)
    async with asyncio.timeout(PATIENCE):
        assert [change async for change in watch] == []
    await watcher.aclose()
    with pytest.raises(RuntimeError):
        await watcher.watch(project)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors the Linux way")
async def test_all_watched_folders_share_one_notifier_of_the_system(tmp_path: Path) -> None:
    def notifiers() -> int:
        links = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return sum("inotify" in str(link) for link in links)

    before = notifiers()
    async with Watcher(SystemClock()) as watcher:
        for number in range(30):
            (tmp_path / f"s{number}").mkdir()
            await watcher.watch(tmp_path / f"s{number}")
        assert notifiers() == before + 1
    assert notifiers() == before
