"""Topics whose type a service declares as their publisher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.core.description.schema import type_schema
from microlite.core.description.structs import Publishes
from microlite.core.events.api import Misfits, check_topic

if TYPE_CHECKING:
    from microlite.core.description.declaration import Place
    from microlite.core.library.context import Context


class Declaration:
    """What a topic takes, told to the platform by each node that comes up (see `library.attachments.Attachment`).

    Raises:
        DeclarationError: the topic's name cannot be, or the type has no schema.
    """

    def __init__(self, topic: str, of: Any, misfits: str, place: Place) -> None:
        try:
            self._topic = check_topic(topic)
            self._misfits = Misfits(misfits)
        except errors.BadRequest as error:
            raise place.error(error.detail) from None
        except ValueError:
            raise place.error(f"misfits={misfits!r}: write 'refuse' or 'quarantine'") from None
        self._schema = type_schema(of, place, "what it publishes")

    @property
    def name(self) -> str:
        """See `Attachment`."""
        return f"declare {self._topic}"

    @property
    def described(self) -> Publishes:
        """The same, for the description of the service."""
        return Publishes(topic=self._topic, payload=self._schema)

    async def run(self, context: Context) -> None:
        """See `Attachment`."""
        await context.events.declare(self._topic, self._schema, misfits=self._misfits)
