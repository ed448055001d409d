"""A server that does next to nothing, to find out how fast the load client is: `python -m requestlab.serving.null FD`.

It answers whatever looks like the end of a request with one constant answer; the lab's own question with another.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

import uvloop

from requestlab.serving.servers import BACKLOG
from requestlab.worker import lifeline
from requestlab.worker.ready import QUESTION_HEADER, READY_PATH, answer, is_of_the_lab

BODY = b'{"null": true}'
_QUESTION = f"GET {READY_PATH}".encode()


class _Null(asyncio.Protocol):
    def __init__(self, constant: bytes, to_the_lab: bytes) -> None:
        self.constant, self.to_the_lab = constant, to_the_lab

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith(_QUESTION) and is_of_the_lab(_question_in(data)):
            self.transport.write(self.to_the_lab)
        else:
            self.transport.write(self.constant * data.count(b"\r\n\r\n"))


def _question_in(head: bytes) -> str:
    """Return what stands behind the question's header; empty where it is not there."""
    lines = (line.partition(b": ") for line in head.split(b"\r\n"))
    return next((said.decode("latin-1") for name, _, said in lines if name == QUESTION_HEADER.encode()), "")


def _encoded(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(listener: socket.socket) -> None:
    """Answer on `listener` until cancelled."""
    constant, to_the_lab = _encoded(BODY), _encoded(answer(""))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Null(constant, to_the_lab), sock=listener, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    lifeline.tie_worker_to_supervisor()
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
