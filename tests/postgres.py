"""A PostgreSQL cluster of the tests' own: made in a temporary directory, on a port of the loopback address, and
ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg

from requestlab.worker import kernel
from tests.processes import started_for_all

USER = "postgres"
"""Whom the server runs as where the tests are root's: PostgreSQL refuses to be root."""

PLACES = "/usr/lib/postgresql/*/bin"
START_TIMEOUT_S = 30.0
_OPTIONS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "150"}


def programs() -> Path | None:
    """Return the folder of initdb and postgres: Debian's newest, or the one on PATH; None where there is no
    PostgreSQL."""
    found = sorted(Path("/").glob(PLACES.lstrip("/")), key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    candidates = [*found[::-1], *([Path(on_path).resolve().parent] if on_path else [])]
    return next(
        (folder for folder in candidates if (folder / "initdb").exists() and (folder / "postgres").exists()), None
    )


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start PostgreSQL and yield the URL of a database in it; at the end of the block it is ended and its files are
    gone.

    Its processes die with this one, too, however that ends.
    """
    home = Path(mkdtemp(prefix="requestlab-postgres-"))
    try:
        if os.getuid() == 0:
            shutil.chown(home, USER, USER)
        data = home / "data"
        how = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "--locale=C"]
        made = _run([folder / "initdb", f"--pgdata={data}", *how], home).wait()
        assert made == 0, (home / "log").read_text()
        with _started(folder, home) as (server, port):
            url = f"postgres://{USER}:not-a-secret@127.0.0.1:{port}/postgres"
            _wait_until_it_answers(url, server, home)
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _started(folder: Path, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as free:  # PostgreSQL takes no open socket; between here and there, somebody may take the port
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = _OPTIONS | {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(home)}
    chosen = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    server = _run([folder / "postgres", "-D", home / "data", *chosen], home)
    try:
        yield server, port
    finally:
        server.send_signal(signal.SIGINT)  # to PostgreSQL: at once, but in order
        try:
            server.wait(10)
        finally:
            server.kill()


def _run(command: Sequence[Any], home: Path) -> subprocess.Popen[bytes]:
    """Start a program of PostgreSQL, for all tests."""
    who: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
    with (home / "log").open("ab") as log, started_for_all():
        return subprocess.Popen(
            list(map(str, command)),
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=None if kernel.PORTABLE else kernel.die_with_parent,
            **who,
        )


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, (home / "log").read_text()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
