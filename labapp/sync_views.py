"""The views as ordinary functions; async_views.py holds their twins."""

import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from labapp.glossary import GLOSSARY
from labapp.parameters import burn_ms, wait_ms
from labapp.responses import plain_text
from labapp.work import burn_cpu


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
