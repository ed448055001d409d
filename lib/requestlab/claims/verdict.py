"""The record of a verdict: what was found, case by case, on which machine, when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from requestlab.claims.statement import Claim, Rule
from requestlab.system.machine import Machine

SUPPORTED, REFUTED, CANNOT_TELL, NOT_TRIED = "supported", "refuted", "cannot tell", "not yet tried"
WORDS = (SUPPORTED, REFUTED, CANNOT_TELL)


@dataclass(frozen=True)
class Finding:
    """What one case came to: a figure with its interval (equal bounds: it was counted; NaN: there is none) and a verdict.

    `name` is that of the case (empty: there is only one), `rounds` how many gave the interval (0: it was counted). `taken`
    names the contenders that a comparison or a ratio was asked about, such as `sync / mixed` (empty: there were none).
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
        return f"{self._figure(rule)}, {self.taken}" if self.taken else self._figure(rule)

    def _figure(self, rule: Rule) -> str:
        if math.isnan(self.value):
            return "no figure"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return f"{rule.shown(self.value)} (no interval)"
        if self.rounds == 0:
            return rule.shown(self.value)
        return f"{rule.shown(self.value)} ({rule.shown(self.low)} to {rule.shown(self.high)})"


@dataclass(frozen=True, repr=False)
class Verdict:
    """What became of a claim: `supported`, `refuted` or `cannot tell`, the findings that say so, and the circumstances.

    `value`, `low`, `high` and `unit` are those of the finding that decided. `machine` holds the facts of `machine.facts()`,
    `time` is in ISO 8601, UTC. `quick`: it was given in quick mode, with which lessons measure less. In a notebook it shows as
    a card.
    """

    claim: Claim
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
    def rounds(self) -> int:
        """How many rounds the weakest finding rests on; 0 where it was counted."""
        return min(finding.rounds for finding in self.findings)

    @property
    def answer(self) -> str:
        """What it says to who asked; empty where there is no such text."""
        return self.claim.answers.get(self.verdict, "")

    def rule(self, finding: Finding) -> Rule:
        """Return the rule that judged one of the findings."""
        return self.claim.rule or self.claim.cases[finding.name]

    def measured(self) -> list[tuple[str, str, str]]:
        """Return case, figure with interval, and verdict of each finding."""
        return [(each.name, each.measured(self.rule(each)), each.verdict) for each in self.findings]

    def __repr__(self) -> str:
        from requestlab.claims import cards

        return cards.plain_card(self)

    def _repr_html_(self) -> str:
        from requestlab.claims import cards

        return cards.html_card(self)
