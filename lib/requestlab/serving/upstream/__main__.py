"""The process: `python -m requestlab.serving.upstream FD`."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys

import uvloop

from requestlab.serving.servers import BACKLOG
from requestlab.serving.upstream.api import Api, Timers
from requestlab.serving.upstream.protocol import Protocol
from requestlab.worker import environment, lifeline
from requestlab.worker.ready import in_address


async def serve(listener: socket.socket) -> None:
    """Answer on `listener` until cancelled."""
    loop = asyncio.get_running_loop()
    api, base = Api(Timers(loop)), in_address(os.environ[environment.SECRET])
    server = await loop.create_server(lambda: Protocol(api, base), sock=listener, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    lifeline.tie_worker_to_supervisor()
    gc.freeze()  # the collector need not look at what was imported: a pause of it would be a late answer
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
