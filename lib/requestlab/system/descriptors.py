"""Open files and sockets of processes, as the system tells them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from requestlab.worker.kernel import PORTABLE

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING = "0A"
MOST_QUEUES = 100


def open_files(pid: int) -> Iterator[str]:
    """Yield what each descriptor of a process leads to, such as `socket:[4711]`; raises OSError where it has ended, or
    is another user's."""
    if PORTABLE:
        yield from _open_files(pid)
        return
    with os.scandir(f"/proc/{pid}/fd") as files:
        for entry in files:
            with suppress(OSError):  # it has just been closed
                yield os.readlink(entry.path)


def listening_on(port: int) -> Callable[[str], bool]:
    """Return what tells the TCP sockets that listen on a port of this machine, as `open_files` names them."""
    if PORTABLE:
        return f"socket:[{port}>0]".__eq__
    return {socket for local, _, state, socket in _sockets() if state == _LISTENING and local == port}.__contains__


def connected_to(port: int) -> Callable[[str], bool]:
    """Return what tells the TCP sockets whose other end has that port."""
    if PORTABLE:
        return lambda name: name.endswith(f">{port}]")
    return {socket for _, remote, _, socket in _sockets() if remote == port}.__contains__


def queues(port: int) -> list[str]:
    """Return what waits in the queues of each TCP socket of that port here, in words: bytes that were not yet sent or
    acknowledged, and bytes (of a listening one: connections) that nobody has taken. Nothing where the system does not
    say."""
    lines = []
    for table in () if PORTABLE else _TABLES:
        with suppress(OSError), open(table) as rows:
            next(rows)
            for fields in map(str.split, rows):
                local, remote = (int(fields[column].rpartition(":")[2], 16) for column in (1, 2))
                unsent, untaken = (int(part, 16) for part in fields[4].split(":"))
                if port in (local, remote) and (unsent or untaken):
                    lines.append(f"socket {local} to {remote}: {unsent:,} not sent, {untaken:,} not taken")
    return lines[:MOST_QUEUES]


def _sockets() -> Iterator[tuple[int, int, str, str]]:
    """Yield local port, remote port, state and name of each TCP socket."""
    for table in _TABLES:
        with suppress(OSError), open(table) as lines:
            next(lines)
            for fields in map(str.split, lines):
                local, remote = (int(fields[column].rpartition(":")[2], 16) for column in (1, 2))
                yield local, remote, fields[3], f"socket:[{fields[9]}]"


def _open_files(pid: int) -> Iterator[str]:
    """Yield paths, and of each TCP socket both ports: `socket:[local>remote]`."""
    import psutil  # only here: the load process has no use for it elsewhere

    try:
        process = psutil.Process(pid)
        yield from (file.path for file in process.open_files())
        for one in process.net_connections("tcp"):
            yield f"socket:[{one.laddr.port if one.laddr else 0}>{one.raddr.port if one.raddr else 0}]"
    except psutil.Error as problem:
        raise OSError(str(problem)) from None
