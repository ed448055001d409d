"""Doing something to a module as soon as it has been imported, whenever and by whomever that is.

A project may bring its own Django, which can be imported only after its own first module has run. So the probe waits
for Django instead of looking for it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Hook = Callable[[Any], None]


def when_imported(name: str, hook: Hook) -> None:
    """Call `hook` with the module of that name: now, if it has been imported, else right after it is."""
    if name in sys.modules:
        hook(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, hook))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module where the others find it, and has its loader call the hook, once. Who only looks for the module,
    or looks before it is there, changes nothing."""

    def __init__(self, name: str, hook: Hook) -> None:
        self._name, self._hook = name, hook
        self._asking_others = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name or self._asking_others:
            return None
        self._asking_others = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking_others = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._loaded)
        return spec

    def _loaded(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self._hook(module)


class _Loader(importlib.abc.Loader):
    """Loads as another does, and calls the hook when the module is there."""

    def __init__(self, inner: Any, hook: Hook) -> None:
        self._inner, self._hook = inner, hook

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._inner  # who looks finds nothing of the lab's
        self._inner.exec_module(module)
        self._hook(module)
