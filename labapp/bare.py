"""Two applications without Django, to show what the server alone costs.

They answer every request with as many bytes as Django's page has, under the same content type.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

PAGE_BYTES = 2_555  # a test holds this equal to the rendered page
BODY = b"." * PAGE_BYTES
CONTENT_TYPE = "text/html; charset=utf-8"

WSGI_HEADERS = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(BODY)))]
ASGI_HEADERS = [(name.lower().encode(), value.encode()) for name, value in WSGI_HEADERS]

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", list(WSGI_HEADERS))
    return [BODY]


async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
    else:
        await send({"type": "http.response.start", "status": 200, "headers": ASGI_HEADERS})
        await send({"type": "http.response.body", "body": BODY})


async def live(receive: Receive, send: Send) -> None:
    """Tell the server that start and stop are done; servers warn about an application that does not answer."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
