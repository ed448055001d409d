"""The process: `python -m requestlab.serving.upstream FD`."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import uvloop

from requestlab.serving.servers import BACKLOG
from requestlab.serving.upstream.api import Desk
from requestlab.serving.upstream.protocol import Protocol
from requestlab.serving.upstream.timers import Timers
from requestlab.worker import lifeline


async def serve(listener: socket.socket) -> None:
    """Answer on `listener` until cancelled."""
    loop = asyncio.get_running_loop()
    desk = Desk(Timers(loop))
    server = await loop.create_server(lambda: Protocol(desk), sock=listener, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    lifeline.tie_worker_to_supervisor()
    gc.freeze()  # what was imported need not be looked through again: a pause of the collector would be a late answer
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
