"""Makes what a fork server has loaded immortal, so that its nodes go on sharing the pages that it lies on.

A node that only looks at an inherited object counts a reference to it, which writes to its page, and the kernel copies
the page: 2 of the 5.6 MB that a node took. Since Python 3.12 the interpreter counts no references to objects that it
holds for immortal (PEP 683), as it does with None. What a fork server has loaded stays as long as the process anyhow.
"""

from __future__ import annotations

import ctypes
import gc
import sys

_IMMORTAL = 0xFFFF_FFFF  # the count of an immortal object, in Python 3.12 and 3.13; 3.14 takes it for one as well
_MORTAL = 0x8000_0000  # counts below this are counts


def immortalise() -> bool:
    """Make every object immortal that exists by now. False where this interpreter knows no such thing."""
    memory = (ctypes.c_uint32 * (sys.maxsize // 8)).from_address(0)  # all of it: the quickest way to write one word
    if not _is_possible(memory):
        return False
    found = gc.get_objects()
    while found:
        fresh = {place: one for one in found if memory[place := id(one) >> 2] < _MORTAL}
        for place in fresh:
            memory[place] = _IMMORTAL
        found = gc.get_referents(*fresh.values())
    return True


def _is_possible(memory: ctypes.Array[ctypes.c_uint32]) -> bool:
    """Try it: the count may lie elsewhere (free threading, a debug build), or go on counting from there (3.11)."""
    probe = object()
    place = id(probe) >> 2
    count = memory[place]
    if not _counts(memory, place, probe, 3):
        return False
    memory[place] = _IMMORTAL
    possible = _counts(memory, place, probe, 0)
    if not possible:
        memory[place] = count
    return possible


def _counts(memory: ctypes.Array[ctypes.c_uint32], place: int, probe: object, references: int) -> bool:
    """Whether three references more change the count by so many, and their end changes it back."""
    before = memory[place]
    held = [probe] * 3
    during = memory[place]
    del held
    return during - before == references and memory[place] == before
