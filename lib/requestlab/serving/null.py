"""A server that does next to nothing, to find out how fast the load client is: `python -m requestlab.serving.null FD`.

It answers whatever looks like the end of a request with one constant answer, which is also the readiness answer.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

import uvloop

from requestlab.serving.servers import BACKLOG
from requestlab.worker import lifeline
from requestlab.worker.ready import answer


class _Null(asyncio.Protocol):
    def __init__(self, constant: bytes) -> None:
        self.constant = constant

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.constant * data.count(b"\r\n\r\n"))


async def serve(listener: socket.socket) -> None:
    """Answer on `listener` until cancelled."""
    body = answer("")
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    constant = head.encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Null(constant), sock=listener, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    lifeline.tie_worker_to_supervisor()
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
