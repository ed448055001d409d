"""The outermost wrapper of the probe: who served a request, and the span of the whole of it.

Process, thread, whether that thread was running an event loop, and the request's number in its worker travel in a
response header, so that they reach the row of the request without any bookkeeping. Under Django the thread is the one
that runs the *view*; for any other application, the one that calls it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from threading import get_native_id
from time import perf_counter_ns, process_time_ns
from typing import Any

from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import REQUEST
from requestlab.worker.spans import CURRENT_SPAN, DONE, END, RUNNING, VALUE, TimedSteps

HEADER = "requestlab-served"
_KEY = "requestlab.served"


class Served:
    """Who runs this request, as last noted. Written as `pid thread on_loop number`."""

    __slots__ = ("number", "on_loop", "thread")

    def __init__(self, number: int) -> None:
        self.number = number
        self.note()

    def note(self) -> None:
        """Note the calling thread (its native id) and whether it runs an event loop at this moment."""
        self.thread = get_native_id()
        self.on_loop = asyncio._get_running_loop() is not None

    def __str__(self) -> str:
        return f"{os.getpid()} {self.thread} {int(self.on_loop)} {self.number}"


def note(request: Any) -> None:
    """Note that the calling thread runs the view of Django's `request`."""
    served = (getattr(request, "scope", None) or getattr(request, "environ", {})).get(_KEY)
    if served is not None:
        served.note()


class Budget:
    """What tracing may cost: the first rows nothing, all others together a share of the CPU time that the worker has
    used.

    A worker that is busy all the time then traces some requests of many; one that has time to spare, or has only begun,
    all.
    """

    FREE_ROWS = 20_000
    SHARE = 0.02
    ROW_NS = 8_000
    """What a row costs at the most, with all that leads to it: `make bench` shows it, as what tracing adds to a
    page."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def allows(self) -> bool:
        """Return whether one more request may be traced."""
        rows = self._recorder.last - self.FREE_ROWS
        return rows < 0 or rows * self.ROW_NS < self.SHARE * process_time_ns()


class Numbers:
    """Numbers the requests of a worker from 1, and says which of them are traced: evenly, that share of them, within a
    budget."""

    def __init__(self, share: float, budget: Budget | None = None) -> None:
        self._count = itertools.count(1)
        self._share = share
        self._budget = budget

    def next(self) -> tuple[int, bool]:
        """Return the number of the next request, and whether it is traced."""
        number = next(self._count)
        due = int(number * self._share) > int((number - 1) * self._share)
        return number, due and (self._budget is None or self._budget.allows())


def wrap_wsgi(application: Any, numbers: Numbers, recorder: Recorder) -> Any:
    """Return `application` with a header on each answer that says who served it, and a span for each that is traced."""

    def probed(environ: Any, start_response: Any) -> Any:
        number, traced = numbers.next()
        served = environ[_KEY] = Served(number)

        def stamped(status: str, headers: Any, exc_info: Any = None) -> Any:
            return start_response(status, [*headers, (HEADER, str(served))], exc_info)

        if not traced:
            CURRENT_SPAN.set(None)  # a thread keeps its context from one request to the next
            return application(environ, stamped)
        name = recorder.name(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        row = recorder.row(REQUEST, name, number, 0, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((number, row))
        try:
            body = application(environ, stamped)
        except BaseException:
            recorder.put(row, END, perf_counter_ns())
            raise
        return Body(body, row, recorder)

    return probed


class Body:
    """A WSGI answer that writes down when its bytes went out, and when it was closed."""

    def __init__(self, inner: Iterable[bytes], row: int, recorder: Recorder) -> None:
        self._inner = inner
        self._row = row
        self._recorder = recorder

    def __iter__(self) -> Iterator[bytes]:
        put, row, size = self._recorder.put, self._row, 0
        for part in self._inner:
            if not size:
                put(row, RUNNING, perf_counter_ns())
            size += len(part)
            put(row, VALUE, size)
            yield part
        put(row, DONE, perf_counter_ns())

    def close(self) -> None:
        """Close what the application returned; the server calls this once, when it is through with the answer."""
        try:
            close = getattr(self._inner, "close", None)
            if close is not None:
                close()
        finally:
            self._recorder.put(self._row, END, perf_counter_ns())


def wrap_asgi(application: Any, numbers: Numbers, recorder: Recorder, on_loop: Callable[[], None]) -> Any:
    """Return `application` likewise; `on_loop` is called on the event loop with each call, to begin what lives
    there."""
    header = HEADER.encode()

    def probed(scope: Any, receive: Any, send: Any) -> Any:
        on_loop()
        if scope["type"] != "http":
            return application(scope, receive, send)
        number, traced = numbers.next()
        served = scope[_KEY] = Served(number)
        if traced:
            return trace(scope, receive, send, served)
        CURRENT_SPAN.set(None)

        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = with_header(message, served)
            await send(message)

        return application(scope, receive, stamped)

    async def trace(scope: Any, receive: Any, send: Any, served: Served) -> None:
        put, number, size = recorder.put, served.number, 0
        name = recorder.name(f"{scope['method']} {scope['path']}")
        row = recorder.row(REQUEST, name, number, 0, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((number, row))

        async def stamped(message: Any) -> None:
            nonlocal size
            if message["type"] == "http.response.start":
                await send(with_header(message, served))
                put(row, RUNNING, perf_counter_ns())
                return
            await send(message)
            if message["type"] == "http.response.body":
                size += len(message.get("body", b""))
                put(row, VALUE, size)
                if not message.get("more_body"):
                    put(row, DONE, perf_counter_ns())

        try:
            await TimedSteps(recorder, application(scope, receive, stamped), number, row)
        finally:
            put(row, END, perf_counter_ns())

    def with_header(message: Any, served: Served) -> Any:
        return {**message, "headers": [*message.get("headers", ()), (header, str(served).encode())]}

    return probed
