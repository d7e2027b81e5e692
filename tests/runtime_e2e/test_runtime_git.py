"""Services from git repositories, on a real platform."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from microlite import errors
from microlite.core.runtime.api import Topic
from microlite.core.runtime.states import State
from microlite.core.user_config import UserConfig
from tests.git.git_parts import Repository, serve, service
from tests.runtime_e2e.runtime_bench import Bench, bench_on

ORDERS = "services/orders/main.py"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repositories")
    repository.commit({ORDERS: service(1)})
    return repository


async def test_a_session_tells_how_the_fetch_goes_on_and_runs_what_it_brought(
    bench: Bench, repository: Repository
) -> None:
    commit = repository.commit({ORDERS: service(2)})
    async with bench.session(f"{repository.url}/services/orders@main") as session:
        asking = await session.topic(Topic.PROGRESS)
        assert (asking.service, asking.text) == ("orders", f"asking {repository.url}")
        await session.running("orders")
        assert await bench.call("orders.version") == 2
        status = await bench.status("orders")
        assert (status.name, status.version) == ("orders", "main")
        assert (status.source, status.commit) == (f"{repository.url}/services/orders@main", commit)
        assert not status.watched
    assert [service["name"] for service in await bench.call("registry.list")] == []


async def test_update_moves_to_the_newest_commit_while_calls_go_on(bench: Bench, repository: Repository) -> None:
    await bench.run(f"{repository.url}/services/orders@main")
    commit = repository.commit({ORDERS: service(2)})
    answers = []
    update = asyncio.create_task(bench.statuses("runtime.update", service="orders"))
    while not update.done():
        answers.append(await bench.call("orders.version"))
    (status,) = update.result()
    assert (status.commit, status.error) == (commit, "")
    assert set(answers) <= {1, 2}
    assert sorted(answers) == answers
    assert await bench.call("orders.version") == 2


async def test_an_update_that_finds_nothing_to_run_changes_nothing(bench: Bench, repository: Repository) -> None:
    await bench.run(f"{repository.url}/services/orders@main")
    repository.git("rm", "-q", ORDERS)
    repository.commit({"README.md": "moved"})
    with pytest.raises(errors.NotFound, match="has no folder 'services/orders'"):
        await bench.call("runtime.update", service="orders")
    assert await bench.call("orders.version") == 1


async def test_two_refs_of_a_service_run_side_by_side(bench: Bench, repository: Repository) -> None:
    repository.tag("v1")
    repository.commit({ORDERS: service(2)}, branch="feature/new")
    await bench.run(f"{repository.url}/services/orders@v1", f"{repository.url}/services/orders@feature/new")
    statuses = await bench.statuses("runtime.status", service="orders")
    assert sorted((status.version, status.state) for status in statuses) == [
        ("feature/new", State.RUNNING),
        ("v1", State.RUNNING),
    ]


async def test_what_is_detached_comes_back_without_the_repository(tmp_path: Path, repository: Repository) -> None:
    """A restart of the platform asks nobody: the commit is here."""
    home, folder = tmp_path / "home", tmp_path / "services"
    async with bench_on(home, folder) as bench:
        (before,) = await bench.run(f"{repository.url}/services/orders@main")
    repository.commit({ORDERS: service(2)})
    away = repository.bare.rename(repository.bare.with_name("away.git"))
    async with bench_on(home, folder) as bench:
        assert await bench.call("orders.version") == 1
        status = await bench.status("orders")
        assert (status.source, status.commit) == (before.source, before.commit)
        with pytest.raises(errors.NotFound, match="no git repository"):
            await bench.call("runtime.update", service="orders")
        away.rename(repository.bare)
        await bench.statuses("runtime.update", service="orders")
        assert await bench.call("orders.version") == 2


async def test_what_is_detached_is_fetched_again_where_its_copy_is_gone(tmp_path: Path, repository: Repository) -> None:
    home, folder = tmp_path / "home", tmp_path / "services"
    async with bench_on(home, folder) as bench:
        await bench.run(f"{repository.url}/services/orders@main")
    repository.commit({ORDERS: service(2)})
    (home / "checkouts").rename(home / "away")
    async with bench_on(home, folder) as bench:
        assert await bench.call("orders.version") == 1, "the same commit"


async def test_a_private_repository_is_opened_by_what_the_user_has_set_and_shows_it_nowhere(
    bench: Bench, repository: Repository
) -> None:
    with serve(repository.bare.parent, "s3cret") as served:
        source = f"{served.url}/shop.git/services/orders@main"
        with pytest.raises(errors.NotFound, match=f"git.credentials.{served.host} <token>"):
            await bench.run(source)
        UserConfig(bench.home).set(f"git.credentials.{served.host}", "s3cret")
        (status,) = await bench.run(source)
        assert status.state is State.RUNNING
        repository.commit({ORDERS: service(2)})
        await bench.statuses("runtime.update", service="orders")
        assert await bench.call("orders.version") == 2
        assert "s3cret" not in str(await bench.call("runtime.status"))
        held = [path for path in bench.home.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
        assert [path.name for path in held] == ["user.json"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("[services.x]\nsource = '../..'\n", "lies outside of the repository"), ("[service.x]", "has no key service")],
)
async def test_a_wrong_project_file_of_a_repository_is_named_by_its_address(
    bench: Bench, repository: Repository, text: str, said: str
) -> None:
    repository.commit({"microlite.toml": text})
    with pytest.raises(errors.BadRequest, match=f"{repository.url}/microlite.toml.*{said}"):
        await bench.run(repository.url)


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("service/orders", {}, "has no folder 'service/orders' there; did you mean services/orders"),
        ("@nope", {}, "has no branch, tag or commit 'nope'; there are main"),
        ("docs", {}, "no main.py and no \\[tool.microlite\\]"),
        ("out", {}, "has no folder 'out'"),
    ],
)
async def test_what_cannot_be_run_speaks_of_the_address_and_not_of_the_copy(
    bench: Bench, repository: Repository, path: str, options: dict[str, Any], said: str
) -> None:
    (repository.tree / "out").symlink_to("/etc")
    repository.commit({"docs/index.md": "", "main.py": service(9)})
    separator = "" if path.startswith("@") else "/"
    with pytest.raises(errors.Error, match=said) as refused:
        await bench.run(f"{repository.url}{separator}{path}")
    assert str(bench.home) not in str(refused.value)
    assert repository.url in str(refused.value)


async def test_a_repository_brings_its_project_file_and_what_its_services_share(
    bench: Bench, repository: Repository
) -> None:
    repository.commit(
        {
            "microlite.toml": '[services.orders]\nsource = "services/orders"\nenv = { STEP = "5" }\n'
            '[services.bills]\nsource = "services/bills"\ndepends-on = ["orders"]\n',
            ORDERS: service(1).replace("return 1", "from shared.steps import step; return step()"),
            "services/bills/main.py": service(2, "whatever"),
            "shared/steps.py": "import os\n\ndef step() -> int:\n    return int(os.environ['STEP'])\n",
        }
    )
    async with bench.session(f"{repository.url}@main") as session:
        await session.running("orders", "bills")
        assert await bench.call("orders.version") == 5
        assert await bench.call("bills.version") == 2
        assert (await bench.status("bills")).source == f"{repository.url}/services/bills@main"
        repository.commit({"shared/steps.py": "def step() -> int:\n    return 6\n"})
        await bench.statuses("runtime.update", service="orders")
        assert await bench.call("orders.version") == 6
