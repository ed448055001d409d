"""What a run holds besides its tables: what was asked, who served it, and what else went on meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from requestlab.serving.configuration import Configuration
from requestlab.serving.servers import SERVERS
from requestlab.serving.upstream.statistics import UpstreamUse
from requestlab.system import wording
from requestlab.system.machine import Cores, Machine


@dataclass(frozen=True)
class CoreUse:
    """How long the server's cores were `busy` and `idle`, all together, and what other machines took of the one that lost most
    (`steal`); in ns."""

    busy: int
    idle: int
    steal: int


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of one slice.

    `label` is how figures call it; `load` says the load in words, and `beside` those of the loads on the same server at that time, by
    path. `configuration` (without a password), `capacity` and `cores` are None for addresses. Of the load, `users`, `each` and
    `rate` are None where they mean nothing. `start` and `end` of the measured stretch are in ns of CLOCK_MONOTONIC; all that ends in
    `_ns` is an amount of time within it, None where the system does not say. `started` counts requests sent, `held_back` those of an
    open loop that had to wait for a connection, and `counts` those that the server saw, by worker. `nonce` says whether the server
    was itself at the end, None where nobody could say. `cores_watched` is how many cores the server could use, `cores_shared`
    whether the load process ran on the same.
    """

    label: str
    url: str
    path: str
    load: str
    beside: Mapping[str, str]
    machine: Machine
    configuration: Configuration | None
    capacity: int | None
    cores: Cores | None
    pids: tuple[int, ...]
    users: int | None
    each: int | None
    rate: float | None
    arrivals: str
    seed: int
    connections: int
    keep_alive: bool
    client: str
    misbehaving: str
    expect: str | None
    seconds: float
    warmup: float
    timeout: float
    start: int
    end: int
    started: int
    held_back: int
    counts: Mapping[int, int]
    nonce: bool | None
    server_ended: bool
    worker_ended: bool
    generator_cpu_ns: int
    generator_wait_ns: int
    server_cpu_ns: int | None
    cores_watched: int
    cores_shared: bool
    cores_ns: CoreUse
    pressure_ns: int | None
    throttled_ns: int | None
    upstream: UpstreamUse | None
    upstream_cpu_ns: int | None
    upstream_wait_ns: int | None

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
        packages = " and ".join(f"{name} {versions.get(name)}" for name in row.packages if name in _SERVERS)
        if row.interface == "wsgi":
            return f"{packages} ({row.name}), no event loop"
        loop = self.configuration.loop or "asyncio"
        return f"{packages or row.name} on {loop} {versions.get(loop, '')}".rstrip()


_SERVERS = ("gunicorn", "uvicorn", "uvicorn-worker")
