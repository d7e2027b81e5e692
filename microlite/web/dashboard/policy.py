"""What a page may load and do: our own files, and nothing that is written into the page itself."""

from __future__ import annotations


def policy(*, connect: str = "") -> str:
    """The Content-Security-Policy (https://www.w3.org/TR/CSP3/).

    Args:
        connect: a further origin that the page's scripts may call.
    """
    sources = f"'self' {connect}" if connect else "'self'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {sources}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
