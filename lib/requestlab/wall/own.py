"""ledger(): the verdicts of this process, which can be sent to a wall."""

from __future__ import annotations

from dataclasses import dataclass

from requestlab.claims import ledger as claims_ledger
from requestlab.claims.ledger import Ledger
from requestlab.wall import sending


@dataclass(frozen=True, repr=False)
class OwnLedger(Ledger):
    """The ledger of this process. In a notebook it shows as a table."""

    def send(self, address: str, name: str = "", *, ask: bool = True) -> str:
        """Send it, with the guesses, to the wall at that address, after showing what is sent: see `requestlab wall`.

        >>> lab.ledger().send("http://192.168.0.5:8765/KITES", name="Ada")

        `name` is what the wall calls this machine; without, it gives it a number. Without `ask`, nobody is asked first.
        What is sent again stands in place of what was there on the same claims; what came from other lessons stays.
        Raises ConfigurationError for an address that cannot be, and LabError where the wall cannot be reached after
        some tries.
        """
        return sending.send(self, address, name, ask)


def ledger() -> OwnLedger:
    """Return all claims, with the verdicts that were given in this process.

    >>> lab.ledger()
    """
    own = claims_ledger.ledger()
    return OwnLedger(own.verdicts, own.name, own.machine, own.damaged)
