"""`microlite new` and `microlite test`: what is created runs, passes its tests, and is clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from microlite.cli.new import KINDS
from tests.cli.conftest import Microlite
from tests.cli_e2e.conftest import PROGRAM, Live

pytestmark = pytest.mark.timeout(180)  # each runs programs that take a second or two, more on a busy machine

BIN = Path(sys.executable).parent
QUICK = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "microlite.testing.plugin"}
"""For pytest without this tree's many plug-ins, which a user does not have either."""


def create(folder: Path, name: str, kind: str) -> Path:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [*PROGRAM, "new", name, "--kind", kind], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / name


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, env=QUICK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("service", "my-2nd-service"),
        ("service", "class"),
        ("handler", "Shop_V2"),
        ("handler", "notes"),
        ("stream", "errors"),
        ("consumer", "x"),
        ("consumer", "orders"),
        ("schedule", "my-2nd-service"),
        ("http", "a1-b2-c3"),
    ],
)
def test_the_tests_of_a_new_project_pass_whatever_its_name(kind: str, name: str, tmp_path: Path) -> None:
    said = run(*PROGRAM, "test", create(tmp_path, name, kind), "-q", cwd=tmp_path)
    assert " passed" in said


def test_a_new_project_is_clean(tmp_path: Path) -> None:
    """By ruff as it is, and some of its further rules; and by mypy at its strictest."""
    rules = ("--extend-select", "B,D,I,N,PT,RUF,SIM,UP", "--ignore", "D1,D2,D4")
    for kind in KINDS:
        project = create(tmp_path / kind, "my-2nd-service", kind)
        run(BIN / "ruff", "check", "--isolated", *rules, ".", cwd=project)
        run(BIN / "ruff", "format", "--isolated", "--check", ".", cwd=project)
        run(BIN / "mypy", "--strict", "--cache-dir", tmp_path / "cache", ".", cwd=project)


def test_each_kind_runs_and_answers_as_its_readme_says(live: Live, tmp_path: Path) -> None:
    kinds = {
        "my-2nd-service": "service",
        "notes": "handler",
        "numbers": "stream",
        "sums": "consumer",
        "reports": "schedule",
        "site": "http",
    }
    live.run(*(create(tmp_path, name, kind) for name, kind in kinds.items()))
    assert json.loads(live.call("my-2nd-service", "hello", "--name", "Ann")) == "Hello, Ann!"
    assert json.loads(live.call("notes", "create", "--text", "buy tea"))["text"] == "buy tea"
    assert live.microlite("numbers", "running-total", stdin="1\n2\n").stdout == "1.0\n3.0\n"
    live.microlite("events", "publish", "orders.created", '{"id": "1", "customer": "Ann", "amount": 3}')
    while json.loads(live.call("sums", "spent", "--customer", "Ann")) != 3:
        pass
    live.microlite("schedules", "run", "reports.report")
    assert json.loads(live.call("reports", "latest"))["text"] == "0 records are kept"
    gateway = json.loads((live.home / "server.json").read_text())["gateway"]
    with urlopen(f"{gateway}/site/?name=Ann") as answer:
        assert json.load(answer) == {"greeting": "Hello, Ann!"}
    live.kill(list(kinds))


def test_it_says_what_it_creates_and_what_to_do_next(microlite: Microlite, tmp_path: Path) -> None:
    place = tmp_path / "deeper" / "Shop_V2"
    said = microlite("new", str(place), "--kind", "http")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Creating service shop-v2 (a service's name is written so, not Shop_V2)\n")
    assert f"{place}\n├── .gitignore\n├── README.md\n├── main.py\n├── pyproject.toml\n└── test_main.py\n" in said.out
    assert f"cd {place}\n  microlite run ." in said.out
    assert sorted(path.name for path in place.iterdir()) == sorted(
        [".gitignore", "README.md", "main.py", "pyproject.toml", "test_main.py"]
    )


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("", 2, "Specify a name for the service, as in: microlite new greeter\n"),
        ("2fast", 1, "'2fast' is no name for a service: use letters, digits and single hyphens, a letter first"),
        ("a--b", 1, "'a--b' is no name for a service"),
        ("store", 1, "'store' is the name of a built-in service"),
        ("run", 1, "'run' is a command of the command line"),
        ("healthz", 1, "'healthz' is a path of the platform"),
        ("..", 1, "'..' is no name for a service"),
    ],
)
def test_a_name_that_no_service_may_have_is_refused(
    microlite: Microlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = microlite("new", *filter(None, [name]))
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(says)
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_nothing_that_is_there_is_overwritten(
    microlite: Microlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greeter").mkdir()
    assert microlite("new", "greeter") == (1, "", "'greeter' already exists\n")
    assert list((tmp_path / "greeter").iterdir()) == []


def test_the_help_has_a_line_for_each_kind(microlite: Microlite) -> None:
    said = microlite("new", "--help").out
    for kind in KINDS:
        assert f"\n  {kind} " in said


def test_a_failing_test_fails_the_command(tmp_path: Path) -> None:
    project = create(tmp_path, "greeter", "service")
    (project / "test_main.py").write_text("def test_it() -> None:\n    assert False\n")
    done = subprocess.run([*PROGRAM, "test"], cwd=project, env=QUICK, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_tests_import_what_their_project_shares(tmp_path: Path) -> None:
    """By the rule of `run`: the folders of `path` first, the root of the project last."""
    for name, text in {
        "microlite.toml": "[services.orders]\n",
        "shop/__init__.py": "PRICE = 7\n",
        "libs/tax.py": "RATE = 2\n",
        "orders/pyproject.toml": "[tool.microlite]\npath = ['../libs']\n",
        "orders/main.py": "from microlite import Service\n",
        "orders/test_main.py": "import shop, tax\n\ndef test_it():\n    assert shop.PRICE * tax.RATE == 14\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert "1 passed" in run(*PROGRAM, "test", "orders", cwd=tmp_path)
    assert "1 passed" in run(*PROGRAM, "test", cwd=tmp_path / "orders")


def test_arguments_go_on_to_pytest(tmp_path: Path) -> None:
    project = create(tmp_path, "greeter", "service")
    for words in (("-k", "nobody"), (".", "test_main.py", "-k", "nobody")):
        assert "1 passed, 2 deselected" in run(*PROGRAM, "test", *words, cwd=project)
    done = subprocess.run([*PROGRAM, "test", "nowhere"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert done.stderr.startswith(f"There is no folder {project / 'nowhere'}")


def test_home_is_not_needed_to_create(tmp_path: Path) -> None:
    """Nothing is written but the project."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    done = subprocess.run([*PROGRAM, "new", "a"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
