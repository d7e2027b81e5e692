"""Each built-in service is complete: contract, words, tests and pages."""

import inspect
import tomllib
from pathlib import Path

import pytest

from microlite.core.assembly.environments import LIBRARY_NEEDS
from microlite.core.description import Role
from microlite.core.library.service import Service

ROOT = Path(__file__).parent.parent


@pytest.fixture
def services() -> list[Service]:
    """Described only, so that what they are logic over need not run."""
    from typing import Any, cast

    from microlite.core.catalog import Parts, built_in_services

    nothing = cast("Any", None)
    return built_in_services(Parts(**dict.fromkeys(inspect.signature(Parts).parameters, nothing)))


def test_every_built_in_endpoint_says_what_it_does(services: list[Service]) -> None:
    """A face shows the doc of each endpoint and of each of its fields."""
    for service in services:
        assert service.doc, service.name
        for endpoint in service.describe().endpoints:
            assert endpoint.summary.endswith((".", ":")), f"{service.name}.{endpoint.name}"
            for field, schema in endpoint.request["properties"].items():
                assert schema.get("description"), f"{service.name}.{endpoint.name}: {field}"


def test_every_built_in_endpoint_declares_its_least_role(services: list[Service]) -> None:
    """Nothing of the platform is open to anybody without an account, but the ways to log in and out."""
    public = {
        f"{service.name}.{endpoint.name}"
        for service in services
        for endpoint in service.describe().endpoints
        if endpoint.role is Role.PUBLIC
    }
    assert public == {"auth.token", "auth.logout"}


def test_every_built_in_service_has_its_rooms(services: list[Service]) -> None:
    """A folder with contract and logic, a folder of tests, a page in the reference."""
    for service in services:
        folder = ROOT / "microlite" / "core" / service.name
        assert (folder / "api.py").is_file()
        assert (folder / "service.py").is_file()
        assert (ROOT / "tests" / service.name).is_dir()
        assert (ROOT / "docs" / "reference" / "services" / f"{service.name}.md").is_file()


def test_the_least_versions_of_the_library_are_those_of_the_project() -> None:
    """An environment's check and the project's own dependencies agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, least in LIBRARY_NEEDS.items():
        assert any(line.startswith(f"{name}>={least}") for line in project["dependencies"])
