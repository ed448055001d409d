"""nginx in front of a server, as most deployments have it: what a buffering proxy changes.

It takes in a request whole before it passes it on, and takes an answer off the server's hands as fast as it comes. That
is nginx's own way (`proxy_request_buffering`, `proxy_buffering`); nothing is tuned, but for connections to the server
that are kept, and for bodies of any size.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from requestlab.errors import ConfigurationError, ServerStartError
from requestlab.serving.server import GRACE_S, PATIENCE_S, Server, supervise
from requestlab.serving.servers import BACKLOG
from requestlab.system import checks
from requestlab.system.folders import temporary_folder

START_TIMEOUT_S = 10.0
PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
"""Where nginx is looked for: Debian has it where only root looks."""

CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
error_log stderr warn;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/unused;
    uwsgi_temp_path {directory}/unused;
    scgi_temp_path {directory}/unused;
    upstream behind {{ server {host}:{port}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{own_port};
        location {base}/ {{
            proxy_pass http://behind{slash};
            {token}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}
"""


@contextmanager
def proxy(server: Server) -> Iterator[str]:
    """Start nginx in front of a server, and give its address, which `measure` and `compare` take.

    >>> with lab.serve(lab.SYNC) as server, lab.proxy(server) as address:
    ...     lab.measure(address, "/sync/page/", lab.closed(users=4))

    Raises ConfigurationError where nginx is not installed, ServerStartError, with its last words, where it does not
    answer, and ServerGoneError where the server has ended.

    Resources: two processes on the server's cores, one port on the loopback address and one temporary directory, gone
    with the `with` block, or with this process.
    """
    checks.instance("proxy(server)", server, Server, "a server of serve()").check()
    nginx = shutil.which("nginx", path=PLACES)
    if nginx is None:
        raise ConfigurationError("there is no nginx on this machine; on Debian and Ubuntu: apt install nginx-light")
    directory = temporary_folder()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        command = _command(nginx, directory, server, listener.getsockname()[1])
        variables = {"PATH": PLACES, "NGINX": f"{listener.fileno()};"}  # so it takes over a socket that listens
        process = supervise(command, listener.fileno(), server.cores.server, directory, variables)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}{_base(server)}"
    try:
        _wait_until_it_answers(address, process)
        yield address
    finally:
        try:
            process.communicate(timeout=GRACE_S + PATIENCE_S)  # its input ends: so does nginx
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        shutil.rmtree(directory, ignore_errors=True)


def _command(nginx: str, directory: str, server: Server, port: int) -> list[str]:
    host, behind = server.address
    file = Path(directory, "nginx.conf")
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not enter the directory
    base, token = _base(server), [f'proxy_set_header {name} "{value}";' for name, value in server.headers.items()]
    where = {"directory": directory, "host": host, "port": behind, "own_port": port}
    said = {"base": base, "slash": "/" if base else "", "token": "".join(token)}
    file.write_text(CONFIGURATION.format(user=user, **where, **said))
    return [nginx, "-p", directory, "-c", str(file)]


def _base(server: Server) -> str:
    """Return what its address ends with: where others share the machine, the token that it brings to the server must be
    in the address, or it would let them in."""
    return "".join(f"/~{value}" for value in server.headers.values())


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None and process.stdout is not None:
            said = json.loads(process.stdout.read())["log"]
            raise ServerStartError(f"nginx did not start: {'; '.join(said[-3:]) or 'it said nothing'}")
        try:
            httpx.get(address, timeout=1.0, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.02)
    raise ServerStartError(f"nginx did not answer within {START_TIMEOUT_S:g} s; is the machine overloaded?")
