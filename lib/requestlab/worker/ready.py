"""The readiness question: has this worker loaded its application, and is it of this run?"""

from __future__ import annotations

import json
import os
import time

from requestlab.worker import environment

READY_PATH = "/.requestlab/ready/"
HOLD_S = 0.02


def answer(query: str) -> bytes:
    """Return the run's nonce and this worker's pid as JSON.

    With the query `hold` the worker is kept busy for `HOLD_S` first, its event loop included: a new connection then goes to
    one of its siblings, which is how the lab reaches every worker behind one listener.
    """
    if query == "hold":
        time.sleep(HOLD_S)
    return json.dumps({"nonce": os.environ.get(environment.NONCE), "pid": os.getpid()}).encode()
