"""Open files and sockets of processes, as /proc tells them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENING = "0A"


def open_files(pid: int) -> Iterator[str]:
    """Yield what each descriptor of a process leads to, such as `socket:[4711]`; raises OSError where it has ended, or
    is another user's."""
    with os.scandir(f"/proc/{pid}/fd") as files:
        for entry in files:
            with suppress(OSError):  # it has just been closed
                yield os.readlink(entry.path)


def listening_on(port: int) -> set[str]:
    """Return the TCP sockets that listen on a port of this machine, as `open_files` names them."""
    return {socket for local, _, state, socket in _sockets() if state == _LISTENING and local == port}


def connected_to(port: int) -> set[str]:
    """Return the TCP sockets whose other end has that port."""
    return {socket for _, remote, _, socket in _sockets() if remote == port}


def _sockets() -> Iterator[tuple[int, int, str, str]]:
    """Yield local port, remote port, state and name of each TCP socket."""
    for table in _TABLES:
        with suppress(OSError), open(table) as lines:
            next(lines)
            for fields in map(str.split, lines):
                local, remote = (int(fields[column].rpartition(":")[2], 16) for column in (1, 2))
                yield local, remote, fields[3], f"socket:[{fields[9]}]"
