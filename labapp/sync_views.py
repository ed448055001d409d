"""The views as ordinary functions; async_views.py holds their twins."""

import time

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from labapp.glossary import GLOSSARY
from labapp.parameters import block_ms, burn_ms, hops, is_sensitive, wait_and_burn_ms, wait_ms
from labapp.responses import hopped, plain_text, worked
from labapp.work import burn_cpu, do_nothing_async


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """An ordinary small page: one template, no data."""
    return render(request, "page.html", {"glossary": GLOSSARY})


@require_safe
def wait(request: HttpRequest) -> HttpResponse:
    """Wait `ms`, as a view does that asks a slow service; the thread sleeps."""
    ms = wait_ms(request)
    time.sleep(ms / 1000)
    return plain_text(f"Waited {ms} ms.")


@require_safe
def burn(request: HttpRequest) -> HttpResponse:
    """Compute for `ms` of this thread's CPU time."""
    ms = burn_ms(request)
    burn_cpu(ms)
    return plain_text(f"Burned {ms} ms of CPU.")


@require_safe
def work(request: HttpRequest) -> HttpResponse:
    """Wait, then compute: `wait` ms for the data, and `burn` ms of CPU time to make something of it."""
    waiting, burning = wait_and_burn_ms(request)
    time.sleep(waiting / 1000)
    burn_cpu(burning)
    return worked(waiting, burning)


@require_safe
def block(request: HttpRequest) -> HttpResponse:
    """Sleep `ms` in a blocking call: to this thread that is the same as `wait`, and nobody else needs it."""
    ms = block_ms(request)
    time.sleep(ms / 1000)
    return plain_text(f"Blocked for {ms} ms.")


@require_safe
def hop(request: HttpRequest) -> HttpResponse:
    """Call a coroutine `n` times, one after another; each call goes to an event loop and back.

    `sensitive` changes nothing here: it is about which thread runs sync code, and a coroutine runs on a loop.
    """
    n, _ = hops(request), is_sensitive(request)
    for _ in range(n):
        async_to_sync(do_nothing_async)()
    return hopped(n)
