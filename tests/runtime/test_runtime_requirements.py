"""What a project asks to be installed is read from its files, unfolded, and microlite left out."""

from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.runtime.requirements import Requirements, read_requirements, requirements_file

PROJECT = '[project]\nname = "app"\ndependencies = ["httpx>=0.27", "MicroLite>=0.1"]\nrequires-python = ">=3.11"\n'


def read(folder: Path) -> Requirements:
    found = read_requirements(folder)
    assert found is not None
    return found


def test_a_project_without_dependencies_asks_for_nothing(tmp_path: Path) -> None:
    assert read_requirements(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\n')
    assert read_requirements(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\nrequires-python = ">=3.12"\n')
    assert not read(tmp_path).installs
    assert read(tmp_path).python == ">=3.12"


def test_the_most_exact_file_goes_first(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    assert requirements_file(tmp_path) == "pyproject.toml"
    (tmp_path / "uv.lock").write_text("version = 1\n")
    assert requirements_file(tmp_path) == "uv.lock"
    (tmp_path / "requirements.txt").write_text("httpx==0.28.1\n")
    assert requirements_file(tmp_path) == "requirements.txt"


def test_microlite_is_no_dependency_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    found = read(tmp_path)
    assert (found.lines, found.platform) == (("httpx>=0.27",), ("MicroLite>=0.1",))
    (tmp_path / "requirements.txt").write_text("--no-index\nmicrolite==1.0 --hash=sha256:00\n")
    assert not read(tmp_path).installs


def test_a_file_is_unfolded_with_its_paths_made_absolute(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "wheels").mkdir()
    (tmp_path / "more" / "x-1.0-py3-none-any.whl").write_bytes(b"wheel")
    (tmp_path / "more" / "base.txt").write_text("-c pins.txt\n./x-1.0-py3-none-any.whl\n-e ../lib\n")
    (tmp_path / "more" / "pins.txt").write_text("attrs==23.1.0\n")
    (tmp_path / "requirements.txt").write_bytes(
        b"\xef\xbb\xbf# packages\r\n--find-links=wheels\r\n-r more/base.txt\r\n\r\n"
        b"httpx==0.28.1 \\\r\n    --hash=sha256:00  # why\r\n"
        b"git+https://example.org/x.git#egg=x\r\n--requirement https://example.org/r.txt\r\n"
    )
    found = read(tmp_path)
    assert found.lines == (
        f"--find-links {tmp_path}/wheels",
        f"{tmp_path}/more/x-1.0-py3-none-any.whl",
        f"-e {tmp_path}/lib",
        "httpx==0.28.1 --hash=sha256:00",
        "git+https://example.org/x.git#egg=x",
        "--requirement https://example.org/r.txt",
    )
    assert found.constraints == ("attrs==23.1.0",)
    assert found.installs


def test_the_content_of_local_files_counts(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "lib.py").write_text("1")
    (tmp_path / "requirements.txt").write_text("./lib\n")
    first = read(tmp_path).local
    assert read(tmp_path).local == first
    (tmp_path / "lib" / "lib.py").write_text("2")
    assert read(tmp_path).local not in ("", first)


def test_markers_decide_what_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("a==1; python_version < '3'\nb==2; python_version > '3'\n./c\n")
    (tmp_path / "c").mkdir()
    assert [wish.name for wish in read(tmp_path).parsed()] == ["b"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("requirements.txt", "-r gone.txt", r"gone\.txt: cannot be read"),
        ("requirements.txt", "-r requirements.txt", "in a circle"),
        ("requirements.txt", "./gone.whl", r"gone\.whl: is named in the requirements"),
        ("pyproject.toml", '[project]\nname="x"\ndependencies=["not a requirement"]', "'not a requirement' is no req"),
        ("pyproject.toml", '[project]\nname="x"\ndependencies="httpx"', "is no list"),
        ("pyproject.toml", '[project]\nname="x"\ndynamic=["dependencies"]', "dynamic"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython="^3.11"\nhttpx="*"', "poetry.* is not read"),
        ("pyproject.toml", PROJECT + '[tool.uv.sources]\nhttpx={git="x"}', r"sources is not read: run `uv export"),
        ("pyproject.toml", "[project", "is not valid TOML"),
    ],
)
def test_each_mistake_names_its_file(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(errors.BadRequest, match=said):
        read_requirements(tmp_path)


def test_a_lock_gives_the_versions_and_refuses_what_only_uv_can_fetch(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    lock = tmp_path / "uv.lock"
    entry = '[[package]]\nname = "{}"\nversion = "{}"\nsource = {{ {} = "x" }}\n'
    rows = [("app", "0", "editable"), ("httpx", "0.28.1", "registry"), ("idna", "3.7", "registry")]
    forked = [("numpy", "1.26.0", "registry"), ("numpy", "2.1.0", "registry")]
    lock.write_text("".join(entry.format(*row) for row in rows + forked))
    assert read(tmp_path).constraints == ("httpx==0.28.1", "idna==3.7")
    lock.write_text(entry.format("httpx", "0.28.1", "git"))
    with pytest.raises(errors.BadRequest, match=r"uv\.lock: httpx comes from no registry: run `uv export"):
        read_requirements(tmp_path)
    lock.write_text("[[package]]\nname = 1\n")
    with pytest.raises(errors.BadRequest, match="cannot be read as a lock"):
        read_requirements(tmp_path)
