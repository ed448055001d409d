"""Calls to the upstream, whose address is the setting UPSTREAM: a client that is shared, and how many calls at once.

Both twins keep their connections. A new client for each request would pay for new connections each time, and that is
then what a comparison shows.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.http import HttpResponse

from labapp import http_clients
from labapp.responses import plain_text

CLIENTS = ("light", "httpx")
"""What can be asked for with `?client=`: labapp's own, which costs little, or the client that most projects would
take."""

THREADS = 32
"""Sync code makes so many calls at once, all requests of a worker together; a pool without a bound would be no pool."""

pool = ThreadPoolExecutor(THREADS, thread_name_prefix="upstream")

_clients: dict[str, http_clients.Client] = {}
_lock = threading.Lock()
_of_loop: dict[tuple[asyncio.AbstractEventLoop, str], tuple[http_clients.AsyncClient, AsyncGenerator]] = {}


def missing() -> HttpResponse | None:
    """The answer where no upstream is set; None where there is one."""
    if settings.UPSTREAM:
        return None
    return plain_text(
        "This view calls an upstream, and none is set. Give the server its address: LABAPP_UPSTREAM=http://127.0.0.1:8001 in "
        "its environment; in a notebook serve(..., upstream=serve(UPSTREAM)); on the command line --upstream.",
        status=503,
    )


def client(kind: str) -> http_clients.Client:
    """The client that all threads of this process share."""
    with _lock:
        if kind not in _clients:
            _clients[kind] = http_clients.make(kind, settings.UPSTREAM)
        return _clients[kind]


async def async_client(kind: str) -> http_clients.AsyncClient:
    """The client that all coroutines of the running event loop share; it is closed when the loop is.

    Connections belong to the loop that opened them. Under ASGI there is one loop for as long as the worker lives; under
    WSGI each request to an async view has a loop of its own, and then there is nothing to be shared.
    """
    key = asyncio.get_running_loop(), kind
    if key not in _of_loop:
        lifetime = _lifetime(key)
        _of_loop[key] = await anext(lifetime), lifetime
    return _of_loop[key][0]


async def _lifetime(key: tuple[asyncio.AbstractEventLoop, str]) -> AsyncGenerator:
    """A loop that ends ends its asynchronous generators first, so what stands behind the yield is done in time."""
    made = http_clients.make_async(key[1], settings.UPSTREAM)
    try:
        yield made
    finally:
        del _of_loop[key]
        await made.close()
