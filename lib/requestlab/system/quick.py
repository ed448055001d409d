"""How long the lessons measure: as long as they say, or a fraction of it in quick mode."""

from __future__ import annotations

import os

QUICK_VARIABLE = "REQUESTLAB_QUICK"
"""Set to anything, it makes all lessons measure for a quarter of the time: for slow machines."""

TRIAL = "trial"
"""The value that makes them measure for a moment, in two rounds: enough to see that a lesson runs, and for nothing
else."""

TRIAL_SHARE = 1 / 20
TRIAL_ROUNDS = 2
TRIAL_SLICE_S = 0.3


def is_quick() -> bool:
    """Return whether quick mode is on."""
    return bool(_mode())


def is_trial() -> bool:
    """Return whether lessons are only tried out."""
    return _mode() == TRIAL


def seconds(full: float) -> float:
    """Return `full`, or a fraction of it in quick mode.

    >>> lab.measure(server, "/sync/page/", seconds=lab.seconds(4))
    """
    return full * TRIAL_SHARE if is_trial() else full / 4 if is_quick() else full


def _mode() -> str:
    return os.environ.get(QUICK_VARIABLE, "")
