"""The views as ordinary functions; async_views.py holds their twins."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from asgiref.sync import async_to_sync
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
from labapp.queries import ask, ask_and_close, asked, authors, first_books, loans
from labapp.responses import counted, downloaded, hopped, plain_text, received, worked
from labapp.shelf import prepare
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
def wait_and_burn(request: HttpRequest) -> HttpResponse:
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


@require_safe
def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send `n` parts of `size` bytes, with `ms` between them, as a report does whose lines are computed one by one."""
    n, pause, part = parts(request), pause_ms(request) / 1000, b"." * part_bytes(request)

    def every_part() -> Iterator[bytes]:
        for number in range(n):
            if number:
                time.sleep(pause)
            yield part

    return StreamingHttpResponse(every_part(), content_type="text/plain; charset=utf-8")


@require_safe
def download(request: HttpRequest) -> HttpResponse:
    """Answer with `size` bytes, as a view does that exports a table: what is large is for the server to send."""
    return downloaded(download_bytes(request))


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Read what is sent. Under WSGI, reading waits for the client; under ASGI, all of it is here before this view is
    called."""
    return received(request)


@require_safe
def rows(request: HttpRequest) -> HttpResponse:
    """Ask the database `n` times, one query after another; with `together=1`, each in a thread of its own."""
    wanted = rows_asked(request)
    if wanted.any:
        prepare()
    if wanted.do == "count":
        return counted(loans().count())
    if wanted.together and wanted.n:
        with ThreadPoolExecutor(wanted.n) as threads:
            return asked(wanted, list(threads.map(partial(ask_and_close, wanted), range(wanted.n))))
    return asked(wanted, [ask(wanted, number) for number in range(wanted.n)])


@require_safe
def shelf(request: HttpRequest) -> HttpResponse:
    """A page as people have them: three queries and a template."""
    prepare()
    shown = {"books": list(first_books()), "authors": list(authors()), "count": Book.objects.count()}
    return render(request, "shelf.html", shown)


@require_safe
def fetch(request: HttpRequest) -> HttpResponse:
    """Call the upstream `n` times: one after another, or, with `together=1`, by threads of a pool that all requests
    share."""
    asked = fetch_of(request)
    if (missing := upstream.missing()) is not None:
        return missing
    client = upstream.client(asked.client)

    def call(number: int) -> int:
        return client.request("GET", asked.path).status

    calls = upstream.pool.map(call, range(asked.n)) if asked.together else map(call, range(asked.n))
    return fetched(list(calls))


@require_safe
def export(request: HttpRequest) -> HttpResponse:
    """Write `n` objects to the store: one after another, or, with `at_once=8`, by so many threads of a pool that all
    requests share. (A real one would want a POST; the lab's load sends none.)"""
    asked = export_of(request)
    if (missing := upstream.missing()) is not None:
        return missing
    client = upstream.client(asked.client)
    work = Export(asked)

    def write(numbers: range) -> None:
        for number in work.due(numbers):
            work.answered(number, client.request("PUT", work.path(number), work.body(number)))

    if asked.at_once == 1:
        write(range(asked.n))
    else:
        list(upstream.pool.map(write, work.shares()))
    held = client.request("GET", work.bucket)
    if not asked.keep:
        client.request("DELETE", work.bucket)
    return exported(work, held)
