"""The probe that says who served a request: process, thread, and whether that thread was running an event loop.

The answer travels in a response header, so that it reaches the row of the request without any bookkeeping. Under Django
it is the thread that runs the *view*; for any other application, the thread that calls it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
from typing import Any

HEADER = "requestlab-served"
_KEY = "requestlab.served"


class Served:
    """Who runs this request, as last noted. Written as `pid thread on_loop`."""

    __slots__ = ("on_loop", "thread")

    def __init__(self) -> None:
        self.note()

    def note(self) -> None:
        """Note the calling thread (its native id) and whether it runs an event loop at this moment."""
        self.thread = threading.get_native_id()
        self.on_loop = asyncio._get_running_loop() is not None

    def __str__(self) -> str:
        return f"{os.getpid()} {self.thread} {int(self.on_loop)}"


def wrap(application: Any, interface: str) -> Any:
    """Return `application` with a header on each answer that says who served it."""
    note_threads_of_django_views()
    return _wsgi(application) if interface == "wsgi" else _asgi(application)


def _wsgi(application: Any) -> Any:
    def probed(environ: Any, start_response: Any) -> Any:
        served = environ[_KEY] = Served()

        def stamped(status: str, headers: Any, exc_info: Any = None) -> Any:
            return start_response(status, [*headers, (HEADER, str(served))], exc_info)

        return application(environ, stamped)

    return probed


def _asgi(application: Any) -> Any:
    name = HEADER.encode()

    def probed(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return application(scope, receive, send)
        served = scope[_KEY] = Served()

        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (name, str(served).encode())]
                message = {**message, "headers": headers}
            await send(message)

        return application(scope, receive, stamped)

    return probed


def note_threads_of_django_views() -> None:
    """Have Django tell which thread runs each view, if Django is what is being served.

    `BaseHandler.make_view_atomic` is the one method through which the sync and the async handler both pass the view just
    before they call it, after they decided nothing yet about threads: a wrapper put on there runs where the view runs.
    """
    if "django.core" not in sys.modules:  # the application has been imported by now
        return
    from django.core.handlers.base import BaseHandler

    original = BaseHandler.make_view_atomic

    def make_view_atomic(self: Any, view: Any) -> Any:
        return original(self, _noting(view))

    BaseHandler.make_view_atomic = make_view_atomic


@functools.lru_cache(maxsize=1024)
def _noting(view: Any) -> Any:
    from asgiref.sync import iscoroutinefunction

    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def noting(request: Any, *args: Any, **kwargs: Any) -> Any:
            _carrier(request)[_KEY].note()
            return await view(request, *args, **kwargs)

    else:

        @functools.wraps(view)
        def noting(request: Any, *args: Any, **kwargs: Any) -> Any:
            _carrier(request)[_KEY].note()
            return view(request, *args, **kwargs)

    return noting


def _carrier(request: Any) -> Any:
    return request.scope if hasattr(request, "scope") else request.environ
