"""The views as coroutines; sync_views.py holds their twins."""

import asyncio
import time
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from labapp.glossary import GLOSSARY
from labapp.parameters import (
    block_ms,
    burn_ms,
    hops,
    is_sensitive,
    part_bytes,
    parts,
    pause_ms,
    wait_and_burn_ms,
    wait_ms,
)
from labapp.responses import hopped, plain_text, received, worked
from labapp.work import burn_cpu, do_nothing


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
async def work(request: HttpRequest) -> HttpResponse:
    """Wait, then compute: `wait` ms, in which the event loop is free, and `burn` ms of its CPU time, in which it is not."""
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


@csrf_exempt
@require_POST
async def upload(request: HttpRequest) -> HttpResponse:
    """Read what is sent. Django has no awaitable way to do that, and under ASGI needs none: it has stored all of it, in memory
    or in a file, before it calls any view."""
    return received(request)
