"""Tests of times are as patient as the lab: one that failed while the machine was disturbed is run again.

Evidence of a disturbance comes from outside of the test: time that other machines on the host took (steal), CPU time of
processes that are not the tests' own, a CPU limit, and what `validity.outside` says of the runs that the failed test
had in hand. A test that fails each time fails, with the evidence beside the error. Only where other machines took much
of a core during each try of a test of times, nobody can tell: then it is left out, with that reason. A session in which
that befell more than a few has failed (see `conftest.py`).

Every test is patient, for any may ask a server or wait for a process while others run beside it; those that are not of
times have fewer tries. Each repetition is printed with its evidence.

A virtual machine may also wake late without a word of it in any counter. So a test that fails without evidence gets a
second slice, and it has failed where that is wrong too. Known truths get more, `measuring(slices=6)`: a load client
that is wrong is wrong in each.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import pytest

from requestlab.measurement import validity
from requestlab.measurement.run import Run
from requestlab.system import clocks
from requestlab.worker import kernel
from tests.processes import marked_processes

CANNOT_TELL = "cannot tell"

TRIES = 8
TRIES_OF_OTHERS = 3
"""Of tests that are not marked as of times."""

BUDGET_S = 60.0
"""No further try begins later than this."""

MUCH_S, MUCH = 0.05, 0.03
"""What others took disturbs if it is more than so many seconds (the system counts in steps of 0.01) and than that share
of a core."""

HEAVY = 0.1
"""Share of a core. Where other machines took that during each try, the failures say nothing of the code."""

TICKS_NS = 50_000_000
"""The CPU time of our own processes is counted in steps of 0.01 s, for each of them."""

QUIET_WITHIN_S, LOOK_S = 3.0, 0.5
"""How long the next try waits for the machine to be quiet, and how long each look at it takes."""


def soon(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether it is true within so many seconds: what another process does is waited for, and not slept for."""
    deadline = time.monotonic() + within_s
    while not (is_true := true()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_true


class Watch:
    """What others do with this machine, from now on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _counters()

    def evidence(self) -> str:
        """Return what disturbed the machine since the beginning, in a few words; or nothing."""
        found, seconds = self._taken_s()
        much = max(MUCH_S, MUCH * seconds)
        return ", ".join(f"{name} {took:.2f} s of {seconds:.2f} s" for name, took in found.items() if took > much)

    def stolen(self) -> float:
        """Return the share of a core that other machines, or a limit, took since the beginning."""
        found, seconds = self._taken_s()
        return max(found["steal"], found["CPU limit"]) / seconds

    def _taken_s(self) -> tuple[dict[str, float], float]:
        now, seconds = _counters(), time.monotonic() - self._began
        taken = {name: (now[name] - before) / 1e9 for name, before in self._before.items() if name in now}
        found = {
            "steal": max(took for name, took in taken.items() if name.startswith("steal")),
            "other processes": taken["busy"] - taken["own"],
            "CPU limit": taken.get("throttled", 0.0),
        }
        return found, seconds


def _counters() -> dict[str, int]:
    cores = clocks.use_of_cores(sorted(kernel.usable_cores()))
    counters = {f"steal of {core}": use["steal"] for core, use in cores.items()}
    counters["own"] = own_cpu_ns()
    counters["busy"] = sum(use["busy"] for use in clocks.use_of_cores(range(os.cpu_count() or 1)).values())
    if (throttled := clocks.throttled_ns()) is not None:
        counters["throttled"] = throttled
    return counters


def own_cpu_ns() -> int:
    """CPU time of this process and of all that the tests started, with those of them that have ended and were waited
    for."""
    own = os.times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for process in marked_processes(shared=True):
        with suppress(Exception):  # it has just ended
            used = process.cpu_times()
            seconds += used.user + used.system + used.children_user + used.children_system
    return int(seconds * 1e9)


def patient(
    test: Callable[..., Any],
    again: Callable[[str], None] = lambda evidence: None,
    slices: int = 1,
    tries: int = TRIES,
    of_times: bool = False,
) -> Callable[..., Any]:
    """Return the test, which is run again where it failed and the machine was disturbed, at most `tries` times in all,
    or where it may have more `slices`; `again` is told of each time. Each try has a `tmp_path` of its own.

    A test `of_times` is left out where other machines took much of a core during each try."""

    @functools.wraps(test)
    def patiently(*arguments: Any, **named: Any) -> Any:
        began, met, stolen, left = time.monotonic(), list[str](), list[float](), slices
        while True:
            watch = Watch()
            try:
                return test(*arguments, **_with_a_folder_of_its_own(named, len(met)))
            except (AssertionError, pytest.fail.Exception) as failure:
                evidence = ", ".join(
                    filter(None, [watch.evidence(), *sorted(set(_said_by_runs(failure.__traceback__)))])
                )
                left -= not evidence
                if not left:
                    raise
                evidence = evidence or "another slice"
                why = str(failure).partition("\n")[0][:200]
                met.append(evidence)
                stolen.append(watch.stolen())
                if len(met) == tries or time.monotonic() - began > BUDGET_S:
                    story = f"failed {len(met)} times, each time on a disturbed machine: {'; '.join(met)}"
                    if of_times and len(met) > 1 and min(stolen) > HEAVY:
                        pytest.skip(f"{CANNOT_TELL}: {story}; the last time: {why}")
                    failure.add_note(story)
                    raise
            again(f"{evidence}; {why}")
            _wait_for_quiet()

    return patiently


def _with_a_folder_of_its_own(named: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the arguments of a test with an empty `tmp_path`: what an earlier try wrote is not read again."""
    if not number or "tmp_path" not in named:
        return named
    folder = named["tmp_path"] / f"try {number}"
    folder.mkdir()
    return named | {"tmp_path": folder}


def _said_by_runs(trace: TracebackType | None) -> Iterator[str]:
    """Yield the evidence in the runs that the failed functions had in hand."""
    while trace is not None:
        for run in _runs_in(trace.tb_frame):
            with suppress(Exception):  # a run that a test made up may lack what it looks at
                yield validity.outside(run)
        trace = trace.tb_next


def _runs_in(frame: FrameType) -> Iterator[Run]:
    for value in frame.f_locals.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Run):
                yield one


def _wait_for_quiet() -> None:
    deadline = time.monotonic() + QUIET_WITHIN_S
    while time.monotonic() < deadline:
        watch = Watch()
        time.sleep(LOOK_S)
        if not watch.evidence():
            return
