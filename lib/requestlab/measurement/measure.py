"""measure(): one slice of load on one server, by the load process, into a Run; or a slice for each step of a ramp."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack, overload
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from requestlab.errors import ConfigurationError
from requestlab.load.connection import LEFT, TIMEOUT
from requestlab.load.loads import MAX_USERS, AnyLoad, Closed, Misbehaving, Open, Steps, closed
from requestlab.load.mix import Ask, Mix
from requestlab.load.plan import COLUMNS, LoadReport, Plan
from requestlab.load.pool import Job, LoadProcessPool
from requestlab.load.spread import Spread
from requestlab.load.target import Target, find_target
from requestlab.load.watch import Watched
from requestlab.measurement.ramp import Ramp
from requestlab.measurement.record import CoreUse, RunFacts
from requestlab.measurement.run import Run
from requestlab.serving.server import Server
from requestlab.serving.upstream import statistics
from requestlab.system import checks, machine
from requestlab.system.interrupts import interrupt_says
from requestlab.system.progress import Progress
from requestlab.trace.trace import TraceReader
from requestlab.worker import kernel, stacks
from requestlab.worker.ready import without_token

MAX_SECONDS = 600.0
MAX_TIMEOUT = 120.0
MAX_REQUESTS = 2_000_000
WARMUP_S = 0.25
FIXED_S = 60.0
"""How long a load of a fixed number of requests may take, unless said otherwise."""

MAX_SETTLING_S = 30.0
QUIET_S = 2.0
"""Where nothing is answered for so much longer than was asked for, the workers are asked what they are doing."""

MAX_BESIDE = 8
CLIENTS = ("lab", "httpx")

_ERROR, _STATUS = COLUMNS.index("error"), COLUMNS.index("status")
_AS_PLANNED = (
    "pids",
    "users",
    "each",
    "rate",
    "arrivals",
    "seed",
    "connections",
    "keep_alive",
    "pause_ms",
    "delay_ms",
    "client",
    "misbehaving",
    "seconds",
)
_SPENT = ("generator_cpu_ns", "generator_wait_ns", "pressure_ns", "throttled_ns", "upstream_cpu_ns", "upstream_wait_ns")

SPARE_DESCRIPTORS = 50
"""Files that the load process has open besides its connections, with room to spare."""


Beside = tuple[Target, AnyLoad]
"""A load at the same time on the same server."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long a slice takes, what each answer must hold, and what goes on beside it; `warmup` None: as the load needs
    it."""

    seconds: float = 2.0
    warmup: float | None = None
    timeout: float = 10.0
    expect: str | None = None
    client: str = "lab"
    beside: tuple[Beside, ...] = ()
    parts: bool = False

    def warmup_of(self, load: AnyLoad) -> float:
        """Return the seconds of load before the measured stretch; none for a fixed number of requests."""
        if self.warmup is not None:
            return self.warmup
        return 0.0 if _asks_once(load) else WARMUP_S


class _Options(TypedDict, total=False):
    seconds: float | None
    warmup: float | None
    timeout: float
    remote: bool
    expect: str | None
    client: str
    beside: Mapping[str, AnyLoad] | None
    parts: bool
    on: Any


@overload
def measure(
    target: Server | str, path: str | Mix = "/", load: AnyLoad | None = None, **options: Unpack[_Options]
) -> Run: ...
@overload
def measure(target: Server | str, path: str | Mix, load: Steps, **options: Unpack[_Options]) -> Ramp: ...
@interrupt_says("the measurement; there is no run of it")
def measure(
    target: Server | str,
    path: str | Mix = "/",
    load: AnyLoad | Steps | None = None,
    *,
    seconds: float | None = None,
    warmup: float | None = None,
    timeout: float = 10.0,
    remote: bool = False,
    expect: str | None = None,
    client: str = "lab",
    beside: Mapping[str, AnyLoad] | None = None,
    parts: bool = False,
    on: Any = None,
) -> Run | Ramp:
    """Put `load` on `target` for `seconds` (2) and return every request as a row.

    >>> run = measure(server, "/sync/wait/?ms=50", closed(users=10), seconds=2)

    `target` is a server of `serve()`, or the address of any other on this machine (`http://127.0.0.1:8000`); on another
    machine only with `remote=True`. `path` is one, or a `mix()` of requests. `load` is one user in a closed loop unless
    said otherwise; with steps, each of them takes that long, and the answer is a Ramp. A load of a fixed number of
    requests ends when they are answered, or after so many `seconds` (60). The load begins `warmup` seconds before the
    measured stretch (0.25; none for a fixed number of requests); what ended before is kept apart.
    After the stretch, requests under way may finish. `timeout` seconds after it was planned a request ends and becomes
    a row with an error, as does every other failure; so does an answer whose body does not hold `expect`.
    `client="httpx"` sends with a plain httpx.AsyncClient instead of the load client, to show what that does to the
    figures. With `parts`, it is noted when each part of each body came: see `Run.parts`.

    `beside` maps other paths to loads that are put on the same target at the same time, each by a process of its own,
    as long as the warm-up and the measured stretch last; one of a fixed number of requests begins with the stretch.
    What is judged is `load`; the others' requests are in `Run.beside`. Clients that misbehave (`silent()`,
    `slow_senders()`, …) go there. The server's CPU time cannot be told apart then: `cpu_per_request` is NaN.

    >>> run = measure(server, "/async/wait/?ms=1", open(rate=200), beside={"/async/block/?ms=90": open(rate=2)})

    Where one machine cannot send enough, `on` is a Client of Dask's `distributed`: each worker of its cluster has a
    part of the load, from a load process of its own; see `docs/scale.md`. Their rows are in the run, in the order of
    this machine's clock, and `Run.about.generators` says who sent them.

    Raises ConfigurationError for values that cannot work, RemoteTargetError, ServerGoneError where the server has ended
    before, and GeneratorError. May be interrupted at any time.

    Resources: one process a load for the time of the call, on a core of their own where there is one.
    """
    machine.require_unix()
    load = closed(users=1) if load is None else load
    seconds = length(seconds, _steps(load), Settings.seconds)
    settings = Settings(seconds=seconds, warmup=warmup, timeout=timeout, expect=expect, client=client, parts=parts)
    check(load, settings)
    check_beside(beside, load, settings)
    check_on(on, _steps(load), beside)
    at = find_target(target, path, remote)
    settings = replace(settings, beside=targets_beside(target, beside, remote))
    timed = [one for one in _steps(load) if not _is_fixed(one)]
    expected = sum(settings.warmup_of(one) + settings.seconds for one in timed) or None
    with loaders(on) as pool, Progress(f"{at.label} {path}, {load}", expected) as progress:
        runs = [measure_slice(at, one, settings, pool, progress.tick) for one in _steps(load)]
    return Ramp(tuple(runs)) if isinstance(load, Steps) else runs[0]


Loaders = LoadProcessPool | Spread
"""What carries out plans: load processes here, or on the workers of a cluster."""


def loaders(on: Any) -> AbstractContextManager[Loaders]:
    """Return those of `measure(on=...)`, a context manager."""
    return LoadProcessPool() if on is None else Spread(on)


def length(seconds: float | None, loads: Iterable[AnyLoad], usual: float) -> float:
    """Return how long a slice is where nothing is said: long enough for a slow machine where all loads are of a fixed
    number of requests, since it ends with the last answer."""
    if seconds is not None:
        return seconds
    return FIXED_S if all(_is_fixed(one) for one in loads) else usual


@dataclass(frozen=True)
class _Part:
    """One of the loads of a slice, and what its load process is told to do."""

    target: Target
    load: AnyLoad
    settings: Settings
    plan: Plan


def measure_slice(
    at: Target, load: AnyLoad, settings: Settings, pool: Loaders, tick: Callable[[], None] = lambda: None
) -> Run:
    """Measure one slice, with the load processes of that pool; its loads and settings have been checked."""
    server = at.server
    probed = server is not None and server.configuration.probe
    url = server.configuration.upstream if server else ""
    upstream = statistics.ask(url, "POST") if url else None
    parts = list(_parts(at, load, settings, upstream["pid"] if upstream else 0))
    jobs = [Job(part.plan, part.target.path, parts[0].plan.warmup_s - part.plan.warmup_s) for part in parts]
    counts = server.counts if server else {}
    with TraceReader(server.directory if server and probed else None) as reader:
        outcomes = pool.run(jobs, _watched(at), tick)
        trace = reader.read()
    if server and any(np.isin(outcome.samples[:, _ERROR], (TIMEOUT, LEFT)).any() for outcome in outcomes):
        server.settle(MAX_SETTLING_S, tick)  # or the next run would begin behind the requests that this one gave up
    served = {
        "server_ended": server is not None and not server.alive,
        "server_error": server.last_error if server and any(_failed(one.samples) for one in outcomes) else "",
        "nonce": server.is_itself() if server and server.alive else None,
        "counts": _counted(counts, server.counts if server else {}),
        "upstream": statistics.difference(url, upstream, statistics.ask(url)) if url else None,
    }
    facts = [_facts(part, outcome.report, served, parts) for part, outcome in zip(parts, outcomes, strict=True)]
    runs = [
        Run(outcome.samples, outcome.process_samples, about, part_samples=outcome.parts)
        for outcome, about in zip(outcomes, facts, strict=True)
    ]
    return replace(runs[0], trace=trace, beside={run.about.path: run for run in runs[1:]})


def _watched(at: Target) -> Watched:
    if at.server is None:
        return Watched(at.pids)
    configuration = at.server.configuration
    port = urlsplit(configuration.database).port if configuration.database else None
    return Watched(at.pids, at.server.directory, port or 0, often=bool(configuration.probe))


def _parts(at: Target, load: AnyLoad, settings: Settings, upstream: int) -> Iterator[_Part]:
    """Yield the load that is judged, and those beside it; these take as long, one of a fixed number of requests without
    a warm-up. `upstream` is the pid of what the server calls, or 0."""
    yield _Part(at, load, settings, _plan(at, load, settings, upstream))
    for target, other in settings.beside:
        warmup = None if _asks_once(other) else settings.warmup_of(load)
        own = replace(settings, warmup=warmup, expect=None, client="lab")
        yield _Part(target, other, own, _plan(target, other, own, upstream))


def _plan(at: Target, load: AnyLoad, settings: Settings, upstream: int) -> Plan:
    if isinstance(load, Closed):
        kind: dict[str, Any] = {"users": load.users, "each": load.each, "connections": load.users}
        kind["pause_ms"] = load.pause_ms
    elif isinstance(load, Misbehaving):
        kind = {"misbehaving": load.way, "size": load.size, "per_s": load.per_s, "after_ms": load.after_ms}
        kind["connections"] = load.clients
    else:
        kind = {"rate": load.rate, "arrivals": load.arrivals, "seed": load.seed}
        kind["connections"] = min(MAX_USERS, _most_connections())
    return Plan(
        **kind,
        keep_alive=isinstance(load, Misbehaving) or load.keep_alive,
        family=at.family,
        address=at.address,
        requests=at.requests(load),
        order=(0,) if isinstance(load, Misbehaving) else at.order,
        delay_ms=0.0 if isinstance(load, Misbehaving) else load.delay_ms,
        parts=settings.parts,
        seconds=float(settings.seconds),
        warmup_s=float(settings.warmup_of(load)),
        timeout_s=float(settings.timeout),
        client=settings.client,
        expect=(settings.expect or "").encode().decode("latin-1"),
        probed=bool(at.server and at.server.configuration.probe),
        pids=at.pids,
        cores=at.cores.server,
        core=at.cores.generator,
        upstream=upstream,
        directory=at.server.directory if at.server else "",
        quiet_s=QUIET_S + max(map(_asked_s, at.asks)),
    )


def _asked_s(ask: Ask) -> float:
    """Return how long an answer is asked to take, by `ms` and `n` in the query: 0 where nothing is said."""
    given = dict(parse_qsl(urlsplit(ask.path).query))
    try:
        return max(0.0, float(given.get("ms", 0)) / 1000 * max(1.0, float(given.get("n", 1))))
    except ValueError:
        return 0.0


def _facts(part: _Part, report: LoadReport, served: Mapping[str, Any], parts: Sequence[_Part]) -> RunFacts:
    """Return what is known of one load. What is known only for all of them together is told with the first."""
    target, plan, server, first_of_all = part.target, part.plan, part.target.server, part is parts[0]
    first, last = report.marks
    cpu_ns = [_between(*pair) for pair in zip(first.server_cpu_ns, last.server_cpu_ns, strict=True)]
    known_ns = [ns for ns in cpu_ns if ns is not None]
    told: dict[str, Any] = {name: getattr(plan, name) for name in _AS_PLANNED}
    told |= {name: _between(getattr(first, name), getattr(last, name)) for name in _SPENT}
    told |= served if first_of_all else {**served, "counts": {}}
    return RunFacts(
        **told,
        label=parts[0].target.label,
        url=without_token(str(target.url)),
        path=target.path,
        asks=tuple(map(str, target.asks)),
        load=str(part.load) if plan.client == "lab" else f"{part.load}, with stock httpx",
        beside={other.target.path: str(other.load) for other in parts if other is not part},
        machine=target.machine,
        configuration=server.configuration.without_password() if server else None,
        capacity=server.configuration.capacity if server else None,
        cores=server.cores if server else None,
        expect=part.settings.expect,
        warmup=plan.warmup_s,
        timeout=plan.timeout_s,
        start=first.time_ns,
        end=last.time_ns,
        started=report.started,
        held_back=report.held_back,
        worker_ended=len(known_ns) < len(cpu_ns),
        server_cpu_ns=sum(known_ns) if first_of_all and cpu_ns and len(known_ns) == len(cpu_ns) else None,
        cores_watched=len(plan.cores),
        cores_shared=not report.generators and (plan.core is None or plan.core in plan.cores),
        generators=report.generators,
        cores_ns=use_of_cores(first.cores_ns, last.cores_ns),
        unseen=kernel.UNSEEN,
        quiet=(*report.quiet, *(stacks.written(server.directory).values() if server and report.quiet else ())),
    )


def _between(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _failed(samples: np.ndarray) -> bool:
    return bool((samples[:, _STATUS] >= 500).any())


def _counted(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """Return how many requests each worker has counted in between."""
    return {pid: count - before.get(pid, 0) for pid, count in after.items()}


def use_of_cores(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> CoreUse:
    """Return how long the cores were busy and idle in between, all together, and what was stolen of the one that lost
    most."""
    spent = [{what: after[core][what] - used[what] for what in used} for core, used in before.items() if core in after]
    busy, idle = (sum(core[what] for core in spent) for what in ("busy", "idle"))
    return CoreUse(busy, idle, steal=max((core["steal"] for core in spent), default=0))


# What cannot work


def check(load: object, settings: Settings) -> None:
    """Raise ConfigurationError for arguments of measure() that cannot work."""
    if not isinstance(load, AnyLoad | Steps):
        raise checks.wrong("load", load, "a load such as requestlab.closed(users=10)")
    checks.number("seconds", settings.seconds, 0.01, MAX_SECONDS, kind="seconds")
    checks.number("timeout", settings.timeout, 0.01, MAX_TIMEOUT, kind="seconds")
    if settings.warmup is not None:
        checks.number("warmup", settings.warmup, 0.0, MAX_SECONDS, kind="seconds")
    if settings.expect is not None:
        expected = "a text that each answer holds, or None"
        checks.writable("expect", checks.text("expect", settings.expect, expected), expected)
    checks.one_of("client", settings.client, CLIENTS)
    checks.truth("parts", settings.parts)
    for step in _steps(load):
        _check_one(step, settings)


def check_beside(beside: object, load: AnyLoad | Steps, settings: Settings) -> None:
    """Raise ConfigurationError for loads beside `load` that cannot work."""
    if beside is None:
        return
    if not isinstance(beside, Mapping) or not all(isinstance(one, AnyLoad) for one in beside.values()):
        expected = "a mapping of paths to loads, such as {'/sync/page/': requestlab.open(rate=2)}"
        raise checks.wrong("beside", beside, expected)
    if len(beside) > MAX_BESIDE:
        raise checks.wrong("beside", beside, f"at most {MAX_BESIDE} loads, each takes a process")
    for one in beside.values():
        if any(map(_is_fixed, _steps(load))) and not _is_fixed(one):
            raise ConfigurationError(
                f"{load} end when they are answered, and {one} beside them would not; leave out each, or give it to both"
            )
        _check_one(one, replace(settings, warmup=None, client="lab"))


def check_on(on: object, loads: Iterable[AnyLoad], beside: object) -> None:
    """Raise ConfigurationError for a load that cannot be divided among machines."""
    if on is None:
        return
    if beside:
        raise ConfigurationError("a load with others beside it is not divided among machines; leave out on or beside")
    for load in loads:
        if isinstance(load, Misbehaving):
            raise ConfigurationError(f"{load} are not divided among machines; leave out on")


def _check_one(load: AnyLoad, settings: Settings) -> None:
    most = _most_connections()
    if isinstance(load, Closed) and load.users > most:
        raise ConfigurationError(f"{load.users} users need as many open files; this system allows {most} users")
    if _is_fixed(load) and settings.warmup:
        raise ConfigurationError("a load of a fixed number of requests has no warm-up; leave out warmup or each")
    if isinstance(load, Misbehaving) and load.clients > most:
        raise ConfigurationError(f"{load} need as many open files; this system allows {most} of them")
    if isinstance(load, Open) and load.rate * settings.seconds > MAX_REQUESTS:
        what = f"{load} for {settings.seconds:g} s"
        raise ConfigurationError(f"{what} are more than {MAX_REQUESTS:,} requests; ask for less")
    if settings.client == "httpx" and (settings.parts or not _is_plain(load)):
        raise ConfigurationError("client='httpx' knows closed loops with kept connections only; leave it out")


def _is_plain(load: AnyLoad) -> bool:
    """Return whether it is a closed loop with nothing said of its clients."""
    return isinstance(load, Closed) and load == Closed(load.users, load.each)


def targets_beside(
    target: Server | str, beside: Mapping[str, AnyLoad] | None, remote: bool = False
) -> tuple[Beside, ...]:
    """Return where each load beside another leads, and that load; raises as `find_target` does."""
    return tuple((find_target(target, path, remote), load) for path, load in (beside or {}).items())


def _steps(load: AnyLoad | Steps) -> tuple[AnyLoad, ...]:
    return load.loads if isinstance(load, Steps) else (load,)


def _asks_once(load: AnyLoad) -> bool:
    """Return whether its requests would be over before a warm-up is."""
    return _is_fixed(load) or (isinstance(load, Misbehaving) and load.way == "idle")


def _is_fixed(load: AnyLoad) -> bool:
    return isinstance(load, Closed) and load.each is not None


def _most_connections() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MAX_USERS if most == resource.RLIM_INFINITY else most - SPARE_DESCRIPTORS
