"""Seconds that measuring may take, fixed beforehand; and what clear cases leave over of them for those that are still
open.

Time may go to whatever needs it, since anytime-valid intervals hold whatever made one stop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from requestlab.system import checks, quick

SPARE_VARIABLE = "REQUESTLAB_SPARE"
"""Names a file with the seconds that are left over, for all lessons of a report; else each process has its own."""

MAX_SECONDS = 3_600.0

MAX_BORROWED = 1.0
"""A case that is still open takes at most as many seconds of what others left over as it had of its own."""

_left_over = 0.0


@dataclass(frozen=True)
class Budget:
    """So many `seconds`; `shared`: what is not needed of them is left for others, which give theirs in turn."""

    seconds: float
    shared: bool = False


def budget(seconds: float) -> Budget:
    """Return the seconds that one case of a lesson may take: a quarter of them in quick mode. Cases that are clear
    sooner leave the rest to those that are not.

    Raises ConfigurationError for seconds that cannot be.

    >>> lab.compare({"sync": lab.SYNC, "asgi": lab.ASGI}, "/sync/page/", budget=lab.budget(20))
    """
    return Budget(quick.seconds(checked(seconds)), shared=not quick.is_trial())


def checked(seconds: object) -> float:
    """Return seconds that can be a budget; raises ConfigurationError for others."""
    return checks.number("budget", seconds, most=MAX_SECONDS, above=0, kind="seconds")


class Spending:
    """A budget while it is spent, from now on. As a context manager, it leaves over what was not needed."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._begin = budget, time.monotonic()
        self.borrowed = 0.0

    @property
    def spent(self) -> float:
        return time.monotonic() - self._begin

    @property
    def left(self) -> float:
        return self._budget.seconds + self.borrowed - self.spent

    def allows(self, seconds: float) -> bool:
        """Return whether there is time for something that takes so long; borrow what is missing, if others left as
        much."""
        missing = seconds - self.left
        if missing <= 0:
            return True
        if not self._budget.shared or self.borrowed + missing > MAX_BORROWED * self._budget.seconds:
            return False
        if left_over() < missing:
            return False
        _leave(-missing)
        self.borrowed += missing
        return True

    def __enter__(self) -> Spending:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._budget.shared:
            _leave(self.left)


def until(answered: Callable[[], bool], seconds: Budget | float) -> Iterator[int]:
    """Yield 1, 2, 3 and so on, a number a round, until a question is answered or another round would exceed the budget.

    >>> mine = lab.claim("mine", "A page takes 1 ms at most.", supported=(0, 1), of="p50", unit="ms")
    >>> medians = []
    >>> for _ in lab.until(lambda: mine.answered(lab.interval(medians)), lab.budget(20)):
    ...     medians.append(lab.measure(server, "/sync/page/").summary["p50"])

    There is one round at least, and in a trial (`quick.TRIAL`) there are three.
    """
    given = seconds if isinstance(seconds, Budget) else Budget(checked(seconds))
    with Spending(given) as spending:
        number, round_s = 0, 0.0
        while number == 0 or (spending.allows(round_s) and not answered()):
            number, before = number + 1, spending.spent
            yield number
            round_s = spending.spent - before
            if quick.is_trial() and number == quick.TRIAL_ROUNDS:
                return


def left_over() -> float:
    """Return how many seconds clear cases have left over, for all who share."""
    if file := os.environ.get(SPARE_VARIABLE):
        with suppress(OSError, ValueError):
            return float(Path(file).read_text())
        return 0.0
    return _left_over


def _leave(seconds: float) -> None:
    """Leave over so many seconds more; less than 0 takes them."""
    global _left_over
    left = max(left_over() + seconds, 0.0)
    if file := os.environ.get(SPARE_VARIABLE):
        Path(file).write_text(f"{left:.6f}")
    else:
        _left_over = left
