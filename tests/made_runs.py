"""Runs made by hand, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from requestlab.comparison.call_costs import CallCostsFacts
from requestlab.comparison.comparison import METRICS, Comparison, ComparisonFacts, Slice
from requestlab.load.plan import COLUMNS
from requestlab.measurement.record import CoreUse, RunFacts
from requestlab.measurement.run import Run
from requestlab.system.machine import Machine

START, END = 1_000_000_000, 2_000_000_000
MS = 1_000_000
MACHINE = Machine(
    python="3.13.0",
    implementation="CPython",
    gil=True,
    system="Linux 6.1",
    processor="a processor",
    cores=2,
    usable_cores=2,
    limits={},
    versions={"django": "6.0", "asgiref": "3.13", "gunicorn": "27.0", "uvicorn": "0.54", "uvloop": "0.23"},
)
ABOUT = RunFacts(
    label="sync",
    url="http://127.0.0.1:8000/",
    path="/",
    load="1 user",
    machine=MACHINE,
    capacity=1,
    connections=1,
    seconds=1.0,
    warmup=0.0,
    timeout=10.0,
    start=START,
    end=END,
    started=0,
    generator_cpu_ns=100 * MS,
    pids=(1,),
    generator_wait_ns=0,
    server_cpu_ns=500 * MS,
    cores_watched=1,
    cores_shared=False,
    cores_ns=CoreUse(busy=500 * MS, idle=500 * MS, steal=0),
)
"""Of a quiet run, without the number of users, so that a few rows by hand need not keep Little's law."""


COMPARED = ComparisonFacts(
    paths={}, loads={}, beside={}, seed=0, seconds=1.0, asked=(), wanted=8, budget=None, machine=MACHINE
)


COSTED = CallCostsFacts(
    loop="asyncio",
    wanted=8,
    seconds=1.0,
    busy_threads=0,
    seed=0,
    what={},
    loop_class="asyncio._UnixSelectorEventLoop",
    cores=(0,),
    disturbed={},
    caveats=(),
    machine=MACHINE,
)


def made(rows: list[dict[str, int]], **about: Any) -> Run:
    """Return a run of these rows: dicts of columns, the rest as in a good answer that took 10 ms."""
    good = dict.fromkeys(COLUMNS, 0) | {"sent": START, "planned": START, "first_byte": START + 1, "status": 200}
    good |= {"done": START + 10 * MS, "size": 5, "body": 907060870, "on_loop": -1}
    filled = [good | row for row in rows]
    samples = np.array([[row[name] for name in COLUMNS] for row in filled], dtype=np.int64).reshape(-1, len(COLUMNS))
    started = sum(row["user"] >= 0 for row in filled)
    return Run(samples, np.zeros((0, 8), dtype=np.int64), replace(ABOUT, **{"started": started} | about))


def closed_loop(users: int = 2, each_ms: float = 10, *, before_ms: float = 0, **about: Any) -> Run:
    """Return a run in which every user asks again and again for the whole stretch, and for so long before; each answer
    takes so long."""
    step, first = int(each_ms * MS), START - int(before_ms * MS)
    rows = [
        {"user": user, "planned": at, "sent": at, "first_byte": at + 1, "done": at + step}
        for user in range(users)
        for at in range(first, END, step)
    ]
    return made(rows, **{"users": users, "connections": users, "load": f"{users} users"} | about)


def open_loop(rate: int = 500, each_ms: float = 10, late_ms: float = 0, **about: Any) -> Run:
    """Return a run of requests that are planned evenly, sent so late, and answered so long after they were sent; those
    that were under way when the stretch began are in it."""
    late, service = int(late_ms * MS), int(each_ms * MS)
    rows = [
        {"planned": at, "sent": at + late, "first_byte": at + late + 1, "done": at + late + service}
        for at in range(START - late - service, END, 1_000 * MS // rate)
    ]
    return made(rows, **{"rate": float(rate), "load": f"{rate} requests/s"} | about)


def simulated(
    chance: np.random.Generator, rounds: int, truth: float, *, apart: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the five figures of two contenders, round by round, on a machine as in MEASURING.md: shape (rounds, 5)
    each.

    The machine drifts in phases of several rounds (a factor of e^0.3 up and down, rarely much more), each slice has
    noise of its own (8%), larger in some slices than in others, and the five figures of a slice go together. `truth`
    is the ratio; `apart` the standard deviation of what two processes differ by for as long as they live.
    """
    phase = np.zeros(rounds)
    for number in range(1, rounds):
        phase[number] = 0.8 * phase[number - 1] + 0.2 * chance.standard_normal() + (chance.random() < 0.1) * 0.7
    both = []
    for shift in (np.log(truth) + chance.normal(0, apart), 0.0):
        rough = np.where(chance.random(rounds) < 0.2, 0.2, 0.06)
        common = rough * chance.standard_normal(rounds)
        own = 0.5 * rough[:, None] * chance.standard_normal((rounds, 5))
        both.append(np.exp(phase[:, None] + shift + common[:, None] + own))
    return both[0], both[1]


@cache
def _of_many_answers() -> Run:
    return made([{}] * 2_000)


def slice_of(figures: Mapping[str, float], run: Run | None = None, **summary: Any) -> Run:
    """Return a run that has these figures, whatever its rows say; without `run`, of answers enough for percentiles."""
    run = run or _of_many_answers()
    copy = replace(run)
    copy.__dict__["requests"] = run.requests
    copy.__dict__["summary"] = run.summary | figures | summary
    return copy


def comparison(figures: Mapping[str, Any], control: str | None = None) -> Comparison:
    """Return a comparison whose contenders had these figures: shape (rounds,), all metrics alike, or (rounds,
    metrics)."""
    slices = []
    for position, (label, rounds) in enumerate(figures.items()):
        for number, row in enumerate(np.asarray(rounds, dtype=float)):
            each = dict(zip(METRICS, np.broadcast_to(row, len(METRICS)), strict=True))
            slices.append(Slice(number + 1, position, label, slice_of(each)))
    labels = tuple(label for label in figures if label != control)
    return Comparison(tuple(slices), labels, control, COMPARED)


def changed(result: Comparison, label: str, rounds: set[int], **changes: Any) -> Comparison:
    """Return the comparison with that contender's slices in those rounds changed."""
    slices = [
        replace(part, **changes) if part.label == label and part.round in rounds else part for part in result.slices
    ]
    return replace(result, slices=tuple(slices))
