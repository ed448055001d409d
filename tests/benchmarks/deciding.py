"""Deciding as soon as the evidence allows: how often a comparison is wrong that stops when it is answered, and how long
it takes to be right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

import requestlab as lab
from requestlab.comparison.comparison import ANSWERED, CANNOT_TELL, Comparison
from requestlab.comparison.intervals import MIN_ROUNDS, reach

SEQUENCES, ROUNDS = 10_000, 100
BLOCK = 20
"""Neighbouring rounds that are drawn together: what drifts within so many is in the simulation."""

MEASURED_ROUNDS = 500
REAL, OF_ONE_PAIR = 200, 10
REAL_S = 10.0
TRIES = 15
SHORT = {"seconds": 0.15, "warmup": 0.03}
PATH, USERS = "/sync/page/", lab.closed(users=4)


def rounds_of_equals() -> np.ndarray:
    """Return the log-ratios of throughput of a configuration and itself, round by round."""
    result = lab.compare({"one": lab.SYNC}, PATH, USERS, rounds=MEASURED_ROUNDS, control=True, **SHORT)  # type: ignore[arg-type]
    table = result.figures("throughput").dropna()
    return np.asarray(np.log(table["one again"] / table["one"]))


def share_misled(rounds: np.ndarray) -> float:
    """Return the share of simulated comparisons of equals, made of blocks of such rounds, in which an interval after
    any round does not hold 1."""
    chance = np.random.default_rng()
    centred = rounds - rounds.mean()
    starts = chance.integers(0, len(centred) - BLOCK, size=(SEQUENCES, ROUNDS // BLOCK))
    sequences = centred[starts[:, :, None] + np.arange(BLOCK)].reshape(SEQUENCES, ROUNDS)
    counts = np.arange(1, ROUNDS + 1)
    means = sequences.cumsum(1) / counts
    squares = np.clip((sequences**2).cumsum(1) - counts * means**2, 0, None)
    reaches = np.array([reach(int(count)) for count in counts[MIN_ROUNDS - 1 :]])
    deviations = np.sqrt(squares[:, MIN_ROUNDS - 1 :] / (counts[MIN_ROUNDS - 1 :] - 1))
    return float((np.abs(means[:, MIN_ROUNDS - 1 :]) > reaches * deviations).any(1).mean())


def shape(rounds: np.ndarray) -> str:
    """Return how far rounds are from independent normal ones, in words."""
    apart = rounds - rounds.mean()
    tails = float((apart**4).mean() / (apart**2).mean() ** 2)
    neighbours = float(apart[1:] @ apart[:-1] / (apart @ apart))
    return f"{len(rounds)} rounds, sd {apart.std():.1%}, kurtosis {tails:.1f} (normal: 3), neighbours {neighbours:+.2f}"


def comparisons_of_equals(number: int = REAL) -> Iterator[Comparison]:
    """Yield real comparisons of a configuration and itself that stop when one is called faster, or they are alike."""
    for _ in range(number // OF_ONE_PAIR):
        with ExitStack() as stack:
            pair = {name: stack.enter_context(lab.serve(lab.SYNC)) for name in ("one", "same")}
            for _ in range(OF_ONE_PAIR):
                yield lab.compare(pair, PATH, USERS, budget=REAL_S, **SHORT)  # type: ignore[arg-type]


def called(result: Comparison) -> bool:
    return result.ratio("same", "one").verdict != CANNOT_TELL


def seconds_until_called(longer_ms: float, tries: int = TRIES) -> list[float]:
    """Return how long it took each time to tell a view that computes for 5 ms from one that does for longer."""
    paths = {"5 ms": "/sync/burn/?ms=5", "longer": f"/sync/burn/?ms={longer_ms}"}
    took = []
    with lab.serve(lab.SYNC) as server:
        for _ in range(tries):
            begin = time.perf_counter()
            result = lab.compare(dict.fromkeys(paths, server), paths, lab.closed(users=1), budget=60, **SHORT)  # type: ignore[arg-type]
            seconds = time.perf_counter() - begin
            right = result.about.stopped == ANSWERED and result.ratio("longer", "5 ms").verdict == "slower"
            took.append(seconds if right else float("inf"))
    print(f"    5 and {longer_ms:g} ms: " + ", ".join(f"{seconds:.1f}" for seconds in sorted(took)) + " s")
    return took
