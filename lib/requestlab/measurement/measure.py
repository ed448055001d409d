"""measure(): one slice of load on one server, by the load process, into a Run; or a slice for each step of a ramp."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from requestlab.errors import ConfigurationError
from requestlab.load.connection import LEFT, TIMEOUT
from requestlab.load.loads import MAX_USERS, AnyLoad, Closed, Misbehaving, Steps, closed
from requestlab.load.plan import COLUMNS, Mark, Plan
from requestlab.load.pool import Job, LoadProcessPool, Outcome, run_jobs
from requestlab.load.target import Target, find_target
from requestlab.measurement.facts import CoreUse, RunFacts
from requestlab.measurement.ramp import Ramp
from requestlab.measurement.run import Run
from requestlab.serving.server import Server
from requestlab.serving.upstream import statistics
from requestlab.system import machine
from requestlab.system.progress import Progress
from requestlab.trace.reader import TraceReader
from requestlab.trace.trace import NOTHING, Trace

MAX_SECONDS = 600.0
MAX_TIMEOUT = 120.0
MAX_REQUESTS = 2_000_000
WARMUP_S = 0.25
MAX_SETTLING_S = 30.0
MAX_BESIDE = 8
CLIENTS = ("lab", "httpx")

SPARE_DESCRIPTORS = 50
"""Files that the load process has open besides its connections, with room to spare."""


Beside = tuple[Target, AnyLoad]
"""A load at the same time on the same server."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long a slice takes, what each answer must hold, and what goes on beside it; `warmup` None: as the load needs it."""

    seconds: float = 2.0
    warmup: float | None = None
    timeout: float = 10.0
    expect: str | None = None
    client: str = "lab"
    beside: tuple[Beside, ...] = ()

    def warmup_of(self, load: AnyLoad) -> float:
        """Return the seconds of load before the measured stretch; none for a fixed number of requests."""
        if self.warmup is not None:
            return self.warmup
        return 0.0 if _is_fixed(load) else WARMUP_S


_NOT_ITS_OWN: dict[str, Any] = {"counts": {}, "server_cpu_ns": None}
"""What is known of a server only for all of its loads together is told with the first of them."""


@overload
def measure(
    target: Server | str,
    path: str = "/",
    load: AnyLoad | None = None,
    *,
    seconds: float = 2.0,
    warmup: float | None = None,
    timeout: float = 10.0,
    remote: bool = False,
    expect: str | None = None,
    client: str = "lab",
    beside: Mapping[str, AnyLoad] | None = None,
) -> Run: ...
@overload
def measure(
    target: Server | str,
    path: str,
    load: Steps,
    *,
    seconds: float = 2.0,
    warmup: float | None = None,
    timeout: float = 10.0,
    remote: bool = False,
    expect: str | None = None,
    client: str = "lab",
    beside: Mapping[str, AnyLoad] | None = None,
) -> Ramp: ...
def measure(
    target: Server | str,
    path: str = "/",
    load: AnyLoad | Steps | None = None,
    *,
    seconds: float = 2.0,
    warmup: float | None = None,
    timeout: float = 10.0,
    remote: bool = False,
    expect: str | None = None,
    client: str = "lab",
    beside: Mapping[str, AnyLoad] | None = None,
) -> Run | Ramp:
    """Put `load` on `target` for `seconds` and return every request as a row.

    >>> run = measure(server, "/sync/wait/?ms=50", closed(users=10), seconds=2)

    `target` is a server of `serve()`, or the address of any other on this machine (`http://127.0.0.1:8000`); on another
    machine only with `remote=True`. `load` is one user in a closed loop unless said otherwise; with steps, each of them
    takes that long, and the answer is a Ramp. The load begins `warmup` seconds before the measured stretch (0.25; none for a
    load of a fixed number of requests); what ended before is kept apart. After the stretch, requests under way may finish.
    `timeout` seconds after it was planned a request ends and becomes a row with an error, as does every other failure; so
    does an answer whose body does not hold `expect`. `client="httpx"` sends with a plain httpx.AsyncClient instead of the
    load client, to show what that does to the figures.

    `beside` maps other paths to loads that are put on the same target at the same time, each by a process of its own, as long
    as the warm-up and the measured stretch last; one of a fixed number of requests begins with the stretch. What is judged is
    `load`; the others' requests are in `Run.beside`. Clients that misbehave (`silent()`, `slow_senders()`, …) go there. The server's CPU time cannot be told apart then: `cpu_per_request` is NaN.

    >>> run = measure(server, "/async/wait/?ms=1", open(rate=200), beside={"/async/block/?ms=90": open(rate=2)})

    Raises ConfigurationError for values that cannot work, RemoteTargetError, ServerGoneError where the server has ended before,
    and GeneratorError. May be interrupted at any time.

    Resources: one process a load for the time of the call, on a core of their own where there is one.
    """
    machine.require_linux()
    load = closed(users=1) if load is None else load
    settings = Settings(seconds=seconds, warmup=warmup, timeout=timeout, expect=expect, client=client)
    check(load, settings)
    check_beside(beside, load, settings)
    target_of = find_target(target, path, remote)
    settings = replace(settings, beside=targets_beside(target, beside, remote))
    if isinstance(load, Steps):
        expected = sum(_expected_s(step, settings) or 0 for step in load.loads)
        with LoadProcessPool() as pool, Progress(f"{target_of.label} {path}, {load}", expected or None) as progress:
            return Ramp(tuple(measure_slice(target_of, step, settings, pool, progress.tick) for step in load.loads))
    with (
        LoadProcessPool() as pool,
        Progress(f"{target_of.label} {path}, {load}", _expected_s(load, settings)) as progress,
    ):
        return measure_slice(target_of, load, settings, pool, progress.tick)


@dataclass(frozen=True)
class _Part:
    """One of the loads of a slice."""

    target: Target
    load: AnyLoad
    settings: Settings


def measure_slice(
    at: Target, load: AnyLoad, settings: Settings, pool: LoadProcessPool, tick: Callable[[], None] = lambda: None
) -> Run:
    """Take one slice, with the load processes of that pool; its loads and settings have been checked."""
    server = at.server
    beside = (_Part(*one, _settings_beside(one[1], load, settings)) for one in settings.beside)
    parts = [_Part(at, load, settings), *beside]
    upstream = server.configuration.upstream if server else ""
    known = statistics.ask(upstream, "POST") if upstream else None
    plans = [_plan(part, known["pid"] if known else 0) for part in parts]
    jobs = [
        Job(plan, part.target.path, plans[0].warmup_s - plan.warmup_s) for part, plan in zip(parts, plans, strict=True)
    ]
    watched = server.pids if server and server.configuration.probe else ()
    before = server.counts if server else {}
    with TraceReader(server.directory if server and server.configuration.probe else None) as recording:
        outcomes = run_jobs(jobs, watched, tick, pool)
        inside = recording.read()
    if server and any(
        np.isin(outcome.samples[:, COLUMNS.index("error")], (TIMEOUT, LEFT)).any() for outcome in outcomes
    ):
        server.settle(
            MAX_SETTLING_S, tick
        )  # or the next run would begin behind the requests that this one has given up
    common = _about_server(at) | {"counts": _counted(before, server.counts if server else {})}
    common["upstream"] = statistics.difference(upstream, known, statistics.ask(upstream)) if upstream else None
    first, *others = (
        _about(part, plan, outcome)
        | {"beside": {other.target.path: str(other.load) for other in parts if other is not part}}
        for part, plan, outcome in zip(parts, plans, outcomes, strict=True)
    )
    runs = {
        about["path"]: _run(outcome, common | about | _NOT_ITS_OWN)
        for about, outcome in zip(others, outcomes[1:], strict=True)
    }
    return _run(outcomes[0], common | first, inside, runs)


def _settings_beside(load: AnyLoad, main: AnyLoad, settings: Settings) -> Settings:
    """Return those of a load beside another: it takes as long; one of a fixed number of requests has no warm-up."""
    warmup = None if _is_fixed(load) else settings.warmup_of(main)
    return replace(settings, warmup=warmup, expect=None, client="lab")


def _about_server(at: Target) -> dict[str, Any]:
    server = at.server
    return {
        "label": at.label,
        "configuration": server.configuration.without_password() if server else None,
        "capacity": server.configuration.capacity if server else None,
        "cores": server.cores if server else None,
        "server_ended": server is not None and not server.alive,
        "nonce": server.is_itself() if server and server.alive else None,
        "machine": machine.facts(),
    }


def _about(part: _Part, plan: Plan, outcome: Outcome) -> dict[str, Any]:
    load, settings = part.load, part.settings
    return {
        "url": str(part.target.url),
        "path": part.target.path,
        "load": str(load) if settings.client == "lab" else f"{load}, with stock httpx",
        **{
            name: getattr(plan, name)
            for name in ("users", "each", "rate", "arrivals", "seed", "connections", "client", "misbehaving")
        },
        "keep_alive": plan.keep_alive,
        "expect": settings.expect,
        "seconds": settings.seconds,
        "warmup": plan.warmup_s,
        "timeout": settings.timeout,
        "pids": plan.pids,
        "started": outcome.report.started,
        "held_back": outcome.report.held_back,
        **_stretch(outcome.report.marks, plan),
    }


def check(load: object, settings: Settings) -> None:
    """Raise ConfigurationError for arguments of measure() that cannot work."""
    if not isinstance(load, AnyLoad | Steps):
        raise ConfigurationError(f"load={load!r}: expected a load such as requestlab.closed(users=10)")
    _between("seconds", settings.seconds, 0.01, MAX_SECONDS)
    _between("timeout", settings.timeout, 0.01, MAX_TIMEOUT)
    if settings.warmup is not None:
        _between("warmup", settings.warmup, 0.0, MAX_SECONDS)
    if settings.expect is not None and (not isinstance(settings.expect, str) or not settings.expect):
        raise ConfigurationError(f"expect={settings.expect!r}: expected a text that each answer holds, or None")
    if settings.client not in CLIENTS:
        raise ConfigurationError(f"client={settings.client!r} is not known; expected one of: {', '.join(CLIENTS)}")
    for step in load.loads if isinstance(load, Steps) else (load,):
        _check_one(step, settings)


def check_beside(beside: object, load: AnyLoad | Steps, settings: Settings) -> None:
    """Raise ConfigurationError for loads beside `load` that cannot work."""
    if beside is None:
        return
    if not isinstance(beside, Mapping) or not all(isinstance(one, AnyLoad) for one in beside.values()):
        raise ConfigurationError(
            f"beside={beside!r}: expected a mapping of paths to loads, such as {{'/sync/page/': requestlab.open(rate=2)}}"
        )
    if len(beside) > MAX_BESIDE:
        raise ConfigurationError(f"beside={beside!r}: expected at most {MAX_BESIDE} loads, each takes a process")
    fixed = [_is_fixed(step) for step in (load.loads if isinstance(load, Steps) else (load,))]
    for one in beside.values():
        if any(fixed) and not _is_fixed(one):
            raise ConfigurationError(
                f"{load} end when they are answered, and {one} beside them would not; leave out each, or give it to both"
            )
        _check_one(one, replace(settings, warmup=None, client="lab"))


def targets_beside(
    target: Server | str, beside: Mapping[str, AnyLoad] | None, remote: bool = False
) -> tuple[Beside, ...]:
    """Return where each load beside another leads, and that load; raises as `aim` does."""
    return tuple((find_target(target, path, remote), load) for path, load in (beside or {}).items())


def _is_fixed(load: AnyLoad) -> bool:
    return isinstance(load, Closed) and load.each is not None


def _check_one(load: AnyLoad, settings: Settings) -> None:
    if isinstance(load, Closed):
        most_users = _most_connections()
        if load.users > most_users:
            raise ConfigurationError(
                f"{load.users} users need as many open files; this system allows {most_users} users"
            )
        if load.each is not None and settings.warmup:
            raise ConfigurationError("a load of a fixed number of requests has no warm-up; leave out warmup or each")
    elif isinstance(load, Misbehaving):
        if load.clients > _most_connections():
            raise ConfigurationError(
                f"{load} need as many open files; this system allows {_most_connections()} of them"
            )
    elif load.rate * settings.seconds > MAX_REQUESTS:
        raise ConfigurationError(
            f"{load} for {settings.seconds:g} s are more than {MAX_REQUESTS:,} requests; ask for less"
        )
    if settings.client == "httpx" and (not isinstance(load, Closed) or not load.keep_alive):
        raise ConfigurationError("client='httpx' knows closed loops with kept connections only; leave it out")


def _plan(part: _Part, upstream: int = 0) -> Plan:
    at, load, settings = part.target, part.load, part.settings
    server = at.server
    cores = server.cores if server else machine.split_cores()
    if isinstance(load, Closed):
        kind: dict[str, Any] = {"users": load.users, "each": load.each, "connections": load.users}
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
        request=at.request(load),
        seconds=settings.seconds,
        warmup_s=settings.warmup_of(load),
        timeout_s=settings.timeout,
        client=settings.client,
        expect=(settings.expect or "").encode().decode("latin-1"),
        pids=server.pids if server else (),
        cores=cores.server,
        core=cores.generator,
        upstream=upstream,
    )


def _run(
    outcome: Outcome, about: dict[str, Any], trace: Trace = NOTHING, beside: Mapping[str, Run] | None = None
) -> Run:
    return Run(outcome.samples, outcome.thread_samples, RunFacts(**about), trace, beside or {})


def _expected_s(load: AnyLoad, settings: Settings) -> float | None:
    if isinstance(load, Closed) and load.each is not None:
        return None
    return settings.warmup_of(load) + settings.seconds


def _most_connections() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MAX_USERS if most == resource.RLIM_INFINITY else most - SPARE_DESCRIPTORS


def _between(name: str, value: object, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type,operator]
        raise ConfigurationError(f"{name}={value!r}: expected seconds from {least:g} to {most:g}")


def _counted(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    """Return how many requests each worker has counted in between."""
    return {pid: count - before.get(pid, 0) for pid, count in after.items()}


_BETWEEN = ("pressure_ns", "throttled_ns", "upstream_cpu_ns", "upstream_wait_ns")


def _between_marks(marks: Sequence[Mark], name: str) -> int | None:
    first, last = (getattr(mark, name) for mark in marks)
    return None if first is None or last is None else int(last - first)


def _use_of_cores(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> CoreUse:
    """Return how long the cores were busy and idle in between, all together, and what was stolen of the one that lost most."""
    spent = [{what: after[core][what] - used[what] for what in used} for core, used in before.items() if core in after]
    together = {what: sum(core[what] for core in spent) for what in ("busy", "idle")}
    return CoreUse(**together, steal=max((core["steal"] for core in spent), default=0))


def _stretch(marks: Sequence[Mark], plan: Plan) -> dict[str, Any]:
    first, last = marks
    pairs = zip(first.server_cpu_ns, last.server_cpu_ns, strict=True)
    spent = [None if before is None or after is None else after - before for before, after in pairs]
    known = [one for one in spent if one is not None]
    return {
        "start": first.time_ns,
        "end": last.time_ns,
        "generator_cpu_ns": last.generator_cpu_ns - first.generator_cpu_ns,
        "generator_wait_ns": last.generator_wait_ns - first.generator_wait_ns,
        "worker_ended": len(known) < len(spent),
        "server_cpu_ns": sum(known) if spent and len(known) == len(spent) else None,
        "cores_watched": len(plan.cores),
        "cores_shared": plan.core is None,
        "cores_ns": _use_of_cores(first.cores_ns, last.cores_ns),
        **{name: _between_marks(marks, name) for name in _BETWEEN},
    }
