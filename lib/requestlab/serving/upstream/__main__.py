"""The process: `python -m requestlab.serving.upstream FD`."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import uvloop

from requestlab.serving.servers import BACKLOG
from requestlab.serving.upstream.api import Api, Timers
from requestlab.serving.upstream.protocol import Protocol
from requestlab.worker import lifeline


async def serve(listener: socket.socket) -> None:
    """Answer on `listener` until cancelled."""
    loop = asyncio.get_running_loop()
    api = Api(Timers(loop))
    server = await loop.create_server(lambda: Protocol(api), sock=listener, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    lifeline.tie_worker_to_supervisor()
    gc.freeze()  # the collector need not look at what was imported: a pause of it would be a late answer
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
