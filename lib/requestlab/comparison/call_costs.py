"""call_costs(): what one call of a function that does nothing costs, from a plain call to a thread and a loop of its
own.

`call_costs_process` makes the calls, in a process of its own; this module starts it and keeps what it answers.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from requestlab.comparison import intervals
from requestlab.comparison.intervals import MIN_ROUNDS, Interval
from requestlab.errors import ConfigurationError
from requestlab.system import checks, machine, quick, wording
from requestlab.system.child import Child
from requestlab.system.interrupts import interrupt_says
from requestlab.system.machine import Machine
from requestlab.system.progress import Progress

LOOPS = ("asyncio", "uvloop")
ROUNDS = 16
"""In quick mode, too, where they are shorter: many rounds make narrow intervals."""

SECONDS = 12.0
MAX_ROUNDS = 200
MAX_SECONDS = 300.0
MIN_SECONDS = 0.2
MAX_BUSY_THREADS = 8

DISTURBED = 0.2
"""A round is disturbed where others took more than this share of the cores' time. Less of it does not reach a
median."""

MIN_LEFT = 0.5
"""Disturbed rounds are left out where at least this share of the rounds remains; otherwise all count, with a caveat."""

STARTING_S = 0.6
"""What comes before the first round; only for the progress line."""

_PATIENCE_S = 30.0
"""How much longer it may take: with many busy threads, a single call in each way takes seconds."""

_HEADS = ("", "p50, µs", f"{intervals.CONFIDENCE:.0%} interval", "mean, µs", "× await")
_TAKEN_BY = {"steal": "other machines on the host", "foreign": "other processes", "throttled": "a CPU limit"}


@dataclass(frozen=True)
class ThreadsUsed:
    """In which threads `calls` calls ran that were made one after the other: in `distinct` different ones."""

    calls: int
    distinct: int

    @property
    def again(self) -> int:
        """How many calls ran in a thread that an earlier one had used."""
        return self.calls - self.distinct


@dataclass(frozen=True, kw_only=True)
class CallCostsFacts:
    """What was asked of `call_costs`, and under what it was measured.

    `what` says what each way of calling is, and `disturbed` by round, counted from 1, what disturbed it from outside.
    """

    loop: str
    wanted: int
    seconds: float
    busy_threads: int
    seed: int
    what: Mapping[str, str]
    loop_class: str
    cores: tuple[int, ...]
    disturbed: Mapping[int, str]
    caveats: tuple[str, ...]
    machine: Machine

    @property
    def beside(self) -> str:
        """The busy threads in words, to go into a sentence: ` beside 1 thread that computes`; empty without any."""
        verb = "computes" if self.busy_threads == 1 else "compute"
        return f" beside {wording.counted(self.busy_threads, 'thread')} that {verb}" if self.busy_threads else ""


@dataclass(frozen=True, eq=False)
class CallCosts:
    """What calls cost. Made by `call_costs`.

    `rounds` has a row a round and a column for each way to call: the median over the calls of that round, in µs.
    `means` has their means, which show rare long waits for the GIL or for the core. `brand_new_threads` says in which
    threads calls in a row ran, for `thread_sensitive=False` and `thread_sensitive=True` (the latter within one
    ThreadSensitiveContext).

    >>> lab.call_costs().rounds["sync_to_async warm"].median()
    """

    rounds: pd.DataFrame
    means: pd.DataFrame
    brand_new_threads: Mapping[str, ThreadsUsed]
    about: CallCostsFacts

    @property
    def names(self) -> list[str]:
        """The ways to call, cheapest kind first."""
        return list(self.rounds.columns)

    def cost(self, name: str, of: str = "p50") -> Interval:
        """Return the cost of one way to call in µs, by the `p50` or the `mean` over calls: the geometric mean over the
        rounds, with its interval.

        Raises ConfigurationError for a name or a figure that there is not.
        """
        own = self._counted(name, of)
        return replace(intervals.ratio(own, [1.0] * len(own)), caveats=self.about.caveats)

    def ratio(self, over: str, under: str, of: str = "p50") -> Interval:
        """Return how many times the cost of `over` is that of `under`, from the ratio in each round.

        Raises ConfigurationError for a name or a figure that there is not.
        """
        found = intervals.ratio(self._counted(over, of), self._counted(under, of))
        return replace(found, caveats=self.about.caveats)

    def __repr__(self) -> str:
        cores = ", ".join(map(str, self.about.cores))
        lines = [
            f"What a call costs on {self.about.loop}{self.about.beside}:",
            *wording.columns([_HEADS, *map(self._row, self.names)], "<>"),
        ]
        for how, used in self.brand_new_threads.items():
            lines.append(f"{used.calls} calls in a row with {how} ran in {wording.counted(used.distinct, 'thread')}")
        lines += [f"doubtful: {caveat}" for caveat in self.about.caveats]
        lines.append(f"{wording.counted(len(self.rounds), 'round')} on core {cores} · {self.about.machine.caption}")
        return "\n".join(lines)

    def _row(self, name: str) -> tuple[str, ...]:
        cost, mean = self.cost(name), self.cost(name, "mean")
        bounds = f"{wording.figure(cost.low)} to {wording.figure(cost.high)}" if cost.known else "unknown"
        times = wording.times(self.ratio(name, "await").value)
        return name, wording.figure(cost.value), bounds, wording.figure(mean.value), times

    def _counted(self, name: str, of: str) -> list[float]:
        """Return a figure of each round that counts, in µs."""
        tables = {"p50": self.rounds, "mean": self.means}
        table = tables[checks.one_of("of", of, tables)]
        if name not in self.names:
            raise ConfigurationError(f"there is no call cost of {name!r}; there are: {', '.join(self.names)}")
        disturbed = self.about.disturbed
        left_out = disturbed if _can_be_left_out(disturbed, len(self.rounds)) else {}
        return [float(value) for number, value in table[name].items() if number not in left_out]


@interrupt_says("the measurement of costs; there are none")
def call_costs(
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    loop: str = "asyncio",
    busy_threads: int = 0,
    seed: int | None = None,
) -> CallCosts:
    """Measure what one call of a function that does nothing costs, in each way to call it, on the servers' cores.

    >>> call_costs(loop="uvloop").cost("sync_to_async warm")

    Every way is measured once a round, in random order, for as long as `seconds` for all of it allow; the defaults are
    16 rounds and 12 s, or 3 s in quick mode. There are fewer rounds where calls are so slow that more would not fit.
    `busy_threads` other threads of the process compute in Python meanwhile, and so want the GIL. Calls that take less
    than a few µs are timed in groups, and include a few ns of the loop that makes them.

    Raises ConfigurationError for values that cannot work, LabError where the process fails or does not end.

    Resources: one process, gone when this returns or raises, and when this process ends in any way.
    """
    machine.require_unix()
    rounds = ROUNDS if rounds is None else rounds
    seconds = quick.seconds(SECONDS) if seconds is None else seconds
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    plan: dict[str, Any] = {
        "loop": checks.one_of("call_costs(loop)", loop, LOOPS),
        "rounds": checks.whole("call_costs(rounds)", rounds, 1, MAX_ROUNDS),
        "seconds": checks.number("call_costs(seconds)", seconds, MIN_SECONDS, MAX_SECONDS),
        "busy_threads": checks.whole("call_costs(busy_threads)", busy_threads, 0, MAX_BUSY_THREADS),
        "seed": checks.whole("call_costs(seed)", seed, 0, 2**63),
        "cores": list(machine.split_cores().server),
    }
    with Progress(f"measuring call costs on {loop}", plan["seconds"] + STARTING_S) as progress:
        answer = _ask(plan, progress.tick)
    return _read(answer, plan)


def _process() -> Child:
    return Child("requestlab.comparison.call_costs_process", "the process that measures call costs")


def _ask(plan: Mapping[str, Any], tick: Callable[[], None]) -> dict[str, Any]:
    deadline = time.monotonic() + plan["seconds"] + _PATIENCE_S
    with _process() as process:
        told = process.ask(json.dumps(plan).encode() + b"\n", deadline, tick)
        return dict(json.loads(told.splitlines()[-1]))  # what stands before it was printed by others


def _read(answer: dict[str, Any], plan: Mapping[str, Any]) -> CallCosts:
    medians, means = (_table(answer.pop(key), list(answer["what"])) for key in ("medians_ns", "means_ns"))
    threads = {how: ThreadsUsed(**used) for how, used in answer.pop("threads").items()}
    disturbed = dict(_disturbances(answer.pop("outside")))
    about = CallCostsFacts(
        **answer,
        **{name: plan[name] for name in ("loop", "seconds", "busy_threads", "seed")},
        wanted=plan["rounds"],
        cores=tuple(plan["cores"]),
        disturbed=disturbed,
        caveats=tuple(_caveats(disturbed, len(medians), plan["rounds"])),
        machine=machine.facts(),
    )
    return CallCosts(medians, means, threads, about)


def _table(rows_ns: list[dict[str, float]], names: list[str]) -> pd.DataFrame:
    index = pd.RangeIndex(1, len(rows_ns) + 1, name="round")
    return pd.DataFrame(rows_ns, columns=names, index=index) / 1000


def _disturbances(outside: Sequence[Mapping[str, float]]) -> Iterator[tuple[int, str]]:
    """Yield the number of each round in which others took much of the cores' time, and who it was."""
    for number, shares in enumerate(outside, 1):
        if much := {name: share for name, share in shares.items() if share > DISTURBED}:
            yield number, ", ".join(f"{_TAKEN_BY[name]} ({share:.0%})" for name, share in much.items())


def _caveats(disturbed: Mapping[int, str], rounds: int, wanted: int) -> Iterator[str]:
    if disturbed and not _can_be_left_out(disturbed, rounds):
        first = next(iter(disturbed.values()))
        yield (
            f"in {len(disturbed)} of {rounds} rounds something else took time of the cores, as in the first of them {first}: "
            "calls that wait for a thread may have cost twice as much as they do otherwise"
        )
    if rounds < min(wanted, MIN_ROUNDS):
        yield f"calls took so long that only {rounds} of {wanted} rounds fitted; give more seconds"


def _can_be_left_out(disturbed: Mapping[int, str], rounds: int) -> bool:
    left = rounds - len(disturbed)
    return left >= MIN_ROUNDS and left >= MIN_LEFT * rounds
