"""The variables through which the lab tells a server's processes what to do."""

TARGET = "REQUESTLAB_TARGET"
"""The application to serve: `module:attribute`."""

INTERFACE = "REQUESTLAB_INTERFACE"
"""`wsgi` or `asgi`."""

PROBE = "REQUESTLAB_PROBE"
"""The share of requests to trace, `1.0` or `0.1`, or `WITHIN_BUDGET`; a header on each answer has its number. Empty: no
probe."""

WITHIN_BUDGET = "budget"
"""As many requests as `wrappers.Budget` can afford."""

SWITCH_INTERVAL_MS = "REQUESTLAB_SWITCH_INTERVAL_MS"
"""How long a thread may keep the GIL when another wants it; empty: as long as Python has it."""

ASYNCIO_DEBUG = "PYTHONASYNCIODEBUG"
"""Python's own variable. Not empty: event loops are in asyncio's debug mode."""

SECRET = "REQUESTLAB_SECRET"
"""The run's secret: see `ready.halves` and `ready.token`."""

GUARDED = "REQUESTLAB_GUARDED"
"""Not empty: requests without the run's token are refused; see `ready.TOKEN_HEADER`."""

DIRECTORY = "REQUESTLAB_DIRECTORY"
"""The run's own directory, where each worker keeps its request count."""

PORTABLE = "REQUESTLAB_PORTABLE"
"""Not empty: nothing is asked of the system that only Linux has; see `kernel`."""
