"""Spans within a request: where in it the calling code is, and wrappers that write down when something began and ended.

The place is a context variable, which asyncio's tasks inherit and which asgiref carries along into the threads that it calls.
Where it is not set, nothing is written: the code belongs to no request, or to one that is not traced.
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

Place = tuple[int, int]
"""The number of the request, and the id of the span within which the code runs."""

CURRENT_SPAN: ContextVar[Place | None] = ContextVar("requestlab_place", default=None)


class TimedSteps:
    """Awaits `coroutine`, and writes a row for each stretch in which it ran without a pause, as slices of the span `parent`.

    What can be awaited but is no coroutine, such as a task, runs by itself: it is awaited without slices.
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
            around, recorder.timing_steps = recorder.timing_steps, request
            begin = perf_counter_ns()
            try:
                awaited = step(value)
            except StopIteration as stop:
                return stop.value
            finally:
                recorder.slice(request, parent, thread, begin)
                recorder.timing_steps = around
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
        place = CURRENT_SPAN.get()
        if place is None:
            return function(*args, **kwargs)
        request, parent = place
        row = recorder.row(kind, number, request, parent, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((request, row))
        try:
            return function(*args, **kwargs)
        finally:
            recorder.put(row, END, perf_counter_ns())
            CURRENT_SPAN.set(place)

    return spanned


def spanning_async(
    recorder: Recorder, kind: int, name: str, function: Callable[..., Any], slices: bool = False
) -> Callable[..., Any]:
    """Return a function that awaits the async `function` within a span; with `slices`, these are written too.

    It is no coroutine function itself, only marked as one: a layer of `await` more costs every request, traced or not.
    """
    number = recorder.name(name)

    def spanned(*args: Any, **kwargs: Any) -> Any:
        place = CURRENT_SPAN.get()
        return function(*args, **kwargs) if place is None else trace(place, *args, **kwargs)

    async def trace(place: Place, /, *args: Any, **kwargs: Any) -> Any:
        request, parent = place
        row = recorder.row(kind, number, request, parent, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((request, row))
        try:
            awaitable = function(*args, **kwargs)
            return await (TimedSteps(recorder, awaitable, request, row) if slices else awaitable)
        finally:
            recorder.put(row, END, perf_counter_ns())
            CURRENT_SPAN.set(place)

    return _marked(spanned)


def timing_steps(recorder: Recorder, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that awaits the async `function` in slices of the span around it.

    Where it is awaited by what is sliced already, its slices would be the same: it needs its own only as a task of its own.
    """

    def sliced(*args: Any, **kwargs: Any) -> Any:
        place = CURRENT_SPAN.get()
        if place is None or recorder.timing_steps == place[0]:
            return function(*args, **kwargs)
        return wrapped(place, *args, **kwargs)

    async def wrapped(place: Place, /, *args: Any, **kwargs: Any) -> Any:
        return await TimedSteps(recorder, function(*args, **kwargs), *place)

    return sliced


def _marked(function: Callable[..., Any]) -> Callable[..., Any]:
    from asgiref.sync import markcoroutinefunction  # where there are spans of async functions, there is asgiref

    return markcoroutinefunction(function)
