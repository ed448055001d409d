"""Measure what happens to a request under WSGI and ASGI, in sync, mixed and async code, on your own machine.

Names are loaded when they are first used: the supervisor, the generator and the server's workers import this package too,
and must not pay for pandas and matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requestlab import plots
    from requestlab.configurations import ASYNC, MIXED, NULL, SYNC, Configuration
    from requestlab.errors import LabError
    from requestlab.load import closed
    from requestlab.machine import describe_machine
    from requestlab.measuring import measure
    from requestlab.pace import seconds
    from requestlab.runs import Run, load_run
    from requestlab.serving import Server, serve, stop_all
    from requestlab.sources import source
    from requestlab.transport import RulerTransport

_HOME = {
    "ASYNC": "configurations",
    "Configuration": "configurations",
    "LabError": "errors",
    "MIXED": "configurations",
    "NULL": "configurations",
    "RulerTransport": "transport",
    "Run": "runs",
    "SYNC": "configurations",
    "Server": "serving",
    "closed": "load",
    "describe_machine": "machine",
    "load_run": "runs",
    "measure": "measuring",
    "seconds": "pace",
    "serve": "serving",
    "source": "sources",
    "stop_all": "serving",
}

__all__ = [
    "ASYNC",
    "MIXED",
    "NULL",
    "SYNC",
    "Configuration",
    "LabError",
    "RulerTransport",
    "Run",
    "Server",
    "closed",
    "describe_machine",
    "load_run",
    "measure",
    "plots",
    "seconds",
    "serve",
    "source",
    "stop_all",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module(f"{__name__}.plots")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
