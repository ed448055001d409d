"""The wall as a running server: its file made, its pages served by uvicorn until it is interrupted."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from pathlib import Path
from types import FrameType

import psutil

from requestlab.errors import ConfigurationError, LabError
from requestlab.wall import CODE_VARIABLE, DATABASE_VARIABLE, TITLE_VARIABLE

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ"
"""Of a code: none that is taken for another from the last row."""

CODE_LENGTH = 5


def new_code() -> str:
    """Return a code that a room can read."""
    return "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))


def listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raises LabError, in a sentence, where that cannot be."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        raise ConfigurationError(f"--host {host!r} is no number of an interface; 0.0.0.0 means all") from None
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as problem:
        raise LabError(
            f"the wall cannot listen at {host}, port {port}: {os.strerror(problem.errno or 0)}; choose another --port"
        ) from None


def addresses(host: str, port: int, code: str) -> list[str]:
    """Return under which addresses a room can reach it, the likeliest first."""
    if not ipaddress.ip_address(host).is_unspecified:
        return [f"http://{host}:{port}/{code}"]
    own = [one.address for several in psutil.net_if_addrs().values() for one in several if one.family == socket.AF_INET]
    outside = [address for address in own if not ipaddress.ip_address(address).is_loopback]
    return [f"http://{address}:{port}/{code}" for address in (*outside, "127.0.0.1")]


def prepare(database: Path, code: str, title: str) -> None:
    """Make the file of the wall where there is none, and tell Django of it; once in a process."""
    os.environ |= {
        DATABASE_VARIABLE: str(database),
        CODE_VARIABLE: code,
        TITLE_VARIABLE: title,
        "DJANGO_SETTINGS_MODULE": "requestlab.wall.settings",
    }
    import django
    from django.core.management import call_command
    from django.db import DatabaseError

    django.setup()
    try:
        call_command("migrate", verbosity=0)
    except DatabaseError as problem:
        raise LabError(f"the wall cannot be kept in {str(database)!r}: {problem}") from None


def serve(listening: socket.socket) -> None:
    """Serve the wall until this process is interrupted."""
    import uvicorn

    from requestlab.wall.views import board

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            board.over = True  # those who listen are let go, and not cut off
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        "requestlab.wall.asgi:application", lifespan="off", log_level="warning", timeout_graceful_shutdown=3
    )
    Server(config).run(sockets=[listening])
