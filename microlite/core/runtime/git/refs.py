"""What a repository says of its branches and tags, and which commit a ref means there. Pure."""

from __future__ import annotations

import difflib
import enum
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.runtime.git.address import is_pin

if TYPE_CHECKING:
    from collections.abc import Mapping

_BRANCHES: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
_SHOWN: Final = 5


class Kind(enum.StrEnum):
    """What a ref is."""

    BRANCH = "branch"
    TAG = "tag"
    COMMIT = "commit"


class Target(msgspec.Struct, frozen=True):
    """What a ref means now.

    Attributes:
        commit: its full id; of an abbreviated one that no branch or tag ends with, what was typed.
        wanted: what to ask the repository for; empty where it must be searched for in the whole history.
    """

    kind: Kind
    commit: str
    wanted: str


class Listing(msgspec.Struct, frozen=True):
    """The refs of a repository.

    Attributes:
        head: what its default branch points to; None in an empty repository.
        refs: full names and commits; a tag with a message of its own leads to the commit that it marks.
    """

    head: Target | None
    refs: Mapping[str, str]

    def find(self, ref: str) -> Target | None:
        """What a ref means: first among branches, then among tags, then as a commit; None if nothing."""
        if not ref:
            return self.head
        for prefix, kind in ((_BRANCHES, Kind.BRANCH), (_TAGS, Kind.TAG)):
            if (commit := self.refs.get(prefix + ref)) is not None:
                return Target(kind, commit, prefix + ref)
        if not is_pin(ref):
            return None
        whole = next((commit for commit in self.refs.values() if commit.startswith(ref)), None)
        if whole is not None:
            return Target(Kind.COMMIT, whole, whole)
        return Target(Kind.COMMIT, ref, ref if len(ref) in (40, 64) else "")

    def near(self, ref: str) -> list[str]:
        """Branches and tags with a similar name; else some that there are."""
        names = sorted({name.removeprefix(_BRANCHES).removeprefix(_TAGS) for name in self.refs})
        similar = difflib.get_close_matches(ref, names, n=_SHOWN, cutoff=0.5)
        similar += [name for name in names if ref.lower() in name.lower() and name not in similar]
        return (similar or names)[:_SHOWN]


def parse_listing(text: str) -> Listing:
    """Read what `git ls-remote --symref URL HEAD refs/heads/* refs/tags/*` prints."""
    refs: dict[str, str] = {}
    branch, head = "", ""
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            branch = value.removeprefix("ref: ")
        elif name == "HEAD":
            head = value
        elif name.startswith((_BRANCHES, _TAGS)):
            refs[name.removesuffix("^{}")] = value  # a peeled line comes behind that of its tag
    target = Target(Kind.BRANCH, head, branch or "HEAD") if head else None
    return Listing(target, refs)
