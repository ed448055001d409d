"""What is sent to a wall: verdicts and guesses of one lab, as JSON; made by the lab, read by the wall."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from requestlab.claims.ledger import Ledger, to_lines, verdicts_of
from requestlab.errors import LedgerFormatError
from requestlab.plots import guesses
from requestlab.plots.guesses import Guessed
from requestlab.system.values import to_json, to_plain
from requestlab.wall.room import Entry

FORMAT = 1
MOST_VERDICTS, MOST_GUESSES = 2_000, 500
_SENDER = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class Message:
    """What one lab sends: who it is among others (`sender`, a random number), the `name` its reader chose (empty: the
    wall numbers it), and what it found."""

    sender: str
    name: str
    ledger: Ledger
    guesses: tuple[Guessed, ...] = ()
    steal: float | None = None

    def to_json(self) -> str:
        told = {"format": FORMAT, "sender": self.sender, "name": self.name, "steal": self.steal}
        return to_json(told | {"verdicts": to_lines(self.ledger), "guesses": to_plain(list(self.guesses))})

    def following(self, earlier: Message) -> Message:
        """Return it with what the same lab had sent before on other claims and of other notebooks: each lesson has a
        kernel of its own, which knows its own verdicts only."""
        judged = {one.claim.id for one in self.ledger.verdicts}
        verdicts = tuple(one for one in earlier.ledger.verdicts if one.claim.id not in judged)
        notebooks = {one.notebook for one in self.guesses}
        others = tuple(one for one in earlier.guesses if one.notebook not in notebooks)
        together = (*verdicts, *self.ledger.verdicts)[-MOST_VERDICTS:]
        return replace(
            self,
            name=self.name or earlier.name,
            ledger=Ledger(together, self.name, self.ledger.machine or earlier.ledger.machine),
            guesses=(*others, *self.guesses)[-MOST_GUESSES:],
            steal=earlier.steal if self.steal is None else self.steal,
        )

    def entry(self, number: int) -> Entry:
        """Return it as an entry of a room; `number` is its place in the order of arrival."""
        return Entry(self.name or f"machine {number}", self.ledger, self.guesses, self.steal)


def parsed(text: str | bytes) -> Message:
    """Return the message; raises LedgerFormatError, in a sentence, for what is none."""
    try:
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise LedgerFormatError(f"it has format {told['format']}; this wall reads format {FORMAT}")
        sender, name, steal = told["sender"], str(told["name"])[:40], told["steal"]
        guessed = tuple(guesses.parsed(one) for one in _some(told["guesses"], MOST_GUESSES))
        lines = [json.dumps(one).encode() for one in _some(told["verdicts"], MOST_VERDICTS)]
        known = steal is None or (isinstance(steal, float | int) and math.isfinite(steal))
        if not (isinstance(sender, str) and _SENDER.fullmatch(sender) and known and name.isprintable()):
            raise ValueError(sender)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise LedgerFormatError("expected what lab.ledger().send() sends") from None
    verdicts, damaged = verdicts_of(lines, "what was sent")
    if damaged:
        raise LedgerFormatError(damaged[0])
    machine = verdicts[-1].machine if verdicts else None
    return Message(sender, name, Ledger(tuple(verdicts), name, machine), guessed, steal)


def _some(values: Any, most: int) -> Sequence[Any]:
    if not isinstance(values, list) or len(values) > most:
        raise ValueError(most)
    return values
