"""A project with requirements of its own gets an environment: once, whole or not at all."""

import asyncio
import errno
import fcntl
import hashlib
import os
import select
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.clock import SystemClock
from microlite.core.runtime.environments import Environment, Environments
from microlite.core.runtime.installer import InstallationFailed, Installer
from microlite.core.runtime.requirements import Requirements, read_requirements

PIP = (sys.executable, "-m", "pip")
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv") or ""
NEEDS = {"msgspec": "0.20", "uvloop": "0.20"}


def make_wheel(folder: Path, name: str, version: str, code: str = "", requires: str = "") -> Path:
    """A wheel by hand (PEP 427): one module, one program of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    files = {
        f"{name}.py": code or f"version = {version!r}\ndef main():\n    print({name!r}, version)\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in files.items():
            wheel.writestr(inside, text)
    return path


class Bench:
    """A project, a folder of wheels, a library, and environments for them."""

    def __init__(self, folder: Path, uv: str) -> None:
        self.folder = folder
        self.project = folder / "orders"
        self.wheels = folder / "wheels"
        self.library = folder / "library"
        self.home = folder / "environments"
        self.project.mkdir()
        self.library.mkdir()
        (self.library / "microlite.py").write_text("here = True\n")
        (self.library / "tinypkg.py").write_text("version = 'of the platform'\n")
        make_wheel(self.wheels, "tinypkg", "1.0")
        make_wheel(self.wheels, "tinypkg", "2.0")
        self.uv = uv
        self.said: list[str] = []
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        self.environ |= {"UV_CACHE_DIR": str(folder / "cache"), "PIP_NO_CACHE_DIR": "1"}

    def environments(
        self,
        *,
        version: str = "1.0.0",
        installer: Installer | None = None,
        needs: Mapping[str, str] = NEEDS,
        environ: Mapping[str, str] | None = None,
    ) -> Environments:
        return Environments(
            self.home,
            library=self.library,
            version=version,
            needs=needs,
            installer=installer or Installer(pip=PIP, uv=self.uv, environ=environ or self.environ, timeout=50),
            clock=SystemClock(),
        )

    def ask(self, *lines: str, pyproject: str = "") -> Requirements:
        text = "\n".join(["--no-index", "--find-links ../wheels", *lines])
        (self.project / "requirements.txt").write_text(text)
        (self.project / "pyproject.toml").write_text(pyproject)
        found = read_requirements(self.project)
        assert found is not None
        return found

    async def ensure(self, requirements: Requirements, environments: Environments | None = None) -> Environment:
        ready = await (environments or self.environments()).ensure(requirements, self.said.append)
        assert ready is not None
        return ready

    def left(self) -> list[str]:
        """What lies in the home, locks aside."""
        return sorted(path.name for path in self.home.glob("*") if path.suffix != ".lock") if self.home.exists() else []


@pytest.fixture(params=["pip", "uv"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "uv" and not UV:
        pytest.skip("uv is not installed")
    return Bench(tmp_path, UV if request.param == "uv" else "")


@pytest.fixture
def plain(tmp_path: Path) -> Bench:
    return Bench(tmp_path, UV)


def run(environment: Environment, code: str) -> str:
    return output(environment.python, "-c", code, cwd=environment.folder)


def output(*command: str | Path, cwd: str | Path = "/") -> str:
    environ = {"PATH": os.defpath}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environ, cwd=cwd).stdout.strip()


async def test_the_users_pin_wins_and_the_library_is_there(bench: Bench) -> None:
    environment = await bench.ensure(bench.ask("tinypkg==1.0", "microlite>=0.5"))
    assert run(environment, "import tinypkg, microlite; print(tinypkg.version, microlite.here)") == "1.0 True"
    assert any("tinypkg" in line for line in bench.said)
    assert output(Path(environment.bin) / "tinypkg") == "tinypkg 1.0", "the shebang of a program names the final place"


async def test_the_same_requirements_are_installed_once(plain: Bench) -> None:
    first = await plain.ensure(plain.ask("tinypkg==1.0"))
    plain.said.clear()
    broken = Installer(pip=("/nowhere",), uv="/nowhere", environ={})
    again = await plain.ensure(plain.ask("# a comment", "tinypkg==1.0"), plain.environments(installer=broken))
    assert again == first
    assert plain.said == []
    assert plain.environments().find(plain.ask("tinypkg==1.0")) == first


async def test_other_pins_another_microlite_or_other_files_are_other_environments(plain: Bench) -> None:
    wheel = make_wheel(plain.project / "vendor", "localpkg", "1.0", "here = 1\n")
    keys = {
        (await plain.ensure(plain.ask("tinypkg==1.0"))).key,
        (await plain.ensure(plain.ask("tinypkg==2.0"))).key,
        (await plain.ensure(plain.ask("tinypkg==2.0"), plain.environments(version="1.0.1"))).key,
        (first := await plain.ensure(plain.ask(f"./vendor/{wheel.name}"))).key,
    }
    assert run(first, "import localpkg; print(localpkg.here)") == "1"
    make_wheel(plain.project / "vendor", "localpkg", "1.0", "here = 2\n")
    second = await plain.ensure(plain.ask(f"./vendor/{wheel.name}"))
    assert run(second, "import localpkg; print(localpkg.here)") == "2"
    assert len(keys | {second.key}) == 5


async def test_hashed_requirements_are_checked(bench: Bench) -> None:
    digest = hashlib.sha256((bench.wheels / "tinypkg-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    good = await bench.ensure(bench.ask(f"tinypkg==1.0 \\\n    --hash=sha256:{digest}"))
    assert run(good, "import tinypkg; print(tinypkg.version)") == "1.0"
    with pytest.raises(InstallationFailed) as caught:
        await bench.ensure(bench.ask(f"tinypkg==1.0 --hash=sha256:{'0' * 64}"))
    assert "hash" in "\n".join(caught.value.lines).lower()
    assert bench.left() == [good.key]


async def test_the_versions_of_a_uv_lock_hold(bench: Bench) -> None:
    (bench.project / "pyproject.toml").write_text('[project]\nname = "orders"\ndependencies = ["tinypkg>=1.0"]\n')
    (bench.project / "uv.lock").write_text(
        'version = 1\n[[package]]\nname = "orders"\nversion = "0.1"\nsource = { virtual = "." }\n'
        '[[package]]\nname = "tinypkg"\nversion = "1.0"\nsource = { registry = "somewhere" }\n'
    )
    requirements = read_requirements(bench.project)
    assert requirements is not None
    links = {"PIP_NO_INDEX": "1", "UV_NO_INDEX": "1", "PIP_FIND_LINKS": str(bench.wheels)}
    links |= {"UV_FIND_LINKS": str(bench.wheels)}
    environment = await bench.ensure(requirements, bench.environments(environ=bench.environ | links))
    assert run(environment, "import tinypkg; print(tinypkg.version)") == "1.0"


async def test_a_failed_installation_says_why_and_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(InstallationFailed, match=r"requirements\.txt.*tinypkg") as caught:
        await bench.ensure(bench.ask("tinypkg==9.9"))
    assert any("tinypkg" in line for line in caught.value.lines)
    assert bench.left() == []
    environment = await bench.ensure(bench.ask("tinypkg==2.0"))
    assert run(environment, "import tinypkg; print(tinypkg.version)") == "2.0"


async def test_a_missing_installer_is_one_clear_sentence(plain: Bench) -> None:
    environments = plain.environments(installer=Installer(pip=("/nowhere/pip",), uv="", environ=plain.environ))
    with pytest.raises(InstallationFailed, match="/nowhere/pip is needed"):
        await plain.ensure(plain.ask("tinypkg==1.0"), environments)
    assert plain.left() == []


@pytest.mark.parametrize(
    ("lines", "pyproject", "said"),
    [
        (["msgspec==0.18.6"], "", r"requirements\.txt: pins msgspec 0\.18\.6.*microlite 1\.0\.0 needs msgspec 0\.20"),
        (["uvloop == 0.17"], "", "pins uvloop 0.17.*needs uvloop 0.20"),
        (["microlite==0.3"], "", r"asks for microlite==0\.3, and the platform is 1\.0\.0"),
        ([], '[project]\nname = "x"\nrequires-python = "<3.11"', r"needs Python <3\.11, and the platform runs on 3\."),
        ([], '[project]\nname = "x"\nrequires-python = "soon"', "requires-python: 'soon'"),
    ],
)
async def test_what_cannot_work_is_refused_before_anything_is_installed(
    plain: Bench, lines: list[str], pyproject: str, said: str
) -> None:
    with pytest.raises(errors.Unprocessable, match=said):
        await plain.ensure(plain.ask("tinypkg", *lines, pyproject=pyproject))
    assert plain.said == []
    assert plain.left() == []


async def test_a_need_that_another_package_makes_too_old_is_refused_too(plain: Bench) -> None:
    make_wheel(plain.wheels, "msgspec", "0.19.0")
    make_wheel(plain.wheels, "oldpkg", "1.0", requires="msgspec<0.20")
    with pytest.raises(errors.Unprocessable, match=r"leads to msgspec 0\.19\.0, .*needs msgspec 0\.20"):
        await plain.ensure(plain.ask("oldpkg"))
    assert plain.left() == []


async def test_nothing_to_install_is_no_environment(plain: Bench) -> None:
    assert await plain.environments().ensure(plain.ask("microlite")) is None
    assert plain.left() == []


async def test_two_who_ask_at_once_build_once(plain: Bench) -> None:
    requirements = plain.ask("tinypkg==1.0")
    one, two = plain.environments(), plain.environments()
    first, second = await asyncio.gather(plain.ensure(requirements, one), plain.ensure(requirements, two))
    assert first == second
    assert plain.said.count("installing requirements.txt") == 1


def slow_uv(bench: Bench) -> tuple[Installer, Path]:
    """An installer that makes a part of an environment, says so, and goes on for ever, with a child."""
    program = bench.folder / "slow-uv"
    pids = bench.folder / "pids"
    program.write_text(
        '#!/bin/sh\nfor last; do :; done\nmkdir -p "$last/part"\nsleep 600 &\n'
        f"echo $$ $! > {pids}.new; mv {pids}.new {pids}\necho started\nwait\n"
    )
    program.chmod(0o755)
    return Installer(pip=(), uv=str(program), environ=bench.environ), pids


def start_with_lock(path: Path) -> subprocess.Popen[bytes]:
    """An installer's process that has inherited the lock from a platform that is gone."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.Popen(["sleep", "600"], pass_fds=(lock,))
    finally:
        os.close(lock)


def ended(handle: int, timeout: float) -> bool:
    """Whether the process behind a pidfd ends in time."""
    return bool(select.select([handle], [], [], timeout)[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes the Linux way")
async def test_cancelling_ends_the_installer_and_its_children_and_leaves_nothing(plain: Bench) -> None:
    installer, pids = slow_uv(plain)
    started = asyncio.Event()

    def progress(line: str) -> None:
        if line == "started":
            started.set()

    building = asyncio.create_task(plain.environments(installer=installer).ensure(plain.ask("x"), progress))
    async with asyncio.timeout(10):
        await started.wait()
    handles = [os.pidfd_open(int(pid)) for pid in pids.read_text().split()]
    assert not any(ended(handle, 0) for handle in handles)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    for handle in handles:
        assert ended(handle, 5)
        os.close(handle)
    assert plain.left() == []


async def test_an_installation_that_takes_too_long_has_failed(plain: Bench) -> None:
    slow_uv(plain)
    hasty = Installer(pip=(), uv=str(plain.folder / "slow-uv"), environ=plain.environ, timeout=0.3)
    with pytest.raises(InstallationFailed, match="not installed within 0 s"):
        await plain.ensure(plain.ask("x"), plain.environments(installer=hasty))
    assert plain.left() == []


async def test_the_lock_outlives_a_killed_platform_while_its_installer_writes(plain: Bench) -> None:
    """A second builder waits until the first one's installer is gone, even if nobody but it holds the lock."""
    requirements = plain.ask("tinypkg==1.0")
    plain.home.mkdir()
    child = start_with_lock(plain.home / f"{plain.environments()._asked(requirements).key()}.lock")
    waiting = asyncio.Event()

    def progress(line: str) -> None:
        plain.said.append(line)
        if line.startswith("waiting"):
            waiting.set()

    building = asyncio.create_task(plain.environments().ensure(requirements, progress))
    try:
        async with asyncio.timeout(10):
            await waiting.wait()
        assert "installing requirements.txt" not in plain.said
    finally:
        child.kill()
        child.wait()
    async with asyncio.timeout(50):
        assert await building is not None


async def test_what_a_killed_platform_left_unfinished_is_made_anew(plain: Bench) -> None:
    requirements = plain.ask("tinypkg==1.0")
    environment = await plain.ensure(requirements)
    marker = Path(environment.folder) / "microlite.json"
    marker.unlink()
    assert plain.environments().find(requirements) is None
    assert await plain.ensure(requirements) == environment
    assert marker.exists()


async def test_a_full_disk_is_said_as_such(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    environments = plain.environments()
    monkeypatch.setattr(environments, "_finish", full)
    with pytest.raises(errors.InsufficientStorage, match="the disk is full"):
        await plain.ensure(plain.ask("tinypkg==1.0"), environments)
    assert plain.left() == []


async def test_prune_removes_what_is_old_and_not_in_use(plain: Bench) -> None:
    environments = plain.environments()
    one = await plain.ensure(plain.ask("tinypkg==1.0"))
    two = await plain.ensure(plain.ask("tinypkg==2.0"))
    assert await environments.prune({one.key}) == [], "the other one was asked for just now"
    assert await environments.prune({one.key}, unused_for=-10) == [two.key]
    assert plain.left() == [one.key]
    assert await plain.ensure(plain.ask("tinypkg==2.0")) == two
    (plain.home / two.key / "microlite.json").unlink()
    assert await environments.prune({one.key}) == [two.key], "an unfinished one is of no use to anybody"
    assert await environments.prune({one.key}) == []


def registry_answers(folder: Path) -> bool:
    probe = (*PIP, "download", "--quiet", "--no-deps", "--retries", "0", "--timeout", "3", "-d", str(folder))
    try:
        return subprocess.run([*probe, "iniconfig==2.0.0"], capture_output=True, timeout=15).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


async def test_a_package_of_the_registry_is_installed_with_its_pin(tmp_path: Path, bench: Bench) -> None:
    if not registry_answers(tmp_path / "probe"):
        pytest.skip("no package registry can be reached")
    (bench.project / "requirements.txt").write_text("iniconfig==2.0.0\n")
    requirements = read_requirements(bench.project)
    assert requirements is not None
    environment = await bench.ensure(requirements, bench.environments(environ=dict(os.environ)))
    assert run(environment, "import importlib.metadata as m; print(m.version('iniconfig'))") == "2.0.0"
