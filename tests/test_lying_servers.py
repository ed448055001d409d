"""Servers that lie: what the load client makes of each answer, beside what httpx makes of it.

Where the two differ, `DIFFERENT` says why.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import requestlab as lab
from requestlab.load.pool import LoadProcessPool
from requestlab.load.target import find_target
from requestlab.measurement.measure import Settings, measure_slice
from tests.processes import started_for_all
from tests.tiny_server import read_request, tiny_server

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"hello"
RESET, SLOWLY = object(), object()
Answer = list[Any]
"""Pieces of an answer; RESET ends the connection so, SLOWLY sends what follows a byte at a time."""


def head(*lines: bytes, status: bytes = OK) -> bytes:
    return status + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", more: tuple[bytes, ...] = ()) -> bytes:
    return head(b"Transfer-Encoding: chunked", *more) + b"".join(chunks) + end


LENGTHS = {
    "exact": b"5",
    "too small": b"3",
    "too large": b"9",
    "zero": b"0",
    "negative": b"-5",
    "with a plus": b"+5",
    "with zeros": b"0005",
    "with spaces": b"  5  ",
    "a tab": b"\t5",
    "in hexadecimal": b"0x5",
    "empty": b"",
    "a word": b"five",
    "a fraction": b"5.0",
    "two in one": b"5, 5",
    "two that differ in one": b"5, 6",
    "huge": b"99999999999999999999",
    "large": b"4294967301",
}
STATUSES = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n",
    "no reason": b"HTTP/1.1 200\r\n",
    "an empty reason": b"HTTP/1.1 200 \r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n",
    "small letters": b"http/1.1 200 OK\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\n",
    "status 0": b"HTTP/1.1 000 OK\r\n",
    "a word for a status": b"HTTP/1.1 OK OK\r\n",
    "another protocol": b"ICY 200 OK\r\n",
    "reason not in ASCII": "HTTP/1.1 200 völlig\r\n".encode(),
    "only a line feed": b"HTTP/1.1 200 OK\n",
    "an empty line before": b"\r\nHTTP/1.1 200 OK\r\n",
    "a word before": b"x HTTP/1.1 200 OK\r\n",
}
HEADERS = {
    "no colon": b"Nonsense",
    "a space before the colon": b"Name : value",
    "an empty name": b": value",
    "folded": b"Name: one\r\n two",
    "a null byte": b"Name: a\0b",
    "a control letter": b"Name: a\x01b",
    "not in ASCII": "Name: völlig".encode(),
    "a long value": b"Name: " + b"a" * 60_000,
    "many": b"\r\n".join(b"Name-%d: value" % number for number in range(99)),
    "Connection: close": b"Connection: close",
    "Connection: upgrade": b"Connection: upgrade\r\nUpgrade: h2c",
    "an encoding nobody knows": b"Content-Encoding: nobody",
    "a redirect to itself": b"Location: /",
    "a bare carriage return": b"Name: a\rb",
}
ANSWERS: dict[str, Answer] = {
    **{f"length {name}": [head(b"Content-Length: " + text) + BODY] for name, text in LENGTHS.items()},
    "two equal lengths": [head(b"Content-Length: 5", b"Content-Length: 5") + BODY],
    "two lengths": [head(b"Content-Length: 5", b"Content-Length: 4") + BODY],
    "no length": [head() + BODY],
    "no length, no body": [head()],
    **{f"status {name}": [head(b"Content-Length: 5", status=line) + BODY] for name, line in STATUSES.items()},
    **{
        f"{code} with a body": [head(b"Content-Length: 5", status=b"HTTP/1.1 %d X\r\n" % code) + BODY]
        for code in (201, 204, 205, 206, 301, 304, 400, 404, 418, 500, 503)
    },
    **{f"header {name}": [head(line, b"Content-Length: 5") + BODY] for name, line in HEADERS.items()},
    "chunks": [chunked(b"5\r\nhello\r\n")],
    "chunks with an extension": [chunked(b"5;name=value\r\nhello\r\n")],
    "chunks with trailers": [chunked(b"5\r\nhello\r\n", end=b"0\r\nName: value\r\n\r\n")],
    "chunks with a length": [chunked(b"5\r\nhello\r\n", more=(b"Content-Length: 5",))],
    "chunks with another length": [chunked(b"5\r\nhello\r\n", more=(b"Content-Length: 3",))],
    "chunks with zeros": [chunked(b"00005\r\nhello\r\n")],
    "chunks and no end": [chunked(b"5\r\nhello\r\n", end=b"")],
    "chunks and half an end": [chunked(b"5\r\nhello\r\n", end=b"0\r\n")],
    "a chunk that is cut": [chunked(b"5\r\nhel", end=b"")],
    "a chunk that is too long": [chunked(b"3\r\nhello\r\n")],
    "a chunk of no size": [chunked(b"zz\r\nhello\r\n")],
    "a chunk of negative size": [chunked(b"-5\r\nhello\r\n")],
    "a chunk with a sign": [chunked(b"+5\r\nhello\r\n")],
    "a chunk of huge size": [chunked(b"ffffffffffffffffff\r\nhello\r\n")],
    "a chunk with a space": [chunked(b"5 \r\nhello\r\n")],
    "chunks with line feeds only": [chunked(b"5\nhello\n", end=b"0\n\n")],
    "chunks under HTTP/1.0": [
        head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK\r\n") + b"5\r\nhello\r\n0\r\n\r\n"
    ],
    "identity": [head(b"Transfer-Encoding: identity", b"Content-Length: 5") + BODY],
    "an unknown transfer encoding": [head(b"Transfer-Encoding: nobody") + BODY],
    "chunked twice": [head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"],
    "gzip": [head(b"Content-Encoding: gzip", b"Content-Length: 25") + gzip.compress(BODY, mtime=0)],
    "what is no gzip": [head(b"Content-Encoding: gzip", b"Content-Length: 5") + BODY],
    "100 before": [b"HTTP/1.1 100 Continue\r\n\r\n", head(b"Content-Length: 5") + BODY],
    "103 before": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", head(b"Content-Length: 5") + BODY],
    "many 100 before": [b"HTTP/1.1 100 Continue\r\n\r\n" * 20, head(b"Content-Length: 5") + BODY],
    "100 and no more": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "101": [b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"],
    "nothing": [],
    "a reset at once": [RESET],
    "half a status": [b"HTTP/1."],
    "half a status, and a reset": [b"HTTP/1.", RESET],
    "half a head": [OK + b"Content-Le"],
    "half a body": [head(b"Content-Length: 5") + b"he"],
    "half a body, and a reset": [head(b"Content-Length: 5") + b"he", RESET],
    "all of a body, and a reset": [head(b"Content-Length: 5") + BODY, RESET],
    "no length, and a reset": [head() + BODY, RESET],
    "drips": [SLOWLY, head(b"Content-Length: 5") + BODY],
    "chunks that drip": [SLOWLY, chunked(b"5\r\nhello\r\n")],
    "answers too many": [(head(b"Content-Length: 5") + BODY) * 3],
    "bytes after the answer": [head(b"Content-Length: 5") + BODY + b"and more"],
    "a page without a head": [b"<html>hello</html>"],
    "bytes of TLS": [b"\x15\x03\x01\x00\x02\x02\x28"],
    "null bytes": [bytes(100)],
    "an endless line": [b"a" * 100_000],
    "a request": [b"GET / HTTP/1.1\r\nHost: you\r\n\r\n"],
}
STRICTER = "llhttp, which httptools wraps, refuses it; h11, which httpx uses, takes it: "
LENIENT = "h11 refuses it; llhttp takes it: "
DIFFERENT = {
    "two equal lengths": STRICTER + "a recipient may take equal lengths as one (RFC 9110, 8.6), and need not",
    "length two in one": STRICTER + "the same, in one line",
    "chunks with a length": STRICTER + "both together ought to be handled as an error (RFC 9112, 6.3)",
    "chunks with another length": STRICTER + "the same",
    "status HTTP/1.2": STRICTER + "there is no such version",
    "status only a line feed": STRICTER + "a recipient may take a line feed alone for an end (RFC 9112, 2.2)",
    "header folded": STRICTER + "folded lines are obsolete (RFC 9112, 5.2)",
    "header a control letter": STRICTER + "a value has no control letters (RFC 9110, 5.5)",
    "a chunk with a space": STRICTER + "a size ends with its digits (RFC 9112, 7.1)",
    "status an empty line before": LENIENT + "as a server would, before a request (RFC 9112, 2.2)",
    "chunked twice": LENIENT + "as its last encoding is chunked, its end is known",
}


def behave(answer: Answer):
    def behaving(connection: socket.socket) -> None:
        if not read_request(connection):
            return
        slowly = False
        for piece in answer:
            if piece is RESET:
                time.sleep(0.05)  # what was sent before is read first
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif piece is SLOWLY:
                slowly = True
            else:
                for part in [piece[at : at + 1] for at in range(len(piece))] if slowly else [piece]:
                    connection.sendall(part)
                    time.sleep(0.001 * slowly)

    return behaving


def by_httpx(url: str) -> tuple[int, int] | str:
    """Return status and size of the body as it came, or `failed`."""
    try:
        with (
            httpx.Client(trust_env=False, timeout=2) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            return answer.status_code, sum(map(len, answer.iter_raw()))
    except httpx.TransportError:
        return "failed"


def by_the_lab(url: str, pool: LoadProcessPool) -> tuple[int, int] | str:
    run = measure_slice(find_target(url, "/"), lab.closed(users=1, each=1), Settings(seconds=60, timeout=2), pool)
    (row,) = run.requests.itertuples()
    return "failed" if row.error else (int(row.status), int(row.size))


@pytest.fixture(scope="module")
def pool() -> Iterator[LoadProcessPool]:
    """One load process for all: starting it takes longer than to be lied to."""
    with LoadProcessPool() as pool:
        with started_for_all():
            pool.start_one()
        yield pool


@pytest.mark.parametrize("name", ANSWERS)
def test_the_load_client_and_httpx_agree_or_it_is_said_why_not(name, pool):
    with tiny_server(behave(ANSWERS[name])) as server:
        own, other = by_the_lab(server.url, pool), by_httpx(server.url)
    assert (own == other) is (name not in DIFFERENT), (own, other)


def test_there_are_as_many_lies_as_in_the_first_trial_and_each_reason_is_of_one_of_them():
    assert len(ANSWERS) >= 105
    assert DIFFERENT.keys() <= ANSWERS.keys()
