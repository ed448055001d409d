"""How numbers, lists and tables are put into words: once, for the command line, the cards and the figures alike."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

UNKNOWN = "–"
"""What stands where there is no evidence."""


def figure(value: float) -> str:
    """Three significant digits, or all of a larger number: `0.312`, `5.3`, `1,110`; a dash without evidence."""
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """A ratio in three significant digits, zeros included: `0.312`, `1.00`, `30.1`, `2,310`; a dash without
    evidence."""
    if ratio >= 999.5:
        return f"{float(f'{ratio:.3g}'):,.0f}"
    return UNKNOWN if math.isnan(ratio) else f"{ratio:#.3g}".rstrip(".")


def percent(share: float) -> str:
    """A share of 1 in percent: `12%`; a dash without evidence."""
    return UNKNOWN if math.isnan(share) else f"{share:.0%}"


def ms(value: float) -> str:
    """A time in ms with two or three digits that mean something: `0.12`, `5.3`, `16`, `1,110`."""
    if value < 0.995:
        return f"{value:.2g}"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def us(value: float) -> str:
    """A time in µs with its unit, in ms from 1,000 µs on: `0.12 µs`, `5.3 µs`, `71 µs`, `1.1 ms`."""
    number, unit = (value, "µs") if value < 1e3 else (value / 1e3, "ms")
    return f"{ms(number)}\N{NO-BREAK SPACE}{unit}"


def number(value: float) -> str:
    """A number as the reader would write it: `1`, `2.5`, `1,000`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"


def gigabytes(size: int) -> str:
    """A size in bytes: `8.2 GB`."""
    return f"{size / 1e9:.3g} GB"


def counted(number: int, noun: str) -> str:
    """`1 thread`, `1,200 threads`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def things(*counts: tuple[int, str]) -> str:
    """`1 event loop and 3 threads`: those of which there are any; empty for none."""
    found = [counted(number, noun) for number, noun in counts if number]
    return listed(found) if found else ""


def often(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def joined(findings: Sequence[str]) -> str:
    """Several findings in one sentence: parted by semicolons where a finding has a comma of its own."""
    return ("; " if len(findings) > 1 and any(", " in finding for finding in findings) else ", ").join(findings)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; a name with a comma of its own in quotation marks."""
    *others, last = [f"“{name}”" if ", " in name else name for name in names]
    return f"{', '.join(others)} and {last}" if others else last


def columns(rows: Iterable[Sequence[str]], align: str = "<") -> list[str]:
    """Return rows of text as lines, with their cells one below the other.

    `align` has a sign for each column, `<` for flush left and `>` for flush right; the last is also that of all further
    columns.
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = align.ljust(len(widths), align[-1])
    return ["  ".join(map(_padded, row, signs, widths)).rstrip() for row in rows]


def _padded(cell: str, sign: str, width: int) -> str:
    return f"{cell:{sign}{width}}"


def without_passwords(text: str) -> str:
    """Return the text with `***` for each password in an address: it may repeat what somebody has typed."""
    return re.sub(r"(://[^\s/:@]*:)[^\s]*@", r"\1***@", text)
