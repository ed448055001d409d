"""How figures put numbers into words."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """`1 thread`, `1,200 threads`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(findings: Sequence[str]) -> str:
    """Several findings in one sentence: parted by semicolons where a finding has a comma of its own."""
    return ("; " if len(findings) > 1 and any(", " in finding for finding in findings) else ", ").join(findings)


def ms(value: float) -> str:
    """A time in ms with two or three digits that mean something: `0.12`, `5.3`, `16`, `1,110`."""
    if value < 0.995:
        return f"{value:.2g}"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def number(value: float) -> str:
    """A number as the reader would write it: `1`, `2.5`, `1,000`."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"
