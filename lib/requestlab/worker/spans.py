"""Spans within a request: which one the calling code is in, and wrappers that write down when one began and ended.

The current span is a context variable, which asyncio's tasks inherit and which asgiref carries along into the threads
that it calls. Where it is not set, nothing is written: the code belongs to no request, or to one that is not traced.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import ContextVar
from threading import get_native_id
from time import perf_counter_ns
from typing import Any

from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import ROW_COLUMNS

BEGIN, RUNNING, DONE, END = (ROW_COLUMNS.index(name) for name in ("begin", "running", "done", "end"))
VALUE = ROW_COLUMNS.index("value")

Span = tuple[int, int]
"""The number of the request, and the id of the row of the span within which the code runs."""

CURRENT_SPAN: ContextVar[Span | None] = ContextVar("requestlab_span", default=None)


class TimedSteps:
    """Awaits `coroutine`, and writes a row for each stretch in which it ran without a pause, as a step of the span
    `parent`.

    What can be awaited but is no coroutine, such as a task, runs by itself: it is awaited without steps.
    """

    __slots__ = ("_coroutine", "_parent", "_recorder", "_request")

    def __init__(self, recorder: Recorder, coroutine: Any, request: int, parent: int) -> None:
        self._recorder = recorder
        self._coroutine = coroutine
        self._request = request
        self._parent = parent

    def __await__(self) -> Generator[Any, Any, Any]:
        recorder, coroutine, request, parent = self._recorder, self._coroutine, self._request, self._parent
        if not hasattr(coroutine, "send"):
            return (yield from coroutine.__await__())
        thread = get_native_id()  # a coroutine stays with its event loop
        step, value = coroutine.send, None
        while True:
            around, recorder.in_step_of = recorder.in_step_of, request
            begin = perf_counter_ns()
            try:
                awaited = step(value)
            except StopIteration as stop:
                return stop.value
            finally:
                recorder.step(request, parent, thread, begin)
                recorder.in_step_of = around
            try:
                value = yield awaited
                step = coroutine.send
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                step, value = coroutine.throw, error


def spanning(recorder: Recorder, kind: int, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls the sync `function` within a span of that kind and name."""
    number = recorder.name(name)

    def spanned(*args: Any, **kwargs: Any) -> Any:
        span = CURRENT_SPAN.get()
        if span is None:
            return function(*args, **kwargs)
        request, parent = span
        row = recorder.row(kind, number, request, parent, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((request, row))
        try:
            return function(*args, **kwargs)
        finally:
            recorder.put(row, END, perf_counter_ns())
            CURRENT_SPAN.set(span)

    return spanned


def spanning_async(
    recorder: Recorder, kind: int, name: str, function: Callable[..., Any], steps: bool = False
) -> Callable[..., Any]:
    """Return a function that awaits the async `function` within a span; with `steps`, these are written too.

    It is no coroutine function itself, only marked as one: a layer of `await` more costs every request, traced or not.
    """
    number = recorder.name(name)

    def spanned(*args: Any, **kwargs: Any) -> Any:
        span = CURRENT_SPAN.get()
        return function(*args, **kwargs) if span is None else trace(span, *args, **kwargs)

    async def trace(span: Span, /, *args: Any, **kwargs: Any) -> Any:
        request, parent = span
        row = recorder.row(kind, number, request, parent, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((request, row))
        try:
            awaitable = function(*args, **kwargs)
            return await (TimedSteps(recorder, awaitable, request, row) if steps else awaitable)
        finally:
            recorder.put(row, END, perf_counter_ns())
            CURRENT_SPAN.set(span)

    return _marked(spanned)


def timing_steps(recorder: Recorder, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that awaits the async `function` in steps of the span around it.

    Where it is awaited within a step of that request already, its own would be the same: it needs them only as a task
    of its own.
    """

    def timed(*args: Any, **kwargs: Any) -> Any:
        span = CURRENT_SPAN.get()
        if span is None or recorder.in_step_of == span[0]:
            return function(*args, **kwargs)
        return wrapped(span, *args, **kwargs)

    async def wrapped(span: Span, /, *args: Any, **kwargs: Any) -> Any:
        return await TimedSteps(recorder, function(*args, **kwargs), *span)

    return timed


def _marked(function: Callable[..., Any]) -> Callable[..., Any]:
    from asgiref.sync import markcoroutinefunction  # where there are spans of async functions, there is asgiref

    return markcoroutinefunction(function)
