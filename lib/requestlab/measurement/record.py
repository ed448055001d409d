"""The tables of one slice, what is known of it besides, and what can be computed from both without judging it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from requestlab.load.connection import ERRORS, NO_FAILURE
from requestlab.load.plan import COLUMNS, PART_COLUMNS, PROCESS_COLUMNS, Generator
from requestlab.serving.configuration import Configuration
from requestlab.serving.servers import SERVERS
from requestlab.serving.upstream.statistics import UpstreamUse
from requestlab.system import wording
from requestlab.system.machine import Cores, Machine
from requestlab.trace import activity
from requestlab.trace.activity import Booleans, Floats, Integers, Key
from requestlab.trace.blocking import blocks
from requestlab.trace.trace import NOTHING, Trace

_PARTS_OF_SERVERS = ("uvloop", "httptools", "twisted")


@dataclass(frozen=True)
class CoreUse:
    """How long the server's cores were `busy` and `idle`, all together, and what other machines took of the one that
    lost most (`steal`); in ns."""

    busy: int
    idle: int
    steal: int


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of one slice.

    `label` is how figures call it; `load` says the load in words, and `beside` those of the loads on the same server at
    that time, by path. `configuration` (without a password), `capacity` and `cores` are None for addresses. Of the
    load, `users`, `each` and `rate` are None where they mean nothing. `start` and `end` of the measured stretch are in
    ns of CLOCK_MONOTONIC; all that ends in `_ns` is an amount of time within it, None where the system does not say.
    `started` counts requests sent, `held_back` those of an open loop that had to wait for a connection, and `counts`
    those that the server saw, by worker. `nonce` says whether the server was itself at the end, None where nobody could
    say. `asks` are the requests of a mix. `server_error` is the last exception in the server's log, where answers had a
    status of 500 or above. `cores_watched` is how many cores the server could use, `cores_shared` whether the load
    process ran on the same. `generators` are the load processes of `measure(on=...)`; the two figures of the generator
    are then those of the busiest.
    """

    label: str
    url: str
    path: str
    load: str
    machine: Machine
    seconds: float
    warmup: float
    timeout: float
    start: int
    end: int
    started: int
    connections: int
    generator_cpu_ns: int
    generator_wait_ns: int
    cores_watched: int
    cores_shared: bool
    cores_ns: CoreUse
    beside: Mapping[str, str] = field(default_factory=dict)
    configuration: Configuration | None = None
    capacity: int | None = None
    cores: Cores | None = None
    pids: tuple[int, ...] = ()
    users: int | None = None
    each: int | None = None
    rate: float | None = None
    arrivals: str = "constant"
    seed: int = 0
    keep_alive: bool = True
    pause_ms: float = 0.0
    delay_ms: float = 0.0
    client: str = "lab"
    misbehaving: str = ""
    expect: str | None = None
    held_back: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)
    nonce: bool | None = None
    server_ended: bool = False
    worker_ended: bool = False
    server_error: str = ""
    server_cpu_ns: int | None = None
    pressure_ns: int | None = None
    throttled_ns: int | None = None
    upstream: UpstreamUse | None = None
    upstream_cpu_ns: int | None = None
    upstream_wait_ns: int | None = None
    asks: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    generators: tuple[Generator, ...] = ()

    @property
    def asked(self) -> str:
        """What was asked for, in words: path and load, and the loads that were beside it on the same server."""
        others = [f"beside {path}, {load}" for path, load in self.beside.items()]
        return " · ".join([f"{self.path}, {self.load}", *others])

    @property
    def at_once(self) -> str:
        """How many requests the configuration can have in hand at once, in words."""
        if self.configuration is None:
            return "unknown"
        return (
            "no limit of its own" if self.capacity is None else f"{wording.counted(self.capacity, 'request')} at once"
        )

    @property
    def served_by(self) -> str:
        """Server, versions and event loop: `uvicorn 0.54.0 on asyncio`."""
        row = SERVERS.get(self.configuration.server) if self.configuration else None
        if self.configuration is None or row is None:
            return "server unknown"
        versions = self.machine.versions
        packages = " and ".join(
            f"{name} {versions.get(name)}" for name in row.packages if name not in _PARTS_OF_SERVERS
        )
        if row.interface == "wsgi":
            return f"{packages} ({row.name}), no event loop"
        loop = self.configuration.loop or "asyncio"
        return f"{packages or row.name} on {loop} {versions.get(loop, '')}".rstrip()


@dataclass(frozen=True, eq=False)
class Record:
    """What was written down of one slice of load on one server.

    `samples` is the raw table, int64, shape (requests, len(load.plan.COLUMNS)), warm-up included; `process_samples` has
    one row a worker and moment, int64, shape (moments, len(load.plan.PROCESS_COLUMNS)); `part_samples` one a part of a
    body, int64, shape (parts, len(load.plan.PART_COLUMNS)), none unless they were asked for. `about` holds the facts:
    what was asked, who served it, what else went on. `trace` is what the probe wrote down in the workers, `beside` the
    records of the loads that were put on the same server at the same time, by path.
    """

    samples: Integers
    process_samples: Integers
    about: RunFacts
    trace: Trace = NOTHING
    beside: Mapping[str, Record] = field(default_factory=dict)
    part_samples: Integers = field(default_factory=lambda: np.zeros((0, len(PART_COLUMNS)), dtype=np.int64))

    @property
    def label(self) -> str:
        """How figures call it: the configuration's label, or the address."""
        return self.about.label

    @property
    def seconds(self) -> float:
        """Length of the measured stretch."""
        return (self.about.end - self.about.start) / 1e9

    def column(self, name: str) -> Integers:
        """Return one column of `samples`, see `load.plan.COLUMNS`."""
        return self.samples[:, COLUMNS.index(name)]

    # Tables

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request that ended, well or not, after the measured stretch had begun, in the order of planning.

        `planned`, `sent`, `first_byte` (of the answer), `first_body` (of its body), `done` in ns of CLOCK_MONOTONIC (0:
        it did not come to that), `status`, `error` (empty: none), `size` of the body in bytes and its CRC-32 (`body`),
        `user` (in an open loop: the connection), `opened` (it had to be opened), `asked` (which request of a mix, a
        position in `about.asks`), and, where the probe was on, `pid`, `thread` (native id), `on_loop` (that thread ran
        an event loop) and `number` (of the request in that worker, by which it is found in `spans`); else these are
        <NA>.
        """
        return self._table(self.column("done") >= self.about.start)

    @cached_property
    def warmup(self) -> pd.DataFrame:
        """The requests that had ended before the measured stretch began; in no summary."""
        return self._table(self.column("done") < self.about.start)

    @cached_property
    def threads(self) -> pd.DataFrame:
        """Threads alive over time, sampled from outside: `time` (ns), `pid`, `threads`; empty where the probe was
        off."""
        counted = self._processes[["time", "pid", "threads"]]
        return counted if (self._processes["resident"] < 0).any() else counted.iloc[:0]

    @cached_property
    def processes(self) -> pd.DataFrame:
        """The server's worker processes over time, a few times a second: `time` (ns), `pid`, `threads`, memory
        (`resident` and at its `peak`, in MB), open `files`, and of these `sockets` and connections to `databases`."""
        read = self._processes[self._processes["resident"] >= 0].reset_index(drop=True)
        return read.assign(resident=read["resident"] / 1024, peak=read["peak"] / 1024)

    @property
    def _processes(self) -> pd.DataFrame:
        return pd.DataFrame(self.process_samples, columns=list(PROCESS_COLUMNS))

    @cached_property
    def parts(self) -> pd.DataFrame:
        """One row for each part in which a body came, where `measure(parts=True)` asked for them: `request` (its row in
        `requests`; -1 in the warm-up), `ms` since that was sent, `size` in bytes."""
        parts = pd.DataFrame(self.part_samples, columns=list(PART_COLUMNS))
        order = np.full(len(self.samples), -1)
        order[self._order] = np.arange(len(self._order))
        sent = self.column("sent")[parts["row"]] if len(parts) else np.zeros(0)
        request = order[parts["row"]] if len(parts) else np.zeros(0, dtype=np.int64)
        return pd.DataFrame({"request": request, "ms": (parts["time"] - sent) / 1e6, "size": parts["size"]})

    @property
    def _order(self) -> Integers:
        """Which rows of `samples` are in `requests`, in its order."""
        wanted = np.flatnonzero(self.column("done") >= self.about.start)
        return np.asarray(wanted[np.argsort(self.column("planned")[wanted], kind="stable")])

    @property
    def spans(self) -> pd.DataFrame:
        """What ran inside the workers, and when: see `Trace.spans`."""
        return self.trace.spans

    @property
    def crossings(self) -> pd.DataFrame:
        """Each change between event loop and thread, and its cost: see `Trace.crossings`."""
        return self.trace.crossings

    @property
    def ticks(self) -> pd.DataFrame:
        """The heartbeats of the workers' event loops: see `Trace.ticks`."""
        return self.trace.ticks

    @cached_property
    def blocks(self) -> pd.DataFrame:
        """The stretches in which an event loop was late, how long, why, and who was at it: see
        `requestlab.trace.blocking`."""
        return blocks(self.trace)

    # Who and when

    @cached_property
    def zero_ns(self) -> int:
        """When the first request of the measured stretch was planned."""
        return int(self.requests["planned"].min()) if len(self.requests) else self.about.start

    @cached_property
    def workers(self) -> list[int]:
        """Process ids of the workers, in the order in which figures number them."""
        answering = self.requests["pid"].dropna().unique()
        return list(dict.fromkeys([*self.about.pids, *self.threads["pid"].tolist(), *map(int, answering)]))

    @cached_property
    def event_loops(self) -> frozenset[Key]:
        """The (pid, native id) of every thread that is known to have run an event loop."""
        said = self.samples[self.column("on_loop") == 1][:, [COLUMNS.index("pid"), COLUMNS.index("thread")]]
        return activity.event_loops(self.trace, said)

    # Times

    @cached_property
    def response_ms(self) -> Floats:
        """Response time of each answered request, from planned to done, in ms."""
        return self._times_ms("planned")

    @cached_property
    def service_ms(self) -> Floats:
        """Service time of each answered request, from sent to done, in ms: without the time in which it was late."""
        return self._times_ms("sent")

    @cached_property
    def late_ms(self) -> Floats:
        """How late each request was sent, from planned to sent, in ms; one that never was is as late as it is old."""
        sent = self.requests["sent"].where(self.requests["sent"] > 0, self.requests["done"])
        return ((sent - self.requests["planned"]) / 1e6).to_numpy(dtype=np.float64)

    # Counts and shares

    @property
    def failed(self) -> pd.Series[bool]:
        """Which rows of `requests` failed, or were answered with a status of 400 or above."""
        return ~self.requests["error"].isin(NO_FAILURE) | (self.requests["status"] >= 400)

    @property
    def connections(self) -> int:
        """Connections opened, warm-up included."""
        return int(self.column("opened").sum())

    @cached_property
    def answers(self) -> float:
        """How many answers the measured stretch was worth: each by the share of its time that lies inside."""
        return self._answers_between(self.about.start, self.about.end)

    @property
    def halves(self) -> tuple[float, float]:
        """How many answers each half of the measured stretch was worth."""
        middle = (self.about.start + self.about.end) // 2
        return self._answers_between(self.about.start, middle), self._answers_between(middle, self.about.end)

    def mean_under_way(self, since: str = "sent") -> float:
        """Return how many requests were under way, sent (or `planned`) and not yet done, on average over the measured
        stretch."""
        begin, known = self.column(since), self.column("sent") > 0
        return float(self._inside_ns(begin, self.column("done"))[known].sum() / (self.about.end - self.about.start))

    @property
    def mean_pausing(self) -> float:
        """How many users paused after an answer, on average over the measured stretch."""
        done = self.column("done")
        pauses = self._inside_ns(done, done + int(self.about.pause_ms * 1e6))
        return float(pauses.sum() / (self.about.end - self.about.start))

    @property
    def generator_share(self) -> float:
        """The generator's share of one core in the measured stretch, 0 to 1."""
        return self._share(self.about.generator_cpu_ns)

    @property
    def generator_wait(self) -> float:
        """The share of the measured stretch in which the generator could have run, but had no core, 0 to 1."""
        return self._share(self.about.generator_wait_ns)

    @property
    def generator_cpu_per_request(self) -> float:
        """CPU time that the generator spent on each answer, in ms."""
        return self._cpu_ms(self.about.generator_cpu_ns)

    @property
    def cpu_per_request(self) -> float:
        """CPU time that the workers spent on each answer, in ms; NaN where other loads were beside."""
        return math.nan if self.beside else self._cpu_ms(self.about.server_cpu_ns)

    @property
    def upstream_share(self) -> float:
        """The share of one core that the upstream behind the server used in the measured stretch, 0 to 1; NaN without
        one."""
        return self._share(self.about.upstream_cpu_ns)

    @property
    def upstream_wait(self) -> float:
        """The share of the measured stretch in which the upstream could have run, but had no core; NaN without one."""
        return self._share(self.about.upstream_wait_ns)

    def _share(self, ns: int | None) -> float:
        return math.nan if ns is None else ns / 1e9 / self.seconds

    def _cpu_ms(self, cpu_ns: int | None) -> float:
        return cpu_ns / 1e6 / self.answers if cpu_ns is not None and self.answers else math.nan

    def _answers_between(self, begin: int, end: int) -> float:
        planned, done = self.column("planned"), self.column("done")
        good = (self.column("error") == 0) & (self.column("status") < 400)
        inside = _overlap(planned, done, begin, end)[good] / np.maximum(done - planned, 1)[good]
        return float(np.clip(inside, 0, 1).sum())

    def _inside_ns(self, begin: Integers, end: Integers) -> Integers:
        """Return how much of each stretch of time lies in the measured one."""
        return _overlap(begin, end, self.about.start, self.about.end)

    def _times_ms(self, since: str) -> Floats:
        """Return the times of the answers to requests planned in the stretch; of all that end in it, the long ones
        would be too many. Where none was planned in it, since each takes longer than that, the times of all."""
        planned = self.requests[self.requests["planned"] >= self.about.start]
        timed = planned if len(planned) else self.requests
        good = timed[answered(timed)]
        return ((good["done"] - good[since]) / 1e6).to_numpy(dtype=np.float64)

    def _table(self, wanted: Booleans) -> pd.DataFrame:
        table = pd.DataFrame(self.samples[wanted], columns=list(COLUMNS)).sort_values("planned", kind="stable")
        known = table["on_loop"] >= 0
        table["error"] = pd.Categorical.from_codes(table["error"].to_numpy(), categories=pd.Index(ERRORS))
        table["opened"] = table["opened"].astype(bool)
        for column in ("pid", "thread", "number"):
            table[column] = table[column].astype("Int64").where(known)
        table["on_loop"] = (table["on_loop"] == 1).astype("boolean").where(known)
        order = ["planned", "sent", "first_byte", "first_body", "done", "status", "error"]
        order += ["pid", "thread", "on_loop", "number", "user", "size", "body", "opened", "asked"]
        return table[order].reset_index(drop=True)


def answered(requests: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows were answered with a status below 400."""
    return (requests["error"] == "") & (requests["status"] < 400)


def _overlap(begins: Integers, ends: Integers, begin: int, end: int) -> Integers:
    """Return how much of each stretch of time lies between two moments."""
    return np.asarray(np.clip(np.minimum(ends, end) - np.maximum(begins, begin), 0, None))
