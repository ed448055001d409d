"""One load process for tests: a plan in, an outcome out."""

import socket
from typing import Any

from requestlab.load.plan import Plan
from requestlab.load.pool import Job, LoadProcessPool, Outcome
from requestlab.load.watch import Watched


def plan(address: tuple[str, int] = ("127.0.0.1", 9), **changes: Any) -> Plan:
    """A plan of one user who asks for half a minute, but for what is changed."""
    usual = {"users": 1, "seconds": 30.0, "warmup_s": 0.0, "timeout_s": 5.0}
    request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    return Plan(family=socket.AF_INET, address=address, requests=(request,), **usual | changes)


def run_plan(plan: Plan) -> Outcome:
    with LoadProcessPool() as pool:
        (outcome,) = pool.run([Job(plan)], Watched(), lambda: None)
    return outcome
