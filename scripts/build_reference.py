"""Writes the generated pages of docs/reference from the code that they describe: `make reference`.

Nothing on these pages is written by hand, so nothing on them can be wrong for long: tests/docs/test_reference.py fails
when a page differs from what this script would write.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import click  # noqa: E402 - the tree that this script lies in goes first
import msgspec  # noqa: E402

import microlite  # noqa: E402
from microlite.cli.commands import COMMANDS  # noqa: E402
from microlite.cli.root import root  # noqa: E402
from microlite.core import errors  # noqa: E402
from microlite.core.catalog import Parts, built_in_services  # noqa: E402
from microlite.core.description.type_words import alternatives, kind, type_word  # noqa: E402
from microlite.core.runtime.manifest import Manifest  # noqa: E402
from microlite.core.runtime.project import Named  # noqa: E402
from microlite.core.settings import ServerOptions  # noqa: E402
from microlite.core.user_config import KEYS  # noqa: E402
from microlite.web.dashboard.options import DashboardOptions  # noqa: E402
from microlite.web.gateway.options import GatewayOptions  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from microlite.core.description import EndpointDescription, Schema, ServiceDescription

TARGET: Final = ROOT / "docs" / "reference"

NOTE: Final = "<!-- Written by scripts/build_reference.py: change the code, then run `make reference`. -->"

VARIABLES: Final = (
    ("MICROLITE_HOME", "user", "The platform's folder, for every command and for scripts.", "`~/.microlite`"),
    ("MICROLITE_NAMESPACE", "user", "Whose services commands, scripts and nodes mean.", "`default`"),
    (
        "MICROLITE_LOG_LEVEL",
        "user",
        "From which level on a service logs: `debug`, `info`, `warning`, `error`.",
        "`info`",
    ),
    (
        "MICROLITE_CACHE",
        "user",
        "Where the one file unpacks itself.",
        "`$XDG_CACHE_HOME/microlite`, `~/.cache/microlite`",
    ),
    (
        "MICROLITE_CONFIG_…",
        "user",
        "A setting of the configuration: `MICROLITE_CONFIG_LIMITS__MAX` is `limits.max`, of the platform or of a node.",
        "",
    ),
    ("MICROLITE_DEBUG", "user", "`1` shows the traceback of an error that a command did not expect.", ""),
    ("NO_COLOR", "user", "Set to anything, commands print without colours.", ""),
    ("PORT", "platform", "The port on which a program that is run by a command has to listen.", ""),
    ("HOST", "platform", "The address on which it has to listen, unless the project says otherwise.", "`127.0.0.1`"),
    (
        "MICROLITE_IMPORT_LAST",
        "platform",
        "Under `microlite test`: the root of the project, which the plug-in puts at the end of `sys.path`.",
        "",
    ),
    ("MICROLITE_SERVICE", "platform", "The name under which a node registers.", "as the code says"),
    ("MICROLITE_VERSION", "platform", "The version under which it registers.", "as the code says"),
    ("MICROLITE_METADATA", "platform", "A JSON object that is added to the service's metadata.", ""),
    ("MICROLITE_NODE", "platform", "The id of the node.", ""),
    (
        "MICROLITE_GENERATION",
        "platform",
        "Grows with each start of a node; present only where the platform started it.",
        "",
    ),
    (
        "MICROLITE_DEBUG_LISTEN",
        "platform",
        "Under `run --debug`: the address on which the node's debugger listens. Gone before the first line of its code.",
        "",
    ),
    (
        "MICROLITE_DEBUG_FOLDER",
        "platform",
        "The same: the folder with the debugpy of the platform, for projects that have none.",
        "",
    ),
    (
        "MICROLITE_DEBUG_WAIT",
        "platform",
        "The same: set where nothing runs before a debugger has attached.",
        "",
    ),
    ("MICROLITE_LAUNCH", "platform", "Marks the processes of one platform, so that it finds them again.", ""),
)
"""Every variable of the environment: name, who sets it, what it says, what holds without it."""

_SECTIONS: Final = frozenset({"Args", "Attributes", "Returns", "Yields", "Raises"})


def pages() -> dict[str, str]:
    """The text of each generated page, by its path below docs/reference."""
    found = {
        "cli.md": cli_page(),
        "errors.md": errors_page(),
        "library.md": library_page(),
        "roles.md": roles_page(built_in()),
        "settings.md": settings_page(),
    }
    for service in built_in():
        found[f"services/{service.name}.md"] = service_page(service)
    return found


def built_in() -> list[ServiceDescription]:
    """All built-in services."""
    nothing = cast("Any", None)  # descriptions do not depend on what the services are logic over
    parts = Parts(**dict.fromkeys(inspect.signature(Parts).parameters, nothing))
    return [service.describe() for service in built_in_services(parts)]


def _anchor(heading: str) -> str:
    """By which a link reaches a heading: dots are left out."""
    return heading.replace(".", "")


def page(title: str, *blocks: str) -> str:
    """A page of blocks with an empty line between them."""
    return "\n\n".join((NOTE, f"# {title}", *(block.strip("\n") for block in blocks if block.strip()))) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; nothing at all without rows."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join([f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *lines]) if lines else ""


def code(value: object) -> str:
    """A value in the font of code; nothing for an empty one."""
    text = str(value)
    return f"`{text}`" if text else ""


# -- docstrings ---------------------------------------------------------------------------------------------------------


def prose(docstring: str | None) -> str:
    """A Google docstring as Markdown: its sections become lists."""
    lines: list[str] = []
    section, depth = "", 0
    for line in inspect.cleandoc(docstring or "").splitlines():
        heading = line.rstrip().removesuffix(":")
        if line.rstrip().endswith(":") and heading in _SECTIONS:
            section, depth = heading, 0
            lines += [f"*{heading}*", ""]
            continue
        if section and line.strip():
            indent = len(line) - len(line.lstrip())
            if not indent:
                section = ""
            else:
                depth = depth or indent
                text = line.strip()
                match = re.fullmatch(r"\*{0,2}([\w.]+): (.*)", text) if section not in ("Returns", "Yields") else None
                lines.append(f"- `{match[1]}`: {match[2]}" if match and indent == depth else f"  {text}".rstrip())
                continue
        lines.append(line)
    return "\n".join(lines).strip()


def described(docstring: str | None) -> dict[str, str]:
    """What the sections `Args` and `Attributes` of a docstring say of each name, as one line."""
    found: dict[str, str] = {}
    name = ""
    for line in prose(docstring).splitlines():
        if match := re.fullmatch(r"- `([\w.]+)`: (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif name and line.startswith("  "):
            found[name] += f" {line.strip()}"
        else:
            name = ""
    return found


def summary(docstring: str | None) -> str:
    """The first line of a docstring."""
    return inspect.cleandoc(docstring or "").partition("\n")[0]


# -- the command line ---------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Every command with its arguments and options, from click."""
    context = click.Context(root, info_name="microlite")
    blocks = [
        "`microlite [global options] COMMAND …`. Global options stand before the command. "
        "Every command has `--help`. Errors are one line on stderr; what the exit codes mean is in [errors](errors.md).",
        "## Global options\n\n" + _options(root.params),
        "## Commands\n\n"
        + table(("command", ""), [(f"[`{name}`](#{name})", one.text) for name, one in COMMANDS.items()]),
    ]
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None, "all commands of the table exist"
        blocks.append(_command(command, f"microlite {name}", 2))
    blocks.append(
        "## Dynamic commands\n\n"
        "Every service that runs is a command too: `microlite greeter` lists its endpoints, `microlite greeter hello "
        "--help` its flags, and `microlite greeter hello --name Ann` calls one. After the service's name all flags belong "
        "to the endpoint: `--field value`, `--field=value`, a bare `--field` for true, `--no-field` for false; fields of "
        "fields join with a dash (`--address-city`), lists repeat a flag or separate plain values by commas; `--json '{…}'` "
        "gives the whole request or any part of it. A program `microlite-x` on the `PATH` is the command `x` and goes first."
    )
    return page("The command line", *blocks)


def _command(command: click.Command, path: str, level: int) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join((path, *command.collect_usage_pieces(context)))
    text = inspect.cleandoc(command.help or "")
    blocks = [f"{'#' * level} {path.removeprefix('microlite ')}", _paragraphs(text), f"```\n{usage}\n```"]
    blocks.append(_options(command.params))
    if isinstance(command, click.Group):
        blocks += [
            _command(inner, f"{path} {name}", level + 1)
            for name in command.list_commands(context)
            if (inner := command.get_command(context, name)) is not None
        ]
    return "\n\n".join(block for block in blocks if block)


def _paragraphs(text: str) -> str:
    """Help text as Markdown; what click is told to leave alone, by a backspace in front, is code."""
    blocks = []
    for block in re.split(r"\n\s*\n", text):
        literal = block.lstrip(" ").startswith("\b\n")
        kept = inspect.cleandoc("\n" + block.partition("\b\n")[2])
        blocks.append(f"```\n{kept}\n```" if literal else block.strip())
    return "\n\n".join(blocks)


def _options(parameters: Sequence[click.Parameter]) -> str:
    rows = []
    for parameter in parameters:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
        values = "" if parameter.is_flag else code(parameter.make_metavar(click.Context(click.Command("x"))))
        text = (parameter.help or "").strip()
        if parameter.show_default and parameter.default not in (None, ""):
            text += f" Default: `{parameter.default}`."
        if parameter.envvar:
            text += f" Variable: `{parameter.envvar}`."
        if names != "`--version`":
            rows.append((names, values, text))
    return table(("option", "value", ""), rows)


# -- settings -----------------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """The structs of settings, the table of a project, and the variables of the environment."""
    return page(
        "Settings",
        "What can be set, in tables: the platform, its gateway, its dashboard, a project, several services, the user, and "
        "the environment.",
        "## The platform\n\nOptions of `microlite server`; see [the command line](cli.md#server).\n\n"
        + _fields(ServerOptions),
        "## The gateway\n\nSizes are in bytes, times in seconds. Host and port come from the platform's; the others hold "
        "their defaults in this version, and are for those who start a gateway from Python.\n\n"
        + _fields(GatewayOptions),
        "## The dashboard\n\nSizes are in bytes, times in seconds. Host and port come from the platform's; the others hold "
        "their defaults in this version.\n\n" + _fields(DashboardOptions),
        "## A project\n\nThe table `[tool.microlite]` of a `pyproject.toml`. Every key may be absent.\n\n"
        + _fields(Manifest),
        "## Several services\n\nThe file `microlite.toml` names the services of a project. `env`, at the top, is a table of "
        "variables for all of them; each has a table `[services.<name>]`, with the keys of a project but `name` and "
        "`entry`, which go before what its own `pyproject.toml` says, and with these:\n\n" + _fields(Named),
        "## The user\n\nKept in the platform's folder by [`microlite user config`](cli.md#user).\n\n"
        + table(("key", ""), [(code(key), text) for key, text in KEYS.items()]),
        "## The environment\n\n"
        + table(
            ("variable", "set by", "says", "without it"),
            [(code(name), who, text, default) for name, who, text, default in VARIABLES],
        ),
    )


def _fields(struct: type[msgspec.Struct]) -> str:
    about = described(struct.__doc__)
    hidden = {"session", "ready_fd"}  # what one process of ours says to another
    rows = []
    for field in msgspec.structs.fields(struct):
        if field.name in hidden:
            continue
        default = "required" if field.required else _default(field)
        rows.append((code(field.encode_name), code(_type(struct, field.name)), default, about.get(field.name, "")))
    return table(("setting", "type", "default", ""), rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if value is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    return (
        "" if value in (None, "", (), {}) else code(str(value) if not isinstance(value, bool) else str(value).lower())
    )


def _type(struct: type[msgspec.Struct], name: str) -> str:
    for kind_ in struct.__mro__:
        annotation = inspect.get_annotations(kind_).get(name)
        if annotation is not None:
            return annotation if isinstance(annotation, str) else annotation.__name__
    raise LookupError(name)


# -- errors -------------------------------------------------------------------------------------------------------------


def errors_page() -> str:
    """The table of errors, and the exit codes."""
    rows = [
        (code(kind_.error.__name__), str(kind_.error.code), kind_.error.status, str(kind_.grpc), str(kind_.exit),
         summary(kind_.error.__doc__))
        for kind_ in errors.KINDS
    ]  # fmt: skip
    return page(
        "Errors",
        "A service raises one of these (`from microlite import errors`, `raise errors.NotFound('there is no order 7')`), "
        "and the caller catches the same class, whichever service or process lies between. Over HTTP it is the status code "
        "and a JSON document of `id`, `code`, `detail` and `status`; on the command line, its detail and an exit code. `id` "
        "says whose error it is: the endpoint that refused or failed (`orders.create`), `gateway`, or, of an internal "
        "error, the id under which the log has the cause.",
        table(("error", "HTTP", "status", "gRPC", "exit code", "means"), rows),
        "Any other code from 400 to 599 is `errors.Error('…', code=418)`. An exception that is none of these becomes an "
        "`InternalServerError`: the caller gets an id, and the service's log has the traceback under the same id.",
        "## Exit codes\n\n" + table(
            ("code", "means"),
            [
                ("0", "done"),
                ("1", "it did not work, or took too long"),
                ("2", "the command line is wrong, or the account may not do this"),
                ("3", "a name has no form that a service or endpoint could have"),
                ("4", "there is no such service, or no platform to ask"),
                ("5", "the service has no such endpoint"),
                ("127", "the service answered with another error"),
                ("130", "ended by Ctrl-C"),
            ],
        ),
    )  # fmt: skip


# -- the library --------------------------------------------------------------------------------------------------------


def library_page() -> str:
    """What `from microlite import …` gives, from signatures and docstrings."""
    blocks = ["What a service is written with: `from microlite import …`. How it goes together is told in the "
              "[tutorial](../tutorial/first-service.md)."]  # fmt: skip
    for name in sorted(set(microlite.__all__) - {"__version__", "errors"}, key=str.lower):
        value = getattr(microlite, name)
        module = import_module(microlite._PLACES[name])  # noqa: SLF001 - the table of this package
        tree = ast.parse(inspect.getsource(module))
        if inspect.isclass(value):
            blocks += _class_blocks(name, value)
        elif inspect.isfunction(value):
            blocks += [f"## {name}", f"```python\n{_signature(_definition(tree, name))}\n```", prose(value.__doc__)]
        else:
            blocks += [f"## {name}", *_alias(tree, name)]
    for module_name, class_name in STATE:
        blocks += _class_blocks(class_name, getattr(import_module(module_name), class_name))
    return page("The library", *blocks)


STATE: Final = (
    ("microlite.core.library.state.broker", "Broker"),
    ("microlite.core.library.state.config", "Config"),
    ("microlite.core.library.state.events", "Events"),
    ("microlite.core.library.state.events", "Delivery"),
    ("microlite.core.library.state.schedules", "Schedules"),
    ("microlite.core.library.state.store", "Store"),
    ("microlite.core.library.state.transaction_store", "TransactionStore"),
    ("microlite.core.library.state.transaction_store", "TransactionBlobs"),
    ("microlite.core.library.state.transaction_parts", "TransactionEvents"),
    ("microlite.core.library.state.transaction_parts", "TransactionConfig"),
    ("microlite.core.library.state.transaction_parts", "TransactionSchedules"),
)
"""What a context has for the state of a service, by properties: module and class."""


def _class_blocks(name: str, kind_: type) -> Iterator[str]:
    definition = _definition(ast.parse(inspect.getsource(sys.modules[kind_.__module__])), name)
    assert isinstance(definition, ast.ClassDef)
    init = next((one for one in definition.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    yield f"## {name}"
    if init is not None and name == "Service":
        yield f"```python\n{_signature(init).replace('def __init__(', f'{name}(').removesuffix(' -> None')}\n```"
    yield prose(kind_.__doc__)
    for base in kind_.__mro__:
        if not base.__module__.startswith("microlite"):
            continue
        members = _definition(ast.parse(inspect.getsource(sys.modules[base.__module__])), base.__name__)
        assert isinstance(members, ast.ClassDef)
        for member in members.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(member):
                marks = {ast.unparse(mark) for mark in member.decorator_list}
                if not member.name.startswith("_") and "overload" not in marks and member.name not in _INTERNAL:
                    yield from _member_blocks(name, member, is_property="property" in marks)


_INTERNAL: Final = frozenset(
    {"call_raw", "stream_raw", "wrap", "peer", "start_hooks", "stop_hooks", "note", "check_open"}
)
"""Public in the code, since other modules use them; not for the authors of services."""


def _member_blocks(owner: str, member: ast.FunctionDef | ast.AsyncFunctionDef, *, is_property: bool) -> Iterator[str]:
    yield f"### {owner}.{member.name}"
    if is_property:
        assert member.returns is not None
        yield f"```python\n{member.name}: {ast.unparse(member.returns)}\n```"
    else:
        yield f"```python\n{_signature(member)}\n```"
    yield prose(ast.get_docstring(member))


def _definition(tree: ast.Module, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef:
    found = [
        one
        for one in tree.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and one.name == name
    ]
    return found[-1]  # after its overloads


def _signature(definition: ast.AST) -> str:
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    word = "async def" if isinstance(definition, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(definition.returns)}" if definition.returns is not None else ""
    parts = list(_parameters(definition.args))
    text = f"{word} {definition.name}({', '.join(parts)}){returns}"
    if len(text) <= 100:
        return text
    return f"{word} {definition.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """The parameters as one would write them, less `self`."""
    first = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(first) - len(arguments.defaults))
    for number, (one, default) in enumerate(zip(first, [*defaults, *arguments.defaults], strict=True), 1):
        if one.arg != "self":
            yield _parameter(one, default)
            if number == len(arguments.posonlyargs):
                yield "/"
    if arguments.vararg is not None:
        yield f"*{_parameter(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(one, default)
    if arguments.kwarg is not None:
        yield f"**{_parameter(arguments.kwarg, None)}"


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {ast.unparse(one.annotation)}" if one.annotation is not None else ""
    equals = " = " if annotation else "="
    return f"{one.arg}{annotation}{equals}{ast.unparse(default)}" if default is not None else f"{one.arg}{annotation}"


def _alias(tree: ast.Module, name: str) -> Iterator[str]:
    """A type alias, and the text that stands below it."""
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and ast.unparse(statement.target) == name
            and statement.value is not None
        ):
            yield f"```python\n{name} = {ast.unparse(statement.value)}\n```"
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                yield str(after.value.value)


# -- least roles --------------------------------------------------------------------------------------------------------


def roles_page(services: Sequence[ServiceDescription]) -> str:
    """The least role of every built-in endpoint."""
    return page(
        "Least roles",
        "The least that a caller must be for each endpoint of a built-in service. Rules narrow that and never widen it, "
        "except that no rule keeps out who operates the platform. Endpoints of your own services have no least role: rules "
        "and the scopes that they demand decide.",
        table(
            ("role", "lets in"),
            [
                (code("public"), "everybody, without an account too"),
                (code("account"), "any account of the namespace"),
                (code("service"), "services of the namespace that act as themselves, and its admins"),
                (code("admin"), "accounts of the namespace with the scope `admin`"),
                (code("platform"), "who operates the platform: admins of the platform's own namespace"),
            ],
        ),
        "Who operates the platform is let in everywhere. What has the role `service`, `admin` or `platform` and changes "
        "something is written into the [audit log](../howto/read-the-audit-log.md).",
        *(
            f"## {service.name}\n\n"
            + table(
                ("endpoint", "least role", ""),
                [
                    (
                        f"[`{service.name}.{one.name}`](services/{service.name}.md#{one.name.replace('.', '')})",
                        code(one.role),
                        "reads" if one.reads else "changes",
                    )
                    for one in service.endpoints
                ],
            )
            for service in services
        ),
    )


# -- built-in services --------------------------------------------------------------------------------------------------


def service_page(service: ServiceDescription) -> str:
    """A built-in service, from its description."""
    types: dict[str, Schema] = {}
    blocks = [
        service.doc,
        "For whom each endpoint is stands beside it, and for all services in [least roles](../roles.md). Over HTTP a caller "
        "shows a token, `Authorization: Bearer …`; the command line has what it needs.",
        table(
            ("endpoint", ""),
            [(f"[`{one.name}`](#{one.name.replace('.', '')})", one.summary) for one in service.endpoints],
        ),
    ]
    for endpoint in service.endpoints:
        for schema in (endpoint.request, endpoint.items or {}, endpoint.response):
            types.update(schema.get("$defs", {}))
        blocks.append(_endpoint(service.name, endpoint))
    if types:
        blocks.append("## Types")
    for name, schema in sorted(types.items()):
        blocks.append(f"### {name}\n\n{_type_blocks(schema, types)}")
    return page(f"The service {service.name}", *blocks)


def _endpoint(service: str, endpoint: EndpointDescription) -> str:
    methods = "GET, POST" if endpoint.reads and not endpoint.streaming.from_client else "POST"
    facts = [
        f"`{methods.replace(', ', '` or `')} /{service}/{endpoint.name.replace('.', '/')}`",
        f"for: {endpoint.role}",
    ]
    if endpoint.streaming.from_server:
        facts.append("answers with a stream")
    blocks = [
        f"## {endpoint.name}",
        endpoint.doc,
        " · ".join(facts),
        _properties(endpoint.request, endpoint.request),
        f"{'Each message' if endpoint.streaming.from_server else 'Answer'}: {_link(endpoint.response, endpoint.response)}",
    ]
    return "\n\n".join(block for block in blocks if block)


def _type_blocks(schema: Schema, types: Mapping[str, Schema]) -> str:
    text = schema.get("description", "")
    about = re.split(r"\n\n(?:Args|Attributes):\n", text)[0]
    if "enum" in schema:
        return "\n\n".join((about, "One of " + ", ".join(code(value) for value in schema["enum"]) + "."))
    return "\n\n".join(filter(None, (about, _properties(schema, {"$defs": dict(types)}, described(text)))))


def _properties(schema: Schema, root_: Schema, about: Mapping[str, str] | None = None) -> str:
    required = schema.get("required", ())
    rows = []
    for name, inner in schema.get("properties", {}).items():
        default = inner.get("default")
        shown = "required" if name in required else _plain(default)
        text = inner.get("description") or (about or {}).get(name, "")
        rows.append((code(name), _link(inner, root_), shown, text))
    return table(("field", "type", "default", ""), rows)


def _plain(default: object) -> str:
    return "" if default in (None, "", [], {}) else code(msgspec.json.encode(default).decode())


def _link(schema: Schema, root_: Schema) -> str:
    """The type for people; a named one leads to its table."""
    words = []
    for one in (
        [schema] if "$ref" in schema else alternatives(schema, root_) if "anyOf" not in schema else schema["anyOf"]
    ):
        reference = one.get("$ref", "").removeprefix("#/$defs/")
        if reference:
            words.append(f"[{reference}](#{reference.lower()})")
        elif kind(one) == "array" and one.get("items"):
            words.append(f"list of {_link(one['items'], root_)}")
        elif kind(one) == "null":
            words.append("nothing")
        else:
            words.append(type_word(one, root_))
    return " or ".join(words)


def main() -> None:
    """Write all pages."""
    for path, text in pages().items():
        target = TARGET / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
