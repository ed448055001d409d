"""measure(): one slice of load on one server, by the load process, into a Run."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import math
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import numpy as np
import psutil

from requestlab import machine
from requestlab.errors import ConfigurationError, GeneratorError, RemoteTargetError
from requestlab.generator import COLUMNS, Plan
from requestlab.load import Closed, closed
from requestlab.progress import Progress
from requestlab.runs import THREAD_COLUMNS, Run
from requestlab.serving import Server
from requestlab.transport import encode, resolve

MOST_SECONDS = 600.0
MOST_TIMEOUT = 120.0
SAMPLING_S = 0.01
"""How often the threads of each worker are counted, where the probe is on."""

SPARE_DESCRIPTORS = 50
"""Files that the load process has open besides its connections, with room to spare."""

AFTERMATH_S = 0.1
"""How much longer they are counted after the last answer: threads may end with their request."""

_PATIENCE_S = 5.0


def measure(
    target: Server | str,
    path: str = "/",
    load: Closed | None = None,
    *,
    seconds: float = 2.0,
    warmup: float | None = None,
    timeout: float = 10.0,
    remote: bool = False,
) -> Run:
    """Put `load` on `target` for `seconds` and return every request as a row.

    >>> run = measure(server, "/sync/wait/?ms=50", closed(users=10), seconds=2)

    `target` is a server of `serve()`, or the address of any other on this machine (`http://127.0.0.1:8000`); on another
    machine only with `remote=True`. `load` is one user in a closed loop unless said otherwise. The load begins `warmup`
    seconds before the measured stretch (0.25; none for a load of a fixed number of requests); what was planned then is kept
    apart. After the stretch, requests under way may finish. `timeout` seconds end a request, which becomes a row with an
    error, as does every other failure.

    Raises ConfigurationError for values that cannot work, RemoteTargetError, ServerGoneError where the server has ended before,
    and GeneratorError. May be interrupted at any time.

    Resources: one process for the time of the call, on a core of its own where there is one.
    """
    machine.require_linux()
    load = closed(users=1) if load is None else load
    check(load, seconds, warmup, timeout)
    if warmup is None:
        warmup = 0.25 if load.each is None else 0.0
    server = target if isinstance(target, Server) else None
    if server is not None:
        server.check()
    request = httpx.Request("GET", _url(target, path), headers={"user-agent": "requestlab", "accept": "*/*"})
    family, address = resolve(request.url)
    if not remote and not on_this_machine(address[0]):
        raise RemoteTargetError(f"{request.url.host} is not this machine; load on others needs remote=True (--remote)")
    plan = Plan(
        family=family,
        address=address,
        request=encode(request).decode("latin-1"),
        users=load.users,
        each=load.each,
        seconds=seconds,
        warmup_s=warmup,
        timeout_s=timeout,
        pids=server.pids if server else (),
        core=(server.cores if server else machine.split_cores()).generator,
    )
    label = server.configuration.label if server else str(request.url.copy_with(path="", query=None))
    watched = server.pids if server and server.configuration.probe else ()
    expected = None if load.each else warmup + seconds
    with Progress(f"{label} {path}, {load}", expected) as progress:
        head, table, threads = _carry_out(plan, watched, progress)
    about = {
        "label": label,
        "configuration": dataclasses.asdict(server.configuration) if server else None,
        "capacity": server.configuration.capacity if server else None,
        "url": str(request.url),
        "path": path,
        "load": str(load),
        "users": load.users,
        "each": load.each,
        "seconds": seconds,
        "warmup": warmup,
        "timeout": timeout,
        "pids": list(plan.pids),
        "cores": dataclasses.asdict(server.cores) if server else None,
        "server_ended": server is not None and not server.alive,
        "machine": machine.facts(),
        **_stretch(head["marks"]),
    }
    return Run(table, threads, json.loads(json.dumps(about)))


def on_this_machine(host: str) -> bool:
    """Return whether an IP address is a loopback address or one of this machine's own."""
    host = host.partition("%")[0]
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_unspecified:
        return True
    own = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return host in {address.partition("%")[0] for address in own}


def check(load: object, seconds: float, warmup: float | None, timeout: float) -> None:
    """Raise ConfigurationError for arguments of measure() that cannot work."""
    if not isinstance(load, Closed):
        raise ConfigurationError(f"load={load!r}: expected a load such as requestlab.closed(users=10)")
    most_users = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS
    if load.users > most_users >= 0:
        raise ConfigurationError(f"{load.users} users need as many open files; this system allows {most_users} users")
    _between("seconds", seconds, 0.01, MOST_SECONDS)
    _between("timeout", timeout, 0.01, MOST_TIMEOUT)
    if warmup is not None:
        _between("warmup", warmup, 0.0, MOST_SECONDS)
    if load.each is not None and warmup:
        raise ConfigurationError("a load of a fixed number of requests has no warm-up; leave out warmup or each")


def _between(name: str, value: object, least: float, most: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not least <= value <= most:  # type: ignore[arg-type,operator]
        raise ConfigurationError(f"{name}={value!r}: expected seconds from {least:g} to {most:g}")


def _url(target: Server | str, path: str) -> httpx.URL:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"path={path!r}: expected a path that begins with a slash, such as /sync/page/")
    if isinstance(target, Server):
        base = target.url
    elif isinstance(target, str):
        base = target.rstrip("/")
    else:
        raise ConfigurationError(f"measure() takes a server of serve() or an address, not {target!r}")
    try:
        url = httpx.URL(base + path)
    except (httpx.InvalidURL, UnicodeError) as problem:
        raise ConfigurationError(f"{(base + path)[:200]!r} is not an address: {problem}") from None
    if url.userinfo:
        raise ConfigurationError("an address with a user name in it is not supported: the load sends no credentials")
    return url


def _stretch(marks: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = marks
    pairs = list(zip(first["server_cpu_ns"], last["server_cpu_ns"], strict=True))
    known = bool(pairs) and all(before is not None and after is not None for before, after in pairs)
    return {
        "start": first["time_ns"],
        "end": last["time_ns"],
        "generator_cpu_ns": last["generator_cpu_ns"] - first["generator_cpu_ns"],
        "generator_wait_ns": last["generator_wait_ns"] - first["generator_wait_ns"],
        "worker_ended": bool(pairs) and not known,
        "server_cpu_ns": sum(after - before for before, after in pairs) if known else None,
    }


def _carry_out(plan: Plan, watched: tuple[int, ...], progress: Progress) -> tuple[dict[str, Any], Any, Any]:
    """Run the load process; return what it said, its samples, and the thread counts sampled meanwhile."""
    deadline = time.monotonic() + plan.warmup_s + plan.seconds + plan.timeout_s + _PATIENCE_S
    output = bytearray()
    threads: list[tuple[int, int, int]] = []
    with _generator(plan) as (process, words):
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(SAMPLING_S if watched else 0.1):
                    data = os.read(process.stdout.fileno(), 1 << 20)
                    if not data:
                        break
                    output += data
                threads += _count_threads(watched)
                progress.tick()
                if time.monotonic() > deadline:
                    raise GeneratorError("the load process did not finish in time; is the machine overloaded?")
        status = process.wait()
        end = time.monotonic() + AFTERMATH_S
        while watched and time.monotonic() < end:
            time.sleep(SAMPLING_S)
            threads += _count_threads(watched)
        head, _, rows = bytes(output).partition(b"\n")
        if status != 0 or not head:
            words.seek(0)
            raise GeneratorError(f"the load process failed with status {status}: {words.read().strip()}")
    table = np.frombuffer(rows, dtype=np.int64).reshape(-1, len(COLUMNS))
    return json.loads(head), table, np.array(threads, dtype=np.int64).reshape(-1, len(THREAD_COLUMNS))


@contextmanager
def _generator(plan: Plan) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start the load process; it is gone when the block is left, however that happens."""
    with tempfile.TemporaryFile("w+", errors="replace") as words:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "requestlab.generator"],  # -P: the folder of the notebook may hold any names
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,  # an interrupt in the notebook reaches only the notebook
        )
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has died already, and its words say why
                process.stdin.write(plan.to_json())
                process.stdin.flush()
            yield process, words
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()


def _count_threads(pids: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    for pid in pids:
        try:
            count = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
        yield time.perf_counter_ns(), pid, count
