"""httpx's documented interface over the load client's own connections.

`httpx.AsyncClient(transport=LoadClientTransport())` behaves as usual; called directly with a prebuilt request, the transport is
cheaper still. The generator uses the same `Connection` and `encode` without any of this around it.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from typing import Any

import httpx

from requestlab.errors import ConfigurationError
from requestlab.load.connection import (
    CUT_SHORT,
    ERRORS,
    EXHAUSTED,
    NO_ANSWER,
    NOT_HTTP,
    OTHER,
    REFUSED,
    RESET,
    TIMEOUT,
    Connection,
)

_EXCEPTIONS: dict[int, type[httpx.TransportError]] = {
    TIMEOUT: httpx.ReadTimeout,
    REFUSED: httpx.ConnectError,
    RESET: httpx.ReadError,
    NO_ANSWER: httpx.RemoteProtocolError,
    CUT_SHORT: httpx.RemoteProtocolError,
    NOT_HTTP: httpx.RemoteProtocolError,
    OTHER: httpx.NetworkError,
    EXHAUSTED: httpx.ConnectError,
}


def encode(request: httpx.Request) -> bytes:
    """Return the request as HTTP/1.1 bytes; its body must have been read."""
    head = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%s: %s\r\n" % header for header in request.headers.raw]
    return b"".join([*head, b"\r\n", request.content])


def resolve(url: httpx.URL) -> tuple[int, tuple[Any, ...]]:
    """Return the family and the address of a socket for this URL, or raise ConfigurationError.

    Where the name has several addresses, as `localhost` may, it is the first that accepts a connection.
    """
    port = 80 if url.port is None else url.port
    if url.scheme != "http" or not url.host or not 0 < port < 65_536:
        raise ConfigurationError(f"{str(url)!r}: expected an address such as http://127.0.0.1:8000/ (plain HTTP only)")
    try:
        found = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise ConfigurationError(f"{str(url)[:200]!r}: the host {url.host!r} cannot be found ({problem})") from None
    candidates = [(family, address) for family, _, _, _, address in found]
    if len(candidates) == 1:
        return candidates[0]
    return next((candidate for candidate in candidates if _accepts(*candidate)), candidates[0])


def _accepts(family: int, address: tuple[Any, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(1.0)
        return attempt.connect_ex(address) == 0


class LoadClientTransport(httpx.AsyncBaseTransport):
    """An httpx transport for HTTP/1.1 without TLS. A request in flight has a connection to itself; idle ones are reused.

    The answer is read whole; `response.extensions["requestlab"]` has its stamps. Network errors are httpx's own
    (ConnectError, ReadTimeout, …), of httpx's timeouts `read` is kept, counted from the sending of the request.

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
            raise _EXCEPTIONS[connection.error](ERRORS[connection.error], request=request)
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
