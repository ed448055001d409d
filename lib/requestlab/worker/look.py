"""Looks at somebody else's Django project from the inside, in its own interpreter, and says what it found as JSON.

Run by `launch.py` with REQUESTLAB_PROJECT in the environment. On its standard output stands one line of JSON behind
`FOUND`, whatever else the project prints. Nothing is asked of its views.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from typing import Any

FOUND = "requestlab-found:"
MAX_PATTERNS = 500


def main() -> None:
    from requestlab.worker import project

    told = project.told()
    settings = project.set_up(told)
    import django

    django.setup()
    prepare(told)
    found = {
        "django": django.get_version(),
        "python": sys.version.split()[0],
        "debug": project.was_debug,
        "hosts": list(settings.ALLOWED_HOSTS),
        "databases": {alias: _database(one) for alias, one in settings.DATABASES.items()},
        "middleware": [_middleware(name) for name in settings.MIDDLEWARE],
        "wsgi": _importable(getattr(settings, "WSGI_APPLICATION", None)),
        "asgi": _importable(getattr(settings, "ASGI_APPLICATION", None)),
        "patterns": _patterns(settings),
        "manifest": "Manifest" in _static_storage(settings) and "django.contrib.staticfiles" in settings.INSTALLED_APPS,
        "ssl_header": list(getattr(settings, "SECURE_PROXY_SSL_HEADER", None) or []),
        "ssl_redirect": bool(getattr(settings, "SECURE_SSL_REDIRECT", False)),
        "thread_locals": _thread_locals(told["path"]),
        "login_url": str(getattr(settings, "LOGIN_URL", "")),
        "session_cookie": getattr(settings, "SESSION_COOKIE_NAME", "sessionid"),
        "unapplied": _unapplied() if told.get("look_at_database", True) else None,
        "cookie": _login(told["login"], settings) if told.get("login") else "",
    }
    print(FOUND + json.dumps(found), flush=True)


def prepare(told: dict[str, Any]) -> None:
    """Apply migrations to the copied database, and collect static files into scratch, where that was asked for."""
    from django.core.management import call_command

    if told.get("migrate"):
        call_command("migrate", verbosity=0, interactive=False)
    if told.get("collect"):
        call_command("collectstatic", verbosity=0, interactive=False)


def _database(one: dict[str, Any]) -> dict[str, Any]:
    """Return what may be told of a database: no user, no password."""
    kept = {name: one.get(name) for name in ("ENGINE", "CONN_MAX_AGE", "ATOMIC_REQUESTS")}
    kept["NAME"] = str(one.get("NAME", "")) if "sqlite" in str(one.get("ENGINE")) else ""
    kept["HOST"], kept["PORT"] = str(one.get("HOST") or ""), str(one.get("PORT") or "")
    kept["pool"] = bool((one.get("OPTIONS") or {}).get("pool"))
    return kept


def _middleware(name: str) -> dict[str, Any]:
    """Return the kind of a layer: what it says it can be called from."""
    from django.utils.module_loading import import_string

    try:
        layer = import_string(name)
    except ImportError as problem:
        return {"name": name, "error": str(problem)}
    return {
        "name": name,
        "sync": bool(getattr(layer, "sync_capable", True)),
        "async": bool(getattr(layer, "async_capable", False)),
    }


def _importable(target: str | None) -> str:
    """Return the target if it can be imported; some settings name one that is not there."""
    if not target:
        return ""
    module, _, attribute = target.rpartition(".")
    try:
        return target if hasattr(importlib.import_module(module), attribute) else ""
    except Exception:
        return ""


def _static_storage(settings: Any) -> str:
    storages = getattr(settings, "STORAGES", None) or {}
    old = getattr(settings, "STATICFILES_STORAGE", "")
    return str(storages.get("staticfiles", {}).get("BACKEND", old))


def _patterns(settings: Any) -> list[dict[str, Any]]:
    """Return what the URLconf leads to, as far as it has no arguments: path, view, and its kind."""
    from django.urls import get_resolver

    found: list[dict[str, Any]] = []
    _walk(get_resolver(settings.ROOT_URLCONF), "/", found)
    return found


def _walk(resolver: Any, prefix: str, found: list[dict[str, Any]]) -> None:
    for one in resolver.url_patterns:
        if len(found) >= MAX_PATTERNS:
            return
        part = _literal(one.pattern)
        if part is None:
            continue
        if hasattr(one, "url_patterns"):
            _walk(one, prefix + part, found)
        else:
            found.append({"path": prefix + part, **_view(one.callback)})


def _literal(pattern: Any) -> str | None:
    """Return the text of a pattern without arguments, or None."""
    if hasattr(pattern, "_route"):
        route = str(pattern._route)
        return None if "<" in route else route
    if hasattr(pattern, "_regex"):
        text = str(pattern._regex).removeprefix("^").removesuffix("$").removesuffix(r"\Z").removesuffix("/?")
        return None if any(sign in text for sign in "()[]{}?*+|^$") else text.replace("\\", "")
    return ""  # a prefix for languages


def _view(callback: Any) -> dict[str, Any]:
    kind = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
    inner = inspect.unwrap(callback)
    named = kind or inner
    return {
        "view": f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', type(named).__qualname__)}",
        "async": bool(inspect.iscoroutinefunction(inner) or getattr(kind, "view_is_async", False)),
        "class": kind is not None,
    }


def _thread_locals(folders: list[str]) -> list[str]:
    """Return the names of thread-locals in the project's own modules: what is kept in one is made anew for each request
    under ASGI."""
    import threading

    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if any(file.startswith(folder + os.sep) for folder in folders):
            found += [
                f"{name}.{attribute}" for attribute, one in vars(module).items() if isinstance(one, threading.local)
            ]
    return sorted(found)


def _unapplied() -> int | str:
    """Return how many migrations wait to be applied, or why that cannot be said."""
    from django.db import DEFAULT_DB_ALIAS, connections
    from django.db.migrations.executor import MigrationExecutor

    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"


def _login(name: str, settings: Any) -> str:
    """Return the cookie of a new session of that user, made by Django's own machinery in the copied database."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model

    user = get_user_model().objects.get_by_natural_key(name)
    store = importlib.import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = user._meta.pk.value_to_string(user)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return f"{settings.SESSION_COOKIE_NAME}={store.session_key}"


if __name__ == "__main__":
    main()
