"""Measure what happens to a request under WSGI and ASGI, in sync, mixed and async code, on your own machine.

Names are loaded when they are first used: the supervisor, the generator and the server's workers import this package too,
and must not pay for pandas and matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requestlab import plots
    from requestlab.comparing import compare
    from requestlab.comparison import Comparison
    from requestlab.configurations import ASYNC, MIXED, NULL, SYNC, Configuration
    from requestlab.errors import LabError
    from requestlab.freezing import freeze
    from requestlab.load import closed, open
    from requestlab.machine import describe_machine
    from requestlab.measuring import measure
    from requestlab.other_tools import Said, hey, wrk
    from requestlab.pace import rounds, seconds
    from requestlab.ramp import Ramp
    from requestlab.runs import Run, load_run
    from requestlab.serving import Server, serve, stop_all
    from requestlab.sources import source
    from requestlab.transport import RulerTransport

_HOME = {
    "ASYNC": "configurations",
    "Comparison": "comparison",
    "Configuration": "configurations",
    "LabError": "errors",
    "MIXED": "configurations",
    "NULL": "configurations",
    "RulerTransport": "transport",
    "Ramp": "ramp",
    "Run": "runs",
    "SYNC": "configurations",
    "Server": "serving",
    "closed": "load",
    "compare": "comparing",
    "open": "load",
    "describe_machine": "machine",
    "load_run": "runs",
    "measure": "measuring",
    "Said": "other_tools",
    "freeze": "freezing",
    "hey": "other_tools",
    "rounds": "pace",
    "seconds": "pace",
    "wrk": "other_tools",
    "serve": "serving",
    "source": "sources",
    "stop_all": "serving",
}

__all__ = [
    "ASYNC",
    "MIXED",
    "NULL",
    "SYNC",
    "Comparison",
    "Configuration",
    "LabError",
    "Ramp",
    "RulerTransport",
    "Run",
    "Said",
    "Server",
    "closed",
    "compare",
    "describe_machine",
    "freeze",
    "hey",
    "load_run",
    "measure",
    "open",
    "plots",
    "rounds",
    "seconds",
    "serve",
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
