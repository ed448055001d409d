"""Crossings: each call of asgiref's `sync_to_async` and `async_to_sync` within a traced request, and what it cost.

The methods of asgiref's two classes are replaced, so that every call is seen, whoever makes it: Django's handler, its
signals and middleware, the project's own code. The functions that do the work are still asgiref's.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from threading import get_native_id
from time import perf_counter_ns
from typing import Any

from requestlab.worker.imports import when_imported
from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import TO_LOOP, TO_THREAD
from requestlab.worker.spans import CURRENT_SPAN, DONE, END, RUNNING, Span

NAME = "requestlab_name"
"""The attribute by which the probe's own wrappers say what they wrap: origin, tab, name."""

MAX_KNOWN = 4096
"""Functions whose names are kept; a project that makes classes anew for each request has no end of them."""

_SENDS = "sync_send"  # what Django calls the function within `Signal.asend` that calls the sync receivers


def record_crossings(recorder: Recorder) -> None:
    """Have asgiref's crossings written down from now on; where asgiref is not imported, there are none."""
    names = Names(recorder)

    def in_sync(sync: Any) -> None:
        _record_sync_to_async(sync.SyncToAsync, recorder, names)
        _record_async_to_sync(sync.AsyncToSync, recorder, names)

    when_imported("asgiref.sync", in_sync)


def iscoroutinefunction(function: Any) -> bool:
    """Return what asgiref's function of that name says; before asgiref 3.6, asyncio's."""
    from asgiref import sync

    known = getattr(sync, "iscoroutinefunction", asyncio.iscoroutinefunction)
    return bool(known(function))


def _record_sync_to_async(crossing: Any, recorder: Recorder, names: Names) -> None:
    call = crossing.__call__

    # A coroutine function, as asgiref's is: Django asks that of methods that `sync_to_async` decorates.
    async def recorded(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        span = CURRENT_SPAN.get()
        if span is None:
            return await call(self, *args, **kwargs)
        request, parent = span
        row = recorder.row(TO_THREAD, names.of(self.func), request, parent, get_native_id(), perf_counter_ns())
        own = (request, row)
        CURRENT_SPAN.set(own)
        once = object.__new__(type(self))  # of this one call: others may be under way
        once.__dict__.update(self.__dict__)
        once.func = functools.partial(run, self.func, own)
        try:
            return await call(once, *args, **kwargs)
        finally:
            recorder.put(row, END, perf_counter_ns())
            CURRENT_SPAN.set(span)

    def run(func: Callable[..., Any], own: Span, /, *args: Any, **kwargs: Any) -> Any:  # on the thread
        row, around = own[1], CURRENT_SPAN.get()
        if around is not own:  # the caller gave asgiref another context than its own
            CURRENT_SPAN.set(own)
        recorder.put(row, RUNNING, perf_counter_ns(), get_native_id())
        try:
            return func(*args, **kwargs)
        finally:
            recorder.put(row, DONE, perf_counter_ns())
            if around is not own:
                CURRENT_SPAN.set(around)

    crossing.__call__ = recorded


def _record_async_to_sync(crossing: Any, recorder: Recorder, names: Names) -> None:
    call, wrap = crossing.__call__, crossing.main_wrap

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = CURRENT_SPAN.get()
        if span is None:
            return call(self, *args, **kwargs)
        request, parent = span
        row = recorder.row(TO_LOOP, names.of(self.awaitable), request, parent, get_native_id(), perf_counter_ns())
        CURRENT_SPAN.set((request, row))
        try:
            return call(self, *args, **kwargs)
        finally:
            recorder.put(row, END, perf_counter_ns())
            CURRENT_SPAN.set(span)

    async def run(awaitable: Any) -> Any:  # by now asgiref has brought the caller's context along
        span = CURRENT_SPAN.get()
        if span is None:
            return await awaitable
        row = span[1]
        recorder.put(row, RUNNING, perf_counter_ns(), get_native_id())
        try:
            return await awaitable
        finally:
            recorder.put(row, DONE, perf_counter_ns())

    def main_wrap(self: Any, *args: Any) -> Any:
        *others, awaitable = args
        return wrap(self, *others, run(awaitable))

    crossing.__call__ = recorded
    crossing.main_wrap = main_wrap


class Names:
    """Finds out what is on the other side of a crossing, and where the crossing comes from; each once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[tuple[int, int], tuple[Any, Any, int]] = {}

    def of(self, function: Any) -> int:
        """Return the recorder's number of `origin, tab, name`.

        Methods are bound anew for each call and closures made anew; what stays the same is their code, and whose it is.
        Code objects take long to hash, so their address is the key, and they are kept for as long as it stands for
        them.
        """
        try:
            code = function.__code__
        except AttributeError:
            return self._recorder.name(describe(function))
        owner = _signal_of(function) if code.co_name == _SENDS else type(getattr(function, "__self__", None))
        known = self._known.get((id(code), id(owner)))
        return self._new(function, code, owner) if known is None else known[2]

    def _new(self, function: Any, code: Any, owner: Any) -> int:
        number = self._recorder.name(describe(function))
        shared = hasattr(function, "__wrapped__")  # then the same code stands behind many names
        if not shared and len(self._known) < MAX_KNOWN:
            self._known[id(code), id(owner)] = (code, owner, number)
        return number


def describe(function: Any) -> str:
    """Return the origin of a crossing and what runs on the other side, parted by a tab."""
    named = getattr(function, NAME, None)
    if named is not None:
        return str(named)
    signal = _signal_of(function)
    if signal is not None:
        return f"signal\t{signal_name(signal)} signal"
    owner = getattr(function, "__self__", None)
    return (
        _describe_function(function) if owner is None else _describe_method(getattr(function, "__name__", "?"), owner)
    )


def _describe_function(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if name.startswith("BaseHandler._get_response"):  # what the innermost middleware calls
        return "middleware\tthe handler that calls the view"
    return f"other\t{getattr(function, '__module__', '')}.{name}"


def _describe_method(name: str, owner: Any) -> str:
    if name == "close" and hasattr(owner, "status_code"):
        return "close\tresponse.close"
    if name.startswith("process_") and hasattr(owner, "get_response"):
        return f"middleware\t{type(owner).__qualname__}.{name}"
    return f"other\t{type(owner).__qualname__}.{name}"


def _signal_of(function: Any) -> Any:
    """Return the signal whose sync receivers a function of Django's `Signal.asend` calls, or None."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_name != _SENDS or "self" not in code.co_freevars:
        return None
    return function.__closure__[code.co_freevars.index("self")].cell_contents


def signal_name(signal: Any) -> str:
    """Return the name that Django's `core.signals` has for it, or else `a`."""
    from django.core import signals

    return next((name for name, value in vars(signals).items() if value is signal), "a")
