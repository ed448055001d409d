"""waitress on a descriptor, which its own command line cannot listen on.

Run as `python -m requestlab.worker.waitress_server FD OPTIONS APPLICATION`.
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

from waitress import runner, serve


def main() -> int:
    listener = socket.socket(fileno=int(sys.argv[1]))
    logging.getLogger("waitress").setLevel(logging.ERROR)  # it warns of each request that waits for a thread

    def serve_there(application: Any, **options: Any) -> None:
        serve(application, sockets=[listener], **options)

    return int(runner.run(["waitress-serve", *sys.argv[2:]], serve_there))


if __name__ == "__main__":
    sys.exit(main())
