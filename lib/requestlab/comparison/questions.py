"""What a comparison is asked beforehand, so that it can stop as soon as all of it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from requestlab.comparison.comparison import METRICS, Comparison
from requestlab.errors import ConfigurationError
from requestlab.system import checks


class Question(Protocol):
    """Something that a comparison can answer: `words` say what. A claim is one, too."""

    @property
    def words(self) -> str: ...

    def answered(self, result: Comparison, /) -> bool:
        """Return whether more rounds would say nothing new."""


@dataclass(frozen=True)
class FasterOrSlower:
    """Which contenders are faster than the baseline by one metric, and which slower? Or are they alike?"""

    metric: str

    @property
    def words(self) -> str:
        return f"{self.metric} against the first"

    def answered(self, result: Comparison, /) -> bool:
        first, *others = result.labels
        return all(result.ratio(label, first, self.metric).settled for label in others or result.all_labels[1:])


@dataclass(frozen=True)
class Narrow:
    """How many times is each contender's throughput the baseline's, by an interval whose ends lie no more than `width`
    apart?"""

    width: float

    @property
    def words(self) -> str:
        return f"intervals no wider than {100 * self.width:g}%"

    def answered(self, result: Comparison, /) -> bool:
        first, *others = result.all_labels
        return all(result.ratio(label, first).interval.width <= self.width for label in others)


def questions(ask: object, width: float | None, rounds: int | None) -> tuple[Question, ...]:
    """Return what `compare(ask, width)` asks: names of metrics, or questions. Where nothing is said, it is the
    throughput; nothing, where a fixed number of `rounds` is wanted.

    Raises ConfigurationError for what is no question.
    """
    narrow = () if width is None else (Narrow(width),)
    if ask is None:
        return narrow or (() if rounds is not None else (FasterOrSlower("throughput"),))
    several = ask if isinstance(ask, Sequence) and not isinstance(ask, str) else [ask]
    return (*map(_question, several), *narrow)


def _question(one: object) -> Question:
    if isinstance(one, str):
        return FasterOrSlower(checks.one_of("ask", one, METRICS))
    if callable(getattr(one, "answered", None)):
        return one  # type: ignore[return-value]
    raise ConfigurationError(f"ask={one!r}: expected {', '.join(METRICS)}, a claim, or several of these")
