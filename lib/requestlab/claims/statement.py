"""The statements on trial: sentences that can turn out false, who said them, and the rule for each.

They stand in `claims.toml`, which is meant to be read.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from requestlab.errors import ConfigurationError
from requestlab.system import checks, wording

SUPPORTED, REFUTED, NEITHER, CANNOT_TELL = "supported", "refuted", "neither", "cannot tell"
WORDS = (SUPPORTED, REFUTED, NEITHER, CANNOT_TELL)
"""What a verdict can be. `neither`: what was measured lies between what was claimed and what would refute it, for
certain."""

NOT_TRIED = "not yet tried"

KINDS = ("structure", "timing")
OWN = "own"
"""The kind of a claim that a reader wrote."""

MEASURES = ("count", "value", "difference", "ratio")


@dataclass(frozen=True)
class Region:
    """Figures from `low` to `high`, both included."""

    low: float
    high: float

    def holds(self, low: float, high: float) -> bool:
        """Return whether the interval from `low` to `high` lies wholly inside."""
        return self.low <= low and high <= self.high

    def misses(self, low: float, high: float) -> bool:
        """Return whether the interval from `low` to `high` lies wholly outside."""
        return high < self.low or low > self.high


@dataclass(frozen=True)
class Rule:
    """What is measured, and where the claim is supported and refuted.

    `of` says in words what the figure is, `unit` what it is in (`share`: of 1, shown in percent). `metric`, `over` and
    `under` say what to take from a comparison: the names of the contenders, the first that took part; empty: it cannot
    be judged by one. `refuted` is None where all that is not supported refutes. `alone`: one number is evidence enough.
    `cores`: so many the servers must have had; with fewer, it cannot be tried.
    """

    what: str
    of: str
    supported: Region
    unit: str = ""
    refuted: Region | None = None
    metric: str = ""
    over: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    alone: bool = False
    cores: int = 1

    def judge(self, low: float, high: float) -> str:
        """Return the verdict on an interval, one of `WORDS`: where it lies wholly."""
        if self.supported.holds(low, high):
            return SUPPORTED
        not_so = self.supported.misses(low, high)
        if self.refuted is None:
            return REFUTED if not_so else CANNOT_TELL
        if self.refuted.holds(low, high):
            return REFUTED
        return NEITHER if not_so and self.refuted.misses(low, high) else CANNOT_TELL

    @property
    def words(self) -> str:
        """The rule as a sentence, such as `supported where throughput, sync / asgi, is above 1`."""
        return f"supported where {self.figure} is {self.limits}"

    @property
    def limits(self) -> str:
        """Where the claim is supported, and where it is refuted if that is not all the rest: `above 1`."""
        text = self._within(self.supported)
        return text if self.refuted is None else f"{text}, refuted where it is {self._within(self.refuted)}"

    def found(self, word: str, value: float) -> str:
        """Return a verdict on a figure in a sentence: `1.25, where 1.3 or more was claimed and 1.15 would refute`."""
        claimed = self._within(self.supported)
        if word == SUPPORTED:
            return f"{self.shown(value)}, and {claimed} was claimed"
        if self.refuted is None:
            return f"{self.shown(value)}, where {claimed} was claimed"
        would = "refutes" if word == REFUTED else "would refute"
        return f"{self.shown(value)}, where {claimed} was claimed, and {self._within(self.refuted)} {would}"

    @property
    def figure(self) -> str:
        """What is measured, such as `throughput, sync / asgi`."""
        if not self.metric:
            return self.of
        return f"{self.of}, {self.over[0]} {'/' if self.what == 'ratio' else '−'} {self.under[0]},"

    def shown(self, number: float) -> str:
        """Return a figure in three digits, or all of a larger number, with its unit."""
        if self.unit == "share":
            return f"{wording.figure(number * 100)}%"
        unit = self.unit.removesuffix("s") if self.what == "count" and number == 1 else self.unit
        return f"{wording.figure(number)}{' ' if unit else ''}{unit}"

    def _within(self, region: Region) -> str:
        counted = self.what == "count"
        low, high = (
            f"{end:g}" if counted and self.unit != "share" else self.shown(end) for end in (region.low, region.high)
        )
        if region.low == region.high:
            return f"exactly {low}"
        if math.isinf(region.high):
            return f"{'at least' if counted else 'above'} {low}"
        if region.low <= 0:
            return f"{'at most' if counted else 'below'} {high}"
        return f"between {low} and {high}"


@dataclass(frozen=True)
class Statement:
    """A sentence that can turn out false; a `Claim` is one that can be judged here.

    `source` says whose it is, `url` where to read it (empty: not known), `question` and `asked` which question of the
    forum thread it answers (empty: none), `notebook` which lesson, or example, judges it. `kind` is `structure` where
    counts decide, and `timing` where an interval does. `rule` judges any evidence; where there are `cases`, each wants
    evidence of its own and has its own rule. `any_case`: one supported case is enough. `answers` holds what a verdict
    says to who asked.
    """

    id: str
    sentence: str
    source: str
    notebook: str
    kind: str
    rule: Rule | None
    cases: Mapping[str, Rule] = field(default_factory=dict, hash=False)
    any_case: bool = False
    url: str = ""
    question: str = ""
    asked: str = ""
    answers: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def words(self) -> str:
        """The rule, or the rules of the cases, as one sentence."""
        if self.rule is not None:
            return self.rule.words + (", in any of the cases" if self.any_case else "")
        figures = {rule.figure for rule in self.cases.values()}
        if len(figures) > 1:
            return "; ".join(f"{name}: {rule.words}" for name, rule in self.cases.items())
        limits = "; ".join(f"{rule.limits} ({name})" for name, rule in self.cases.items())
        return f"supported where {figures.pop()} is {limits}"

    @property
    def place(self) -> str:
        """Where it is judged, in a word or two: the number of a lesson, or of an example."""
        number = self.notebook.removeprefix(EXAMPLE)[:2]
        return f"example {number}" if self.notebook.startswith(EXAMPLE) else number


EXAMPLE = "report_"
"""So the names of examples begin."""


def find(id: str) -> Statement:
    """Return the statement of that name, such as `sync-wins-static`, or of that question, such as `Q3`.

    Raises ConfigurationError for one that there is not, and names those that are near.
    """
    known = {one.id.lower(): one for one in (*statements(), *_own.values())}
    asked = {one.question.lower(): one for one in statements() if one.question}
    wanted = checks.text("claim(id)", id, "the name of a claim, or of a question").lower()
    if found := known.get(wanted) or asked.get(wanted):
        return found
    near = [name for name in known if wanted in name] or difflib.get_close_matches(wanted, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise ConfigurationError(f"there is no claim {checks.shown(id)}; {hint} (`requestlab claims` lists all)")


_own: dict[str, Statement] = {}


def remember(statement: Statement) -> None:
    """Have a claim of the reader's own be found; raises ConfigurationError where one of the lab's has its name."""
    if statement.id.lower() in {name.lower() for one in statements() for name in (one.id, one.question) if name}:
        raise ConfigurationError(f"there is a claim {statement.id!r} of the lab's already; give yours another name")
    _own[statement.id] = statement


def is_own(statement: Statement) -> bool:
    """Return whether it is the reader's own."""
    return statement.kind == OWN


@cache
def statements() -> tuple[Statement, ...]:
    """Return all statements, in the order of the lessons."""
    text = (resources.files("requestlab.claims") / "claims.toml").read_text(encoding="utf-8")
    return tuple(_statement(row) for row in tomllib.loads(text)["claim"])


def _statement(row: dict[str, Any]) -> Statement:
    given = dict(row["rule"])
    cases, enough = given.pop("cases", {}), given.pop("enough", "all")
    return Statement(
        **row | {"rule": None if cases else _rule(given)},
        cases={name: _rule(given | own) for name, own in cases.items()},
        any_case=enough == "any",
    )


def _rule(given: dict[str, Any]) -> Rule:
    kept: dict[str, Any] = dict(given)
    kept |= {name: Region(*map(float, given[name])) for name in ("supported", "refuted") if name in given}
    kept |= {name: tuple(given[name]) for name in ("over", "under") if name in given}
    return Rule(**kept)
