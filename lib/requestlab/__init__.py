"""Measure what happens to a request under WSGI and ASGI, in sync, mixed and async code, on your own machine.

Names are loaded when they are first used: the supervisor, the generator and the server's workers import this package
too, and must not pay for pandas and matplotlib.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requestlab import plots as plots
    from requestlab.advice.advise import advise as advise
    from requestlab.claims.judging import claim as claim
    from requestlab.comparison.call_costs import CallCosts as CallCosts, call_costs as call_costs
    from requestlab.comparison.compare import compare as compare, interrupted as interrupted
    from requestlab.comparison.comparison import Comparison as Comparison
    from requestlab.comparison.intervals import Interval as Interval, interval as interval
    from requestlab.comparison.resolution import Resolution as Resolution, resolution as resolution
    from requestlab.comparison.saying import say as say
    from requestlab.errors import LabError as LabError
    from requestlab.load.hey import ToolResult as ToolResult, hey as hey, wrk as wrk
    from requestlab.load.loads import (
        closed as closed,
        disconnecting as disconnecting,
        idle as idle,
        open as open,
        silent as silent,
        slow_readers as slow_readers,
        slow_senders as slow_senders,
    )
    from requestlab.load.mix import Ask as Ask, Mix as Mix, ask as ask, mix as mix
    from requestlab.load.transport import LoadClientTransport as LoadClientTransport
    from requestlab.measurement.measure import measure as measure
    from requestlab.measurement.ramp import Ramp as Ramp
    from requestlab.measurement.run import Run as Run, load_run as load_run
    from requestlab.notebooks.source import source as source
    from requestlab.plots.guesses import Guesses as Guesses, guesses as guesses
    from requestlab.serving.applications import Bare as Bare, LabApp as LabApp, app as app, database as database
    from requestlab.serving.configuration import (
        ASGI as ASGI,
        ASYNC as ASYNC,
        MIXED as MIXED,
        NULL as NULL,
        SYNC as SYNC,
        THREADS as THREADS,
        UPSTREAM as UPSTREAM,
        Configuration as Configuration,
    )
    from requestlab.serving.freeze import freeze as freeze
    from requestlab.serving.project import Project as Project, bookshop as bookshop, project as project
    from requestlab.serving.proxy import proxy as proxy
    from requestlab.serving.server import Server as Server, serve as serve, stop_all as stop_all
    from requestlab.system.budget import budget as budget, until as until
    from requestlab.system.machine import describe_machine as describe_machine
    from requestlab.system.quick import seconds as seconds
    from requestlab.wall.own import ledger as ledger

_NAMES = {
    "advice.advise": ("advise",),
    "claims.judging": ("claim",),
    "comparison.call_costs": ("CallCosts", "call_costs"),
    "comparison.compare": ("compare", "interrupted"),
    "comparison.comparison": ("Comparison",),
    "comparison.intervals": ("Interval", "interval"),
    "comparison.resolution": ("Resolution", "resolution"),
    "comparison.saying": ("say",),
    "errors": ("LabError",),
    "load.hey": ("ToolResult", "hey", "wrk"),
    "load.loads": ("closed", "disconnecting", "idle", "open", "silent", "slow_readers", "slow_senders"),
    "load.mix": ("Ask", "Mix", "ask", "mix"),
    "load.transport": ("LoadClientTransport",),
    "measurement.measure": ("measure",),
    "measurement.ramp": ("Ramp",),
    "measurement.run": ("Run", "load_run"),
    "notebooks.source": ("source",),
    "plots.guesses": ("Guesses", "guesses"),
    "serving.applications": ("Bare", "LabApp", "app", "database"),
    "serving.configuration": ("ASGI", "ASYNC", "MIXED", "NULL", "SYNC", "THREADS", "UPSTREAM", "Configuration"),
    "serving.freeze": ("freeze",),
    "serving.project": ("Project", "bookshop", "project"),
    "serving.proxy": ("proxy",),
    "serving.server": ("Server", "serve", "stop_all"),
    "system.budget": ("budget", "until"),
    "system.machine": ("describe_machine",),
    "system.quick": ("seconds",),
    "wall.own": ("ledger",),
}
"""The public names, by the module that has them."""

_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(["plots", *_HOME])


def __getattr__(name: str) -> Any:
    if name != "plots" and name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from requestlab.system.interrupts import held_back  # a server has only `worker/` of this package

    with held_back():
        module = import_module(f"{__name__}.{_HOME.get(name, name)}")
    return module if name == "plots" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


if os.environ.get("REQUESTLAB_ASK") and "IPython" in sys.modules:
    from requestlab.notebooks import asking

    asking.install()
