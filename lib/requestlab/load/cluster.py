"""The workers of a Dask cluster: where each runs, who is still there, and how its clock stands to this one.

Clocks are compared by readings that must lie between two of this process's own (K. Marzullo and S. Owicki, Maintaining
the time in a distributed system, 1983).
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requestlab.errors import ConfigurationError
from requestlab.system import checks, machine

READINGS = 10
"""How often each clock is read at each comparison."""

PATIENCE_S = 15.0
"""A machine that has not answered so long after it could have is given up."""

ALONE_S = 5.0
"""When one of several did not answer, each is asked by itself, and who is there has answered by then."""


@dataclass(frozen=True)
class Place:
    """Where a worker of the cluster runs: `host` is its name, `net` tells machines and their networks apart; `core` is
    what a load process can have for itself there, `cores` are all."""

    host: str
    net: str
    core: int | None
    cores: tuple[int, ...]


@dataclass(frozen=True)
class Clock:
    """What must be added to the times of another clock to have them on this one, in ns: between `least` and `most`."""

    least: int
    most: int

    @property
    def offset_ns(self) -> int:
        return (self.least + self.most) // 2

    @property
    def unsure_ns(self) -> int:
        return (self.most - self.least + 1) // 2

    def drift_ns(self, later: Clock) -> int:
        """Return how far the clocks have drifted apart between two comparisons, at least."""
        return max(0, later.least - self.most, self.least - later.most)


class Cluster:
    """The workers of a `distributed.Client`. Who does not answer is not asked again.

    Raises ConfigurationError for what is no client, and for a cluster without workers, or with some that have no
    requestlab.
    """

    def __init__(self, client: Any) -> None:
        self.client = _checked(client)
        self._silent: set[str] = set()
        self._workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
        if not self._workers:
            raise ConfigurationError(
                "on: the cluster has no workers; expected one at least, see client.wait_for_workers"
            )
        self.places: dict[str, Place] = self.ask(_place)

    def present(self) -> list[str]:
        """Return the workers that are still there and answer."""
        there = self.client.scheduler_info(n_workers=-1)["workers"]
        return [worker for worker in self._workers if worker in there and worker not in self._silent]

    def give_up(self, worker: str) -> None:
        """Ask it nothing from now on."""
        self._silent.add(worker)

    def ask(self, question: Callable[[], Any], patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the answer of each worker that gives one in that time; ConfigurationError where the lab is not."""
        (found,) = self._answers(question, [self.present()], patience_s)
        if found is None:  # one that is silent holds up the answers of all
            alone = [[worker] for worker in self.present()]
            found = {}
            for (worker,), answer in zip(alone, self._answers(question, alone, min(patience_s, ALONE_S)), strict=True):
                if answer is None:
                    self.give_up(worker)
                found |= answer or {}
        wrong = {worker: one for worker, one in found.items() if isinstance(one, ImportError | AttributeError)}
        if wrong:
            worker, problem = wrong.popitem()
            raise ConfigurationError(
                f"on: the worker {worker} cannot run this version of requestlab ({problem}); install the same one there"
            )
        return {worker: one for worker, one in found.items() if not isinstance(one, BaseException)}

    def clocks(self, tick: Callable[[], None]) -> dict[str, Clock]:
        """Compare the clocks of all workers that are there with this one."""
        within: dict[str, list[tuple[int, int]]] = {}
        for _ in range(READINGS):
            tick()
            asked = time.perf_counter_ns()
            read = self.ask(time.perf_counter_ns)
            got = time.perf_counter_ns()
            for worker, at in read.items():
                within.setdefault(worker, []).append((asked - at, got - at))
        return {
            worker: Clock(max(least for least, _ in pairs), min(most for _, most in pairs))
            for worker, pairs in within.items()
        }

    def _answers(
        self, question: Callable[[], Any], groups: Sequence[Sequence[str]], patience_s: float
    ) -> list[dict[str, Any] | None]:
        """Ask groups of workers at once; return what each has answered, None where that did not come in time."""
        found: list[dict[str, Any] | None] = [None] * len(groups)

        def ask(number: int, workers: Sequence[str]) -> None:
            with suppress(Exception):  # the cluster has ended meanwhile
                found[number] = self.client.run(question, workers=workers, on_error="return")

        # A client waits for ever for a worker that is stopped; so others wait, and are left behind.
        waiting = [
            threading.Thread(target=ask, args=(number, group), daemon=True) for number, group in enumerate(groups)
        ]
        for thread in waiting:
            thread.start()
        deadline = time.monotonic() + patience_s
        for thread in waiting:
            thread.join(max(0.0, deadline - time.monotonic()))
        return list(found)


def net() -> str:
    """Return what two processes have in common that find the same server at 127.0.0.1."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/net')}"
    return socket.gethostname()


def _place() -> Place:
    return Place(socket.gethostname(), net(), machine.split_cores().generator, machine.all_cores().server)


def _checked(client: Any) -> Any:
    distributed = sys.modules.get("distributed")  # whoever has a client has imported it
    if distributed is None or not isinstance(client, distributed.Client):
        raise checks.wrong("on", client, "a Client of Dask's `distributed` (pip install 'requestlab[dask]')")
    if client.asynchronous or client.status != "running":
        raise ConfigurationError("on: expected a Client that is open, and not asynchronous")
    return client
