"""One HTTP/1.1 connection that is fast enough to measure with, and stamps what it sees.

It sends in the turn of the event loop in which it connects, and closes inside the parser's message-complete callback.
Both matter to what is measured: gunicorn's sync worker, which has no keep-alive, waits for the client to close.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any
from zlib import crc32

import httptools

_CONNECTING = (0, errno.EINPROGRESS)
_NONBLOCKING = getattr(socket, "SOCK_NONBLOCK", 0)  # macOS has none
_CHUNK = 65_536

MAX_HEADERS = 1_000

ERRORS = (
    "",
    "timeout",
    "connection refused",
    "connection reset",
    "closed before the answer",
    "answer cut short",
    "answer not understood",
    "other network error",
    "wrong body",
    "no free port or file here",
    "left",
    "closed by the server",
)
"""How a request failed; a row keeps the position in this tuple, and 0 is no error. The last two are how it ends with
clients that misbehave."""

TIMEOUT, REFUSED, RESET, NO_ANSWER, CUT_SHORT, NOT_HTTP, OTHER, WRONG_BODY, EXHAUSTED, LEFT, CLOSED = range(
    1, len(ERRORS)
)

NO_FAILURE = ("", ERRORS[LEFT], ERRORS[CLOSED])
"""Words in a row's `error` that are no failure of anybody's."""


class Connection:
    """A connection of one user to one address, opened again whenever the server has closed it.

    >>> connection = Connection(loop, socket.AF_INET, ("127.0.0.1", 8000), done)
    >>> connection.exchange(b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")

    `on_end(connection)` is called once per exchange, answered or failed, and may start the next one. It finds the
    stamps `sent`, `first_byte`, `first_body` (of the answer, of its body) and `done` (ns of CLOCK_MONOTONIC, 0 where
    that did not happen), `status`, `headers`, the body's `size` in bytes and `checksum` (CRC-32), `error` (a position
    in ERRORS), and `opened`, whether a connection had to be opened. With `keep_body`, the body is kept in `body`; where
    `parts` is a list, it holds when each part of the body came, and its size; without `keep_alive`, the connection is
    closed after each answer, whatever the server says.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        family: int,
        address: tuple[Any, ...],
        on_end: Callable[[Connection], None],
        keep_body: bool = False,
        keep_alive: bool = True,
    ) -> None:
        self._loop = loop
        self._family = family
        self._address = address
        self._on_end = on_end
        self._socket: socket.socket | None = None
        self._parser: Any = None
        self._unsent = b""
        self._chunks: list[bytes] | None = [] if keep_body else None
        self.parts: list[tuple[int, int]] | None = None
        self._keep_alive = keep_alive
        self.busy = False
        self.asked = 0
        self._forget()

    def _forget(self) -> None:
        self.sent = self.first_byte = self.first_body = self.done = 0
        self.status = self.size = self.checksum = self.error = 0
        self.opened = False
        self.headers: list[tuple[bytes, bytes]] = []
        if self._chunks is not None:
            self._chunks = []
        if self.parts is not None:
            self.parts = []

    @property
    def body(self) -> bytes:
        """The body of the last answer, if it was to be kept."""
        return b"".join(self._chunks or ())

    def exchange(self, request: bytes, *, bodiless: bool = False) -> None:
        """Send one request, opening a connection first where none is open; `bodiless` says that it is a HEAD."""
        if self.busy:
            raise RuntimeError("this connection is busy; use one connection for each request in flight")
        self.busy = True
        self._forget()
        self._bodiless = bodiless
        self._unsent = request
        try:
            if self._socket is None:
                self._open()
            self.sent = perf_counter_ns()
            self._send()
        except OSError as problem:
            self._fail(kind_of(problem))

    def fail_with_timeout(self) -> None:
        """Give up the exchange under way."""
        self._fail(TIMEOUT)

    def leave(self) -> None:
        """Go away in the middle of the exchange under way."""
        self._fail(LEFT)

    def close(self) -> None:
        """Close at once, without an end of the exchange under way."""
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        if self._unsent:
            self._loop.remove_writer(self._socket)
            self._unsent = b""
        self._socket.close()
        self._socket = self._parser = None

    def _open(self) -> None:
        self.opened = True
        connecting = self._new_socket()
        code = connecting.connect_ex(self._address)
        if code not in _CONNECTING:
            connecting.close()
            raise OSError(code, "connect failed")
        self._socket = connecting
        self._parser = httptools.HttpResponseParser(self)
        self._watch(connecting)

    def _new_socket(self) -> socket.socket:
        made = socket.socket(self._family, socket.SOCK_STREAM | _NONBLOCKING)
        if not _NONBLOCKING:
            made.setblocking(False)
        return made

    def _watch(self, connecting: socket.socket) -> None:
        self._loop.add_reader(connecting, self._readable)

    def _send(self) -> None:
        assert self._socket is not None
        try:
            written = self._socket.send(self._unsent)
        except BlockingIOError:  # not connected yet, or the server does not read
            written = 0
        except OSError as problem:
            if problem.errno != errno.ENOTCONN:
                raise
            written = 0  # not connected yet, in the words of macOS
        self._unsent = self._unsent[written:]
        if self._unsent:
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        assert self._socket is not None
        self._loop.remove_writer(self._socket)
        try:
            self._send()
        except OSError as problem:
            self._fail(kind_of(problem))

    def _readable(self) -> None:
        """Take what has arrived, and where the answer goes on, look once more: uvloop does not tell of a reset that
        came together with bytes."""
        exchange = self.sent
        if self._receive() and self.busy and self.sent == exchange and self._socket is not None:
            self._receive()

    def _receive(self, most: int = _CHUNK) -> int:
        """Take what has arrived, up to so many bytes; return how many that were."""
        assert self._socket is not None
        try:
            data = self._socket.recv(most)
        except BlockingIOError:
            return 0
        except OSError as problem:
            self._fail(kind_of(problem))
            return 0
        if not data:
            self._closed_by_server()
            return 0
        self._read(data)
        return len(data)

    def _read(self, data: bytes) -> None:
        if not self.first_byte:
            self.first_byte = perf_counter_ns()
        parser = self._parser
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if parser is self._parser:  # else: bytes after the end of an answer, whose connection is closed already
                self._fail(NOT_HTTP)

    def _closed_by_server(self) -> None:
        if not self.busy:  # it was idle: the next exchange opens another
            self.close()
        elif not self.first_byte:
            self._fail(NO_ANSWER)
        elif self.status and not self._announced_end():
            self._complete(keep=False)
        else:
            self._fail(CUT_SHORT)

    def _announced_end(self) -> bool:
        names = [name.lower() for name, _ in self.headers]
        return b"content-length" in names or b"transfer-encoding" in names

    # What httptools calls while it reads.

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == MAX_HEADERS:
            raise ValueError("too many headers")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self._bodiless and self.status >= 200:
            keep = self._parser.should_keep_alive()
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body
            self._complete(keep)

    def on_body(self, body: bytes) -> None:
        if not self.first_body:
            self.first_body = perf_counter_ns()
        self.size += len(body)
        self.checksum = crc32(body, self.checksum)
        if self._chunks is not None:
            self._chunks.append(body)
        if self.parts is not None:
            self.parts.append((perf_counter_ns(), len(body)))

    def on_message_complete(self) -> None:
        if self.status < 200:  # an interim answer such as 100 Continue
            self.status = 0
            self.headers = []
        elif self.busy and self.first_byte:
            self._complete(self._parser.should_keep_alive())
        else:  # nobody had asked
            self._fail(NOT_HTTP)

    # How an exchange ends.

    def _complete(self, keep: bool) -> None:
        self.done = perf_counter_ns()
        if not (keep and self._keep_alive) or self._unsent:
            self.close()
        self._end()

    def _fail(self, error: int) -> None:
        if self.busy:
            self.done = perf_counter_ns()
            self.error = error
            self.opened = self.opened and error != REFUSED
        self.close()
        if self.busy:
            self._end()

    def _end(self) -> None:
        self.busy = False
        self._on_end(self)


def kind_of(problem: OSError) -> int:
    """Return which of ERRORS it is."""
    if problem.errno == errno.ECONNREFUSED:
        return REFUSED
    if problem.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
        return RESET
    if problem.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
        return EXHAUSTED
    return OTHER
