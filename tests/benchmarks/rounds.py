"""Ratios from interleaved slices: each round measures everything once, in shuffled order, and gives one ratio."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
ROUNDS = 7
"""With six rounds or more, the smallest and the largest ratio bracket the median with a probability above 96%."""


@dataclass(frozen=True)
class Ratio:
    """The median over rounds, and the smallest and largest round."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:8.3g}   ({self.low:.3g} to {self.high:.3g})"


def interleave(slices: Mapping[str, Callable[[], T]], rounds: int = ROUNDS) -> dict[str, list[T]]:
    """Call every slice once a round, in shuffled order; return the figures of each, round by round."""
    figures: dict[str, list[T]] = {name: [] for name in slices}
    for _ in range(rounds):
        for name in random.sample(list(slices), len(slices)):
            figures[name].append(slices[name]())
    return figures


def ratio(figures: dict[str, list[float]], over: str, under: str) -> Ratio:
    """Return the ratio of two slices, taken within each round."""
    ratios = [a / b for a, b in zip(figures[over], figures[under], strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))
