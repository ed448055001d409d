"""The views as coroutines; sync_views.py holds their twins."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import django
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from labapp import upstream
from labapp.exporting import Export, export_of, exported
from labapp.fetching import fetch_of, fetched
from labapp.glossary import GLOSSARY
from labapp.models import Book
from labapp.parameters import (
    block_ms,
    burn_ms,
    download_bytes,
    hops,
    is_sensitive,
    part_bytes,
    parts,
    pause_ms,
    rows_asked,
    wait_and_burn_ms,
    wait_ms,
)
from labapp.queries import aask, ask_and_close, asked, authors, first_books, loans
from labapp.responses import counted, downloaded, hopped, plain_text, received, worked
from labapp.shelf import aprepare
from labapp.work import burn_cpu, do_nothing

AsyncView = Callable[..., Awaitable[HttpResponse]]

if django.VERSION < (5, 0):  # there, they take sync views only: a coroutine would never be awaited

    def require_safe(view: AsyncView) -> AsyncView:
        """Return the view as it is: any method is answered."""
        return view

    require_POST = require_safe  # noqa: N816 - Django's name


@require_safe
async def page(request: HttpRequest) -> HttpResponse:
    """An ordinary small page: one template, no data. Rendering has no async form; it runs on the event loop."""
    return render(request, "page.html", {"glossary": GLOSSARY})


@require_safe
async def wait(request: HttpRequest) -> HttpResponse:
    """Wait `ms`, as a view does that asks a slow service; the event loop is free meanwhile."""
    ms = wait_ms(request)
    await asyncio.sleep(ms / 1000)
    return plain_text(f"Waited {ms} ms.")


@require_safe
async def burn(request: HttpRequest) -> HttpResponse:
    """Compute for `ms` of CPU time on the event loop, which can do nothing else meanwhile: that is the lesson."""
    ms = burn_ms(request)
    burn_cpu(ms)
    return plain_text(f"Burned {ms} ms of CPU.")


@require_safe
async def wait_and_burn(request: HttpRequest) -> HttpResponse:
    """Wait, then compute: `wait` ms, in which the event loop is free, and `burn` ms of its CPU time, in which it is
    not."""
    waiting, burning = wait_and_burn_ms(request)
    await asyncio.sleep(waiting / 1000)
    burn_cpu(burning)
    return worked(waiting, burning)


@require_safe
async def block(request: HttpRequest) -> HttpResponse:
    """Sleep `ms` in a blocking call, which keeps the event loop from everybody else: that is the lesson.

    `wait` awaits instead, and harms nobody.
    """
    ms = block_ms(request)
    time.sleep(ms / 1000)
    return plain_text(f"Blocked for {ms} ms.")


@require_safe
async def hop(request: HttpRequest) -> HttpResponse:
    """Call a function `n` times, one after another; each call goes to a thread and back.

    With `sensitive=1` to the one thread that this request's sync code shares, with `sensitive=0` to any of a pool.
    """
    n, sensitive = hops(request), is_sensitive(request)
    for _ in range(n):
        await sync_to_async(do_nothing, thread_sensitive=sensitive)()
    return hopped(n)


@require_safe
async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send `n` parts of `size` bytes, with `ms` between them; the event loop is free meanwhile."""
    n, pause, part = parts(request), pause_ms(request) / 1000, b"." * part_bytes(request)

    async def every_part() -> AsyncIterator[bytes]:
        for number in range(n):
            if number:
                await asyncio.sleep(pause)
            yield part

    return StreamingHttpResponse(every_part(), content_type="text/plain; charset=utf-8")


@require_safe
async def download(request: HttpRequest) -> HttpResponse:
    """Answer with `size` bytes, as a view does that exports a table: what is large is for the server to send."""
    return downloaded(download_bytes(request))


@csrf_exempt
@require_POST
async def upload(request: HttpRequest) -> HttpResponse:
    """Read what is sent. Django has no awaitable way to do that, and under ASGI needs none: it has stored all of it, in
    memory or in a file, before it calls any view."""
    return received(request)


@require_safe
async def rows(request: HttpRequest) -> HttpResponse:
    """Ask the database `n` times, one query after another, or with `together=1` in a `gather`.

    With `sensitive=1` through Django's async ORM, with `sensitive=0` through plain functions in any thread of a pool.
    """
    wanted = rows_asked(request)
    if wanted.any:
        await aprepare()
    if wanted.do == "count":
        return counted(await loans().acount())
    ask = aask if wanted.sensitive else sync_to_async(ask_and_close, thread_sensitive=False)
    questions = [partial(ask, wanted, number) for number in range(wanted.n)]
    if wanted.together:
        return asked(wanted, await asyncio.gather(*(question() for question in questions)))
    return asked(wanted, [await question() for question in questions])


@require_safe
async def shelf(request: HttpRequest) -> HttpResponse:
    """The same page: the queries await, the template is rendered on the event loop."""
    await aprepare()
    shown = {
        "books": [book async for book in first_books()],
        "authors": [author async for author in authors()],
        "count": await Book.objects.acount(),
    }
    return render(request, "shelf.html", shown)


@require_safe
async def fetch(request: HttpRequest) -> HttpResponse:
    """Call the upstream `n` times: one after another, or, with `together=1`, all at once on this event loop."""
    asked = fetch_of(request)
    if (missing := upstream.missing()) is not None:
        return missing
    client = await upstream.async_client(asked.client)

    async def call(number: int) -> int:
        return (await client.request("GET", asked.path)).status

    calls = (call(number) for number in range(asked.n))
    return fetched(await asyncio.gather(*calls) if asked.together else [await one for one in calls])


@require_safe
async def export(request: HttpRequest) -> HttpResponse:
    """Write `n` objects to the store: one after another, or, with `at_once=8`, by so many tasks on this event loop."""
    asked = export_of(request)
    if (missing := upstream.missing()) is not None:
        return missing
    client = await upstream.async_client(asked.client)
    work = Export(asked)

    async def write(numbers: range) -> None:
        for number in work.due(numbers):
            work.answered(number, await client.request("PUT", work.path(number), work.body(number)))

    await asyncio.gather(*map(write, work.shares()))
    held = await client.request("GET", work.bucket)
    if not asked.keep:
        await client.request("DELETE", work.bucket)
    return exported(work, held)
