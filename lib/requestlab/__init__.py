"""Measure what happens to a request under WSGI and ASGI, in sync, mixed and async code, on your own machine.

Names are loaded when they are first used: the supervisor, the generator and the server's workers import this package too,
and must not pay for pandas and matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requestlab import plots
    from requestlab.claims.judging import claim
    from requestlab.claims.ledger import ledger
    from requestlab.comparison.call_costs import CallCosts, call_costs
    from requestlab.comparison.compare import compare
    from requestlab.comparison.comparison import Comparison
    from requestlab.comparison.intervals import Interval, interval
    from requestlab.comparison.resolution import Resolution, resolution
    from requestlab.errors import LabError
    from requestlab.load.hey import ToolResult, hey, wrk
    from requestlab.load.loads import closed, disconnecting, idle, open, silent, slow_readers, slow_senders
    from requestlab.load.transport import LoadClientTransport
    from requestlab.measurement.measure import measure
    from requestlab.measurement.ramp import Ramp
    from requestlab.measurement.run import Run, load_run
    from requestlab.notebooks.source import source
    from requestlab.serving.applications import Bare, LabApp, database
    from requestlab.serving.configuration import ASYNC, MIXED, NULL, SYNC, UPSTREAM, Configuration
    from requestlab.serving.freeze import freeze
    from requestlab.serving.server import Server, serve, stop_all
    from requestlab.system.machine import describe_machine
    from requestlab.system.quick import rounds, seconds

_NAMES = {
    "claims.judging": ("claim",),
    "claims.ledger": ("ledger",),
    "comparison.call_costs": ("CallCosts", "call_costs"),
    "comparison.compare": ("compare",),
    "comparison.comparison": ("Comparison",),
    "comparison.intervals": ("Interval", "interval"),
    "comparison.resolution": ("Resolution", "resolution"),
    "errors": ("LabError",),
    "load.hey": ("ToolResult", "hey", "wrk"),
    "load.loads": ("closed", "disconnecting", "idle", "open", "silent", "slow_readers", "slow_senders"),
    "load.transport": ("LoadClientTransport",),
    "measurement.measure": ("measure",),
    "measurement.ramp": ("Ramp",),
    "measurement.run": ("Run", "load_run"),
    "notebooks.source": ("source",),
    "serving.applications": ("Bare", "LabApp", "database"),
    "serving.configuration": ("ASYNC", "MIXED", "NULL", "SYNC", "UPSTREAM", "Configuration"),
    "serving.freeze": ("freeze",),
    "serving.server": ("Server", "serve", "stop_all"),
    "system.machine": ("describe_machine",),
    "system.quick": ("rounds", "seconds"),
}
"""The public names, by the module that has them."""

_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "ASYNC",
    "MIXED",
    "NULL",
    "SYNC",
    "UPSTREAM",
    "Bare",
    "CallCosts",
    "Comparison",
    "Configuration",
    "Interval",
    "LabApp",
    "LabError",
    "LoadClientTransport",
    "Ramp",
    "Resolution",
    "Run",
    "Server",
    "ToolResult",
    "call_costs",
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
