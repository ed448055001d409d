"""One plan, divided among load processes on several machines: the workers of a Dask cluster.

Each machine times its own requests with its own clock, so response times need no common one. To lay the rows side by
side they do: clocks are compared before and after. What a machine has measured comes in while it measures: where it
dies, that part is there, and marked.
"""

from __future__ import annotations

import functools
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from requestlab.errors import ConfigurationError, GeneratorError
from requestlab.load.cluster import PATIENCE_S, Clock, Cluster, Place, net
from requestlab.load.loop import mark
from requestlab.load.plan import COLUMNS, PART_COLUMNS, Generator, LoadReport, Mark, Plan
from requestlab.load.pool import Job, LoadProcessPool, Outcome
from requestlab.load.target import is_loopback
from requestlab.load.watch import Table, Watch, Watched
from requestlab.system.wording import counted

LEAD_S = 0.5
"""The beginning is so long after a part has been sent: each machine must have it by then."""

SPILL_S = 0.5
"""How often rows come in before the end."""

AT_THE_END_S = 3.0
"""So long a machine is waited for that is told that nothing more is wanted of it."""

LOOK_S, ROLL_CALL_S = 0.05, 0.25
"""How often the server is looked at meanwhile, and who of the cluster is still there."""

_TIMES = [COLUMNS.index(name) for name in ("planned", "sent", "first_byte", "done", "first_body")]
_USER, _DONE = COLUMNS.index("user"), COLUMNS.index("done")


class Spread:
    """Takes the place of a LoadProcessPool; `client` is a `distributed.Client`. A context manager.

    Raises what `Cluster` raises. Resources: one load process on each worker, gone when the block is left.
    """

    def __init__(self, client: Any) -> None:
        self._cluster = Cluster(client)

    def __enter__(self) -> Spread:
        self._cluster.ask(_begin)
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.ask(_end, AT_THE_END_S)

    def run(self, jobs: Sequence[Job], watched: Watched, tick: Callable[[], None]) -> tuple[Outcome, ...]:
        """Divide the plan of the one job, and return one outcome of all parts. Raises GeneratorError where a load
        process failed; a worker that died is no error, but told in the report."""
        (job,) = jobs
        self._check_reach(job.plan)
        before = self._cluster.clocks(tick)
        workers = sorted(before)[: job.plan.users]
        if not workers:
            raise GeneratorError("all workers of the cluster have ended")
        begin_ns = time.perf_counter_ns() + int(LEAD_S * 1e9)
        jobs = [
            Job(self._settled(plan, worker), job.name, job.after_s + after_s)
            for worker, (plan, after_s) in zip(workers, divided(job.plan, len(workers)), strict=True)
        ]
        with _Parts(self._cluster, dict(zip(workers, jobs, strict=True)), before, begin_ns) as parts:
            marks, table = _wait(parts, job.plan, watched, begin_ns, tick)
        after = self._cluster.clocks(tick)
        ended = [
            _Part(
                worker=worker,
                place=self._cluster.places[worker],
                job=one,
                ended=parts.ended(worker),
                begin_ns=begin_ns,
                clock=before[worker],
                later=after.get(worker, before[worker]),
            )
            for worker, one in zip(workers, jobs, strict=True)
        ]
        return (_merged(ended, marks, table),)

    def _settled(self, plan: Plan, worker: str) -> Plan:
        """Return the plan as it is on that machine: on a core of its own where no other load process is there."""
        places = self._cluster.places
        place = places[worker]
        alone = sum(other.net == place.net for other in places.values()) == 1
        return replace(plan, core=place.core if alone else None, cores=place.cores)

    def _check_reach(self, plan: Plan) -> None:
        if not is_loopback(plan.address[0]):
            return
        away = [worker for worker, place in self._cluster.places.items() if place.net != net()]
        if away:
            raise ConfigurationError(
                f"{plan.address[0]} is each machine's own: {counted(len(away), 'worker')} of the cluster would not find the "
                "server there; expected an address that all can reach, and remote=True"
            )


def divided(plan: Plan, among: int) -> list[tuple[Plan, float]]:
    """Return that many plans that come to this one, and how many seconds after the first each begins.

    The users of a closed loop are shared out. Of an open loop, each has a part of the rate: arrivals at constant
    intervals interleave; those by chance (Poisson) add up to such arrivals again.
    """
    parts = []
    for number in range(among):
        part = replace(plan, pids=(), upstream=0, directory="", spill_s=SPILL_S, seed=plan.seed + number * 1_000_003)
        if plan.users is not None:
            users = plan.users // among + (number < plan.users % among)
            parts.append((replace(part, users=users, connections=users), 0.0))
        else:
            assert plan.rate is not None
            after_s = number / plan.rate if plan.arrivals == "constant" else 0.0
            parts.append((replace(part, rate=plan.rate / among), after_s))
    return parts


# On each machine


_pools: list[LoadProcessPool] = []
_given_up: set[str] = set()
"""Of what is asked of this worker: the load processes that wait for plans, and the parts that nobody waits for."""


def _begin() -> None:
    if not _pools:
        _pools.append(LoadProcessPool())
        _pools[0].start_one()


def _end() -> None:
    while _pools:
        _pools.pop().__exit__()


def _give_up(topic: str) -> None:
    _given_up.add(topic)


def _carry_out(topic: str, job: Job, begin_ns: int) -> Outcome:
    """Put a part of a load on the server from here, and send its rows as they come."""
    from distributed import get_worker

    worker = get_worker()

    def tick() -> None:
        if topic in _given_up:
            raise GeneratorError("it was given up")

    spilled = lambda data: worker.log_event(topic, (worker.address, data))  # noqa: E731
    _begin()
    (outcome,) = _pools[0].run([job], Watched(), tick, begin_ns=begin_ns, rows=spilled)
    return outcome


# Here


class _Parts:
    """The parts under way, from their sending to their end. A context manager; leaving it early gives them up."""

    def __init__(self, cluster: Cluster, jobs: Mapping[str, Job], clocks: Mapping[str, Clock], begin_ns: int) -> None:
        self._cluster, self._client, self._begin_ns = cluster, cluster.client, begin_ns
        self._topic = f"requestlab-{uuid.uuid4()}"
        self._rows: dict[str, bytes] = dict.fromkeys(jobs, b"")
        self._lost: dict[str, str] = {}
        self._lock = threading.Lock()
        longest_s = max(job.after_s + job.plan.longest_s for job in jobs.values())
        self._deadline_ns = begin_ns + int((longest_s + PATIENCE_S) * 1e9)
        self._client.subscribe_topic(self._topic, self._take)
        self._futures = {
            worker: self._client.submit(
                *(_carry_out, self._topic, job, begin_ns - clocks[worker].offset_ns),
                workers=[worker],
                pure=False,
                retries=0,
            )
            for worker, job in jobs.items()
        }

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        left = [worker for worker, future in self._futures.items() if not future.done()]
        if left:
            with suppress(Exception):  # nothing is to hide why it is left early
                self._cluster.ask(functools.partial(_give_up, self._topic), AT_THE_END_S)
            self._client.cancel([self._futures[worker] for worker in left], force=True)
        self._client.unsubscribe_topic(self._topic)

    def _take(self, event: tuple[float, tuple[str, bytes]]) -> None:
        worker, data = event[1]
        with self._lock:
            self._rows[worker] += data

    def all_ended(self) -> bool:
        """Return whether each has come to its end, and mark those that will not."""
        there = self._cluster.present()
        for worker, future in self._futures.items():
            if future.done() or worker in self._lost:
                continue
            if worker not in there:
                self._lost[worker] = (
                    f"its worker ended {(time.perf_counter_ns() - self._begin_ns) / 1e9:.1f} s after the beginning"
                )
            elif time.perf_counter_ns() > self._deadline_ns:
                self._lost[worker] = "its worker did not answer in time"
                self._cluster.give_up(worker)
        return all(future.done() or worker in self._lost for worker, future in self._futures.items())

    def ended(self, worker: str) -> _Ended:
        """Return what came of the part of a worker; GeneratorError where its load process failed."""
        future = self._futures[worker]
        if worker not in self._lost and future.status == "finished":
            return _Ended(future.result())
        if worker not in self._lost and future.status == "error":
            problem = future.exception()
            if type(problem).__name__ != "KilledWorker":
                raise GeneratorError(f"on the worker {worker}: {problem}")
        with self._lock:
            samples = np.frombuffer(self._rows[worker], dtype=np.int64).reshape(-1, len(COLUMNS))
        nothing = np.zeros((0, len(PART_COLUMNS)), dtype=np.int64)
        report = LoadReport((), len(samples), 0, len(samples))
        return _Ended(Outcome(report, samples, nothing, nothing), self._lost.get(worker, "its worker ended"))


@dataclass(frozen=True, eq=False)
class _Ended:
    """What came of a part; `lost` says why that is not all."""

    outcome: Outcome
    lost: str = ""


@dataclass(frozen=True, eq=False)
class _Part:
    """A part of a plan, where it was carried out, and how it ended."""

    worker: str
    place: Place
    job: Job
    ended: _Ended
    begin_ns: int
    clock: Clock
    later: Clock

    def generator(self, users: int) -> Generator:
        """Return what is told of its load process, whose users have the numbers from `users` on."""
        plan, report = self.job.plan, self.ended.outcome.report
        spent = {}
        if report.marks:
            first, last = report.marks
            due_ns = self.begin_ns + int((self.job.after_s + plan.warmup_s) * 1e9)
            spent = {
                "cpu_ns": last.generator_cpu_ns - first.generator_cpu_ns,
                "wait_ns": last.generator_wait_ns - first.generator_wait_ns,
                "late_ns": first.time_ns + self.clock.offset_ns - due_ns,
            }
        return Generator(
            name=self.worker,
            host=self.place.host,
            users=(users, users + plan.connections),
            rows=len(self.ended.outcome.samples),
            started=report.started,
            offset_ns=self.clock.offset_ns,
            unsure_ns=self.clock.unsure_ns,
            drift_ns=self.clock.drift_ns(self.later),
            shares_its_core=plan.core is None,
            lost=self.ended.lost,
            **spent,
        )


def _wait(
    parts: _Parts, plan: Plan, watched: Watched, begin_ns: int, tick: Callable[[], None]
) -> tuple[list[Mark], Table]:
    """Wait for all parts; look at the server's processes meanwhile, and set the two marks of the whole."""
    watch, marks, next_call = Watch(watched), list[Mark](), 0.0
    due = [begin_ns + int(plan.warmup_s * 1e9)]
    if plan.each is None:
        due.append(due[0] + int(plan.seconds * 1e9))
    while True:
        now = time.perf_counter_ns()
        if due and now >= due[0]:
            marks.append(mark(plan))
            due.pop(0)
        if time.monotonic() >= next_call:
            next_call = time.monotonic() + ROLL_CALL_S
            if parts.all_ended() and not due:
                break
        watch.look()
        tick()
        rest_s = max(0.0, (due[0] - time.perf_counter_ns()) / 1e9) if due else LOOK_S
        time.sleep(min(LOOK_S, watch.patience_s, rest_s))
    if len(marks) < 2:
        marks.append(mark(plan))
    watch.look_on()
    return marks, watch.table()


def _merged(parts: Sequence[_Part], marks: Sequence[Mark], table: Table) -> Outcome:
    """Return one outcome of all parts: their rows on this clock, one after the other, with users that are numbered
    through. The generator is taken to have been as busy as the busiest."""
    generators, samples, bodies, users, rows = [], [], [], 0, 0
    for part in parts:
        outcome, plan = part.ended.outcome, part.job.plan
        generators.append(part.generator(users))
        samples.append(_on_this_clock(outcome.samples, part.clock.offset_ns, users))
        bodies.append(outcome.parts + np.array([rows, part.clock.offset_ns, 0]))
        users, rows = users + plan.connections, rows + len(outcome.samples)
    first, last = marks
    busiest = max(generators, key=lambda one: one.cpu_ns + one.wait_ns)
    first = replace(first, generator_cpu_ns=0, generator_wait_ns=0)
    last = replace(last, generator_cpu_ns=busiest.cpu_ns, generator_wait_ns=busiest.wait_ns)
    if parts[0].job.plan.each is not None and rows:  # it ended with the last answer, not when that was known here
        last = replace(last, time_ns=max(int(one[:, _DONE].max(initial=0)) for one in samples))
    reports = [part.ended.outcome.report for part in parts]
    report = LoadReport(
        (first, last),
        started=sum(one.started for one in reports),
        held_back=sum(one.held_back for one in reports),
        rows=rows,
        parts=sum(map(len, bodies)),
        generators=tuple(generators),
    )
    return Outcome(report, np.concatenate(samples), np.concatenate(bodies), table)


def _on_this_clock(samples: Table, offset_ns: int, users: int) -> Table:
    moved = samples.copy()
    times = moved[:, _TIMES]
    moved[:, _TIMES] = np.where(times > 0, times + offset_ns, times)
    moved[:, _USER] += np.where(moved[:, _USER] >= 0, users, 0)
    return moved
