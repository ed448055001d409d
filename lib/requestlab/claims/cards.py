"""How verdicts look: words on their colours, times and sources, and lines of text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from markupsafe import Markup

from requestlab.claims.statement import CANNOT_TELL, NEITHER, NOT_TRIED, REFUTED, SUPPORTED, Statement
from requestlab.system import html

COLOURS = {
    SUPPORTED: "#00694d",
    REFUTED: "#a63c00",
    NEITHER: "#5d4a94",
    CANNOT_TELL: "#4a4a4a",
    NOT_TRIED: "#767676",
}
"""White text is legible on each (contrast of 4.5 or more)."""

WIDTH = 100
_INDENT = 10


def plain(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and texts as lines for a terminal, at most 100 characters wide."""
    return "\n".join(
        textwrap.fill(f"{name:<{_INDENT}}{text}", WIDTH, subsequent_indent=" " * _INDENT, break_on_hyphens=False)
        for name, text in rows
    )


def badge(verdict: str) -> Markup:
    """Return a verdict as a word first, and a colour second."""
    colour = COLOURS[verdict]
    filled = f"background:{colour};color:#ffffff;font-weight:600"
    look = f"background:#ffffff;color:{colour}" if verdict == NOT_TRIED else filled
    style = f"display:inline-block;{look};border:1px solid {colour};padding:0.1em 0.6em;border-radius:0.3em;white-space:nowrap"
    return Markup('<span style="{}">{}</span>').format(style, verdict)


def source(statement: Statement) -> Markup:
    """Return whose sentence it is, with a link where there is an address."""
    if not statement.url:
        return Markup.escape(statement.source)
    return Markup('<a href="{}" style="{}">{}</a>').format(statement.url, html.LINK, statement.source)


def quoted(sentence: str) -> str:
    """Return a sentence in quotation marks."""
    return sentence if sentence.startswith("“") else f"“{sentence}”"


def when(time: str) -> str:
    """Return a time as a reader writes it, to the minute."""
    return f"{time[:16].replace('T', ' ')} UTC"
