"""The record of a verdict: what was found, case by case, on which machine, when. In a notebook it shows as a card."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from requestlab.claims import cards
from requestlab.claims.statement import CANNOT_TELL, Rule, Statement, is_own
from requestlab.system import html
from requestlab.system.machine import Machine
from requestlab.system.values import to_plain


@dataclass(frozen=True)
class Finding:
    """What one case came to: a figure with its interval (equal bounds: it was counted; NaN: there is none) and a
    verdict.

    `name` is that of the case (empty: there is only one), `rounds` how many gave the interval (0: it was counted).
    `taken` names the contenders that a comparison or a ratio was asked about, such as `sync / asgi` (empty: there were
    none).
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    rounds: int
    verdict: str
    reason: str
    taken: str

    def measured(self, rule: Rule) -> str:
        """Return the figure with its interval, in the rule's unit, and of which contenders it is."""
        figure = self._figure(rule)
        text = f"{figure}, {self.taken}" if self.taken else figure
        return f"{self.name}: {text}, {self.verdict}" if self.name else text

    def _figure(self, rule: Rule) -> str:
        if math.isnan(self.value):
            return "no figure"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return f"{rule.shown(self.value)} (no interval)"
        if self.rounds == 0:
            return rule.shown(self.value)
        return f"{rule.shown(self.value)} ({rule.shown(self.low)} to {rule.shown(self.high)})"


def _own_words(claim: Statement) -> dict[str, Any]:
    return {"sentence": claim.sentence, "source": claim.source, "url": claim.url, "rule": to_plain(claim.rule)}


@dataclass(frozen=True, repr=False)
class Verdict:
    """What became of a claim: one of `statement.WORDS`, the findings that say so, and the circumstances.

    `value`, `low`, `high` and `unit` are those of the finding that decided. `machine` holds the facts of
    `machine.facts()`, `time` is in ISO 8601, UTC. `quick`: it was given in quick mode, with which lessons measure less.
    """

    claim: Statement
    verdict: str
    findings: tuple[Finding, ...]
    reason: str
    note: str
    machine: Machine
    time: str
    quick: bool

    @property
    def deciding(self) -> Finding:
        """The first finding that has the verdict of the whole."""
        return next(finding for finding in self.findings if finding.verdict == self.verdict)

    @property
    def value(self) -> float:
        return self.deciding.value

    @property
    def low(self) -> float:
        return self.deciding.low

    @property
    def high(self) -> float:
        return self.deciding.high

    @property
    def unit(self) -> str:
        return self.deciding.unit

    @property
    def undecided(self) -> bool:
        """Whether it cannot be told."""
        return self.verdict == CANNOT_TELL

    @property
    def rounds(self) -> int:
        """How many rounds the weakest finding rests on; 0 where it was counted."""
        return min(finding.rounds for finding in self.findings)

    @property
    def answer(self) -> str:
        """What it says to who asked; empty where there is no such text."""
        return self.claim.answers.get(self.verdict, "")

    @property
    def measured(self) -> list[str]:
        """The figure of each finding in words, and how many rounds they are from."""
        found = [each.measured(self.claim.rule or self.claim.cases[each.name]) for each in self.findings]
        rounds = f"{self.rounds} rounds" if len(found) == 1 else f"{self.rounds} rounds or more each"
        return [*found, rounds] if self.rounds else found

    @property
    def circumstances(self) -> str:
        """Where and when it was given."""
        return f"{self.machine.caption} · {cards.when(self.time)}"

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        texts = {name: getattr(self, name) for name in ("verdict", "reason", "note", "time", "quick")}
        values = {"findings": to_plain(self.findings), "machine": to_plain(self.machine)}
        own = {"own": _own_words(self.claim)} if is_own(self.claim) else {}
        return {"claim": self.claim.id, "rule": self.claim.words, **texts, **values, **own}

    def __repr__(self) -> str:
        claim = self.claim
        first, *others = self.measured
        rows = [
            ("claim", cards.quoted(claim.sentence)),
            ("source", f"{claim.source} {claim.url}".strip()),
            ("asked", f"{claim.question}: {claim.asked}" if claim.asked else ""),
            ("rule", claim.words),
            ("measured", first),
            *(("", line) for line in others),
            ("verdict", f"{self.verdict}{', in quick mode' if self.quick else ''}: {self.reason}"),
            ("answer", self.answer),
            ("note", self.note),
            ("machine", self.circumstances),
        ]
        return cards.plain((name, text) for name, text in rows if text)

    def _repr_html_(self) -> str:
        return html.render(
            "claims/card.html.j2",
            verdict=self,
            rows=list(self._rows()),
            colour=cards.COLOURS[self.verdict],
            badge=cards.badge(self.verdict),
            sentence=cards.quoted(self.claim.sentence),
            source=cards.source(self.claim),
        )

    def _rows(self) -> Iterator[tuple[str, list[str]]]:
        if self.claim.asked:
            yield "Asked", [f"{self.claim.question}: {self.claim.asked}"]
        yield "Rule", [self.claim.words]
        yield "Measured", self.measured
        yield "Why", [self.reason]
        for head, text in (("Answer", self.answer), ("Note", self.note)):
            if text:
                yield head, [text]
