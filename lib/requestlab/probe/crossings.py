"""Crossings: each call of asgiref's `sync_to_async` and `async_to_sync` within a traced request, and what it cost.

The methods of asgiref's two classes are replaced, so that every call is seen, whoever makes it: Django's handler, its signals and
middleware, the project's own code. The functions that do the work are still asgiref's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import get_native_id
from time import perf_counter_ns
from typing import Any

from requestlab.probe.cells import TO_LOOP, TO_THREAD
from requestlab.probe.recorder import Recorder
from requestlab.probe.spans import DONE, END, PLACE, RUNNING

NAME = "requestlab_name"
"""The attribute by which the probe's own wrappers say what they wrap: origin, tab, name."""


def record_crossings(recorder: Recorder) -> None:
    """Have asgiref's crossings written down from now on; where asgiref is not installed, there are none."""
    try:
        from asgiref.sync import AsyncToSync, SyncToAsync
    except ImportError:
        return
    names = Names(recorder)
    _record_sync_to_async(SyncToAsync, recorder, names)
    _record_async_to_sync(AsyncToSync, recorder, names)


def _record_sync_to_async(crossing: Any, recorder: Recorder, names: Names) -> None:
    call, handle = crossing.__call__, crossing.thread_handler

    async def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = PLACE.get()
        if place is None:
            return await call(self, *args, **kwargs)
        request, parent = place
        row = recorder.row(TO_THREAD, names.of(self.func), request, parent, get_native_id(), perf_counter_ns())
        PLACE.set((request, row))
        try:
            return await call(self, *args, **kwargs)
        finally:
            recorder.put(row, END, perf_counter_ns())
            PLACE.set(place)

    def handler(self: Any, loop: Any, exc_info: Any, task_context: Any, func: Any, child: Any, *args: Any) -> Any:
        return handle(self, loop, exc_info, task_context, func, functools.partial(run, child), *args)

    def run(child: Callable[..., Any], *args: Any) -> Any:  # by now asgiref has brought the caller's context along
        place = PLACE.get()
        if place is None:
            return child(*args)
        row = place[1]
        recorder.put(row, RUNNING, perf_counter_ns(), get_native_id())
        try:
            return child(*args)
        finally:
            recorder.put(row, DONE, perf_counter_ns())

    crossing.__call__ = recorded
    crossing.thread_handler = handler


def _record_async_to_sync(crossing: Any, recorder: Recorder, names: Names) -> None:
    call, wrap = crossing.__call__, crossing.main_wrap

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        place = PLACE.get()
        if place is None:
            return call(self, *args, **kwargs)
        request, parent = place
        row = recorder.row(TO_LOOP, names.of(self.awaitable), request, parent, get_native_id(), perf_counter_ns())
        PLACE.set((request, row))
        try:
            return call(self, *args, **kwargs)
        finally:
            recorder.put(row, END, perf_counter_ns())
            PLACE.set(place)

    async def run(awaitable: Any) -> Any:  # by now asgiref has brought the caller's context along
        place = PLACE.get()
        if place is None:
            return await awaitable
        row = place[1]
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
        self._known: dict[Any, tuple[Any, int]] = {}

    def of(self, function: Any) -> int:
        """Return the recorder's number of `origin, tab, name`.

        Methods are bound anew for each call and closures made anew; what stays the same is their code, and whose it is. Code
        objects take long to hash, so their address is the key, and they are kept for as long as it stands for them.
        """
        try:
            code, owner = function.__code__, getattr(function, "__self__", None)
        except AttributeError:
            return self._recorder.name(describe(function))
        known = self._known.get((id(code), type(owner)))
        return self._new(function, code, owner) if known is None else known[1]

    def _new(self, function: Any, code: Any, owner: Any) -> int:
        number = self._recorder.name(describe(function))
        if not hasattr(function, "__wrapped__") and _signal_of(function) is None:  # the code of these stands behind many names
            self._known[id(code), type(owner)] = (code, number)
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
    return _describe_function(function) if owner is None else _describe_method(getattr(function, "__name__", "?"), owner)


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
    if code is None or code.co_name != "sync_send" or "self" not in code.co_freevars:
        return None
    return function.__closure__[code.co_freevars.index("self")].cell_contents


def signal_name(signal: Any) -> str:
    """Return the name that Django's `core.signals` has for it, or else `a`."""
    from django.core import signals

    return next((name for name, value in vars(signals).items() if value is signal), "a")
