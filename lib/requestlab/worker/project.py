"""Somebody else's Django project as an application, with what keeps their world as it was.

`REQUESTLAB_PROJECT` holds, as JSON, what `requestlab.serving.project` found out. Their settings are loaded as they are,
and then changed in a few places: databases in files are copies, mail stays in memory, nothing is debugged, and no
connection leaves this machine but to the hosts of their own databases and caches.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import socket
import sys
from typing import Any

VARIABLE = "REQUESTLAB_PROJECT"

QUERIES_HEADER = "X-Requestlab-Queries"

was_debug = False
"""Whether their own settings have DEBUG on."""

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"


def told() -> dict[str, Any]:
    """Return what the lab says of the project."""
    found: dict[str, Any] = json.loads(os.environ[VARIABLE])
    return found


def set_up(project: dict[str, Any]) -> Any:
    """Load their settings, change what must be, and return them; Django is not set up yet."""
    os.environ["DJANGO_SETTINGS_MODULE"] = project["settings"]
    sys.path[:0] = [folder for folder in project["path"] if folder not in sys.path]
    importlib.import_module(project["settings"].partition(".")[0])  # which may bring its own Django
    from django.conf import settings

    global was_debug
    was_debug = bool(settings.DEBUG)
    change(settings, project)
    if not project.get("network"):
        stay_here(_hosts(settings))
    return settings


def change(settings: Any, project: dict[str, Any]) -> None:
    """Change what would touch their data, send their mail, or measure Django's debugging."""
    for alias, file in project.get("databases", {}).items():
        settings.DATABASES[alias]["NAME"] = file
    settings.DEBUG = project.get("debug", False)
    if not settings.ALLOWED_HOSTS:
        settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
    if mailers := getattr(settings, "MAILERS", None):
        for mailer in mailers.values():
            mailer["BACKEND"] = LOCMEM
    else:
        settings.EMAIL_BACKEND = LOCMEM
    if project.get("static_root"):
        settings.STATIC_ROOT = project["static_root"]


def _hosts(settings: Any) -> set[str]:
    """Return the hosts of their databases and caches, which their views may ask."""
    hosts = {str(database.get("HOST") or "") for database in settings.DATABASES.values()}
    for cache in getattr(settings, "CACHES", {}).values():
        places = cache.get("LOCATION") or ""
        for place in places if isinstance(places, (list, tuple)) else [places]:
            hosts.add(str(place).rpartition("@")[2].rpartition("//")[2].partition(":")[0].partition("/")[0])
    return hosts - {""}


def stay_here(allowed: set[str]) -> None:
    """Refuse connections that Python opens to other machines, but for these hosts; what was refused is printed."""
    addresses = {"127.0.0.1", "::1", "localhost", *allowed}
    for host in allowed:
        try:
            addresses |= {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
        except OSError:
            continue
    refused: set[str] = set()

    def refuses(family: int, address: Any) -> bool:
        if family not in (socket.AF_INET, socket.AF_INET6):
            return False
        host = str(address[0])
        if host in addresses or host.startswith("127."):
            return False
        if host not in refused:
            refused.add(host)
            print(f"requestlab: no connection to {host}:{address[1]}, which is another machine", flush=True)
        return True

    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: Any, address: Any) -> None:
        if refuses(self.family, address):
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"the lab lets nobody connect to {address[0]}")
        connect(self, address)

    def guarded_ex(self: Any, address: Any) -> int:
        return errno.ECONNREFUSED if refuses(self.family, address) else connect_ex(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded_ex  # type: ignore[method-assign]


def theirs(target: str) -> Any:
    """Return their own application, `module:attribute` or `module.attribute`."""
    module, _, attribute = target.replace(":", ".").rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def counting_queries(inner: Any) -> Any:
    """Return a WSGI application that says in a header of each answer what was asked of databases for it: connections
    opened, queries, and microseconds."""
    import threading
    import time

    from django.db.backends.signals import connection_created

    asked = threading.local()

    def count(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            asked.queries = getattr(asked, "queries", 0) + 1
            asked.seconds = getattr(asked, "seconds", 0.0) + time.perf_counter() - began

    def opened(connection: Any, **_: Any) -> None:
        asked.opened = getattr(asked, "opened", 0) + 1
        if count not in connection.execute_wrappers:
            connection.execute_wrappers.append(count)

    connection_created.connect(opened, weak=False)

    def counted(environ: Any, start_response: Any) -> Any:
        asked.opened, asked.queries, asked.seconds = 0, 0, 0.0

        def start(status: Any, headers: Any, *more: Any) -> Any:
            said = f"{asked.opened} {asked.queries} {asked.seconds * 1e6:.0f}"
            return start_response(status, [*headers, (QUERIES_HEADER, said)], *more)

        return inner(environ, start)

    return counted


def application(interface: str) -> Any:
    """Return their application for an interface: their own where they have one, else Django's."""
    project = told()
    set_up(project)
    _print_errors()
    made = _made(project, interface)
    return counting_queries(made) if project.get("counts_queries") and interface == "wsgi" else made


def _print_errors() -> None:
    """Print what a view raises: with DEBUG off, Django sends that to the site's managers only."""
    import traceback

    from django.core.signals import got_request_exception

    def print_it(**_: Any) -> None:
        traceback.print_exc()

    got_request_exception.connect(print_it, weak=False)


def _made(project: dict[str, Any], interface: str) -> Any:
    if target := project.get(interface):
        return theirs(target)
    if interface == "wsgi":
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def __getattr__(name: str) -> Any:
    """The servers ask for `requestlab.worker.project:wsgi` or `:asgi`."""
    if name in ("wsgi", "asgi"):
        return application(name)
    raise AttributeError(name)
