"""Spans of Django's middleware and views, for any project: Django is told to wrap each as it builds its chain of
handlers.

Two functions see them all, under WSGI and ASGI alike. `convert_exception_to_response` is given each layer of
middleware, after Django has decided in which mode it runs. `BaseHandler.make_view_atomic` is given each view, just
before Django decides about threads: what it returns runs where the view runs.
"""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

from requestlab.worker.asgiref_hooks import NAME, iscoroutinefunction
from requestlab.worker.imports import when_imported
from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import MIDDLEWARE, VIEW
from requestlab.worker.spans import spanning, spanning_async, timing_steps
from requestlab.worker.wrappers import note

MAX_VIEWS = 1024
MAX_DECORATORS = 20
LOCAL = "<locals>"
"""What Python's qualified names have for functions that were made inside of others."""


def record_django(recorder: Recorder) -> None:
    """Have Django's middleware and views written down; to be called before Django builds its chain. Where Django is not
    imported, nothing happens."""

    def in_base(base: Any) -> None:
        _wrap_middleware(base, recorder)
        _wrap_views(base, recorder)

    def in_asgi(asgi: Any) -> None:
        for method in ("run_get_response", "send_response"):  # the first since Django 5.0
            if original := getattr(asgi.ASGIHandler, method, None):
                setattr(asgi.ASGIHandler, method, timing_steps(recorder, original))

    when_imported("django.core.handlers.base", in_base)
    when_imported("django.core.handlers.asgi", in_asgi)


def _wrap_middleware(base: Any, recorder: Recorder) -> None:
    convert = base.convert_exception_to_response

    def converted(get_response: Any) -> Any:
        owner = getattr(get_response, "__self__", None)
        if isinstance(owner, base.BaseHandler):  # the end of the chain, which calls the view
            return convert(get_response)
        name = layer_name(get_response)
        wrap = spanning_async if iscoroutinefunction(get_response) else spanning
        layer = wrap(recorder, MIDDLEWARE, name, get_response)
        setattr(layer, NAME, f"middleware\t{name}")
        return convert(layer)

    base.convert_exception_to_response = converted


def layer_name(layer: Any) -> str:
    """Return what a layer of middleware is called: the name of its class, or of the function that made it."""
    named = getattr(layer, "__qualname__", None)
    return type(layer).__name__ if named is None else str(named).partition(".<locals>")[0]


def _wrap_views(base: Any, recorder: Recorder) -> None:
    make_view_atomic = base.BaseHandler.make_view_atomic

    @functools.lru_cache(maxsize=MAX_VIEWS)
    def wrapped(view: Any) -> Any:
        name = view_name(view)
        if iscoroutinefunction(view):
            inner = spanning_async(recorder, VIEW, name, view, steps=True)

            @functools.wraps(view)
            async def noting(request: Any, /, *args: Any, **kwargs: Any) -> Any:
                note(request)
                return await inner(request, *args, **kwargs)

        else:
            inner = spanning(recorder, VIEW, name, view)

            @functools.wraps(view)
            def noting(request: Any, /, *args: Any, **kwargs: Any) -> Any:
                note(request)
                return inner(request, *args, **kwargs)

        setattr(noting, NAME, f"view\tview {name}")
        return noting

    def wrapping(self: Any, view: Any) -> Any:
        view = make_view_atomic(self, view)
        try:
            return wrapped(view)
        except TypeError:  # an object that has no hash
            return wrapped.__wrapped__(view)

    base.BaseHandler.make_view_atomic = wrapping


def view_name(view: Any) -> str:
    """Return the dotted name of a view; of a class-based one, its class; of a decorated one, what is inside."""
    view = getattr(view, "view_class", None) or getattr(view, "cls", view)
    while isinstance(view, functools.partial):
        view = view.func
    if LOCAL in getattr(view, "__qualname__", ""):
        view = _decorated(view) or view
    named = view if hasattr(view, "__qualname__") else type(view)
    return f"{named.__module__}.{named.__qualname__}"


def _decorated(wrapper: Any, depth: int = 0) -> Any:
    """Return the function or class of a module that a wrapper made by a decorator is around, or None."""
    if inner := getattr(wrapper, "__wrapped__", None):
        inside = [inner]
    else:
        inside = [cell.cell_contents for cell in getattr(wrapper, "__closure__", None) or () if _is_filled(cell)]
    candidates = [one.__func__ if isinstance(one, MethodType) else one for one in inside if callable(one)]
    for one in candidates:
        if LOCAL not in getattr(one, "__qualname__", LOCAL) and not getattr(one, "__module__", "").startswith(
            "django."
        ):
            return getattr(one, "view_class", one)
    found = (_decorated(one, depth + 1) for one in candidates if depth < MAX_DECORATORS)
    return next(filter(None, found), None)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
