"""What a shell can complete of a running platform: services, endpoints, nodes, and the fields of a request.

Asked between two key strokes, so nothing here fails or waits: where no platform answers at once, there are no candidates.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from click.core import ParameterSource
from click.shell_completion import CompletionItem

from microlite.cli.described import describe, read_service
from microlite.cli.failure import CommandError
from microlite.cli.flags import find_flag, list_flags
from microlite.cli.link import connect
from microlite.cli.options import OUTPUTS, read_options
from microlite.cli.places import is_place
from microlite.cli.values import is_boolean
from microlite.core import errors
from microlite.core.description.naming import endpoint_of, normalise, normalise_endpoint
from microlite.core.description.type_words import alternatives, choices, kind, type_word
from microlite.core.log_ins import LogIns
from microlite.core.user_config import KEYS, UserConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import click

    from microlite.cli.described import Described, DescribedEndpoint
    from microlite.cli.flags import Flag
    from microlite.cli.link import Link
    from microlite.cli.options import Options

    Candidates = list[CompletionItem[str]]

T = TypeVar("T")

PATIENCE: Final = 0.3
"""Seconds that a platform may take."""


def _ask(context: click.Context, question: Callable[[Link], T], otherwise: T) -> T:
    """What the platform answers that the line up to here names; `otherwise` where there is none, or it does not.

    A platform that hangs is given up also in the middle of connecting, where no time-out of a socket holds.
    """
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        with connect(_options(context)) as link:
            return question(link)
    except (errors.Error, CommandError):
        return otherwise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _options(context: click.Context) -> Options:
    """The global options of the line up to here."""
    parameters = context.find_root().params
    home = parameters.get("home")
    return read_options(
        home if isinstance(home, Path) else None,
        parameters.get("namespace"),
        OUTPUTS[0],
        parameters.get("account"),
        says_account="account" in parameters
        and context.find_root().get_parameter_source("account") is ParameterSource.COMMANDLINE,
    )


def _give_up(*_: object) -> None:
    raise errors.Timeout("the platform does not answer")


def config_paths(context: click.Context, incomplete: str) -> Candidates:
    """Paths of the configuration, with their values; secrets are hidden."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("config", "explain"), [])
    leaves = [one["setting"] for one in found]
    return _beginning([CompletionItem(one["path"], help=str(one.get("value"))[:40]) for one in leaves], incomplete)


def accounts(context: click.Context, incomplete: str) -> Candidates:
    """Accounts of the namespace."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("auth", "accounts.list", limit=1000), [])
    return _beginning([CompletionItem(one["id"], help=", ".join(one.get("scopes", ()))) for one in found], incomplete)


def rules(context: click.Context, incomplete: str) -> Candidates:
    """Rules of the namespace."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("auth", "rules.list"), [])
    return _beginning([CompletionItem(one["id"], help=str(one.get("access", ""))) for one in found], incomplete)


def tokens(context: click.Context, incomplete: str) -> Candidates:
    """Personal access tokens."""
    from microlite.cli.auth_tokens import tokens_of

    none: list[dict[str, Any]] = []
    found = _ask(context, lambda link: tokens_of(link, context.params.get("account") or ""), none)
    return _beginning(
        [CompletionItem(one["id"], help=f"{one['name']}, of {one['account']}") for one in found], incomplete
    )


def join_tokens(context: click.Context, incomplete: str) -> Candidates:
    """Join tokens."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("auth", "join-tokens.list"), [])
    return _beginning([CompletionItem(one["id"], help=one.get("service", "")) for one in found], incomplete)


def namespaces(context: click.Context, incomplete: str) -> Candidates:
    """Namespaces, for those who may list them; and those of the log-ins here."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("namespaces", "list"), [])
    names = {one["name"]: "" for one in found}
    try:
        names |= {one.namespace: f"logged in as {one.account}" for one in LogIns(_options(context).home).all()}
    except (errors.Error, OSError):
        pass  # the command itself says what is wrong with the file
    return _beginning([CompletionItem(name, help=text) for name, text in names.items()], incomplete)


def log_ins(context: click.Context, incomplete: str) -> Candidates:
    """Accounts that have logged in here."""
    try:
        found = LogIns(_options(context).home).all()
    except (errors.Error, OSError):
        return []
    return _beginning([CompletionItem(one.account, help=one.namespace) for one in found], incomplete)


def services(context: click.Context, incomplete: str) -> Candidates:
    """Services that can be called, those of the platform last."""
    records: list[dict[str, Any]] = _ask(context, lambda link: link.ask("registry", "list", built_in=True), [])
    records.sort(key=lambda record: (record.get("built_in", False), record["name"]))
    summaries = {record["name"]: record.get("doc", "").partition("\n")[0] for record in records}
    found = [CompletionItem(name, help=summary) for name, summary in summaries.items()]
    return _beginning(found, normalise(incomplete))


def managed(context: click.Context, incomplete: str) -> Candidates:
    """Services that the platform runs or has run."""
    states = {one["name"]: one["state"] for one in _statuses(context)}
    return _beginning([CompletionItem(name, help=state) for name, state in states.items()], normalise(incomplete))


def managed_or_places(context: click.Context, incomplete: str) -> Candidates:
    """As `managed`; and folders, which stand for what runs from them."""
    return places() if is_place(incomplete) else managed(context, incomplete)


def places(*_: object) -> Candidates:
    """Folders and files."""
    return [CompletionItem("", type="file")]


def settings(context: click.Context, incomplete: str) -> Candidates:
    """Keys of the user's settings: those that can be set, of credentials what a host follows, and those that are."""
    keys = {key.removesuffix("<host>"): text for key, text in KEYS.items()}
    try:
        keys |= dict.fromkeys(UserConfig(_options(context).home).all(), "is set")
    except (errors.Error, OSError):
        pass  # the command itself says what is wrong with the file
    return _beginning([CompletionItem(key, help=text) for key, text in keys.items()], incomplete)


def _statuses(context: click.Context, service: str = "") -> list[dict[str, Any]]:
    return _ask(context, lambda link: link.ask("runtime", "status", service=service), [])


def nodes(context: click.Context, incomplete: str) -> Candidates:
    """Ids of nodes, of the service that the line names if it names one."""
    statuses = _statuses(context, context.params.get("service") or "")
    found = [CompletionItem(node["id"], help=node["state"]) for one in statuses for node in one.get("nodes", ())]
    return _beginning(found, incomplete)


def databases(context: click.Context, incomplete: str) -> Candidates:
    """Databases of the store."""
    names: list[str] = _ask(context, lambda link: link.ask("store", "databases"), [])
    return _beginning([CompletionItem(name) for name in names], incomplete)


def tables(context: click.Context, incomplete: str) -> Candidates:
    """Tables of the database that the line names, or of the default one."""
    database = context.params.get("database") or ""
    names: list[str] = _ask(context, lambda link: link.ask("store", "tables", database=database), [])
    return _beginning([CompletionItem(name) for name in names], incomplete)


def broker_topics(context: click.Context, incomplete: str) -> Candidates:
    """Topics that messages were published on."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("broker", "topics"), [])
    return _beginning([CompletionItem(one["name"], help=f"{one['messages']} messages") for one in found], incomplete)


def event_topics(context: click.Context, incomplete: str) -> Candidates:
    """Topics of events."""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("events", "topics"), [])
    return _beginning([CompletionItem(one["name"], help=f"{one['count']} events") for one in found], incomplete)


def event_groups(context: click.Context, incomplete: str) -> Candidates:
    """Groups of the topic that the line names."""
    topic = context.params.get("topic") or ""
    found: list[dict[str, Any]] = _ask(context, lambda link: link.ask("events", "groups", topic=topic), [])
    return _beginning([CompletionItem(one["name"], help=f"{one['lag']} behind") for one in found], incomplete)


def targets(context: click.Context, incomplete: str) -> Candidates:
    """What can be called: a service, then its endpoint; or both in one word, `orders.create`."""
    words: Sequence[str] = context.params.get("words") or ()
    streams = context.command.name == "stream"
    service, dot, _ = incomplete.partition(".")
    if not words and not dot:
        return services(context, incomplete)
    if len(words) > 1 or (words and "." in words[0]):
        return []
    found = [
        CompletionItem(one.name if words else f"{service}.{one.name}", help=one.summary)
        for one in _endpoints(_versions(context, words[0] if words else service))
        if one.gives_stream or not streams
    ]
    return _beginning(found, incomplete)


def single_targets(context: click.Context, incomplete: str) -> Candidates:
    """What can be called in one word, `orders.create`."""
    service, dot, _ = incomplete.partition(".")
    if not dot:
        return [CompletionItem(f"{one.value}.", help=one.help) for one in services(context, incomplete)]
    found = [
        CompletionItem(f"{service}.{one.name}", help=one.summary)
        for one in _endpoints(_versions(context, service))
        if not one.gives_stream and not one.takes_stream
    ]
    return _beginning(found, incomplete)


def schedules(context: click.Context, incomplete: str) -> Candidates:
    """Names of schedules."""
    found: list[dict[str, Any]] = _ask(
        context, lambda link: link.ask("schedules", "list", prefix=incomplete, limit=1000), []
    )
    return [CompletionItem(one["name"], help=one["target"]) for one in found]


def fields(context: click.Context, typed: str, words: Sequence[str], incomplete: str) -> Candidates:
    """What can follow the name of a service: parts of an endpoint's name, then its flags and their values.

    Args:
        context: of the command.
        typed: the name of the service.
        words: what stands between it and the cursor.
        incomplete: the word at the cursor.
    """
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    names, given = words[:at], words[at:]
    endpoints = _endpoints(_versions(context, typed))
    parts = [] if given or incomplete.startswith("-") else _parts(endpoints, names, incomplete)
    wanted = endpoint_of(normalise(typed), ".".join(names))
    endpoint = next((one for one in endpoints if one.name == wanted), None)
    return parts if parts or endpoint is None else _flags_or_values(endpoint, given, incomplete)


def _versions(context: click.Context, typed: str) -> Sequence[Described]:
    return _ask(context, lambda link: describe(link, read_service(typed)), ())


def _endpoints(versions: Sequence[Described]) -> Sequence[DescribedEndpoint]:
    return list({endpoint.name: endpoint for one in versions for endpoint in one.endpoints}.values())


def _parts(endpoints: Sequence[DescribedEndpoint], names: Sequence[str], incomplete: str) -> Candidates:
    """The next part of each endpoint whose name begins with these parts; what names one carries its summary."""
    above = "".join(f"{normalise_endpoint(name)}." for name in names)
    found: dict[str, str] = {}
    for one in endpoints:
        if one.name.startswith(above):
            part, _, deeper = one.name[len(above) :].partition(".")
            found.setdefault(part, "")
            found[part] = found[part] if deeper else one.summary
    return _beginning([CompletionItem(part, help=text) for part, text in found.items()], incomplete)


def _flags_or_values(endpoint: DescribedEndpoint, given: Sequence[str], incomplete: str) -> Candidates:
    request = endpoint.request
    awaiting = given[-1] if given and given[-1].startswith("--") and "=" not in given[-1] else ""
    flag = find_flag(awaiting[2:], request) if awaiting else None
    if flag is not None and not incomplete.startswith("--"):
        values = _values(flag, request)
        if values or not is_boolean(flag.schema, request):
            return _beginning([CompletionItem(value) for value in values], incomplete)
    used = {word[2:].partition("=")[0] for word in given}
    found = [
        CompletionItem(f"--{one.name}", help=_about(one, request))
        for one in list_flags(request)
        if one.name not in used or any(kind(choice) == "array" for choice in alternatives(one.schema, request))
    ]
    found.append(CompletionItem("--json", help="the whole request, or the fields that no flag gives"))
    found.append(CompletionItem("--help", help="show what there is to give"))
    return _beginning(found, incomplete)


def _values(flag: Flag, request: dict[str, Any]) -> list[str]:
    """The values of a field that has a few; of a list, those of its elements."""
    found: list[str] = []
    for one in alternatives(flag.schema, request):
        inner = alternatives(one.get("items") or {}, request) if kind(one) == "array" else [one]
        for choice in inner:
            if kind(choice) == "enum":
                found += choices(choice)
            elif kind(choice) == "boolean":
                found += ["true", "false"]
    return list(dict.fromkeys(found))


def _about(flag: Flag, request: dict[str, Any]) -> str:
    return str(flag.schema.get("description") or type_word(flag.schema, request))


def _beginning(found: Candidates, incomplete: str) -> Candidates:
    return [item for item in found if item.value.startswith(incomplete)]
