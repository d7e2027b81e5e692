"""What an endpoint and a service look like from outside: plain data that travels over the wire and to disk."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from microlite.core.context import Account

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema (draft 2020-12), self-contained: what it refers to stands in its own `$defs`."""


class Encoding(IntEnum):
    """How the payloads of a call are written down. The number is what the wire carries.

    A face that speaks JSON can still send bytes as they are, and get them so, with one of the mixed encodings.
    """

    MSGPACK = 0
    JSON = 1
    MSGPACK_TO_JSON = 2
    """What the caller sends is MessagePack, and the answer JSON."""
    JSON_TO_MSGPACK = 3
    """What the caller sends is JSON, and the answer MessagePack."""


ASKED: Final = (Encoding.MSGPACK, Encoding.JSON, Encoding.MSGPACK, Encoding.JSON)
"""By encoding of a call: how its request and the caller's stream are written, plainly MSGPACK or JSON."""

ANSWERED: Final = (Encoding.MSGPACK, Encoding.JSON, Encoding.JSON, Encoding.MSGPACK)
"""By encoding of a call: how the reply and the callee's stream are written."""


def encoding_of(asked: Encoding, answered: Encoding) -> Encoding:
    """The encoding of a call with its request and its answer in these, each plainly MSGPACK or JSON."""
    return next(one for one in Encoding if (ASKED[one], ANSWERED[one]) == (asked, answered))


class Streaming(StrEnum):
    """Which of the two sides sends a stream instead of one value."""

    UNARY = "unary"
    SERVER = "server"
    CLIENT = "client"
    BIDIRECTIONAL = "bidirectional"

    @property
    def from_client(self) -> bool:
        """Whether the caller sends a stream of items after its request."""
        return self is Streaming.CLIENT or self is Streaming.BIDIRECTIONAL

    @property
    def from_server(self) -> bool:
        """Whether the answer is a stream of items."""
        return self is Streaming.SERVER or self is Streaming.BIDIRECTIONAL


class Role(StrEnum):
    """The least that a caller must be. A user's endpoints are public; rules decide further."""

    PUBLIC = "public"
    """Anybody, without an account too."""
    ACCOUNT = "account"
    """Any account of the namespace."""
    SERVICE = "service"
    """A service of the namespace that acts as itself, or an admin."""
    ADMIN = "admin"
    """Who operates the namespace."""
    PLATFORM = "platform"
    """Who operates the platform."""

    @property
    def people(self) -> str:
        """Whom it lets in, in words."""
        return _PEOPLE[self]

    def admits(self, account: Account | None, namespace: str) -> bool:
        """Whether a caller is at least this, in this namespace."""
        if self is Role.PUBLIC:
            return True
        if account is None or not account.belongs_to(namespace):
            return False
        if self is Role.ACCOUNT:
            return True
        if self is Role.PLATFORM:
            return account.is_platform_admin
        return account.is_admin or (self is Role.SERVICE and account.is_service)


_PEOPLE: Final = {
    Role.PUBLIC: "everybody",
    Role.ACCOUNT: "accounts of the namespace",
    Role.SERVICE: "services and admins",
    Role.ADMIN: "admins",
    Role.PLATFORM: "who operates the platform",
}


class Consume(msgspec.Struct, frozen=True, kw_only=True, tag="consume"):
    """The platform calls the endpoint for each event of a topic, and acknowledges it when the call has succeeded.

    Attributes:
        topic: which events, of the same namespace.
        group: the name under which the nodes of this and other services share the events.
        retries: how often an event that failed is delivered again, before it becomes a dead letter.
        ack_wait: seconds that one delivery may take, until it counts as failed.
        backoff: seconds before the first further delivery; each next one waits twice as long.
        max_backoff: the longest such wait.
        concurrency: most events that are being handled at the same time, all nodes together.
        start: where a new group begins: `beginning`, `new`, or a time in seconds since the Unix epoch.
        misfits: with it, the topic takes only what the endpoint's parameter takes: `refuse` or `quarantine` the rest.
        field: of the request, which takes the payload; empty where the endpoint takes nothing.
        whole: whether the field takes the whole event in place of its payload.
    """

    topic: str
    group: str
    retries: int = 5
    ack_wait: float = 30.0
    backoff: float = 1.0
    max_backoff: float = 300.0
    concurrency: int = 32
    start: str | float = "beginning"
    misfits: str = ""
    field: str = ""
    whole: bool = False


class Subscribe(msgspec.Struct, frozen=True, kw_only=True, tag="subscribe"):
    """Each node calls the endpoint for the ephemeral messages of a topic.

    Attributes:
        topic: which messages; `*` stands for one word, `>` at the end for one or more.
        queue: with it, each message goes to one node of the queue group; without it to every node.
        limit: most messages that wait for a node.
        overflow: what happens to more: `drop_oldest`, `drop_newest`.
        concurrency: most messages that a node handles at a time; 1 keeps them in their order.
        field: of the request, which takes the value; empty where the endpoint takes nothing.
        whole: whether the field takes the whole message in place of its value.
    """

    topic: str
    queue: str = ""
    limit: int = 1_000
    overflow: str = "drop_oldest"
    concurrency: int = 1
    field: str = ""
    whole: bool = False


class Missed(StrEnum):
    """What becomes of due times that passed while nothing could run them: no platform, or no node of the service."""

    SKIP = "skip"
    """None of them is made up for."""
    ONCE = "once"
    """One run makes up for all of them."""
    ALL = "all"
    """Each is run, one after the other, the latest hundred at most."""


class Overlap(StrEnum):
    """What happens at a due time while a run of the same schedule has not ended."""

    SKIP = "skip"
    """There is no run at that time."""
    QUEUE = "queue"
    """It runs when those before it have ended; a hundred wait at most."""
    ALLOW = "allow"
    """It runs beside them."""


class Every(msgspec.Struct, frozen=True, kw_only=True, tag="schedule"):
    """The platform calls the endpoint at its times, once each, however many nodes there are.

    Attributes:
        every: seconds between two runs; 0 where `cron` says when.
        cron: five fields, as in `0 6 * * *`; empty where `every` says when.
        zone: the time zone of `cron`, as in `Europe/Berlin`.
        missed: what becomes of due times that passed while nothing could run them.
        overlap: what happens when the run before has not ended.
        timeout: seconds that a run may take.
        retries: how often a run that failed is tried again.
        backoff: seconds before the first such try; each next one waits twice as long, an hour at most.
    """

    every: float = 0.0
    cron: str = ""
    zone: str = "UTC"
    missed: Missed = Missed.ONCE
    overlap: Overlap = Overlap.SKIP
    timeout: float = 300.0
    retries: int = 0
    backoff: float = 1.0


Trigger: TypeAlias = Consume | Subscribe | Every
"""What calls an endpoint by itself, without anybody who asks."""


class EndpointDescription(msgspec.Struct, frozen=True, kw_only=True):
    """All that a face needs to know of an endpoint to offer it.

    Args:
        name: normalised, unique within its service: `create`, `comments.create`.
        doc: the docstring without its sections on arguments, results and errors; the first line sums it up.
        request: the schema of the request, always of an object whose properties are the fields.
        response: the schema of the reply, or of each item that is streamed back. `{"type": "null"}` for None.
        items: the schema of each item that the caller streams, or None where it streams none.
        streaming: which sides stream.
        route: a declared route, `GET /orders/{id}`, beside the path that the name gives.
        idempotent: running it twice is as good as once, so a call whose outcome is unknown may be sent again.
        reads: it changes nothing; a built-in endpoint answers GET only then.
        role: the least role of a caller, for built-in endpoints.
        scopes: all of which the caller's account must carry, beyond what the rules say.
        metadata: what the author says about it, for whoever looks for it.
        deprecated: callers should turn away from it.
        event_id: the field of each streamed item that says where it stands; a server-sent event carries it as its id, and
            a client that comes back sends the last one as `Last-Event-ID`.
        produces: the media type of the reply, `image/png`, which then is bytes or text and no JSON; `*/*` for a stream that
            says so itself, by a `FileHead` before the bytes; empty for JSON.
        consumes: `*/*` where the body of a request is the caller's stream of bytes, whatever its media type; else empty.
        etag: the field of the reply that is its entity tag on HTTP; without one the content makes the tag.
        triggers: what calls it by itself. The gateway does not offer an endpoint that has one.
    """

    name: str
    doc: str = ""
    request: Schema = {}
    response: Schema = {}
    items: Schema | None = None
    streaming: Streaming = Streaming.UNARY
    route: str | None = None
    idempotent: bool = False
    reads: bool = False
    role: Role = Role.PUBLIC
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    deprecated: bool = False
    produces: str = ""
    event_id: str = ""
    consumes: str = ""
    etag: str = ""
    triggers: tuple[Trigger, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of the doc."""
        return self.doc.partition("\n")[0]


class ConfigDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says about a part of the configuration; the platform holds `config.set` to it.

    Attributes:
        path: where it stands, in canonical form.
        schema: of the value there.
        default: what holds where nothing is set; of a table, the fields that have a default.
        has_default: whether there is one, since it may be null.
        secret: whether what stands there is kept encrypted.
        doc: what it is for.
    """

    path: str
    schema: Schema = {}
    default: Any = None
    has_default: bool = False
    secret: bool = False
    doc: str = ""


class Publishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says that it publishes.

    Attributes:
        topic: of events.
        payload: the schema of what it publishes there.
    """

    topic: str
    payload: Schema = {}


class ServiceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A service as every face sees it. Endpoints stand in the order of their declaration.

    Attributes:
        config: what it declares about its configuration.
    """

    name: str
    version: str = "latest"
    doc: str = ""
    metadata: dict[str, str] = {}
    endpoints: tuple[EndpointDescription, ...] = ()
    config: tuple[ConfigDeclaration, ...] = ()
    publishes: tuple[Publishes, ...] = ()

    def endpoint(self, name: str) -> EndpointDescription | None:
        """The endpoint of this normalised name, or None."""
        return next((endpoint for endpoint in self.endpoints if endpoint.name == name), None)
