"""What is vendored is what the table says, and all of it has its licence."""

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from microlite.web.dashboard.static import StaticFiles

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def vendor() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "scripts" / "vendor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_those_of_the_table(vendor: ModuleType) -> None:
    """A file that was edited, or replaced by hand, does not pass."""
    wanted = {file.name: file.sha256 for package in vendor.PACKAGES for file in package.files}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.TARGET.iterdir()}
    assert found == wanted


def test_every_package_brings_its_licence(vendor: ModuleType) -> None:
    for package in vendor.PACKAGES:
        assert any(file.name.endswith(".LICENSE") for file in package.files), package.name


def test_the_dashboard_serves_them(vendor: ModuleType) -> None:
    static = StaticFiles(vendor.TARGET.parent)
    for package in vendor.PACKAGES:
        for file in package.files:
            if file.name.endswith((".js", ".css")):
                assert static.url(f"vendor/{file.name}")
