"""What the load process is told to do, and what it answers with: values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from requestlab.system.values import from_plain, to_plain

COLUMNS = (
    "user",
    "planned",
    "sent",
    "first_byte",
    "done",
    "status",
    "error",
    "size",
    "body",
    "opened",
    "pid",
    "thread",
    "on_loop",
    "number",
    "first_body",
    "asked",
)
"""One row a request. `user` is the number of the connection: in a closed loop, each user has one. Times in ns of
CLOCK_MONOTONIC, 0 where it did not come to that (`first_byte` is the answer's, `first_body` its body's); `error` as in
connection.ERRORS; `body` is the CRC-32 of the answer's body. `pid`, `thread`, `on_loop` and `number` (of the request in
its worker) are 0, 0, -1 and 0 where the probe is off or nothing was answered. `asked` is which request of a mix it
was."""

OUTCOME, ROWS = b"\x1e", b"\x1d"
"""What an outcome begins with, and rows sent before it (then their bytes, as a number of eight): whatever else was
written before, by a `sitecustomize` say, is none."""

PART_COLUMNS = ("row", "time", "size")
"""One row for each piece in which a body came: the row of its request, the time in ns, its bytes."""

PROCESS_COLUMNS = ("time", "pid", "threads", "resident", "peak", "files", "sockets", "databases")
"""One row a worker and moment: the time in ns, how many threads it had alive, its memory in KB, now and at most, and
how many files, sockets and database connections it had open; -1 where that was not read."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the load process is to do. `address` and `family` are those of a socket, `requests` are what is sent, in
    latin-1, in this `order`, again and again.

    Either a closed loop of `users`, or an open loop of `rate` requests per second (`arrivals`, `seed`) over at most
    `connections` at once, closed after each answer unless `keep_alive`. `pause_ms` is what a user of a closed loop
    waits after an answer, `delay_ms` how far away all are, each way; `parts` says to note when each part of a body
    came. The first `warmup_s` seconds come before the measured stretch. With `misbehaving`, it is `connections` clients
    that misbehave in that way (`misbehaving.KINDS`), with bodies of `size` bytes, at `per_s` bytes per second, or for
    `after_ms`.

    With `probed`, the answers' header says who served each. `pids` are the server's workers, whose CPU time is read at
    both ends of the measured stretch; `cores` are those of the server, whose use by others is read too; `core` is the
    generator's own, or None. `upstream` is the pid of what the server calls, which is watched like the server, or 0.
    `expect` is what each answer's body must hold, in latin-1; empty: anything. Where nothing is answered for `quiet_s`
    while requests are under way, the workers are asked for their stacks, in the run's `directory`; empty: not asked.
    Rows are sent every `spill_s` seconds, and once more at the end; 0: only then.
    """

    family: int
    address: tuple[Any, ...]
    requests: tuple[str, ...]
    order: tuple[int, ...] = (0,)
    users: int | None = None
    each: int | None = None
    rate: float | None = None
    arrivals: str = "constant"
    seed: int = 0
    connections: int = 1
    keep_alive: bool = True
    pause_ms: float = 0.0
    delay_ms: float = 0.0
    parts: bool = False
    seconds: float
    warmup_s: float
    timeout_s: float
    client: str = "lab"
    expect: str = ""
    probed: bool = False
    pids: tuple[int, ...] = ()
    cores: tuple[int, ...] = ()
    core: int | None = None
    misbehaving: str = ""
    size: int = 0
    per_s: float = 0.0
    after_ms: float = 0.0
    upstream: int = 0
    directory: str = ""
    quiet_s: float = 0.0
    spill_s: float = 0.0

    @property
    def longest_s(self) -> float:
        """How many seconds it can take at most."""
        return self.warmup_s + self.seconds + self.timeout_s

    def to_json(self) -> bytes:
        """Return it as a line, without the end of the line."""
        return json.dumps(to_plain(self)).encode()

    @classmethod
    def from_json(cls, line: bytes) -> Plan:
        return from_plain(cls, json.loads(line))


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What was read at one end of the measured stretch: see `requestlab.system.clocks`.

    All that ends in `_ns` counts from the start of the process or of the system; `time_ns` is CLOCK_MONOTONIC. None is
    what the system does not say, or of a process that is gone.
    """

    time_ns: int
    generator_cpu_ns: int
    generator_wait_ns: int
    server_cpu_ns: tuple[int | None, ...]
    cores_ns: Mapping[str, Mapping[str, int]]
    pressure_ns: int | None
    throttled_ns: int | None
    upstream_cpu_ns: int | None
    upstream_wait_ns: int | None


@dataclass(frozen=True, kw_only=True)
class Generator:
    """One of several load processes on other machines, which carried out a part of a plan: see `spread`.

    Its rows are those whose `user` is in `users` (first, and one more than the last). `cpu_ns` and `wait_ns` are for
    how long it ran, and could have run and had no core, in its measured stretch; `late_ns` is how much later than the
    plan said that began. `offset_ns` was added to its times to have them on the owner's clock; that is right to
    `unsure_ns`, and by the end the two clocks had drifted apart by `drift_ns` at least. `lost` says how it ended before
    its time; empty: it did not."""

    name: str
    host: str
    users: tuple[int, ...]
    rows: int
    started: int
    cpu_ns: int = 0
    wait_ns: int = 0
    late_ns: int = 0
    offset_ns: int = 0
    unsure_ns: int = 0
    drift_ns: int = 0
    shares_its_core: bool = False
    lost: str = ""


@dataclass(frozen=True)
class LoadReport:
    """How it went: the two marks, how many requests were `started`, how many of an open loop were `held_back` because
    no connection was free, how many `rows` of samples follow, and `parts` of bodies after them. `quiet` tells, line by
    line, what was seen when nothing was answered for long: see `Plan.quiet_s`. `generators` are those among which the
    plan was divided, if it was."""

    marks: tuple[Mark, ...]
    started: int
    held_back: int
    rows: int
    parts: int = 0
    quiet: tuple[str, ...] = ()
    generators: tuple[Generator, ...] = ()
