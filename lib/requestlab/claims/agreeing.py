"""Do reports agree? Two of one machine that say the opposite of a claim show that its verdict is not to be relied on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from requestlab.claims.ledger import Ledger, identity
from requestlab.claims.statement import Claim, claims
from requestlab.claims.verdict import REFUTED, SUPPORTED
from requestlab.system.machine import Machine


@dataclass(frozen=True)
class Contradiction:
    """A claim with opposite verdicts on one machine, and the names of the ledgers that gave them."""

    claim: Claim
    machine: Machine
    supported: tuple[str, ...]
    refuted: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.claim.id}: supported in {', '.join(self.supported)}; refuted in {', '.join(self.refuted)}"


def contradictions(found: Sequence[Ledger]) -> list[Contradiction]:
    """Return the claims on which ledgers of one machine contradict each other, or one contradicts itself.

    A machine is its facts, versions included: another version of Django may well decide a claim otherwise. Every verdict
    counts, not only the latest; "cannot tell" contradicts nothing.
    """
    known = sorted(
        ((identity(one.machine), one.machine, one) for one in found if one.machine is not None),
        key=lambda known: known[0],
    )
    found_out = []
    for _, same in groupby(known, key=lambda known: known[0]):
        machines, ledgers = zip(*((machine, one) for _, machine, one in same), strict=True)
        for claim in claims():
            supported, refuted = (_that_say(word, claim, ledgers) for word in (SUPPORTED, REFUTED))
            if supported and refuted:
                found_out.append(Contradiction(claim, machines[0], supported, refuted))
    return found_out


def _that_say(word: str, claim: Claim, ledgers: Sequence[Ledger]) -> tuple[str, ...]:
    return tuple(
        one.name
        for one in ledgers
        if any(verdict.claim.id == claim.id and verdict.verdict == word for verdict in one.verdicts)
    )
