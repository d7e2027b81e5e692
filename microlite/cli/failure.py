"""What a command raises that fails for a reason of its own (a service's is a `core.errors.Error`), and how both read."""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
"""Exit code: it did not work."""
USAGE: Final = 2
"""Exit code: the command line itself is wrong."""
UNAUTHORIZED: Final = 2
"""Exit code: not authorised. A wrong command line is 2 as well."""
MALFORMED: Final = 3
"""Exit code: a name of a service or endpoint has no form that could be one."""
NOT_FOUND: Final = 4
"""Exit code: there is no such service, or no platform to ask."""
NO_ENDPOINT: Final = 5
"""Exit code: the service has no such endpoint."""
INTERRUPTED: Final = 130
"""Exit code: Ctrl-C, as shells have it (128 and the number of the signal)."""


class CommandError(Exception):
    """The command ends here.

    Args:
        detail: one sentence for the person who typed it: what is wrong, and what to do.
        code: the exit code.
    """

    def __init__(self, detail: str, code: int = FAILED) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code


def sentence(text: str) -> str:
    """The text with a capital, but where it begins with a name: `shop.buy failed`, `--name: expected str`."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
