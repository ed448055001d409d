"""How long the lessons measure: as long as they say, or a quarter of it in quick mode."""

from __future__ import annotations

import os

QUICK_VARIABLE = "REQUESTLAB_QUICK"
"""Set to anything, it makes all lessons measure for a quarter of the time: for tests and for slow machines."""


def seconds(full: float) -> float:
    """Return `full`, or a quarter of it in quick mode."""
    return full / 4 if os.environ.get(QUICK_VARIABLE) else full
