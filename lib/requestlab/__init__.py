"""Measure what happens to a request under WSGI and ASGI, in sync, mixed and async code, on your own machine.

Names are loaded when they are first used: the supervisor, the generator and the server's workers import this package too,
and must not pay for pandas and matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requestlab import plots
    from requestlab.claims import claim
    from requestlab.comparing import compare
    from requestlab.comparison import Comparison
    from requestlab.configurations import ASYNC, MIXED, NULL, SYNC, UPSTREAM, Configuration
    from requestlab.databases import database
    from requestlab.errors import LabError
    from requestlab.freezing import freeze
    from requestlab.intervals import Interval, interval
    from requestlab.ledgers import ledger
    from requestlab.load import closed, open
    from requestlab.machine import describe_machine
    from requestlab.measuring import measure
    from requestlab.misbehaving import disconnecting, idle, silent, slow_readers, slow_senders
    from requestlab.other_tools import Said, hey, wrk
    from requestlab.pace import rounds, seconds
    from requestlab.pricing import Prices, prices
    from requestlab.ramp import Ramp
    from requestlab.resolving import Resolution, resolution
    from requestlab.runs import Run, load_run
    from requestlab.serving import Server, serve, stop_all
    from requestlab.sources import source
    from requestlab.transport import RulerTransport

_HOME = {
    "Comparison": "comparison",
    "Configuration": "configurations",
    "Interval": "intervals",
    "LabError": "errors",
    "MIXED": "configurations",
    "NULL": "configurations",
    "Prices": "pricing",
    "Ramp": "ramp",
    "RulerTransport": "transport",
    "Run": "runs",
    "SYNC": "configurations",
    "Said": "other_tools",
    "Server": "serving",
    "UPSTREAM": "configurations",
    "claim": "claims",
    "closed": "load",
    "compare": "comparing",
    "database": "databases",
    "describe_machine": "machine",
    "disconnecting": "misbehaving",
    "freeze": "freezing",
    "hey": "other_tools",
    "idle": "misbehaving",
    "interval": "intervals",
    "ledger": "ledgers",
    "load_run": "runs",
    "measure": "measuring",
    "open": "load",
    "prices": "pricing",
    "resolution": "resolving",
    "Resolution": "resolving",
    "rounds": "pace",
    "seconds": "pace",
    "serve": "serving",
    "silent": "misbehaving",
    "slow_readers": "misbehaving",
    "slow_senders": "misbehaving",
    "source": "sources",
    "stop_all": "serving",
    "wrk": "other_tools",
    "ASYNC": "configurations",
}

__all__ = [
    "ASYNC",
    "MIXED",
    "NULL",
    "SYNC",
    "UPSTREAM",
    "Comparison",
    "Configuration",
    "Interval",
    "LabError",
    "Prices",
    "Ramp",
    "Resolution",
    "RulerTransport",
    "Run",
    "Said",
    "Server",
    "claim",
    "closed",
    "compare",
    "database",
    "describe_machine",
    "disconnecting",
    "freeze",
    "hey",
    "idle",
    "interval",
    "ledger",
    "load_run",
    "measure",
    "open",
    "plots",
    "prices",
    "resolution",
    "rounds",
    "seconds",
    "serve",
    "silent",
    "slow_readers",
    "slow_senders",
    "source",
    "stop_all",
    "wrk",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module(f"{__name__}.plots")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
