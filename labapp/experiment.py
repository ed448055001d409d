"""A file of the reader's own, put over labapp: its views, middleware and models; and settings over labapp's.

    LABAPP_VIEWS      path of a file, or functions of a notebook as requestlab.serving.views packs them; none unless set
    LABAPP_SETTINGS   a dictionary of settings, as a Python literal; none unless set

Its views answer at their names: `def slow(request)` at /slow/. A file with `urlpatterns` says otherwise.
"""

import ast
import base64
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from django.apps import AppConfig
from django.urls import URLPattern, URLResolver, path

from labapp.experiment_names import PACKED, PACKED_NAME, name_of

OF_DATABASES = {"CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "ATOMIC_REQUESTS", "AUTOCOMMIT"}
"""Settings that belong to a database, and go there."""


class Experiment(AppConfig):
    """The file as an app of Django's, so that it may have models; it is loaded when Django loads those."""

    verbose_name = "the reader's own"

    def __init__(self, views: str) -> None:
        self.views = views
        name = name_of(views)
        folder = str(Path.cwd() if views.startswith(PACKED) else Path(views).parent)
        stub = ModuleType(name)
        stub.__path__ = [folder]
        super().__init__(name, stub)

    def import_models(self) -> None:
        self.models = self.apps.all_models[self.label]
        self.models_module = self.module = load(self.views)

    def ready(self) -> None:
        if self.models:
            from labapp.shelf import alone, make_missing  # it has models of its own, which are loaded by now

            with alone():
                make_missing(self.get_models())


def load(views: str) -> ModuleType:
    """Run the file, or unpack the functions, as a module that can be imported by its name from now on."""
    name = name_of(views)
    if name in sys.modules and not hasattr(sys.modules[name], "__labapp__"):
        raise ImportError(f"{views} has the name of a module that is loaded already; give it another")
    if name in sys.modules:
        return sys.modules[name]
    return _unpacked(views) if views.startswith(PACKED) else _from_file(name, views)


def _from_file(name: str, views: str) -> ModuleType:
    sys.path.append(str(Path(views).parent))  # behind all else: what lies beside it can be imported, and hides nothing
    spec = importlib.util.spec_from_file_location(name, views)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__labapp__"] = True
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _unpacked(views: str) -> ModuleType:
    import cloudpickle

    module = ModuleType(PACKED_NAME)
    module.__dict__["__labapp__"] = True
    sys.modules[PACKED_NAME] = module
    packed = base64.b64decode(views.partition(": ")[2])
    module.__dict__.update(cloudpickle.loads(zlib.decompress(packed)))
    return module


def patterns(views: str) -> list[URLPattern | URLResolver]:
    """Where its views answer."""
    module = import_module(name_of(views))
    if hasattr(module, "urlpatterns"):
        return list(module.urlpatterns)
    return [path(f"{name}/", view) for name, view in _views(module, views.startswith(PACKED))]


def _views(module: ModuleType, given: bool) -> Iterator[tuple[str, Any]]:
    """Yield the functions whose first argument is `request`, and the class-based views, by name; those of other modules
    only where they were `given` one by one."""
    for name, one in vars(module).items():
        mine = given or getattr(one, "__module__", "") == module.__name__
        if name.startswith("_") or not mine:
            continue
        if inspect.isclass(one) and hasattr(one, "as_view"):
            yield name, one.as_view()
        elif (
            callable(one)
            and not inspect.isclass(one)
            and next(iter(inspect.signature(one).parameters), "") == "request"
        ):
            yield name, one


def put_over(settings: dict[str, Any], text: str) -> None:
    """Put the settings of a text over those of a module; INSTALLED_APPS are added."""
    for name, value in (ast.literal_eval(text) if text else {}).items():
        if name == "INSTALLED_APPS":
            settings[name] = [*settings[name], *value]
        elif name in OF_DATABASES:
            settings["DATABASES"]["default"][name] = value
        else:
            settings[name] = value
