"""What every server loads in place of the application: `requestlab.probe.entry:application`.

Each worker imports this module after it was forked. It ties the worker's life to the supervisor's, loads the real
application named in the environment, wraps it in the probe where that was asked for, and answers one path of its own: the
readiness question. That, and counting what is not that question, costs a request some hundred nanoseconds.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from requestlab import lifeline
from requestlab.probe import environment
from requestlab.probe.ready import READY_PATH, answer
from requestlab.probe.tally import Tally


def load(target: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def answering_wsgi(inner: Any, tally: Tally) -> Any:
    """Return `inner` with the readiness answer in front of it, and its requests counted."""

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != READY_PATH:
            tally.one_more()
            return inner(environ, start_response)
        body = answer(environ.get("QUERY_STRING", ""))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


def answering_asgi(inner: Any, tally: Tally) -> Any:
    """Return `inner` with the readiness answer in front of it, and its requests counted; hands on its coroutine instead of
    awaiting it."""

    async def ready(scope: Any, receive: Any, send: Any) -> None:
        body = answer(scope["query_string"].decode("latin-1"))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def application(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return inner(scope, receive, send)
        if scope["path"] != READY_PATH:
            tally.one_more()
            return inner(scope, receive, send)
        return ready(scope, receive, send)

    return application


def build() -> Any:
    """Return what the server is to call, as the environment describes it."""
    interface = os.environ[environment.INTERFACE]
    inner = load(os.environ[environment.TARGET])
    if os.environ.get(environment.PROBE):
        from requestlab.probe import served

        inner = served.wrap(inner, interface)
    tally = Tally(os.environ[environment.DIRECTORY])
    return answering_wsgi(inner, tally) if interface == "wsgi" else answering_asgi(inner, tally)


lifeline.tie_worker_to_supervisor()
try:
    application = build()
except BaseException:
    lifeline.report_failed_load()
    raise
