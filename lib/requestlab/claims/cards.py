"""How verdicts and ledgers look: in a notebook or a page as HTML with inline styles, in a terminal as plain text.

Light background and dark text are both set, so that a card is legible in a dark theme; the verdict is a word first, and a
colour second.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING

from requestlab.claims.verdict import CANNOT_TELL, NOT_TRIED, REFUTED, SUPPORTED, Verdict

if TYPE_CHECKING:
    from requestlab.claims.ledger import Ledger
    from requestlab.claims.statement import Claim

COLOURS = {SUPPORTED: "#00694d", REFUTED: "#a63c00", CANNOT_TELL: "#4a4a4a", NOT_TRIED: "#767676"}
"""White text is legible on each (contrast of 4.5 or more)."""

WIDTH = 100

_BOX = (
    "border:1px solid #c8c8c8;border-left:6px solid {colour};background:#ffffff;color:#1a1a1a;padding:0.7em 1em;"
    "margin:0.5em 0;max-width:52em;font-family:system-ui,sans-serif;font-size:14px;line-height:1.45"
)
_CELL = "text-align:left;vertical-align:top;padding:0.3em 1.2em 0.3em 0;border:0;background:#ffffff;color:#1a1a1a"
_TEXT = "margin:0;border:0;padding:0;background:#ffffff;color:#1a1a1a"
_SMALL = "color:#555555;font-size:12px"


def html_card(verdict: Verdict) -> str:
    """Return a verdict as a card."""
    claim = verdict.claim
    rows = [("Asked", escape(_asked(claim)))] if claim.asked else []
    rows += [("Rule", code(claim.words)), ("Measured", _html_measured(verdict)), ("Why", escape(verdict.reason))]
    rows += [("Answer", code(verdict.answer))] if verdict.answer else []
    rows += [("Note", escape(verdict.note))] if verdict.note else []
    table = "".join(
        f'<tr style="background:#ffffff"><th style="{_CELL};font-weight:600">{head}</th><td style="{_CELL}">{cell}</td></tr>'
        for head, cell in rows
    )
    return (
        f'<div style="{_BOX.format(colour=COLOURS[verdict.verdict])}">'
        f'<p style="{_TEXT}">{badge(verdict.verdict)} on this machine{", in quick mode" if verdict.quick else ""}</p>'
        f'<blockquote style="{_TEXT};font-size:16px;padding:0.5em 0 0">{code(_quoted(claim.sentence))}</blockquote>'
        f'<p style="{_TEXT};{_SMALL}">— {html_source(claim)}</p>'
        f'<table style="{_TEXT};border-collapse:collapse;margin:0.5em 0;font-size:14px">{table}</table>'
        f'<p style="{_TEXT};{_SMALL}">{escape(verdict.machine.caption)} · {escape(when(verdict.time))}</p></div>'
    )


def plain_card(verdict: Verdict) -> str:
    """Return a verdict as text for a terminal, at most 100 characters wide."""
    claim = verdict.claim
    rows = [
        ("claim", _quoted(claim.sentence)),
        ("source", f"{claim.source} {claim.url}".strip()),
        *([("asked", _asked(claim))] if claim.asked else []),
        ("rule", claim.words),
        *[("" if number else "measured", line) for number, line in enumerate(_plain_measured(verdict))],
        ("verdict", f"{verdict.verdict}{', in quick mode' if verdict.quick else ''}: {verdict.reason}"),
        *([("answer", verdict.answer)] if verdict.answer else []),
        *([("note", verdict.note)] if verdict.note else []),
        ("machine", f"{verdict.machine.caption} · {when(verdict.time)}"),
    ]
    indent = " " * 10
    return "\n".join(
        textwrap.fill(f"{head:<10}{text}", WIDTH, subsequent_indent=indent, break_on_hyphens=False)
        for head, text in rows
    )


def html_ledger(ledger: Ledger, links: Mapping[str, str] | None = None) -> str:
    """Return a table of all claims with their verdicts; `links` are the addresses of lessons, by name."""
    heads = "".join(
        f'<th style="{_CELL};font-weight:600">{head}</th>' for head in ("Claim", "Verdict", "Measured", "Lesson")
    )
    rows = "".join(_html_row(ledger, claim, links or {}) for claim in ledger.claims)
    return (
        f'<table class="ledger" style="{_TEXT};border-collapse:collapse;font-family:system-ui,sans-serif;font-size:14px">'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def plain_ledger(ledger: Ledger) -> str:
    """Return that table as lines of text: claim, verdict, what was measured."""
    rows = []
    for claim in ledger.claims:
        verdict = ledger.verdict(claim.id)
        measured = "; ".join(_plain_measured(verdict)) if verdict else ""
        rows.append((claim.id, word(ledger, claim), measured))
    return "\n".join(columns(rows))


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows of text with their cells one below the other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def word(ledger: Ledger, claim: Claim) -> str:
    """Return the latest verdict in a word, with a mark where it is of quick mode or an earlier one said the opposite."""
    verdict = ledger.verdict(claim.id)
    if verdict is None:
        return NOT_TRIED
    marks = "; ".join(_marks(ledger, verdict))
    return f"{verdict.verdict} ({marks})" if marks else verdict.verdict


def _marks(ledger: Ledger, verdict: Verdict) -> Iterator[str]:
    if verdict.quick:
        yield "quick"
    if opposite := ledger.opposite(verdict.claim.id):
        yield f"earlier: {opposite}"


def badge(verdict: str) -> str:
    """Return a verdict as a word on its colour."""
    colour = COLOURS[verdict]
    filled = f"background:{colour};color:#ffffff;font-weight:600"
    hollow = f"background:#ffffff;color:{colour}"
    style = (
        f"display:inline-block;{hollow if verdict == NOT_TRIED else filled};border:1px solid {colour};padding:0.1em 0.6em;"
        "border-radius:0.3em;white-space:nowrap"
    )
    return f'<span style="{style}">{verdict}</span>'


def html_source(claim: Claim) -> str:
    """Return whose sentence it is, with a link where there is an address."""
    text = escape(claim.source)
    return f'<a href="{escape(claim.url)}" style="color:#0050a0">{text}</a>' if claim.url else text


def code(text: str) -> str:
    """Return text as HTML, with what stands between backquotes as code."""
    return re.sub(r"`([^`]+)`", r'<code style="background:#f2f2f2;color:#1a1a1a">\1</code>', escape(text))


def when(time: str) -> str:
    """Return a time as a reader writes it, to the minute."""
    return f"{time[:16].replace('T', ' ')} UTC"


def _html_row(ledger: Ledger, claim: Claim, links: Mapping[str, str]) -> str:
    verdict = ledger.verdict(claim.id)
    number, link = escape(claim.notebook.partition("-")[0]), links.get(claim.notebook)
    lesson = f'<a href="{escape(link)}" style="color:#0050a0">{number}</a>' if link else number
    marks = "".join(f'<br><span style="{_SMALL}">{mark}</span>' for mark in _marks(ledger, verdict)) if verdict else ""
    asked = f"{claim.question}, " if claim.question else ""
    sentence = (
        f'{code(claim.sentence)}<br><span style="{_SMALL}">{escape(claim.id)} · {asked}{html_source(claim)}</span>'
    )
    cells = (
        sentence,
        badge(verdict.verdict if verdict else NOT_TRIED) + marks,
        _html_measured(verdict) + _html_aside(verdict) if verdict else "",
        lesson,
    )
    return (
        f'<tr id="claim-{escape(claim.id)}" style="border-top:1px solid #dddddd;background:#ffffff">'
        + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _html_aside(verdict: Verdict) -> str:
    rule = f"{verdict.claim.words}"
    why = f"; {verdict.reason}" if verdict.verdict == CANNOT_TELL else ""
    return f'<div style="{_SMALL}">{code(rule + why)}</div>'


def _html_measured(verdict: Verdict) -> str:
    return "<br>".join(code(line) for line in _plain_measured(verdict))


def _plain_measured(verdict: Verdict) -> list[str]:
    lines = []
    for name, figure, found in verdict.measured():
        lines.append(f"{name}: {figure}, {found}" if name else figure)
    if verdict.rounds:
        lines.append(f"{verdict.rounds} rounds" if len(lines) == 1 else f"{verdict.rounds} rounds or more each")
    return lines


def _asked(claim: Claim) -> str:
    return f"{claim.question}: {claim.asked}"


def _quoted(sentence: str) -> str:
    return sentence if sentence.startswith("“") else f"“{sentence}”"
