"""The project file, dependencies between services, shared packages and `.env`, as far as nothing has to run for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.runtime.api import RunRequest
from microlite.core.runtime.dependencies import check_needs, ends_before, start_order
from microlite.core.runtime.desired import find_desired
from microlite.core.runtime.importing import watched
from microlite.core.runtime.project import read_project
from microlite.core.runtime.sources import Source, find_sources
from microlite.core.runtime.variables import read_variables

SERVICE = 'from microlite import Service\nservice = Service("from-code")\n'


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(folder: Path, **options: object) -> dict[str, Source]:
    request = RunRequest(sources=(str(folder),), **options)  # type: ignore[arg-type]  # fields by name
    return {one.name: one.source for one in find_desired(request, "default", detached=False, owner="")}


# -- the file -----------------------------------------------------------------------------------------------------------


def test_a_project_names_its_services_and_what_is_said_there_goes_first(tmp_path: Path) -> None:
    """A table without a source is the folder of its name; variables: of the file, of the service's project, of its table."""
    put(
        tmp_path,
        {
            "microlite.toml": """
                env = { A = "file", B = "file", C = "file" }
                [services.orders]
                instances = 3
                env = { C = "table" }
                [services.bills]
                source = "more/bill.py"
                depends-on = ["orders", "Site_One"]
                [services.site_one]
                source = "more"
                command = "serve --port $PORT"
                health = "/up"
                port = 4711
            """,
            "orders/main.py": SERVICE,
            "orders/pyproject.toml": "[tool.microlite]\ninstances = 2\nreload = 'exclusive'\n"
            "env = { B = 'project', C = 'project' }\n",
            "more/bill.py": SERVICE,
            "unnamed/main.py": SERVICE,
        },
    )
    services = found(tmp_path)
    assert list(services) == ["orders", "bills", "site-one"]
    orders, bills, site = services.values()
    assert (orders.folder, orders.instances, orders.reload) == (str(tmp_path / "orders"), 3, "exclusive")
    assert orders.env == {"A": "file", "B": "project", "C": "table"}
    assert (bills.entry, bills.depends_on) == ("bill.py", ("orders", "site-one"))
    assert (site.command, site.health, site.port) == (("serve", "--port", "$PORT"), "/up", 4711)
    assert {service.root for service in services.values()} == {str(tmp_path)}
    assert list(found(tmp_path / "unnamed")) == ["from-code"], "a folder of it runs by itself too"


def test_a_command_flag_is_for_the_folder_itself(tmp_path: Path) -> None:
    put(tmp_path / "app", {"microlite.toml": "[services.x]\n"})
    assert list(found(tmp_path / "app", command="serve")) == ["app"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no service"),
        ("[services]", "names no service"),
        ("= 1", "not valid TOML"),
        ("[service.a]", "has no key service: it can have config, env and a table"),
        ("services = { a = 1 }", r"\[services.a\] is not a table"),
        ("[services.a]\ninstance = 1", "has no key instance: did you mean instances"),
        ("[services.a]\nsource = 'gone'", "no folder or file 'gone'.*no git address"),
        ("[services.a]\nsource = 1", "source: expected `str`, got `int`"),
        ("[services.gone]", "no folder or file 'gone'"),
        ("[services.a]\nname = 'b'", "name: is not said here"),
        ("[services.a]\nentry = 'b'", "entry: is not said here: name the file as source"),
        ("[services.a]\nport = 80", "port: is only for a command"),
        ("[services.a]\ninstances = 'two'", "instances.*expected `int`"),
        ("[services.a]\nsource = 'several'", "source: holds several services"),
        ("[services.A]\nsource='a'\n[services.a]", "two services have the name a"),
        ("[services.1st]\nsource='a'", "'1st' is no name for a service"),
        ("env = { A = 1 }\n[services.a]", "env: A: expected a text"),
        ("env = { 'A-B' = '1' }\n[services.a]", "'A-B' is no name"),
        ("[services.a]\npath = ['../..']", "lies outside of the project"),
        ("[services.a]\nsource = 'ftp://x/y'", "only https"),
        ("[services.a]\ndepends-on = ['B!']", "depends-on: 'B!' is no name"),
    ],
)
def test_each_mistake_in_the_file_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    put(tmp_path, {"microlite.toml": text, "a/main.py": SERVICE, "several/x/main.py": SERVICE})
    put(tmp_path, {"several/y/main.py": SERVICE.replace("from-code", "y")})
    with pytest.raises(errors.BadRequest, match=said) as refused:
        found(tmp_path)
    assert str(tmp_path) in str(refused.value)


def test_a_name_is_for_a_single_service(tmp_path: Path) -> None:
    put(tmp_path, {"microlite.toml": "[services.a]", "a/main.py": SERVICE})
    with pytest.raises(errors.BadRequest, match="--name is for a single service"):
        found(tmp_path, name="x")


def test_a_git_address_stands_where_no_folder_does(tmp_path: Path) -> None:
    put(tmp_path, {"microlite.toml": "[services.a]\nsource = 'github.com/o/r/a@v1'\n"})
    project = read_project(tmp_path)
    assert project is not None
    (part,) = project.parts
    assert part.address is not None
    assert part.address.text == "github.com/o/r/a@v1"


def test_a_folder_without_the_file_is_no_project(tmp_path: Path) -> None:
    assert read_project(tmp_path) is None
    assert read_project(tmp_path / "gone") is None


# -- what depends on what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "others", "said"),
    [
        ({"a": ["b"]}, {}, "a depends on b, which neither is among .*: run it first, or along with a"),
        ({"a": ["ordres"], "orders": []}, {}, "did you mean orders"),
        ({"a": ["a"]}, {}, "in a circle: a → a"),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, {}, "in a circle: a → b → c → a"),
        ({"a": ["b"]}, {"b": ["a"]}, "in a circle: a → b → a"),
    ],
)
def test_what_could_never_start_is_refused_by_name(
    wanted: dict[str, list[str]], others: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(errors.BadRequest, match=said):
        check_needs(wanted, others)


def test_what_runs_already_may_be_depended_on() -> None:
    check_needs({"a": ["b", "store"]}, {"b": [], "store": []})
    check_needs({"a": ["b"]}, {"b": ["c"]})


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"))))
def test_the_order_has_each_service_once_and_ends_in_reverse(needs: dict[str, set[str]]) -> None:
    """Where there is no circle, everything comes behind what it depends on; where there is one, nothing waits for ever."""
    order = start_order(needs)
    assert sorted(order) == sorted(needs)
    before = ends_before(needs)
    rank = {name: number for number, name in enumerate(order)}
    assert all(rank[other] > rank[name] for name, others in before.items() for other in others)
    try:
        check_needs(needs, {name: () for name in "abcdef" if name not in needs})
    except errors.BadRequest:
        return
    for name, needed in needs.items():
        assert all(name in before[other] for other in needed if other in needs)


# -- what is shared -----------------------------------------------------------------------------------------------------


def test_packages_that_a_service_imports_from_its_project_are_watched_and_no_others(tmp_path: Path) -> None:
    """Also by way of another, and also where only a part of a name is a package; the root itself is not walked."""
    put(
        tmp_path,
        {
            ".git/HEAD": "",
            "orders/main.py": "import shop.money\nfrom libs import tax\nimport common\nfrom . import x\n" + SERVICE,
            "orders/local.py": "",
            "shop/__init__.py": "",
            "shop/money.py": "from .rounding import up\n",
            "shop/rounding.py": "",
            "libs/tax/__init__.py": "import deep.down\n",
            "deep/down.py": "import json, os.path\n",
            "common.py": "",
            "unused/__init__.py": "",
        },
    )
    source = find_sources("orders", cwd=tmp_path)[0]
    assert source.root == str(tmp_path)
    folders, files = watched(Path(source.folder), source.entry, source.path, source.root)
    assert folders == tuple(str(tmp_path / name) for name in ("deep", "libs/tax", "orders", "shop"))
    assert files == (str(tmp_path / ".env"), str(tmp_path / "common.py"))


def test_of_a_folder_around_a_file_only_what_the_file_imports_counts(tmp_path: Path) -> None:
    """And the variables and dependencies of the folder; the folder's own main.py speaks for all of it."""
    put(
        tmp_path,
        {
            "hold.py": "import prices, shop.money\n" + SERVICE,
            "main.py": SERVICE,
            "other.py": "",
            "prices.py": "import deep.down\n",
            "deep/down.py": "",
            "shop/__init__.py": "",
            "shop/money.py": "",
            "notes/today.json": "{}",
        },
    )
    hold, main = (find_sources(name, cwd=tmp_path)[0] for name in ("hold.py", "main.py"))
    folders, files = watched(
        tmp_path, hold.entry, hold.path, hold.root, alone=hold.alone, beside=("requirements.txt", "pyproject.toml")
    )
    assert folders == tuple(str(tmp_path / name) for name in ("deep", "shop"))
    expected = (".env", "hold.py", "prices.py", "pyproject.toml", "requirements.txt")
    assert files == tuple(str(tmp_path / name) for name in expected)
    assert not main.alone


def test_nothing_in_the_home_of_a_platform_is_a_service_of_the_project_around_it(tmp_path: Path) -> None:
    put(tmp_path, {"orders/main.py": SERVICE, "data/microlite.db": "", "data/copies/main.py": SERVICE})
    assert [Path(source.folder).name for source in find_sources(".", cwd=tmp_path)] == ["orders"]


def test_a_service_that_shared_code_makes_is_one_and_named_by_its_folder(tmp_path: Path) -> None:
    made = "from shared.making import make\nmake(__file__).run()\n"
    put(tmp_path, {".git/HEAD": "", "shared/making.py": SERVICE, "orders/main.py": made, "bills/main.py": made})
    assert [source.name for source in find_sources(".", cwd=tmp_path)] == ["bills", "orders"]


def test_folders_of_path_are_absolute_and_inside_the_project(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "repo/.git/HEAD": "",
            "repo/services/orders/main.py": SERVICE,
            "repo/services/orders/pyproject.toml": "[tool.microlite]\npath = ['../../libs', 'src']\n",
            "repo/services/orders/src/own.py": "",
            "repo/libs/shop/__init__.py": "",
            "outside/x.py": "",
        },
    )
    folder = tmp_path / "repo" / "services" / "orders"
    (source,) = find_sources(".", cwd=folder)
    assert source.path == (str(tmp_path / "repo" / "libs"), str(folder / "src"))
    for path, said in (
        ("../../../outside", "lies outside of the project, which is .*repo"),
        ("../gone", "there is no folder '../gone'"),
        ("/", "lies outside"),
    ):
        put(folder, {"pyproject.toml": f"[tool.microlite]\npath = ['{path}']\n"})
        with pytest.raises(errors.BadRequest, match=said):
            find_sources(".", cwd=folder)
    (folder / "link").symlink_to(tmp_path / "outside")
    put(folder, {"pyproject.toml": "[tool.microlite]\npath = ['link']\n"})
    with pytest.raises(errors.BadRequest, match="lies outside"):
        find_sources(".", cwd=folder)


# -- .env ---------------------------------------------------------------------------------------------------------------


def test_a_file_of_variables_is_read_as_people_write_it(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        {
            ".env": '\ufeff# a comment\n\nA=1\nexport B = two words # said\nC=\'x # "y" \\n\'\nD="a\\nb\\"" # z\n'
            "E=\nF=a#b\nG=http://x?y=1&z=2\nH='it'\nA=2\n"
        },
    )
    assert read_variables(path / ".env") == {
        "A": "2",
        "B": "two words",
        "C": 'x # "y" \\n',
        "D": 'a\nb"',
        "E": "",
        "F": "a#b",
        "G": "http://x?y=1&z=2",
        "H": "it",
    }
    assert read_variables(path / "gone") == {}


@pytest.mark.parametrize("line", ["just words", "1A=x", "A='open", "=x", "A B=x"])
def test_a_line_that_is_no_variable_is_named_without_its_value(tmp_path: Path, line: str) -> None:
    put(tmp_path, {".env": f"OK=1\n{line}\n"})
    with pytest.raises(errors.BadRequest, match=r"\.env, line 2: is no variable: write NAME=value"):
        read_variables(tmp_path / ".env")
