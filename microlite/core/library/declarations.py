"""What a service declares about the platform's state: parts of the configuration, and what topics take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from microlite.core.description import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description.structs import ConfigDeclaration, Publishes
    from microlite.core.library.attachments import Attachment
    from microlite.core.library.state.config_declaring import Configured

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")


class Declarations:
    """The declarations of a `Service` that are no endpoints.

    What each of them needs is loaded when it is used, for most services use none.

    Attributes:
        place: where the service was made.
    """

    place: Place
    _attachments: list[Attachment]
    _publishes: list[Publishes]

    def publishes(self, topic: str, of: Any, *, misfits: str = "refuse") -> None:
        """Say what a topic takes that this service publishes to; the platform checks it from then on.

        Args:
            topic: its name.
            of: the type of the payloads.
            misfits: what happens to others: `"refuse"` tells their publisher, `"quarantine"` keeps them apart.

        Raises:
            DeclarationError: the name or the type cannot be.
        """
        from microlite.core.library.publishing import Declaration

        frame = sys._getframe(1)  # noqa: SLF001 - the author's line, for the text of errors
        place = Place(f"publishes({topic!r})", frame.f_code.co_filename, frame.f_lineno)
        declaration = Declaration(topic, of, misfits, place)
        self._attachments.append(declaration)
        self._publishes.append(declaration.described)

    def config(
        self, path: str, of: type[T], *, default: Any = ..., secret: bool = False, doc: str = ""
    ) -> Configured[T]:
        """Declare a part of the configuration: `limits = orders.config("limits", Limits)`, then `limits.value`.

        The platform refuses to set what does not fit the type. A node knows the value before its first call, and each
        change without a restart.

        Args:
            path: dotted, as in `limits.max`.
            of: the type of what stands there: a `msgspec.Struct` or dataclass with defaults, say.
            default: what holds where nothing is set; not needed for a class whose fields all have one.
            secret: whether it is kept encrypted, however it is set.
            doc: what it is for.

        Raises:
            DeclarationError: the path is malformed, the type has no schema, or the default does not fit it.
        """
        from microlite.core.library.state.config_declaring import hooks_of

        return hooks_of(self._attachments).declare(path, of, default, secret=secret, doc=doc, place=self.place)

    def on_config(self, path: str, *, default: Any = ..., secret: bool = False) -> Callable[[F], F]:
        """Call a function with the value at a path: before the first call of a node, and after each change. A decorator.

        It takes the value, as in `async def resize(pool: int)`, or the context and the value. Its annotation declares the
        type, as `config` does. A value that does not fit is logged, and the function is not called. Where nothing is set
        and there is no default, it is called only if its type takes None.

        Args:
            path: dotted, as in `limits.max`.
            default: what the value is where nothing is set.
            secret: whether it is kept encrypted, however it is set.

        Raises:
            DeclarationError: path, signature or default cannot be.
        """
        from microlite.core.library.state.config_declaring import hooks_of

        def declare(function: F) -> F:
            hooks_of(self._attachments).add(function, path, default, secret=secret)
            return function

        return declare

    @property
    def configuration(self) -> tuple[ConfigDeclaration, ...]:
        """What `config` and `on_config` declared."""
        return tuple(one for attachment in self._attachments for one in getattr(attachment, "declarations", ()))
