"""What several machines found: every interval on a claim beside the others, who disagrees, and what sets them apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from requestlab.claims.ledger import Ledger
from requestlab.claims.statement import REFUTED, SUPPORTED, Rule, Statement
from requestlab.claims.verdict import Finding, Verdict
from requestlab.plots.guesses import Guessed
from requestlab.system.machine import Machine

MUCH_STEAL = 0.02
"""Share of the time of its cores that other machines on the host took, from which on a machine is told apart by it."""


FACTS: dict[str, Any] = {
    "cores": lambda entry: entry.machine.usable_cores,
    "Python": lambda entry: ".".join(entry.machine.python.split(".")[:2]),
    "Django": lambda entry: ".".join((entry.machine.versions.get("django") or "").split(".")[:2]),
    "the system": lambda entry: entry.machine.system.split()[0],
    "the GIL": lambda entry: "with" if entry.machine.gil else "without",
    "steal": lambda entry: "" if entry.steal is None else "much" if entry.steal > MUCH_STEAL else "little",
    "quick mode": lambda entry: "on" if entry.ledger.verdicts[-1].quick else "off",
}
"""What is known of a machine that may decide a claim."""


@dataclass(frozen=True)
class Entry:
    """What one machine has found: its ledger, and what its reader had guessed. `steal` is the share of the time of its
    cores that went to other machines on the host; None: not known."""

    name: str
    ledger: Ledger
    guesses: tuple[Guessed, ...] = ()
    steal: float | None = None

    @property
    def machine(self) -> Machine | None:
        return self.ledger.machine


@dataclass(frozen=True)
class Found:
    """One machine's verdict on a claim, and the finding that decided it."""

    entry: Entry
    verdict: Verdict

    @property
    def word(self) -> str:
        return self.verdict.verdict

    @property
    def finding(self) -> Finding:
        return self.verdict.deciding


@dataclass(frozen=True)
class Judged:
    """A claim, and what each machine found on it, from the smallest figure to the largest."""

    claim: Statement
    found: tuple[Found, ...]

    @property
    def rule(self) -> Rule:
        """The rule of what decided: of a claim with several cases, the one that decided most often."""
        if self.claim.rule is not None:
            return self.claim.rule
        names = [one.finding.name for one in self.found]
        return self.claim.cases[max(dict.fromkeys(names), key=names.count)]

    @property
    def words(self) -> Mapping[str, int]:
        """How many machines gave each verdict, the most frequent first."""
        given = [one.word for one in self.found]
        return dict(sorted(((word, given.count(word)) for word in dict.fromkeys(given)), key=lambda pair: -pair[1]))

    @property
    def disagree(self) -> bool:
        """Whether one machine supports what another refutes."""
        return {SUPPORTED, REFUTED} <= set(self.words)

    @property
    def apart(self) -> str:
        """What sets those that support the claim apart from those that refute it, in a sentence; empty where they
        agree."""
        if not self.disagree:
            return ""
        yes, no = ([one.entry for one in self.found if one.word == word] for word in (SUPPORTED, REFUTED))
        told = list(_apart(yes, no))
        if not told:
            return "Nothing that is known of these machines sets them apart: measure again, and longer."
        return f"What sets them apart: {'; '.join(told)}."


@dataclass(frozen=True)
class Lesson:
    """What was judged in one notebook (of an empty name: not known), and what each reader, by name, guessed in it."""

    notebook: str
    judged: tuple[Judged, ...]
    guessed: tuple[tuple[str, Guessed], ...]

    @property
    def title(self) -> str:
        return f"What was guessed in {self.notebook}" if self.notebook else "What was guessed"


@dataclass(frozen=True)
class Room:
    """All that came in, in order of arrival."""

    entries: tuple[Entry, ...]

    @cached_property
    def judged(self) -> tuple[Judged, ...]:
        """Each claim that somebody has judged; those on which machines disagree come first."""
        claims = {claim.id: claim for entry in self.entries for claim in entry.ledger.claims}
        found = [Judged(claim, tuple(self._found(claim))) for claim in claims.values()]
        return tuple(sorted((one for one in found if one.found), key=lambda one: not one.disagree))

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """What was judged and guessed, notebook by notebook, in the order of `judged`; last what was only guessed."""
        judged, guesses = self.judged, [(one.name, guess) for one in self.entries for guess in one.guesses]
        names = dict.fromkeys([one.claim.notebook for one in judged] + [guess.notebook for _, guess in guesses])
        return tuple(
            Lesson(
                name,
                tuple(one for one in judged if one.claim.notebook == name),
                tuple((reader, guess) for reader, guess in guesses if guess.notebook == name),
            )
            for name in names
        )

    def _found(self, claim: Statement) -> Sequence[Found]:
        found = [Found(entry, verdict) for entry in self.entries if (verdict := entry.ledger.verdict(claim.id))]
        return sorted(found, key=lambda one: (math.isnan(one.finding.value), one.finding.value))


def _apart(yes: Sequence[Entry], no: Sequence[Entry]) -> Iterator[str]:
    """Yield each fact that all who support a claim share, and none who refutes it, or the other way round."""
    for name, tell in FACTS.items():
        theirs, others = ({_told(tell, entry) for entry in entries} for entries in (yes, no))
        if not theirs & others and (len(theirs) == 1 or len(others) == 1) and "" not in theirs | others:
            yield f"{name} ({', '.join(sorted(theirs))} where it is supported, {', '.join(sorted(others))} where not)"


def _told(tell: Any, entry: Entry) -> str:
    return str(tell(entry)) if entry.machine is not None else ""
