"""The cache of the one file: trusted only where it is safe, whole or absent, and never taken from under a process."""

import fcntl
import os
import resource
import select
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.onefile.built import PYTHON, extractions, refused, stand_in, start, told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first build fetches packages

LIBRARY = {"microlite", "msgspec", "uvloop"}


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory, pyz: Path) -> Path:
    cache = tmp_path_factory.mktemp("unpacked") / "cache"
    told(start(pyz, "probe", cwd=Path("/"), environ={"MICROLITE_CACHE": str(cache)}))
    return cache


@pytest.fixture
def cache(unpacked: Path, tmp_path: Path) -> Path:
    """A cache of its own for the test, with the extraction in it."""
    return Path(shutil.copytree(unpacked, tmp_path / "cache", symlinks=True))


def _mounted(words: list[str], mounts: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run ``words`` where ``mounts`` has been run, which no other process sees."""
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("only root can mount")
    command = ["unshare", "-m", "sh", "-c", f'{mounts} || exit 99; exec "$@"', "sh", *words]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, check=False
    )
    if done.returncode == 99:
        pytest.skip(f"no mounts here: {done.stderr}")
    return done


def test_a_full_disk_is_one_line(pyz: Path, tmp_path: Path) -> None:
    mounts = f"mount -t tmpfs -o size=2m,mode=0700 tmpfs {tmp_path}"
    line = refused(_mounted([PYTHON, str(pyz), "probe"], mounts, MICROLITE_CACHE=str(tmp_path)))
    assert line.startswith(f"microlite: no space in {tmp_path} to unpack")


def test_a_disk_that_fills_up_midway_is_one_line_and_leaves_nothing(pyz: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    cache = tmp_path / "cache"
    line = refused(start(pyz, "probe", cwd=tmp_path, environ={"MICROLITE_CACHE": str(cache)}, preexec_fn=limit))
    assert line.startswith(f"microlite: no space in {cache} to unpack")
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_a_read_only_cache_is_one_line(pyz: Path, tmp_path: Path) -> None:
    mounts = f"mount -t tmpfs -o ro tmpfs {tmp_path}"
    line = refused(_mounted([PYTHON, str(pyz), "probe"], mounts, MICROLITE_CACHE=str(tmp_path / "cache")))
    assert line == (
        f"microlite: {tmp_path}/cache cannot be written (Read-only file system); "
        "set MICROLITE_CACHE to a folder of your own"
    )


def test_an_extraction_on_a_read_only_disk_is_used(pyz: Path, cache: Path) -> None:
    mounts = f"mount --bind {cache} {cache} && mount -o remount,ro,bind {cache}"
    done = _mounted([PYTHON, str(pyz), "probe"], mounts, MICROLITE_CACHE=str(cache))
    assert told(done)["extraction"] == str(extractions(cache)[0])


def test_without_a_writable_home_the_temporary_folder_serves(pyz: Path, tmp_path: Path) -> None:
    """The folder there carries the user's id and is closed to all others; a planted link is refused."""
    environ = {"HOME": "/proc/no-home", "TMPDIR": str(tmp_path)}
    said = told(start(pyz, "probe", cwd=tmp_path, environ=environ))
    folder = tmp_path / f"microlite-{os.geteuid()}"
    assert Path(said["extraction"]).parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert "set MICROLITE_CACHE" in refused(start(pyz, "probe", cwd=tmp_path, environ=environ))


def test_a_symlinked_cache_is_refused(pyz: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(cache)
    line = refused(start(pyz, "probe", cwd=tmp_path, environ={"MICROLITE_CACHE": str(tmp_path / "link")}))
    assert "link is a symbolic link" in line


def test_a_cache_that_others_can_write_is_refused(pyz: Path, cache: Path, tmp_path: Path) -> None:
    cache.chmod(0o770)
    line = refused(start(pyz, "probe", cwd=tmp_path, environ={"MICROLITE_CACHE": str(cache)}))
    assert "can be written by others" in line


def test_a_cache_of_another_user_is_refused(pyz: Path, cache: Path, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(cache, 12345, -1)
    line = refused(start(pyz, "probe", cwd=tmp_path, environ={"MICROLITE_CACHE": str(cache)}))
    assert "belongs to another user (uid 12345)" in line


def test_parallel_first_starts_unpack_once(pyz: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [PYTHON, str(pyz), "probe"]
    environ = {"MICROLITE_CACHE": str(cache)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(command, env=environ, **pipes) for _ in range(4)]  # type: ignore[call-overload]  # **
    outcomes = [(*process.communicate(), process.returncode) for process in running]
    assert [(errors, code) for _, errors, code in outcomes] == [(b"", 0)] * 4
    assert len(extractions(cache)) == 1
    assert {path.name for path in cache.iterdir()} == {".lock", extractions(cache)[0].name}


def test_a_kill_while_unpacking_costs_nothing_but_time(pyz: Path, tmp_path: Path) -> None:
    """There is no half extraction, and the next start unpacks and removes what the killed one left."""
    cache = tmp_path / "cache"
    environ = {"MICROLITE_CACHE": str(cache)}
    process = subprocess.Popen([PYTHON, str(pyz), "probe"], env=environ, stdout=subprocess.DEVNULL)
    while not list(cache.glob(".unpacking-*/*/site-packages/*")):
        assert process.poll() is None, "unpacked before it could be killed"
    process.kill()
    process.wait()
    assert extractions(cache) == []
    assert len(list(cache.glob(".unpacking-*"))) == 1
    told(start(pyz, "probe", cwd=tmp_path, environ=environ))
    assert list(cache.glob(".unpacking-*")) == []


def test_after_a_power_cut_files_are_verified(pyz: Path, cache: Path, tmp_path: Path) -> None:
    """Unpacked before the last boot: an intact extraction is used, a damaged one is unpacked again."""
    environ = {"MICROLITE_CACHE": str(cache)}
    [tree] = extractions(cache)
    (tree / ".boot").write_text("an earlier boot")
    (tree / "mark").touch()  # it goes with the folder; a new one may well get the inode of the old
    told(start(pyz, "probe", cwd=tmp_path, environ=environ))
    assert (tree / "mark").exists()
    assert (tree / ".boot").read_text() == "verified"
    (tree / ".boot").write_text("an earlier boot")
    (tree / "site-packages/click/core.py").write_bytes(b"")
    told(start(pyz, "probe", cwd=tmp_path, environ=environ))
    assert not (tree / "mark").exists()
    assert (tree / "site-packages/click/core.py").stat().st_size > 0


@pytest.fixture
def holder(pyz: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A running process that was started from the extraction in ``cache``."""
    command = [PYTHON, str(pyz), "hold"]
    pipes = subprocess.PIPE
    with subprocess.Popen(
        command, env={"MICROLITE_CACHE": str(cache)}, stdin=pipes, stdout=pipes, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def _free(tree: Path) -> bool:
    """Return whether no process holds the extraction."""
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def test_a_process_holds_its_extraction_for_life(cache: Path, holder: subprocess.Popen[str]) -> None:
    [tree] = extractions(cache)
    assert not _free(tree)
    holder.kill()
    holder.wait()
    assert _free(tree)


def test_cleaning_spares_what_is_in_use(pyz: Path, cache: Path, tmp_path: Path) -> None:
    """Another extraction is removed once no process holds it; the one that runs stays."""
    [tree] = extractions(cache)
    old = Path(shutil.copytree(tree, cache / "microlite-0.0.1-old", symlinks=True))
    descriptor = os.open(old, os.O_RDONLY)
    environ = {"MICROLITE_CACHE": str(cache)}
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        said = told(start(pyz, "clean", cwd=tmp_path, environ=environ))
        assert (said["removed"], sorted(said["in_use"])) == ([], sorted(map(str, [old, tree])))
    finally:
        os.close(descriptor)
    said = told(start(pyz, "clean", cwd=tmp_path, environ=environ))
    assert (said["removed"], said["in_use"]) == ([str(old)], [str(tree)])
    assert said["freed"] > 1_000_000
    assert extractions(cache) == [tree]


def test_unpacking_leaves_the_two_extractions_used_last(pyz: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for age in range(4):
        old = cache / f"microlite-0.0.{age}-old"
        old.mkdir(parents=True, mode=0o700)
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    cache.chmod(0o700)
    said = told(start(pyz, "probe", cwd=tmp_path, environ={"MICROLITE_CACHE": str(cache)}))
    names = {path.name for path in extractions(cache)}
    assert names == {"microlite-0.0.0-old", "microlite-0.0.1-old", Path(said["extraction"]).name}


def test_bytecode_is_compiled_in_the_background_once(pyz: Path, cache: Path, tmp_path: Path) -> None:
    [tree] = extractions(cache)
    environ = {"MICROLITE_CACHE": str(cache)}
    assert told(start(pyz, "compile", cwd=tmp_path, environ=environ | {"PYTHONDONTWRITEBYTECODE": "1"})) is None
    assert told(start(pyz, "compile", cwd=tmp_path, environ=environ)) == 0
    sources = list((tree / "site-packages/aiohttp").glob("*.py"))
    assert len(list((tree / "site-packages/aiohttp/__pycache__").glob("*.pyc"))) == len(sources)
    assert told(start(pyz, "compile", cwd=tmp_path, environ=environ)) is None


def test_compilation_ends_with_its_parent(pyz: Path, cache: Path) -> None:
    command = [PYTHON, str(pyz), "compile_and_hang"]
    pipes = subprocess.PIPE
    with subprocess.Popen(command, env={"MICROLITE_CACHE": str(cache)}, stdin=pipes, stdout=pipes) as process:
        assert process.stdout is not None
        child = os.pidfd_open(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    try:
        assert select.select([child], [], [], 20)[0] == [child]
    finally:
        os.close(child)
    assert not list(cache.glob("*/.compiled-*"))


def test_an_installed_package_offers_the_library_too(tmp_path: Path) -> None:
    """Links in the cache folder, made once; the same three packages as in the one file."""
    environ = {**os.environ, "MICROLITE_CACHE": str(tmp_path / "cache")}
    code = "from microlite.onefile import archive, extraction, library_path; print(archive(), extraction(), library_path())"
    command = [sys.executable, "-c", code]
    said = [subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1]
    archive, extraction, library = said[0].split()
    assert (archive, extraction) == ("None", "None")
    assert {path.name for path in Path(library).iterdir() if "-" not in path.name} == LIBRARY
    assert len(list((tmp_path / "cache").iterdir())) == 1
