"""What this installation of microlite gives to the environments of projects."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from microlite import onefile
from microlite.core.runtime.environments import Environments
from microlite.core.runtime.installer import Installer
from microlite.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.clock import Clock

LIBRARY_NEEDS: Final = {"msgspec": "0.22", "uvloop": "0.23"}
"""The least versions of what the service library imports, as pyproject.toml has them; a test holds the two together."""


def make_environments(home: Path, library: Path, clock: Clock) -> Environments:
    """The environments of a home, for projects with dependencies of their own.

    Args:
        home: the folder of the platform.
        library: the folder that holds microlite and what a service imports of it, and nothing else.
        clock: for waiting, and for the age of environments.
    """
    installer = Installer(pip=_pip_command(), uv=shutil.which("uv") or "", environ=dict(os.environ))
    return Environments(
        home / "environments",
        library=library,
        version=__version__,
        needs=LIBRARY_NEEDS,
        installer=installer,
        clock=clock,
    )


def make_isolated_environments(folder: Path, library: Path, clock: Clock) -> Environments:
    """Environments of isolated services. Only wheels are installed: whatever else would run code of theirs outside.

    Args:
        folder: of the environments.
        library: as for `make_environments`, where the service can read it.
        clock: as for `make_environments`.
    """
    installer = Installer(pip=_pip_command(), uv="", environ=dict(os.environ), wheels_by=_pip_folder())
    return Environments(
        folder, library=library, version=__version__, needs=LIBRARY_NEEDS, installer=installer, clock=clock
    )


def _pip_folder() -> str:
    """Where the same pip lies. Empty would mean to build: where there is no pip, a folder that is not there."""
    bundle = onefile.extraction()
    if bundle is not None:
        return str(bundle / "site-packages" / "pip")
    spec = find_spec("pip")
    return spec.submodule_search_locations[0] if spec is not None and spec.submodule_search_locations else "/no-pip"


def _pip_command() -> list[str]:
    """The installer for environments: the one that the one file carries, else that of the running Python."""
    bundle = onefile.extraction()
    if bundle is not None:
        return [sys.executable, str(bundle / "site-packages" / "pip")]
    return [sys.executable, "-m", "pip"]
