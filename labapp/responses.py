"""Answers that are not a page."""

from django.http import HttpResponse


def plain_text(sentence: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{sentence}\n", status=status, content_type="text/plain; charset=utf-8")


def hopped(n: int) -> HttpResponse:
    return plain_text(f"Hopped {n} time{'' if n == 1 else 's'}.")


def worked(wait_ms: float, burn_ms: float) -> HttpResponse:
    return plain_text(f"Waited {wait_ms} ms, then burned {burn_ms} ms of CPU.")
