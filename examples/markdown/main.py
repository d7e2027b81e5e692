"""Markdown to HTML: a service built on markdown-it-py, which comes from PyPI into an environment of its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.footnote import footnote_plugin

from microlite import Service

markdown = Service("markdown", version="1.0.0", doc="Renders Markdown with markdown-it-py.")

# `html` is off: what callers send is text, and no way to put scripts into a page.
_parser = MarkdownIt("commonmark", {"html": False, "typographer": True})
_parser.enable(["table", "strikethrough", "replacements", "smartquotes"])
_parser.use(footnote_plugin).use(anchors_plugin, max_level=6)


@dataclass(frozen=True)
class Heading:
    """A heading of a document: its level from 1 to 6, its text, and the id by which a link finds it."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Page:
    """A rendered document."""

    html: str
    title: str
    words: int


@markdown.endpoint(idempotent=True)
def render(text: str) -> Page:
    """Render a document.

    Args:
        text: Markdown, with tables, footnotes and ~~strikethrough~~.
    """
    tokens = _parser.parse(text)
    headings = _headings(tokens)
    html = _parser.renderer.render(tokens, _parser.options, {})
    words = sum(len(token.content.split()) for token in tokens if token.type in ("inline", "fence", "code_block"))
    return Page(html, title=headings[0].text if headings else "", words=words)


@markdown.endpoint(idempotent=True)
def outline(text: str) -> list[Heading]:
    """List the headings of a document.

    Args:
        text: Markdown.
    """
    return _headings(_parser.parse(text))


def _headings(tokens: list[Token]) -> list[Heading]:
    return [
        Heading(level=int(token.tag[1]), text=inline.content, anchor=str(token.attrs.get("id", "")))
        for token, inline in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]


if __name__ == "__main__":
    markdown.run()
