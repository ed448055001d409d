"""HTTP for the upstream: httptools reads, one answer after the other goes out."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools

from requestlab.serving.upstream.api import Api

MAX_BODY = 2**20
MAX_HEAD = 2**16

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Protocol(asyncio.Protocol):
    """One connection. Requests that come before the last one is answered wait their turn."""

    def __init__(self, api: Api, base: str) -> None:
        self._api, self._base = api, base
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[str, bytes, bytes, bool]] = deque()
        self._busy = self._answering = False
        self._url, self._body, self._size = b"", [b""], 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            if not self._transport.is_closing():
                self._write(400, f"this is not HTTP: {problem}\n".encode(), keep=False)

    def pause_writing(self) -> None:
        self._transport.pause_reading()  # a client that does not read answers need not ask for more

    def resume_writing(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def on_message_begin(self) -> None:
        self._url, self._body, self._size = b"", [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_HEAD:
            self._transport.abort()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MAX_BODY:
            self._body.append(body)
        elif not self._transport.is_closing():
            self._write(413, f"an object has at most {MAX_BODY} bytes\n".encode(), keep=False)

    def on_message_complete(self) -> None:
        if self._transport.is_closing():
            return
        method, keep = self._parser.get_method().decode("latin-1"), self._parser.should_keep_alive()
        self._waiting.append((method, self._url, b"".join(self._body), keep))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        """Begin with the next request; go on where that is answered at once."""
        self._answering = True
        while self._waiting and not self._busy:
            self._busy = True
            method, url, body, keep = self._waiting.popleft()
            path, _, query = url.decode("latin-1").partition("?")
            reply = partial(self._reply, keep)
            if path.startswith(self._base):
                self._api.ask(method, path[len(self._base) :], query, body, reply)
            else:
                self._api.refuse(reply)
        self._answering = False

    def _reply(self, keep: bool, status: int, body: bytes) -> None:
        self._busy = False
        if not self._transport.is_closing():  # a client that has left gets no answer
            self._write(status, body, keep)
        if not self._answering:  # else _next() goes on: a call for each that waits would be deeper than Python allows
            self._next()

    def _write(self, status: int, body: bytes, keep: bool) -> None:
        connection = b"" if keep else b"Connection: close\r\n"
        self._transport.write(b"%sContent-Length: %d\r\n%s\r\n%s" % (_LINES[status], len(body), connection, body))
        if not keep:
            self._waiting.clear()
            self._transport.close()
