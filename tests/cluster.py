"""Clusters of Dask for the tests: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from distributed import Client

IN = tuple[str, ...]
"""What stands before a command: nothing, or `ip netns exec NAME`."""


@dataclass(frozen=True)
class Cluster:
    """A client, and the process of each worker, in the order in which they were named."""

    client: Client
    workers: tuple[subprocess.Popen[bytes], ...]

    def names(self) -> list[str]:
        """Return the addresses of the workers, in the same order."""
        there = self.client.scheduler_info(n_workers=-1)["workers"]
        return sorted(there, key=lambda address: str(there[address]["name"]))


@contextmanager
def cluster(host: str = "127.0.0.1", places: Sequence[IN] = ((), (), ())) -> Iterator[Cluster]:
    """Run a scheduler on `host`, and a worker at each of these places."""
    with socket.socket() as found:
        found.bind((host, 0))
        address = f"tcp://{host}:{found.getsockname()[1]}"
    with ExitStack() as stack:
        scheduler = ["scheduler", "--host", host, "--port", address.rpartition(":")[2], "--no-dashboard"]
        _started(stack, (), *scheduler)
        workers = tuple(
            _started(stack, place, "worker", address, "--nthreads=1", f"--name={number}", *_PLAIN)
            for number, place in enumerate(places)
        )
        client = stack.enter_context(Client(address, set_as_default=False))
        if places:
            client.wait_for_workers(len(places), timeout=60)
        yield Cluster(client, workers)


_PLAIN = ("--no-nanny", "--no-dashboard", "--memory-limit=0")


def _started(stack: ExitStack, place: IN, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [*place, sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process
