"""Each word that names code in a git repository is taken apart in one way; what could do harm is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.runtime.git.address import Address, address_of, of_path, parse_address
from tests.git.git_parts import Repository


@pytest.mark.parametrize(
    ("typed", "url", "path", "ref", "name"),
    [
        ("github.com/o/r", "https://github.com/o/r", "", "", "r"),
        ("github.com/o/r/", "https://github.com/o/r", "", "", "r"),
        ("github.com/o/r@v1.2", "https://github.com/o/r", "", "v1.2", "r"),
        ("github.com/o/r/services/orders@main", "https://github.com/o/r", "services/orders", "main", "orders"),
        ("github.com/o/r/orders@feature/a/b", "https://github.com/o/r", "orders", "feature/a/b", "orders"),
        ("github.com/o/r/@scope/x@v1", "https://github.com/o/r", "@scope/x", "v1", "x"),
        ("gitlab.com/o/r/x", "https://gitlab.com/o/r", "x", "", "x"),
        ("gitlab.com/group/sub/r.git/x", "https://gitlab.com/group/sub/r.git", "x", "", "x"),
        ("bitbucket.org/o/r@1a2b3c4", "https://bitbucket.org/o/r", "", "1a2b3c4", "r"),
        ("git.example.org:8443/o/r", "https://git.example.org:8443/o/r", "", "", "r"),
        ("git.example.org/r.git", "https://git.example.org/r.git", "", "", "r"),
        ("dev.azure.com/o/p/_git/r//x@b", "https://dev.azure.com/o/p/_git/r", "x", "b", "x"),
        ("dev.azure.com/o/p/_git/r//", "https://dev.azure.com/o/p/_git/r", "", "", "r"),
        ("https://host/o/r.git/path@ref", "https://host/o/r.git", "path", "ref", "path"),
        ("HTTPS://github.com/o/r", "https://github.com/o/r", "", "", "r"),
        ("https://ann@github.com/o/r", "https://github.com/o/r", "", "", "r"),
        ("http://localhost:3000/o/r.git@x", "http://localhost:3000/o/r.git", "", "x", "r"),
        ("http://127.0.0.1:3000/o/r", "http://127.0.0.1:3000/o/r", "", "", "r"),
        ("ssh://git@github.com/o/r.git/x@v1", "ssh://git@github.com/o/r.git", "x", "v1", "x"),
        ("ssh://github.com:2222/o/r", "ssh://github.com:2222/o/r", "", "", "r"),
        ("git@github.com:o/r.git", "git@github.com:o/r.git", "", "", "r"),
        ("git@github.com:o/r.git/x@v1", "git@github.com:o/r.git", "x", "v1", "x"),
        ("git@github.com:o/r/x", "git@github.com:o/r", "x", "", "x"),
        ("git://host/o/r", "git://host/o/r", "", "", "r"),
        ("helloworld", "https://github.com/micro/services", "helloworld", "", "helloworld"),
        ("helloworld@v1", "https://github.com/micro/services", "helloworld", "v1", "helloworld"),
        ("shop/orders", "https://github.com/micro/services", "shop/orders", "", "orders"),
    ],
)
def test_an_address_is_taken_apart(typed: str, url: str, path: str, ref: str, name: str) -> None:
    address = parse_address(typed, base="github.com/micro/services/")
    assert address is not None
    assert (address.url, address.path, address.ref, address.name) == (url, path, ref, name)
    assert parse_address(address.text) == address


@pytest.mark.parametrize(
    "typed", [".", "./x", "../x", "/srv/x", "~/x", "orders", "main.py", "orders/main.py", "", "x y"]
)
def test_other_words_are_no_addresses(typed: str) -> None:
    assert parse_address(typed) is None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ext::sh -c touch% /tmp/x", "only https, http, ssh, git, file"),
        ("fd::17/foo", "only https"),
        ("ftp://host/o/r", "only https"),
        ("ext://host/o/r", "only https"),
        ("http://example.org/o/r", "use https"),
        ("https://ann:secret@github.com/o/r", "git.credentials.github.com"),
        ("https://github.com", "names a host and no repository"),
        ("https://github.com/r", "names no repository"),
        ("github.com/o/r/../../x", "'..' cannot stand"),
        ("github.com/../r", "'..' cannot stand"),
        ("github.com/o/r/.git/hooks", "'.git' cannot stand"),
        ("github.com/o/r/x?y", r"\?, # and"),
        ("github.com/o/r x", "blanks"),
        ("https://-oProxyCommand=x/o/r", "no name of a host"),
        ("ssh://-oProxyCommand=x/o/r", "no name of a host"),
        ("ssh://-x@host/o/r", "no name of a user"),
        ("github.com/o/r@--upload-pack=x", "no branch, tag or commit"),
        ("github.com/o/r@a..b", "no branch"),
        ("github.com/o/r@", "no branch"),
        ("github.com/o/r@a b", "no branch"),
        ("github.com/o/r@x.lock", "no branch"),
        ("github.com/o/r@HEAD~1", "no branch"),
        ("github.com/o/r/tree/main/x", "address of a page: write github.com/o/r/<folder>@<branch>"),
        ("https://gitlab.com/o/r/-/tree/main", "address of a page"),
        ("file://host/x", "a repository on this disk"),
        ("file:///no/such/place", "no git repository"),
    ],
)
def test_what_is_wrong_or_not_allowed_says_why(typed: str, said: str) -> None:
    with pytest.raises((errors.BadRequest, errors.NotFound), match=said) as refused:
        parse_address(typed)
    assert "secret" not in str(refused.value)


@given(st.text(alphabet="ab1.-_/@:~% ", max_size=40))
def test_no_word_leads_to_an_option_or_out_of_its_repository(typed: str) -> None:
    """Whatever is typed, git is given a URL that begins with a known scheme or with a user, and a path stays inside."""
    try:
        address = parse_address(typed, base="github.com/o/r")
    except errors.Error:
        return
    if address is None:
        return
    assert address.url.startswith(("https://", "http://", "ssh://", "git://")) or "@" in address.url.partition(":")[0]
    assert not address.url.startswith("-")
    assert not address.ref.startswith("-")
    assert ".." not in address.path.split("/")
    assert not address.path.startswith("/")
    assert parse_address(address.text) == address


def test_repositories_on_this_disk(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit({"services/orders/main.py": ""})
    bare, tree = str(repository.bare), str(repository.tree)
    for typed in (f"{repository.url}/services/orders@v1", f"{bare}/services/orders@v1", f"{tree}/services/orders@v1"):
        address = address_of(typed)
        assert address is not None
        assert (address.path, address.ref, address.name) == ("services/orders", "v1", "orders")
        assert address_of(address.text) == address
    assert of_path(bare) == Address(repository=bare, url=f"file://{bare}", host="")
    assert of_path(tree) is None, "a folder that exists is a folder"
    assert of_path(f"{tree}/services/orders") is None
    here = of_path(f"{tree}/services/.@v1")
    assert here is not None
    assert (here.repository, here.path, here.ref) == (tree, "services", "v1")
    assert of_path(str(tmp_path)) is None
    assert of_path(f"{tmp_path}/nothing@v1") is None
    with_at = tmp_path / "a@b"
    (with_at / ".git").mkdir(parents=True)
    assert of_path(str(with_at)) is None
    blank = Repository(tmp_path / "my repos")
    address = address_of(str(blank.bare))
    assert address is not None
    assert address.url == f"file://{tmp_path}/my%20repos/shop.git"
