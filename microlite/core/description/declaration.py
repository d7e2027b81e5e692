"""The error of a declaration that cannot hold, and the place in the source that it names."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class DeclarationError(TypeError):
    """A service, endpoint or route cannot be declared as it is written.

    Raised while user code is imported, never during a call. The text names the function, the parameter where there is
    one, file and line, and what to write instead.
    """


class Place:
    """Where something was declared: a label and, as far as known, file and line."""

    __slots__ = ("file", "label", "line")

    def __init__(self, label: str, file: str = "", line: int = 0) -> None:
        self.label = label
        self.file = file
        self.line = line

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Place:
        """The place of a function's definition; its label is the function's qualified name."""
        inner = inspect.unwrap(function)
        code = getattr(inner, "__code__", None)
        label = getattr(inner, "__qualname__", None) or repr(function)
        label = label.rpartition("<locals>.")[2]
        if code is None:
            return cls(label)
        return cls(label, code.co_filename, code.co_firstlineno)

    def __str__(self) -> str:
        return f"{self.label} ({self.file}:{self.line})" if self.file else self.label

    def error(self, text: str) -> DeclarationError:
        """A `DeclarationError` that begins with this place."""
        return DeclarationError(f"{self}: {text}")
