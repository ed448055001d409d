"""The views as coroutines; sync_views.py holds their twins."""

import asyncio

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from labapp.glossary import GLOSSARY
from labapp.parameters import burn_ms, wait_ms
from labapp.responses import plain_text
from labapp.work import burn_cpu


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
