"""httpx's documented interface over the load client's own connections.

The load process uses the same `Connection` and `encode` without any of this around it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import httpx

from requestlab.load.connection import ERRORS, EXHAUSTED, OTHER, REFUSED, RESET, TIMEOUT, Connection
from requestlab.load.target import encode, resolve

_EXCEPTIONS: dict[int, type[httpx.TransportError]] = {
    TIMEOUT: httpx.ReadTimeout,
    REFUSED: httpx.ConnectError,
    RESET: httpx.ReadError,
    OTHER: httpx.NetworkError,
    EXHAUSTED: httpx.ConnectError,
}
"""All else is a `httpx.RemoteProtocolError`."""


class LoadClientTransport(httpx.AsyncBaseTransport):
    """An httpx transport for HTTP/1.1 without TLS. A request in flight has a connection to itself; idle ones are
    reused.

    >>> httpx.AsyncClient(transport=LoadClientTransport())

    The answer is read whole; `response.extensions["requestlab"]` has its stamps. Network errors are httpx's own
    (ConnectError, ReadTimeout, …). Of httpx's timeouts `read` is kept, counted from the sending of the request.

    Resources: connections stay open until `aclose()` or the end of `async with`. To be used in one event loop only.
    """

    def __init__(self) -> None:
        self._idle: dict[tuple[Any, ...], list[Connection]] = defaultdict(list)
        self._where: dict[tuple[str, int | None], tuple[int, tuple[Any, ...]]] = {}
        self._waiting: dict[Connection, asyncio.Future[None]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        family, address = self._resolve(request.url)
        loop = asyncio.get_running_loop()
        idle = self._idle[address]
        connection = idle.pop() if idle else Connection(loop, family, address, self._ended, keep_body=True)
        self._waiting[connection] = ended = loop.create_future()
        timeout = request.extensions.get("timeout", {}).get("read")
        alarm = loop.call_later(timeout, connection.fail_with_timeout) if timeout else None
        try:
            connection.exchange(encode(request), bodiless=request.method == "HEAD")
            await ended
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            del self._waiting[connection]
            if alarm is not None:
                alarm.cancel()
        if connection.error:
            kind = _EXCEPTIONS.get(connection.error, httpx.RemoteProtocolError)
            raise kind(ERRORS[connection.error], request=request)
        response = _response(connection)
        idle.append(connection)
        return response

    async def aclose(self) -> None:
        """Close every connection; requests in flight fail."""
        for connection in list(self._waiting):
            connection.fail_with_timeout()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _ended(self, connection: Connection) -> None:
        ended = self._waiting.get(connection)
        if ended is not None and not ended.done():
            ended.set_result(None)

    def _resolve(self, url: httpx.URL) -> tuple[int, tuple[Any, ...]]:
        key = (url.host, url.port)
        if key not in self._where:
            self._where[key] = resolve(url)
        return self._where[key]


def _response(connection: Connection) -> httpx.Response:
    stamps = {"sent": connection.sent, "first_byte": connection.first_byte, "done": connection.done}
    return httpx.Response(
        connection.status,
        headers=connection.headers,
        stream=httpx.ByteStream(connection.body),
        extensions={"http_version": b"HTTP/1.1", "requestlab": stamps},
    )
