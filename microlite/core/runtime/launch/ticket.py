"""The ticket of a node, taken out of its environment before any line of user code can see it there, or hand it on."""

from __future__ import annotations

import os
import sys

VARIABLE = "MICROLITE_TICKET"
"""The variable in which the platform hands it over."""

PLACE = "_microlite_ticket"
"""The module that holds it from then on, as `value`, until the library takes it."""


def hide() -> None:
    """Take it out of the environment. Nothing happens where there is none."""
    value = os.environ.pop(VARIABLE, "")
    if value:
        module = type(sys)(PLACE)
        module.__dict__["value"] = value
        sys.modules[PLACE] = module
