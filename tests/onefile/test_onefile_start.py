"""The built file starts on a machine that has Python and nothing else, and says in one line where it cannot."""

import importlib.util
import json
import os
import stat
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.onefile.built import PYTHON, ROOT, extractions, refused, stand_in, start, told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first build fetches packages


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory, pyz: Path) -> dict[str, str]:
    """An environment whose cache holds the extraction already."""
    environ = {"MICROLITE_CACHE": str(tmp_path_factory.mktemp("warm") / "cache")}
    told(start(pyz, "probe", cwd=Path("/"), environ=environ))
    return environ


def test_starts_from_an_empty_folder_with_an_empty_environment(pyz: Path, tmp_path: Path) -> None:
    """Bundled packages are all it uses; it writes to the cache alone, which nobody else can read."""
    empty = tmp_path / "empty"
    empty.mkdir()
    said = told(start(pyz, "probe", cwd=empty, environ={"HOME": str(tmp_path)}, python=(PYTHON, "-S")))
    cache = tmp_path / ".cache/microlite"
    [tree] = extractions(cache)
    assert all(Path(file).is_relative_to(tree / "site-packages") for file in said["files"])
    assert said["archive"] == str(pyz)
    assert said["extraction"] == str(tree)
    assert said["command"] == [PYTHON, str(pyz)]
    assert list(empty.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cache", "empty"]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_children_inherit_the_environment_as_it_was(pyz: Path, warm: dict[str, str], tmp_path: Path) -> None:
    """The start adds no variable, and of those that were there removes only shiv's switches."""
    environ = warm | {"SHIV_ENTRY_POINT": "os:getcwd", "SHIV_ROOT": str(tmp_path), "PYTHONPATH": "/a:/b", "SPICE": "7"}
    said = told(start(pyz, "probe", cwd=tmp_path, environ=environ))
    bare = subprocess.run(
        [PYTHON, "-c", "import json, os; print(json.dumps(dict(os.environ)))"],
        env=warm | {"PYTHONPATH": "/a:/b", "SPICE": "7"},
        capture_output=True,
        check=True,
    )
    assert said["environ"] == json.loads(bare.stdout)
    assert list(tmp_path.iterdir()) == []


def test_nothing_on_the_machine_replaces_a_bundled_module(pyz: Path, warm: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('a foreign click')")
    said = told(start(pyz, "probe", cwd=tmp_path, environ=warm | {"PYTHONPATH": str(tmp_path)}))
    assert said["path"][-1] == str(tmp_path)
    assert not any(str(pyz) in entry for entry in said["path"])


def test_exit_code_is_that_of_main(pyz: Path, warm: dict[str, str], tmp_path: Path) -> None:
    assert start(pyz, "fail", cwd=tmp_path, environ=warm).returncode == 7


def test_help_is_answered_without_unpacking(pyz: Path, tmp_path: Path) -> None:
    done = start(pyz, "--help", cwd=tmp_path, environ={"MICROLITE_CACHE": str(tmp_path / "cache")})
    assert (done.returncode, done.stdout, done.stderr) == (0, "Usage: stand-in\n", "")
    assert list(tmp_path.iterdir()) == []


def _old_pythons() -> list[str]:
    found = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found += [str(path) for path in Path(folder).glob("python[23].[0-9]")]
    if root := os.environ.get("PYENV_ROOT"):
        found += [str(path) for path in Path(root).glob("versions/[23].[0-9].*/bin/python")]
        found += [str(path) for path in Path(root).glob("versions/3.10.*/bin/python")]
    return [path for path in found if subprocess.run([path, "-V"], capture_output=True, check=False).returncode == 0]


def test_an_old_python_gets_one_line(pyz: Path, tmp_path: Path) -> None:
    old = _old_pythons()
    if not old:
        pytest.skip("no Python older than 3.11 on this machine")
    for python in old:
        line = refused(start(pyz, "probe", cwd=tmp_path, environ={"PATH": "/nowhere"}, python=(python,)))
        assert line.startswith("microlite needs CPython 3.")
        assert "; this is Python " in line


@pytest.fixture(scope="module")
def stub() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stub", ROOT / "scripts/stub.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FACTS = {
    "pythons": [[3, 11], [3, 12], [3, 13], [3, 14]],
    "system": "Linux",
    "machine": "x86_64",
    "libc": "glibc",
    "glibc": [2, 28],
}


@pytest.mark.parametrize(
    ("version", "implementation", "flags", "says"),
    [
        ((3, 11, 0), "cpython", "", None),
        ((3, 14, 2), "cpython", "", None),
        ((3, 10, 13), "cpython", "", "needs CPython 3.11 to 3.14; this is Python 3.10.13"),
        ((3, 15, 0), "cpython", "", "this is Python 3.15.0"),
        ((3, 11, 9), "pypy", "", "this is PyPy 3.11.9"),
        ((3, 13, 1), "cpython", "t", "this is free-threaded Python 3.13.1"),
    ],
)
def test_only_pythons_it_was_built_for_may_run_it(
    stub: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, ...],
    implementation: str,
    flags: str,
    says: str | None,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    line = stub.wrong_python(FACTS, version, implementation, flags)
    assert line is None if says is None else says in line


def test_a_fitting_python_on_the_path_is_named(
    stub: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("python3.10", "python3.12", "python3.13"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ". Try: python3.13 " in stub.wrong_python(FACTS, (3, 9, 0), "cpython", "")


@pytest.mark.parametrize(
    ("system", "machine", "libc", "says"),
    [
        ("Linux", "x86_64", "glibc 2.28", None),
        ("Linux", "x86_64", "glibc 2.41", None),
        ("Linux", "x86_64", "glibc 2.17", "needs glibc 2.28 or newer; this machine has 2.17"),
        ("Linux", "x86_64", "", "this machine has another C library"),
        ("Linux", "aarch64", "glibc 2.36", "this machine is Linux on aarch64"),
        ("Darwin", "x86_64", "", "this machine is Darwin on x86_64"),
    ],
)
def test_only_machines_it_was_built_for_may_run_it(
    stub: ModuleType, system: str, machine: str, libc: str, says: str | None
) -> None:
    line = stub.wrong_machine(FACTS, system, machine, libc)
    assert line is None if says is None else says in line


def test_a_file_for_musl_refuses_glibc(stub: ModuleType) -> None:
    facts = FACTS | {"libc": "musl"}
    assert stub.wrong_machine(facts, "Linux", "x86_64", "") is None
    assert "this machine has glibc" in stub.wrong_machine(facts, "Linux", "x86_64", "glibc 2.36")


def test_a_damaged_file_is_named_as_such(pyz: Path, tmp_path: Path) -> None:
    data = bytearray(pyz.read_bytes())
    with zipfile.ZipFile(pyz) as archive:
        middle = archive.getinfo("payload.zip").header_offset + archive.getinfo("payload.zip").file_size // 2
    data[middle : middle + 2000] = bytes(2000)
    damaged = tmp_path / "damaged.pyz"
    damaged.write_bytes(data)
    cache = tmp_path / "cache"
    line = refused(start(damaged, "probe", cwd=tmp_path, environ={"MICROLITE_CACHE": str(cache)}))
    assert "is damaged" in line
    assert extractions(cache) == []


def test_service_environment_gets_the_library_and_nothing_else(pyz: Path, warm: dict[str, str], tmp_path: Path) -> None:
    """A `.pth` naming the library folder brings microlite, msgspec and uvloop, not what the platform is built on."""
    library = told(start(pyz, "probe", cwd=tmp_path, environ=warm))["library"]
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [packages] = tmp_path.glob("venv/lib/python*/site-packages")
    (packages / "microlite.pth").write_text(f"{library}\n")
    names = ["microlite.onefile", "msgspec", "uvloop", "click", "apsw", "aiohttp", "pip"]
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    python = tmp_path / "venv/bin/python"
    found = subprocess.run([python, "-c", code], env={}, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['microlite.onefile', 'msgspec', 'uvloop']"
    code = "import msgspec, uvloop; from importlib.metadata import version; print(version('microlite'))"
    subprocess.run([python, "-c", code], env={}, capture_output=True, check=True)
