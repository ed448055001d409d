"""How long a slice should be: by how much of the noise is within slices, and how much between them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from requestlab.comparison.comparison import Comparison

MAX_LONGER = 4.0
"""Slices become no more than so many times as long as they were at first."""

MIN_LONGER = 1.5
"""A change by less is not worth it."""


def best_seconds(result: Comparison, cost_s: float) -> float:
    """Return how long slices should be so that intervals of throughput become narrow soonest, where each costs `cost_s`
    besides (warm-up, starting); as long as they are, where that is about right.

    A ratio has the variance b + w / L from round to round, w / L of it from within slices of length L: that is a fourth
    of the variance of the log-ratio of the two halves of a slice, summed over both contenders. The time for n rounds is
    as n (L + cost), so the variance of the mean in a given time is as (b + w / L) (L + cost), which is least at
    L = √(w · cost / b); see Cochran, Sampling Techniques, on the best size of clusters.
    """
    now = result.about.seconds
    best = min((_best(result, pair, now, cost_s) for pair in pairwise(result.all_labels)), default=now)
    longer = min(best / now, MAX_LONGER)
    return now * longer if longer >= MIN_LONGER else now


def _best(result: Comparison, pair: tuple[str, str], now: float, cost_s: float) -> float:
    table = result.figures("throughput")[[*pair]].dropna()
    halves = [np.array([run.halves for run in result.runs(label)]) for label in pair]
    if len(table) < 2 or not all((each > 0).all() for each in (table.to_numpy(), *halves)):
        return now
    apart = float(np.log(table[pair[0]] / table[pair[1]]).var(ddof=1))
    within = sum(float((np.log(each[:, 0] / each[:, 1]) ** 2).mean()) / 4 for each in halves)
    between = max(apart - within, 0.1 * within)  # four rounds do not say that nothing is left
    return math.sqrt(within * now * cost_s / between) if between > 0 else now
