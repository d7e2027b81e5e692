"""What Tab offers at the prompt: services, endpoints, their fields and values, and what Python knows itself."""

from __future__ import annotations

import re
import rlcompleter
from typing import TYPE_CHECKING, Any, Final

from microlite.cli.prompt.objects import Endpoint, ServiceObject
from microlite.cli.values import is_boolean
from microlite.core.description.type_words import alternatives, choices, kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.cli.prompt.console import Console

_NAMES: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_OPEN_CALL: Final = re.compile(rf"({_NAMES})\([^()]*$")
_VALUE: Final = re.compile(r"([^\W\d]\w*)=\s*([\"']?)$")


class Completer:
    """The function that readline calls, with the words of a console.

    Args:
        console: whose names and services are completed.
        line: gives the line up to the word that is being completed.
    """

    def __init__(self, console: Console, line: Callable[[], str]) -> None:
        self._console = console
        self._line = line
        self._found: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """See `readline.set_completer`. Never raises: it has no candidates then."""
        if state == 0:
            try:
                self._found = self._candidates(text)
            except Exception:  # noqa: BLE001 - between two key strokes is no time for errors
                self._found = []
        return self._found[state] if state < len(self._found) else None

    def _candidates(self, text: str) -> list[str]:
        before = self._line()
        if not text and not before.strip():
            return ["    "]
        self._console.refresh()
        head, dot, tail = text.rpartition(".")
        if dot:
            holder = self._find(head)
            if isinstance(holder, ServiceObject):
                return [
                    _shown(f"{head}.{name}", getattr(holder, name)) for name in dir(holder) if name.startswith(tail)
                ]
            return self._of_python(text)
        endpoint = self._called(before)
        if endpoint is not None:
            value = _VALUE.search(before)
            if value is not None:
                return [one for one in _values(endpoint, value[1], value[2]) if one.startswith(text)]
            given = set(re.findall(r"(\w+)=", before))
            fields = [*(["items"] if endpoint.described.takes_stream else []), *endpoint.fields]
            named = [f"{name}=" for name in fields if name.startswith(text) and name not in given]
            if named or not text:
                return named
        own = [name for name, value in self._console.words.items() if isinstance(value, ServiceObject)]
        words = [name for name in own if name.startswith(text)]
        return list(dict.fromkeys([*words, *(self._of_python(text) if text else [])]))

    def _of_python(self, text: str) -> list[str]:
        plain = {name: value for name, value in self._console.words.items() if not isinstance(value, ServiceObject)}
        completer = rlcompleter.Completer(plain)
        return list(completer.attr_matches(text) if "." in text else completer.global_matches(text))

    def _called(self, before: str) -> Endpoint | None:
        """The endpoint within whose brackets the cursor is."""
        call = _OPEN_CALL.search(before)
        found = self._find(call[1]) if call is not None else None
        if isinstance(found, ServiceObject):
            found = getattr(found, "call", None)
        return found if isinstance(found, Endpoint) else None

    def _find(self, path: str) -> Any:
        """What a dotted name stands for, if it begins with a service or a variable that holds one."""
        first, *rest = path.split(".")
        found = self._console.words.get(first)
        for name in rest:
            if not isinstance(found, ServiceObject):
                return None
            found = getattr(found, name, None)
        return found


def _shown(path: str, value: object) -> str:
    return f"{path}(" if isinstance(value, Endpoint) else f"{path}."


def _values(endpoint: Endpoint, field: str, quote: str) -> list[str]:
    """The values of a field that has a few, as Python writes them; without quotes where one stands already."""
    root = endpoint.described.request
    schema = endpoint.fields.get(field)
    if schema is None:
        return []
    if is_boolean(schema, root):
        return [] if quote else ["True", "False"]
    found = [word for one in alternatives(schema, root) if kind(one) == "enum" for word in choices(one)]
    return [f"{word}{quote}" if quote else f'"{word}"' for word in found]
