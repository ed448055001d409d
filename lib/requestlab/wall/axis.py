"""One claim's intervals on one axis, as SVG: where it is supported, where refuted, and each machine's figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from requestlab.claims import cards
from requestlab.claims.statement import Region, Rule
from requestlab.wall.room import Found, Judged

WIDTH, LEFT, RIGHT = 640, 150, 12
ROW, TOP, BOTTOM = 15, 6, 24
ROOM = 0.08
"""Share of the axis beyond the figures on both sides."""


@dataclass(frozen=True)
class Line:
    """One machine's figure: at `y`, from `low` to `high`, with its dot `at` a place; all in units of the picture."""

    name: str
    words: str
    colour: str
    y: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Shade:
    """A region of the axis."""

    colour: str
    x: float
    width: float


@dataclass(frozen=True)
class Tick:
    """A figure on the axis; its text begins, ends or has its middle there, so that all of it is seen."""

    text: str
    x: float

    @property
    def anchor(self) -> str:
        return "end" if self.x > WIDTH - RIGHT - 40 else "start" if self.x < LEFT + 20 else "middle"


@dataclass(frozen=True)
class Axis:
    """All that is drawn of one claim; figures that there are none of are left out."""

    height: float
    lines: tuple[Line, ...]
    shades: tuple[Shade, ...]
    ticks: tuple[Tick, ...]
    width: float = WIDTH
    left: float = LEFT
    right: float = WIDTH - RIGHT
    bottom: float = BOTTOM


def axis(judged: Judged) -> Axis:
    """Return the picture of a claim: logarithmic where it is a ratio, from the smallest bound to the largest."""
    rule = judged.rule
    known = [one for one in judged.found if math.isfinite(one.finding.value)]
    scale = _Scale.over(known, rule)
    lines = tuple(
        Line(
            one.entry.name,
            f"{one.entry.name}: {one.finding.measured(rule)}, {one.word}",
            cards.COLOURS[one.word],
            TOP + ROW * (number + 0.5),
            scale.place(one.finding.value),
            scale.place(one.finding.low),
            scale.place(one.finding.high),
        )
        for number, one in enumerate(known)
    )
    shades = [Shade("#d8ece5", *scale.span(rule.supported))]
    if rule.refuted is not None:
        shades.append(Shade("#f6e1d6", *scale.span(rule.refuted)))
    return Axis(TOP + ROW * len(known) + BOTTOM, lines, tuple(shades), tuple(scale.ticks(rule)))


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool

    @classmethod
    def over(cls, found: Sequence[Found], rule: Rule) -> _Scale:
        ends = [end for one in found for end in (one.finding.low, one.finding.value, one.finding.high)]
        ends += [end for region in _regions(rule) for end in (region.low, region.high)]
        log = rule.what == "ratio"
        usable = [end for end in ends if math.isfinite(end) and (end > 0 or not log)] or [1.0]
        low, high = min(usable), max(usable)
        if log:
            apart = max(math.log(high / low), 0.2)
            return cls(low * math.exp(-ROOM * apart), high * math.exp(ROOM * apart), log)
        apart = (high - low) or abs(high) or 1.0
        begin = low - ROOM * apart
        return cls(max(begin, 0.0) if low >= 0 else begin, high + ROOM * apart, log)

    def place(self, value: float) -> float:
        """Return where a figure stands, at an end where it lies beyond it."""
        value = min(max(value, self.low), self.high)
        share = (
            math.log(value / self.low) / math.log(self.high / self.low)
            if self.log
            else (value - self.low) / (self.high - self.low)
        )
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def span(self, region: Region) -> tuple[float, float]:
        begin, end = self.place(region.low), self.place(region.high)
        return begin, max(end - begin, 2.0)

    def ticks(self, rule: Rule) -> list[Tick]:
        ends = {end for region in _regions(rule) for end in (region.low, region.high) if math.isfinite(end)}
        marks = ends if rule.what == "count" and len(ends) > 1 else ends | {self.low, self.high}
        inside = sorted(mark for mark in marks if self.low <= mark <= self.high)
        placed: list[Tick] = []
        for mark in inside:
            x = self.place(mark)
            if not placed or x - placed[-1].x > 70:
                placed.append(Tick(rule.shown(mark), x))
        return placed


def _regions(rule: Rule) -> list[Region]:
    return [rule.supported, *([] if rule.refuted is None else [rule.refuted])]
