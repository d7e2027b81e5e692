"""From what a user asks for to what shall run: completed from the project, checked, and read again on each update."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.description.naming import check_service_name
from microlite.core.runtime.api import Desired, RunRequest
from microlite.core.runtime.fetched import find_fetched
from microlite.core.runtime.git.address import address_of
from microlite.core.runtime.sources import Source, find_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.core.runtime.git.checkouts import Checkout

_LONGEST_VERSION: Final = 64
_VERSION: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+/-]{{0,{_LONGEST_VERSION - 1}}}")
_MOST_INSTANCES: Final = 1000
_HERE: Final = Path("/")
"""Where relative paths begin: nowhere, since whoever asks has made them absolute."""


def find_desired(
    request: RunRequest,
    namespace: str,
    *,
    detached: bool,
    owner: str,
    fetched: Mapping[str, Checkout] = MappingProxyType({}),
) -> list[Desired]:
    """The services that a request means. Reads files: not for the loop.

    Args:
        request: what was asked for, and checked (see `check_request`).
        namespace: of the services.
        detached: whether they are kept.
        owner: the id of the account that wants them.
        fetched: what was fetched for each of the sources that is an address.

    Raises:
        Error: there is nothing to run, or something about it is wrong; then nothing of it shall run.
    """
    wanted = [
        Desired(asked=_narrowed(request, source), source=source, namespace=namespace, detached=detached, owner=owner)
        for typed in request.sources
        for source in _find(typed, fetched.get(typed), name=request.name, command=request.command)
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


def read_again(desired: Desired, *, instances: int = 0, checkout: Checkout | None = None) -> Desired:
    """The same service, from its project as it is now. Reads files: not for the loop.

    It keeps its name, whatever the code calls itself by now: whoever calls it knows it by this one.

    Args:
        desired: as it was.
        instances: how many nodes it has from now on; 0 for as many as before.
        checkout: the commit that its address means now; without one, it stays at the commit that it has.

    Raises:
        Error: there is nothing to run any more, or something about it is wrong.
    """
    asked = desired.asked
    if instances:
        asked = msgspec.structs.replace(asked, instances=instances)
        check_request(asked)
    if desired.source.origin and checkout is None:
        return msgspec.structs.replace(desired, asked=asked)
    (source,) = _find(asked.sources[0], checkout, name=desired.name, command=asked.command)
    again = msgspec.structs.replace(desired, asked=asked, source=source)
    _check_runnable(again)
    return again


def _find(typed: str, checkout: Checkout | None, *, name: str, command: str) -> tuple[Source, ...]:
    if checkout is None:
        return find_sources(typed, cwd=_HERE, name=name, command=command)
    address = address_of(typed)
    assert address is not None, "something was fetched for it"
    return find_fetched(address, checkout, name=name, command=command)


def _narrowed(request: RunRequest, source: Source) -> RunRequest:
    """What the request says of this one of its services."""
    if source.origin:
        address = address_of(source.origin)
        version = request.version or _version_of(address.ref if address is not None else "")
        return msgspec.structs.replace(request, sources=(source.origin,), version=version, watch=False)
    path = str(Path(source.folder, source.entry)) if source.entry else source.folder
    return msgspec.structs.replace(request, sources=(path,))


def _version_of(ref: str) -> str:
    """The version by the name of a ref, which may hold what a version cannot."""
    return re.sub(r"[^A-Za-z0-9._+/-]|^[^A-Za-z0-9]+", "-", ref).strip("-")[:_LONGEST_VERSION]


def check_request(request: RunRequest) -> None:
    """Refuse what cannot be meant.

    Raises:
        BadRequest: says which field of the request is wrong.
    """
    if not request.sources:
        raise errors.BadRequest("sources: name a folder, a file or a git address to run")
    for source in request.sources:
        if address_of(source) is None and not Path(source).is_absolute():
            raise errors.BadRequest(f"sources: {source!r} is relative, and the platform stands in another folder")
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
    check_service_name(source.name)
    if source.port and desired.instances > 1:
        raise errors.BadRequest(
            f"{source.name}: listens on port {source.port} by itself, so it can have one instance, not {desired.instances}"
        )
