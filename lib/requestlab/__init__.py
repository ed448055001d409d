"""Measure what happens to a request under WSGI and ASGI, in sync, mixed and async code, on your own machine.

Names are loaded when they are first used: the supervisor, the generator and the server's workers import this package too,
and must not pay for pandas and matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requestlab.configurations import ASYNC, MIXED, SYNC, Configuration
    from requestlab.errors import LabError
    from requestlab.load import closed
    from requestlab.measuring import measure
    from requestlab.runs import Run, load_run
    from requestlab.serving import Server, serve, stop_all
    from requestlab.transport import RulerTransport

_HOME = {
    "ASYNC": "configurations",
    "Configuration": "configurations",
    "LabError": "errors",
    "MIXED": "configurations",
    "RulerTransport": "transport",
    "Run": "runs",
    "SYNC": "configurations",
    "Server": "serving",
    "closed": "load",
    "load_run": "runs",
    "measure": "measuring",
    "serve": "serving",
    "stop_all": "serving",
}

__all__ = [
    "ASYNC",
    "MIXED",
    "SYNC",
    "Configuration",
    "LabError",
    "RulerTransport",
    "Run",
    "Server",
    "closed",
    "load_run",
    "measure",
    "serve",
    "stop_all",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
