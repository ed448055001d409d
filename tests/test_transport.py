from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.load.target import resolve
from tests.tiny_server import answering, read_request, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello"


def with_client(use: Callable[[httpx.AsyncClient], Awaitable[Any]], **settings: Any) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient(transport=lab.LoadClientTransport(), **settings) as client:
            return await use(client)

    return asyncio.run(main())


def test_a_client_with_it_behaves_as_httpx_does(served):
    base = served(lab.SYNC).url

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        bad = await client.get(base + "/sync/wait/", params={"ms": "soon"})
        return [await client.get(base + "/sync/page/"), bad, await client.get(base + "/sync/page")]

    page, bad, moved = with_client(use)
    plain = httpx.get(base + "/sync/page/")
    assert (page.text, page.headers["content-type"]) == (plain.text, plain.headers["content-type"])
    assert bad.status_code == 400
    assert "10000" in bad.text
    assert moved.status_code == 301


def test_an_answer_carries_its_stamps_in_order():
    with tiny_server(answering(OK)) as server:
        answer = with_client(lambda client: client.get(server.url))
    stamps = answer.extensions["requestlab"]
    assert 0 < stamps["sent"] < stamps["first_byte"] <= stamps["done"] <= time.perf_counter_ns()
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_a_body_larger_than_the_socket_takes_at_once_arrives_whole():
    received: list[int] = []

    def slurp(connection: socket.socket) -> None:
        head, _, body = read_request(connection).partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        count = len(body)
        while count < length:
            time.sleep(0.001)
            count += len(connection.recv(65536))
        received.append(count)
        connection.sendall(OK)

    payload = b"x" * 5_000_000
    with tiny_server(slurp) as server:
        answer = with_client(lambda client: client.post(server.url, content=payload))
    assert answer.status_code == 200
    assert received == [5_000_000]


def test_requests_in_flight_have_connections_to_themselves_and_later_ones_reuse_them():
    def slowly(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.1)
            connection.sendall(OK)

    with tiny_server(slowly) as server:

        async def use(client: httpx.AsyncClient) -> None:
            for _ in range(3):
                await asyncio.gather(*(client.get(server.url) for _ in range(4)))

        with_client(use)
        assert server.accepted == 4


def test_a_head_request_has_no_body_and_keeps_its_connection(served):
    page = served(lab.ASYNC).url + "/async/page/"

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.head(page), await client.get(page)]

    head, get = with_client(use)
    assert (head.status_code, head.content) == (200, b"")
    assert len(get.content) > 1000


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", b"nonsense\r\n\r\n"])
def test_answers_that_are_none_are_protocol_errors_of_httpx(answer):
    with tiny_server(answering(answer, close=True)) as server, pytest.raises(httpx.RemoteProtocolError):
        with_client(lambda client: client.get(server.url))


def test_a_timeout_is_a_read_timeout_and_nobody_listening_is_a_connect_error():
    with tiny_server(lambda connection: time.sleep(3)) as server, pytest.raises(httpx.ReadTimeout):
        with_client(lambda client: client.get(server.url), timeout=0.1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpx.ConnectError):
            with_client(lambda client: client.get(f"http://127.0.0.1:{unused.getsockname()[1]}/"))


def test_a_cancelled_request_gives_up_its_connection():
    closed = threading.Event()

    def wait_for_the_end(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass
        closed.set()

    async def use(client: httpx.AsyncClient) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get(server.url), 0.05)
        assert await asyncio.to_thread(closed.wait, 5)

    with tiny_server(wait_for_the_end) as server:
        with_client(use)


@pytest.mark.parametrize("address", ["https://127.0.0.1/", "ftp://127.0.0.1/", "127.0.0.1:8000", "http:///x"])
def test_an_address_that_cannot_be_used_is_refused_with_an_example(address):
    with pytest.raises(ConfigurationError, match="expected an address such as"):
        resolve(httpx.URL(address))


def test_both_families_of_addresses_are_found():
    assert resolve(httpx.URL("http://127.0.0.1:81/")) == (socket.AF_INET, ("127.0.0.1", 81))
    assert resolve(httpx.URL("http://[::1]:81/"))[0] == socket.AF_INET6
