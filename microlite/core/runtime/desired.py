"""From what a user asks for to what shall run: completed from the project, checked, and read again on each update."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from microlite.core import errors
from microlite.core.description.naming import check_service_name
from microlite.core.runtime.api import Desired, RunRequest
from microlite.core.runtime.sources import Source, find_sources

_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,63}")
_MOST_INSTANCES: Final = 1000
_HERE: Final = Path("/")
"""Where relative paths begin: nowhere, since whoever asks has made them absolute."""


def find_desired(request: RunRequest, namespace: str, *, detached: bool, owner: str) -> list[Desired]:
    """The services that a request means. Reads files: not for the loop.

    Raises:
        Error: there is nothing to run, or something about it is wrong; then nothing of it shall run.
    """
    _check(request)
    wanted = [
        Desired(asked=_narrowed(request, source), source=source, namespace=namespace, detached=detached, owner=owner)
        for typed in request.sources
        for source in find_sources(typed, cwd=_HERE, name=request.name, command=request.command)
    ]
    if request.name and len(wanted) > 1:
        raise errors.BadRequest(f"--name is for a single service, and these are {len(wanted)}")
    keys = [desired.key for desired in wanted]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise errors.BadRequest(f"two of the sources are the service {twice[0]!r}; run one of them with another --name")
    for desired in wanted:
        _check_runnable(desired)
    return wanted


def read_again(desired: Desired, *, instances: int = 0) -> Desired:
    """The same service, from its project as it is now. Reads files: not for the loop.

    It keeps its name, whatever the code calls itself by now: whoever calls it knows it by this one.

    Args:
        desired: as it was.
        instances: how many nodes it has from now on; 0 for as many as before.

    Raises:
        Error: there is nothing to run any more, or something about it is wrong.
    """
    asked = desired.asked
    if instances:
        asked = msgspec.structs.replace(asked, instances=instances)
        _check(asked)
    (source,) = find_sources(asked.sources[0], cwd=_HERE, name=desired.name, command=asked.command)
    again = msgspec.structs.replace(desired, asked=asked, source=source)
    _check_runnable(again)
    return again


def _narrowed(request: RunRequest, source: Source) -> RunRequest:
    """What the request says of this one of its services."""
    path = str(Path(source.folder, source.entry)) if source.entry else source.folder
    return msgspec.structs.replace(request, sources=(path,))


def _check(request: RunRequest) -> None:
    if not request.sources:
        raise errors.BadRequest("sources: name a folder or a file to run")
    for path in request.sources:
        if not Path(path).is_absolute():
            raise errors.BadRequest(f"sources: {path!r} is relative, and the platform stands in another folder")
    if request.version and not _VERSION.fullmatch(request.version):
        raise errors.BadRequest(
            f"version: {request.version!r} is none: letters, digits and . _ + / -, at most 64 characters"
        )
    if not 0 <= request.instances <= _MOST_INSTANCES:
        raise errors.BadRequest(f"instances: {request.instances} is not between 0 and {_MOST_INSTANCES}")
    for field, variables in (("environment", request.environment), ("env", request.env)):
        for key, value in variables.items():
            if not key or "=" in key or "\0" in key + value:
                raise errors.BadRequest(
                    f"{field}: {key!r} cannot be the name of a variable, or its value cannot be one"
                )
    if request.python and not (Path(request.python).is_absolute() and Path(request.python).is_file()):
        raise errors.BadRequest(f"python: there is no interpreter {request.python}")


def _check_runnable(desired: Desired) -> None:
    source = desired.source
    try:
        check_service_name(source.name)
    except errors.BadRequest as error:
        raise errors.BadRequest(f"{Path(source.folder, source.entry)}: {error.detail}") from None
    if source.port and desired.instances > 1:
        raise errors.BadRequest(
            f"{source.name}: listens on port {source.port} by itself, so it can have one instance, not {desired.instances}"
        )
