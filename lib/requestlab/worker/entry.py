"""What every server loads in place of the application: `requestlab.worker.entry:application`.

Each worker imports this module after it was forked. It ties the worker's life to the supervisor's, loads the real
application named in the environment, wraps it in the probe where that was asked for, and answers one path of its own:
the readiness question. That, and counting what is not that question, costs a request some hundred nanoseconds.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from requestlab.worker import environment, lifeline, stacks
from requestlab.worker.ready import (
    QUESTION_HEADER,
    READY_PATH,
    TOKEN_HEADER,
    RequestCount,
    answer,
    is_of_the_lab,
    is_token,
)


def load(target: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def answering_wsgi(inner: Any, request_count: RequestCount) -> Any:
    """Return `inner` with the readiness answer in front of it, and its requests counted."""

    said = f"HTTP_{QUESTION_HEADER.upper().replace('-', '_')}"

    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != READY_PATH or not is_of_the_lab(environ.get(said, "")):
            request_count.one_more()
            return inner(environ, start_response)
        body = answer(environ.get("QUERY_STRING", ""))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return application


def answering_asgi(inner: Any, request_count: RequestCount) -> Any:
    """Return `inner` with the readiness answer in front of it, and its requests counted; hands on its coroutine instead
    of awaiting it."""

    name = QUESTION_HEADER.encode()

    async def ready(scope: Any, receive: Any, send: Any) -> None:
        body = answer(scope["query_string"].decode("latin-1"))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def application(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return inner(scope, receive, send)
        path = scope["path"]  # uvicorn's --root-path stands in front of it; no call of ours, which a look would meet
        if path.endswith(READY_PATH) and is_of_the_lab(dict(scope["headers"]).get(name, b"").decode("latin-1")):
            return ready(scope, receive, send)
        request_count.one_more()
        return inner(scope, receive, send)

    return application


REFUSAL = b"This server belongs to somebody else's lab on this machine. Its owner's requests have server.headers.\n"
_REFUSED = [("Content-Type", "text/plain"), ("Content-Length", str(len(REFUSAL)))]


def guarded(interface: str, inner: Any) -> Any:
    """Return `inner` behind a guard that refuses every request without the run's token."""
    key, name = f"HTTP_{TOKEN_HEADER.upper().replace('-', '_')}", TOKEN_HEADER.encode()

    def wsgi(environ: Any, start_response: Any) -> Any:
        if is_token(environ.get(key, "")):
            return inner(environ, start_response)
        start_response("403 Forbidden", _REFUSED)
        return [REFUSAL]

    def asgi(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http" or is_token(dict(scope["headers"]).get(name, b"").decode("latin-1")):
            return inner(scope, receive, send)
        return refuse(send)

    async def refuse(send: Any) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in _REFUSED]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSAL})

    return wsgi if interface == "wsgi" else asgi


def probed(interface: str, directory: str, share: str) -> Any:
    """Load the application between the two halves of the probe."""
    from requestlab.worker.probe import Probe

    probe = Probe(directory, share)
    probe.prepare()
    return probe.wrap(load(os.environ[environment.TARGET]), interface)


def set_switch_interval() -> None:
    """Tell Python how long a thread may keep the GIL, where the environment says."""
    if interval_ms := os.environ.get(environment.SWITCH_INTERVAL_MS):
        sys.setswitchinterval(float(interval_ms) / 1000)


def debugging(application: Any) -> Any:
    """Return an ASGI `application` that puts the loop it is called on into debug mode.

    The variable that the lab sets does so too, but uvicorn on Python 3.11 runs its loop with `debug=False`.
    """
    import asyncio  # only here: a WSGI worker has no use for it

    def debugged(scope: Any, receive: Any, send: Any) -> Any:
        loop = asyncio.get_running_loop()
        if not loop.get_debug():
            loop.set_debug(True)
        return application(scope, receive, send)

    return debugged


def build() -> Any:
    """Return what the server is to call, as the environment describes it."""
    interface, directory = os.environ[environment.INTERFACE], os.environ[environment.DIRECTORY]
    share = os.environ.get(environment.PROBE)
    inner = probed(interface, directory, share) if share else load(os.environ[environment.TARGET])
    if os.environ.get(environment.GUARDED):
        inner = guarded(interface, inner)
    request_count = RequestCount(directory)
    stacks.be_ready(directory)
    if interface == "wsgi":
        return answering_wsgi(inner, request_count)
    application = answering_asgi(inner, request_count)
    if os.environ.get(environment.ASYNCIO_DEBUG):
        application = debugging(application)
    application._asgi_single_callable = True  # asgiref's mark of ASGI 3, which it is though it is no `async def`
    return application


lifeline.tie_worker_to_supervisor()
try:
    set_switch_interval()
    application = build()
except BaseException:
    lifeline.report_failed_load()
    raise
