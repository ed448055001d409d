"""The wall's pages: what the room found, live, and where ledgers come in. The code in the address lets people in."""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path

from requestlab.errors import LedgerFormatError
from requestlab.wall.message import Message, parsed
from requestlab.wall.models import Sent
from requestlab.wall.page import claims, page
from requestlab.wall.room import Room

AGAIN_S = 0.5
"""The page changes at most so often: thirty ledgers at once are drawn once."""

STILL_THERE_S = 10.0
"""So often those who listen are told something, so that a lost connection is noticed."""

MOST_LISTENERS = 500


class Board:
    """What all who listen see: drawn when something has come in, once for all of them, until it is `over`."""

    def __init__(self) -> None:
        self.listeners, self.over = 0, False
        self._drawn, self._drawn_at = "", 0.0
        self._version, self._drawn_version = 1, 0
        self._lock = threading.Lock()

    def change(self) -> None:
        """Say that something has come in."""
        self._version += 1

    async def latest(self) -> tuple[int, str]:
        """Return what is to be seen now, and its version."""
        if self._is_due:
            await sync_to_async(self._draw)()
        return self._drawn_version, self._drawn

    @property
    def _is_due(self) -> bool:
        long_ago = time.monotonic() - self._drawn_at > AGAIN_S
        return self._drawn_version != self._version and (long_ago or not self._drawn)

    def _draw(self) -> None:
        with self._lock:
            if self._is_due:  # nobody else has drawn it meanwhile
                version = self._version
                self._drawn = str(claims(room()))
                self._drawn_version, self._drawn_at = version, time.monotonic()


board = Board()


def room() -> Room:
    """Return all that has come in, in order of arrival."""
    return Room(tuple(parsed(sent.body).entry(number) for number, sent in enumerate(Sent.objects.all(), 1)))


def demand(code: str) -> None:
    """Raise Http404 for any code but the wall's."""
    if not hmac.compare_digest(code.upper().encode(), settings.WALL_CODE.upper().encode()):
        raise Http404


async def wall(request: HttpRequest, code: str) -> HttpResponse:
    """The page."""
    demand(code)
    address = request.build_absolute_uri(f"/{settings.WALL_CODE}")
    text = await sync_to_async(lambda: page(room(), settings.WALL_TITLE, settings.WALL_CODE, address))()
    return HttpResponse(text)


async def entries(request: HttpRequest, code: str) -> HttpResponse:
    """Where ledgers come in, by POST. What a lab sends again stands in place of what it had sent on the same claims."""
    demand(code)
    if request.method != "POST":
        return HttpResponse("expected what lab.ledger().send() sends, by POST\n", status=405)
    try:
        message = await sync_to_async(parsed, thread_sensitive=False)(request.body)
    except LedgerFormatError as problem:
        return HttpResponse(f"{problem}\n", status=400)
    name, kept = await sync_to_async(keep)(message)
    board.change()
    return JsonResponse({"name": name, "verdicts": kept})


def keep(message: Message) -> tuple[str, int]:
    """Keep what came in, beside what the same lab had sent before; return what the wall calls it, and how many verdicts
    it now has."""
    with transaction.atomic():
        earlier = Sent.objects.filter(sender=message.sender).first()
        if earlier is not None:
            message = message.following(parsed(earlier.body))
        values = {"name": message.name, "body": message.to_json()}
        sent, _ = Sent.objects.update_or_create(sender=message.sender, defaults=values)
    number = Sent.objects.filter(id__lte=sent.id).count()
    return message.entry(number).name, len(message.ledger.verdicts)


async def events(request: HttpRequest, code: str) -> HttpResponseBase:
    """What changes, as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    demand(code)
    if board.listeners >= MOST_LISTENERS:
        return HttpResponse(f"{MOST_LISTENERS} pages listen already\n", status=503)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(_changes(), content_type="text/event-stream", headers=headers)


async def _changes() -> AsyncIterator[bytes]:
    board.listeners += 1
    try:
        seen, said_at = 0, 0.0
        while not board.over:
            version, drawn = await board.latest()
            if version != seen:
                seen, said_at = version, time.monotonic()
                yield f"event: claims\ndata: {json.dumps(drawn)}\n\n".encode()
            elif time.monotonic() - said_at > STILL_THERE_S:
                said_at = time.monotonic()
                yield b": still there\n\n"
            await asyncio.sleep(AGAIN_S)
    finally:
        board.listeners -= 1


urlpatterns = [
    path("<slug:code>/", wall),
    path("<slug:code>/entries/", entries),
    path("<slug:code>/events/", events),
]
