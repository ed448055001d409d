"""HTTP clients with kept connections, in twins: sync and async, each labapp's own light one or httpx.

`request(method, path, body)` returns an Answer: status and body; where none came, status 0 and the reason. The light
ones speak as much HTTP/1.1 as the upstream does: every answer says its length.
"""

import asyncio
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
MAX_CONNECTIONS = 1_000
"""Of httpx, whose own bound of 100 would make requests stand in line for a connection."""


NO_ANSWER = 0


class Answer(NamedTuple):
    status: int
    body: bytes


class Client:
    """What the sync ones have in common; `failures` are what `_ask` raises where there is no answer."""

    failures = OSError

    def request(self, method: str, path: str, body: bytes = b"") -> Answer:
        try:
            return self._ask(method, path, body)
        except self.failures as problem:
            return Answer(NO_ANSWER, (str(problem) or type(problem).__name__).encode())


class AsyncClient:
    """What the async ones have in common."""

    failures = OSError

    async def request(self, method: str, path: str, body: bytes = b"") -> Answer:
        try:
            return await self._ask(method, path, body)
        except self.failures as problem:
            return Answer(NO_ANSWER, (str(problem) or type(problem).__name__).encode())


def make(kind: str, base: str) -> Client:
    return Httpx(base) if kind == "httpx" else Light(base)


def make_async(kind: str, base: str) -> AsyncClient:
    return AsyncHttpx(base) if kind == "httpx" else AsyncLight(base)


class Light(Client):
    """A stack of idle connections; a thread takes one and puts it back. Taking from a list is safe between threads."""

    def __init__(self, base: str) -> None:
        self._host, self._port, self._base = address_of(base)
        self._idle = []

    def _ask(self, method: str, path: str, body: bytes) -> Answer:
        message = encoded(method, self._host, self._base + path, body)
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._exchange(self._connect(), message)
        try:
            return self._exchange(connection, message)
        except ConnectionError:  # the other side had closed it meanwhile: that says nothing about this request
            return self._exchange(self._connect(), message)

    def _connect(self):
        connected = socket.create_connection((self._host, self._port), TIMEOUT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected, connected.makefile("rb")

    def _exchange(self, connection, message: bytes) -> Answer:
        connected, stream = connection
        try:
            connected.sendall(message)
            status, length = parsed(stream.readline(), iter(stream.readline, b"\r\n"))
            body = stream.read(length)
            complete(body, length)
        except BaseException:
            stream.close()
            connected.close()
            raise
        self._idle.append(connection)
        return Answer(status, body)


class AsyncLight(AsyncClient):
    """A stack of idle connections; a coroutine takes one and puts it back. Of one event loop only."""

    def __init__(self, base: str) -> None:
        self._host, self._port, self._base = address_of(base)
        self._idle = []

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        message = encoded(method, self._host, self._base + path, body)
        async with asyncio.timeout(TIMEOUT_S):
            if not self._idle:
                return await self._exchange(await self._connect(), message)
            try:
                return await self._exchange(self._idle.pop(), message)
            except ConnectionError:
                return await self._exchange(await self._connect(), message)

    async def close(self) -> None:
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            await writer.wait_closed()

    async def _connect(self):
        return await asyncio.open_connection(self._host, self._port)  # sets TCP_NODELAY

    async def _exchange(self, connection, message: bytes) -> Answer:
        reader, writer = connection
        try:
            writer.write(message)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head[:-4].split(b"\r\n")
                status, length = parsed(first, lines)
                body = await reader.readexactly(length)
            except asyncio.IncompleteReadError:
                raise ConnectionError(CLOSED) from None
        except BaseException:
            writer.close()
            raise
        self._idle.append(connection)
        return Answer(status, body)


class Httpx(Client):
    """One shared httpx.Client."""

    def __init__(self, base: str) -> None:
        import httpx  # only here: whoever does not ask for it does not wait for it

        self.failures = httpx.TransportError
        self._client = httpx.Client(**options(httpx, base))

    def _ask(self, method: str, path: str, body: bytes) -> Answer:
        response = self._client.request(method, path, content=body)
        return Answer(response.status_code, response.content)


class AsyncHttpx(AsyncClient):
    """One shared httpx.AsyncClient."""

    def __init__(self, base: str) -> None:
        import httpx

        self.failures = httpx.TransportError
        self._client = httpx.AsyncClient(**options(httpx, base))

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        response = await self._client.request(method, path, content=body)
        return Answer(response.status_code, response.content)

    async def close(self) -> None:
        await self._client.aclose()


CLOSED = "the upstream closed the connection before its answer was complete"


def address_of(base: str) -> tuple[str, int, str]:
    parts = urlsplit(base)
    return parts.hostname or "", parts.port or 80, parts.path


def encoded(method: str, host: str, path: str, body: bytes) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if method == "PUT" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n".encode("ascii") + body


def parsed(first: bytes, lines) -> tuple[int, int]:
    """Status and length of the body, from the lines of a head; raises ConnectionError where it is none."""
    if not first.startswith(b"HTTP/1.1 "):
        raise ConnectionError(CLOSED)
    status, length = int(first[9:12]), None
    for line in lines:
        if not line:
            raise ConnectionError(CLOSED)
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length is None:
        raise ConnectionError("the upstream did not say how long its answer is")
    return status, length


def complete(body: bytes, length: int) -> None:
    if len(body) < length:
        raise ConnectionError(CLOSED)


def options(httpx, base: str) -> dict:
    """What both clients of httpx are made with: no proxies of the environment, and no line for a connection."""
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
    return {"base_url": base, "timeout": TIMEOUT_S, "trust_env": False, "limits": limits}
