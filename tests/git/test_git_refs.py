"""Which commit a ref means, by what a repository lists."""

from __future__ import annotations

import pytest

from microlite.core.runtime.git.refs import Kind, parse_listing

ONE, TWO, TAG, MARKED = (digit * 40 for digit in "1234")

LISTING = parse_listing(
    f"ref: refs/heads/main\tHEAD\n{ONE}\tHEAD\n{TWO}\trefs/heads/feature/a\n{ONE}\trefs/heads/main\n"
    f"{TWO}\trefs/heads/v1\n{TAG}\trefs/tags/v1\n{TAG}\trefs/tags/v2\n{MARKED}\trefs/tags/v2^{{}}\n"
)


@pytest.mark.parametrize(
    ("ref", "kind", "commit"),
    [
        ("", Kind.BRANCH, ONE),
        ("main", Kind.BRANCH, ONE),
        ("feature/a", Kind.BRANCH, TWO),
        ("v1", Kind.BRANCH, TWO),
        ("v2", Kind.TAG, MARKED),
        (ONE, Kind.COMMIT, ONE),
        ("2222222", Kind.COMMIT, TWO),
        ("a" * 40, Kind.COMMIT, "a" * 40),
        ("abcdef1", Kind.COMMIT, "abcdef1"),
    ],
)
def test_a_ref_is_a_branch_else_a_tag_else_a_commit(ref: str, kind: Kind, commit: str) -> None:
    target = LISTING.find(ref)
    assert target is not None
    assert (target.kind, target.commit) == (kind, commit)
    assert bool(target.wanted) == (len(commit) == 40), "what is abbreviated has to be searched for"


def test_what_is_not_there_is_none_and_has_neighbours() -> None:
    assert LISTING.find("mian") is None
    assert LISTING.near("mian") == ["main"]
    assert LISTING.near("feature") == ["feature/a"]
    assert LISTING.near("zzz") == ["feature/a", "main", "v1", "v2"]


def test_an_empty_repository_and_a_detached_head() -> None:
    assert parse_listing("").find("") is None
    detached = parse_listing(f"{ONE}\tHEAD\n{TWO}\trefs/heads/main\n").find("")
    assert detached is not None
    assert detached.commit == ONE
