"""The desk: what each request is answered with, and by which service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from requestlab.serving.upstream.services import OK, Service, Statistics
from requestlab.serving.upstream.store import Full, Store
from requestlab.serving.upstream.terms import BadRequest, shown, terms_of
from requestlab.serving.upstream.timers import Timers
from requestlab.worker.ready import READY_PATH, answer

MAX_SERVICES = 1_000
DEFAULT_MS = {"/api/": 50.0, "/objects/": 0.0}
API_BODY = b'{"answer": 42}\n'
FAILED = {503: b"this answer fails, as was asked for\n", 429: b"too many at once\n"}

_NAME = "([A-Za-z0-9][A-Za-z0-9._-]{0,99})"
_OBJECT = re.compile(f"/objects/(?:{_NAME}/{_NAME}?)?")

Reply = Callable[[int, bytes], None]
"""Called once for each request, with status and body."""


class Desk:
    """All that the upstream offers."""

    def __init__(self, timers: Timers) -> None:
        self.statistics = Statistics()
        self._timers = timers
        self._store = Store()
        self._services: dict[tuple[str, str], Service] = {}

    def ask(self, method: str, path: str, query: str, body: bytes, reply: Reply) -> None:
        """Answer a request, now or later."""
        try:
            if path == "/api/":
                self._api(method, query, reply)
            elif path.startswith("/objects/"):
                self._objects(method, path, query, body, reply)
            elif path == "/statistics/":
                self._tell_statistics(method, reply)
            elif path == READY_PATH:
                reply(OK, answer(""))
            else:
                reply(404, b"there are /api/, /objects/ and /statistics/ here\n")
        except BadRequest as problem:
            reply(400, f"{problem}\n".encode())

    def _api(self, method: str, query: str, reply: Reply) -> None:
        if method != "GET":
            reply(405, b"the API takes GET\n")
            return
        self._service("/api/", query).take(lambda status: reply(status, FAILED.get(status, API_BODY)))

    def _objects(self, method: str, path: str, query: str, body: bytes, reply: Reply) -> None:
        found = _OBJECT.fullmatch(path)
        if found is None:
            raise BadRequest(
                f"expected /objects/BUCKET/NAME, each a letter or digit, then up to 99 of these, dots and dashes, not {shown(path)}."
            )
        bucket, name = found[1] or "", found[2] or ""
        if method not in (("GET", "PUT") if name else ("GET", "DELETE")):
            reply(405, b"objects take GET and PUT, buckets GET and DELETE\n")
            return
        self._service("/objects/", query).take(lambda status: self._keep(status, method, bucket, name, body, reply))

    def _keep(self, status: int, method: str, bucket: str, name: str, body: bytes, reply: Reply) -> None:
        """Do what is asked of the store once the delay is over; what fails changes nothing."""
        if status != OK:
            reply(status, FAILED[status])
        elif method == "PUT":
            self._put(bucket, name, body, reply)
        elif name:
            kept = self._store.get(bucket, name)
            reply(*((OK, kept) if kept is not None else (404, b"there is no such object\n")))
        else:
            done = self._store.delete if method == "DELETE" else self._store.summary
            reply(OK, _json(done(bucket)))

    def _put(self, bucket: str, name: str, body: bytes, reply: Reply) -> None:
        try:
            checksum = self._store.put(bucket, name, body)
        except Full as problem:
            reply(507, f"{problem}\n".encode())
        else:
            reply(OK, f"{checksum:08x}\n".encode())

    def _tell_statistics(self, method: str, reply: Reply) -> None:
        told = _json(self.statistics.told())
        if method == "POST":
            self.statistics.reset_peak()
        reply(OK, told)

    def _service(self, path: str, query: str) -> Service:
        """Return the service with that query: its terms are read once, its failures are counted as long as it is known."""
        service = self._services.get((path, query))
        if service is None:
            terms = terms_of(query, DEFAULT_MS[path])
            if len(self._services) >= MAX_SERVICES:
                self._services = {key: one for key, one in self._services.items() if not one.idle}
            service = self._services[path, query] = Service(terms, self._timers, self.statistics)
        return service


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
