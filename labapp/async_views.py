"""The views as coroutines; sync_views.py holds their twins."""

import asyncio
import time

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from labapp.glossary import GLOSSARY
from labapp.parameters import block_ms, burn_ms, hops, is_sensitive, wait_and_burn_ms, wait_ms
from labapp.responses import hopped, plain_text, worked
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
