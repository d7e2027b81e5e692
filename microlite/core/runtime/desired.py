"""From what a user asks for to what shall run: completed from the project and checked."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.description.naming import check_service_name
from microlite.core.runtime.api import Desired, RunRequest
from microlite.core.runtime.fetched import find_fetched
from microlite.core.runtime.git.address import address_of
from microlite.core.runtime.importing import PROJECT
from microlite.core.runtime.project import read_project
from microlite.core.runtime.sources import Source, find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from microlite.core.runtime.git.address import Address
    from microlite.core.runtime.git.checkouts import Checkout
    from microlite.core.runtime.project import Part

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
    only: str = "",
) -> list[Desired]:
    """The services that a request means. Reads files: not for the loop.

    Args:
        request: what was asked for, and checked (see `check_request`).
        namespace: of the services.
        detached: whether they are kept.
        owner: the id of the account that wants them.
        fetched: what was fetched for each address among the sources and in their project files.
        only: of a project file, only the service of this name.

    Raises:
        Error: there is nothing to run, or something about it is wrong; then nothing of it shall run.
    """
    wanted = [
        Desired(asked=asked, source=source, namespace=namespace, detached=detached, owner=owner, project=project)
        for typed in request.sources
        for asked, source, project in _find(typed, request, fetched, only)
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


def check_nearby(request: RunRequest, namespace: str) -> None:
    """Refuse what lies on this machine and cannot run: better said before a platform is started for it. Reads files.

    What has to be fetched is left to whoever fetches it.

    Raises:
        Error: there is nothing to run, or something about it is wrong.
    """
    check_request(request)
    near = tuple(source for source in request.sources if _is_near(source, request))
    if near:
        find_desired(msgspec.structs.replace(request, sources=near), namespace, detached=False, owner="")


def _is_near(source: str, request: RunRequest) -> bool:
    if address_of(source) is not None:
        return False
    project = read_project(Path(source)) if not request.command else None
    return project is None or all(part.address is None for part in project.parts)


_Found = tuple[RunRequest, Source, str]
"""What is asked of one service, where it is, and the project file that names it."""


def _find(typed: str, request: RunRequest, fetched: Mapping[str, Checkout], only: str) -> Iterator[_Found]:
    checkout = fetched.get(typed)
    address = address_of(typed) if checkout is not None else None
    place = Path(checkout.folder, address.path) if checkout is not None and address is not None else Path(typed)
    project = read_project(place) if not request.command else None
    if project is None:
        for source in _sources(typed, checkout, name=request.name, command=request.command):
            yield _narrowed(request, source), source, ""
        return
    if request.name:
        raise errors.BadRequest(f"--name is for a single service, and {place / PROJECT} names several")
    for part in project.parts:
        if only in ("", part.name):
            source = part.complete(_of_part(part, address, checkout, fetched), project)
            version = request.version or part.version
            asked = msgspec.structs.replace(
                _narrowed(msgspec.structs.replace(request, version=version), source), sources=(typed,)
            )
            yield asked, source, typed


def _of_part(part: Part, address: Address | None, checkout: Checkout | None, fetched: Mapping[str, Checkout]) -> Source:
    command = shlex.join(part.table.command)
    if part.address is not None:
        typed, checkout = part.address.text, fetched[part.address.text]
    elif checkout is not None and address is not None:  # a folder of the repository that the project file lies in
        if not Path(part.place).is_relative_to(checkout.folder):
            raise errors.BadRequest(f"{part.where} source: {part.place} lies outside of the repository")
        typed = address.at(str(Path(part.place).relative_to(checkout.folder))).text
    else:
        typed = part.place
    (source, *more) = _sources(typed, checkout, name="", command=command)
    if more:
        raise errors.BadRequest(f"{part.where} source: holds several services; name the folder of one")
    return msgspec.structs.replace(source, name=part.name)


def _sources(typed: str, checkout: Checkout | None, *, name: str, command: str) -> tuple[Source, ...]:
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
    try:
        check_service_name(source.name)
    except errors.BadRequest as error:
        raise errors.BadRequest(f"{Path(source.folder, source.entry)}: {error.detail}") from None
    if source.port and desired.instances > 1:
        raise errors.BadRequest(
            f"{source.name}: listens on port {source.port} by itself, so it can have one instance, not {desired.instances}"
        )
