"""claim(): one of the statements on trial, to be judged by what was measured on this machine."""

from __future__ import annotations

from functools import cache
from typing import Any

from requestlab.claims import judging, ledger
from requestlab.claims.statement import Statement, find
from requestlab.claims.verdict import Verdict


class Claim(Statement):
    """A statement that can be judged: `lab.claim("sync-wins-static").judge(result)`."""

    def judge(self, evidence: Any, note: str = "") -> Verdict:
        """Return the verdict on this machine, and record it in the ledger.

        `evidence` is a number (of counts), an `Interval`, a `Ratio`, a `Comparison`, or a mapping from the names of cases to
        any of these. An interval wholly where the claim is supported supports it, one wholly where it is refuted refutes it;
        else it cannot be told. Of several cases all must be supported, and one that is refuted refutes. `note` is kept with
        the verdict. Raises ConfigurationError for evidence that says nothing about this claim.
        """
        verdict = judging.judge(find(self.id), evidence, note)
        ledger.record(verdict)
        return verdict


def claim(id: str) -> Claim:
    """Return the claim of that name, such as `sync-wins-static`, or of that question, such as `Q3`.

    Raises ConfigurationError for one that there is not, and names those that are near.
    """
    return _to_judge(find(id))


@cache
def _to_judge(statement: Statement) -> Claim:
    return Claim(**vars(statement))
