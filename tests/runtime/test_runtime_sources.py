"""What a user typed after `run` becomes services, or a sentence that says what to do."""

from pathlib import Path

import msgspec
import pytest

from microlite.core import errors
from microlite.core.runtime.manifest import Reload
from microlite.core.runtime.sources import Source, find_sources

SERVICE = 'from microlite import Service\nservice = Service("greeter")\n'
NAMELESS = "from microlite import Service\nimport os\nservice = Service(os.environ['NAME'])\n"


def put(folder: Path, **files: str) -> Path:
    """Files by their names, `__` for a slash and `_dot_` for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def one(folder: Path, typed: str = ".", **options: str) -> Source:
    (found,) = find_sources(typed, cwd=folder, **options)
    return found


def test_a_folder_with_a_main_py_is_one_service_named_by_its_code(tmp_path: Path) -> None:
    put(tmp_path / "Some Folder", main_dot_py=SERVICE)
    source = one(tmp_path / "Some Folder")
    assert source == Source(name="greeter", folder=str(tmp_path / "Some Folder"), entry="main.py")
    assert one(tmp_path, "Some Folder") == one(tmp_path, "Some Folder/main.py") == source
    assert one(tmp_path / "Some Folder", "") == source


@pytest.mark.parametrize(
    ("folder", "name"), [("my_orders", "my-orders"), ("Shop.API v2", "shop-api-v2"), ("orders", "orders"), ("_x_", "x")]
)
def test_without_a_literal_name_the_folder_names_the_service(tmp_path: Path, folder: str, name: str) -> None:
    assert one(put(tmp_path / folder, main_dot_py=NAMELESS)).name == name


@pytest.mark.parametrize(
    "code",
    [
        "from microlite import Service as S\ns = S('greeter')",
        "import microlite\ns = microlite.Service('greeter', version='1')",
        "import microlite as m\ndef make():\n    return m.Service(name='greeter')",
        "from microlite import Context, Service\ns: Service = Service('Greeter')",
        "# -*- coding: latin-1 -*-\n# \xe9\nfrom microlite import Service\ns = Service('greeter')",
        "try:\n    from microlite import Service\nexcept ImportError:\n    raise\nService('greeter')",
        "'''\\d'''\nfrom microlite import Service\nService('greeter')",
    ],
)
def test_the_name_is_found_however_the_class_is_imported(tmp_path: Path, code: str) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "main.py").write_bytes(code.encode("latin-1"))
    assert one(folder).name == "greeter"


def test_a_service_in_a_module_that_main_imports_is_found(tmp_path: Path) -> None:
    put(
        tmp_path / "app",
        main_dot_py="from shop.api import service\nservice.run()\n",
        shop____init___dot_py="",
        shop__api_dot_py="from .base import service\n",
        shop__base_dot_py="from microlite import Service\nservice = Service('shop')\n",
    )
    assert one(tmp_path / "app").name == "shop"


def test_modules_that_import_each_other_are_read_once(tmp_path: Path) -> None:
    put(tmp_path / "app", main_dot_py="import other", other_dot_py="import main")
    with pytest.raises(errors.BadRequest, match="no microlite Service"):
        one(tmp_path / "app")


def test_user_code_is_not_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    put(tmp_path / "app", main_dot_py=f"open({str(touched)!r}, 'w')\n{SERVICE}")
    one(tmp_path / "app")
    assert not touched.exists()


def test_a_syntax_error_is_run_all_the_same_so_that_a_save_can_heal_it(tmp_path: Path) -> None:
    source = one(put(tmp_path / "app", main_dot_py=f"{SERVICE}\ndef broken(:\n"))
    assert source.name == "greeter"
    assert source.broken.startswith("line 4: ")


def test_a_file_is_named_by_its_code_or_itself(tmp_path: Path) -> None:
    put(tmp_path / "app", hello_world_dot_py=NAMELESS, pyproject_dot_toml="[tool.microlite]\nname='x'\ncommand='y'")
    source = one(tmp_path / "app", "hello_world.py")
    assert (source.name, source.entry, source.command) == ("hello-world", "hello_world.py", ())


def test_several_services_below_a_folder(tmp_path: Path) -> None:
    put(
        tmp_path,
        orders__main_dot_py="from microlite import Service\nService('orders')",
        shop__stock__main_dot_py="import microlite\n",
        datasette__pyproject_dot_toml="[tool.microlite]\ncommand = 'datasette --port 80'\n",
        tool__main_dot_py="print('a program')",
        node_modules__x__main_dot_py=SERVICE,
        _dot_hidden__main_dot_py=SERVICE,
        orders__inner__main_dot_py=SERVICE,
        a__b__c__d__main_dot_py=SERVICE,
    )
    assert [source.name for source in find_sources("", cwd=tmp_path)] == ["datasette", "orders", "stock"]
    with pytest.raises(errors.BadRequest, match="--name is for a single service"):
        find_sources(".", cwd=tmp_path, name="x")


def test_two_services_of_one_name_are_refused_with_both_folders(tmp_path: Path) -> None:
    put(tmp_path, a__main_dot_py=SERVICE, b__main_dot_py=SERVICE)
    with pytest.raises(errors.BadRequest, match=r"a and .*b would both be the service greeter"):
        find_sources(".", cwd=tmp_path)


def test_inside_a_project_the_nearest_service_above_is_meant(tmp_path: Path) -> None:
    put(tmp_path / "repo", main_dot_py=SERVICE, _dot_git__HEAD="", handlers__deep__x_dot_py="")
    assert one(tmp_path / "repo" / "handlers" / "deep").folder == str(tmp_path / "repo")
    put(tmp_path, main_dot_py=SERVICE, loose__x_dot_py="")
    with pytest.raises(errors.BadRequest, match=r"no main\.py"):
        one(tmp_path / "loose")


@pytest.mark.parametrize(
    ("files", "typed", "said"),
    [
        ({}, ".", r"no main\.py and no \[tool\.microlite\].*--command"),
        ({}, "gone", "there is no folder or file .*gone"),
        ({"main_dot_py": "print(1)"}, ".", r"main\.py: no microlite Service in it.*--command"),
        ({"x__main_dot_py": "print(1)"}, ".", r"x/main\.py: no microlite Service in it; any other.*--command"),
        ({"app_dot_rb": "puts 1"}, "app.rb", r"app\.rb: is no Python file.*--command"),
        ({"main_dot_py": "from microlite import Service\nService('Übung')"}, ".", r"main\.py: Service\(.*no name"),
        ({"main_dot_py": f"import microlite\nmicrolite.Service('{'x' * 64}')"}, ".", "at most 63"),
    ],
)
def test_what_cannot_be_run_is_a_sentence_that_helps(
    tmp_path: Path, files: dict[str, str], typed: str, said: str
) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    with pytest.raises((errors.BadRequest, errors.NotFound), match=said):
        find_sources(typed, cwd=put(folder, **files))


def test_a_command_needs_no_main_py(tmp_path: Path) -> None:
    put(tmp_path / "data", requirements_dot_txt="datasette==0.65\n")
    source = one(tmp_path / "data", command="datasette 'my file.db' --port $PORT")
    assert source == Source(
        name="data",
        folder=str(tmp_path / "data"),
        command=("datasette", "my file.db", "--port", "$PORT"),
        requirements="requirements.txt",
    )
    assert one(tmp_path / "data", command="x", name="My_Data").name == "my-data"
    for wrong in ("'open", "  "):
        with pytest.raises(errors.BadRequest, match="--command"):
            one(tmp_path / "data", command=wrong)


def test_the_whole_table(tmp_path: Path) -> None:
    put(
        tmp_path / "app",
        pyproject_dot_toml="""
            [tool.microlite]
            name = "My_Site"
            command = "gunicorn app:app"
            port = 8000
            health = "/up"
            env = { DEBUG = "1" }
            instances = 2
            reload = "exclusive"
            watch = [".py", ".css"]
        """,
    )
    assert one(tmp_path / "app") == Source(
        name="my-site",
        folder=str(tmp_path / "app"),
        command=("gunicorn", "app:app"),
        port=8000,
        health="/up",
        env={"DEBUG": "1"},
        instances=2,
        reload=Reload.EXCLUSIVE,
        watch=(".py", ".css"),
    )


def test_an_entry_that_is_declared_is_believed(tmp_path: Path) -> None:
    put(
        tmp_path / "app",
        src__run_dot_py="import importlib; importlib.import_module('hid' + 'den')",
        pyproject_dot_toml="[tool.microlite]\nentry = 'src/run.py'\npreload = ['json', 'xml.dom']\n",
    )
    source = one(tmp_path / "app")
    assert (source.name, source.entry, source.preload) == ("app", "src/run.py", ("json", "xml.dom"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("instance = 2", "has no key instance: did you mean instances"),
        ("colour = 'red'", "has no key colour: it can have entry, name"),
        ("instances = 'two'", "instances: expected `int`, got `str`"),
        ("instances = -1", "instances: -1 is not between"),
        ("entry = 'gone.py'", "entry: there is no file 'gone.py'"),
        ("entry = '../x.py'", "entry: '../x.py' lies outside"),
        ("entry = 'main.py'\ncommand = 'x'", "command: stands beside entry"),
        ("command = ''", r"says neither entry nor command|command: the command is empty"),
        ("command = 'x'\nport = 70000", "port: 70000 is no port"),
        ("port = 80", "port: is only for a command"),
        ("command = 'x'\nhealth = 'up'", "health: 'up' is no path"),
        ("reload = 'sometimes'", "reload: invalid enum value 'sometimes'"),
        ("name = '1st'", "name: '1st' is no name for a service"),
        ("env = { 'A-B' = '1' }", "env: 'A-B' is no name"),
        ("env = { A = 1 }", "env.*: expected `str`, got `int`"),
        ("preload = ['a-b']", "preload: 'a-b' is no name of a module"),
        ("watch = ['py']", "watch: 'py' is no extension"),
        ("= 1", "is not valid TOML"),
    ],
)
def test_each_mistake_in_the_table_names_file_and_key(tmp_path: Path, table: str, said: str) -> None:
    put(tmp_path / "app", main_dot_py=SERVICE, pyproject_dot_toml=f"[tool.microlite]\n{table}\n")
    with pytest.raises(errors.BadRequest, match=rf"pyproject\.toml.*({said})"):
        one(tmp_path / "app")


def test_a_source_survives_being_stored(tmp_path: Path) -> None:
    source = one(put(tmp_path / "app", main_dot_py=SERVICE))
    assert msgspec.json.decode(msgspec.json.encode(source), type=Source) == source
