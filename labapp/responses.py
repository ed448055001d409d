"""Answers that are not a page."""

from zlib import crc32

from django.http import HttpRequest, HttpResponse

PIECE_BYTES = 65_536


def plain_text(sentence: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{sentence}\n", status=status, content_type="text/plain; charset=utf-8")


def hopped(n: int) -> HttpResponse:
    return plain_text(f"Hopped {n} time{'' if n == 1 else 's'}.")


def worked(wait_ms: float, burn_ms: float) -> HttpResponse:
    return plain_text(f"Waited {wait_ms} ms, then burned {burn_ms} ms of CPU.")


def received(request: HttpRequest) -> HttpResponse:
    """Read the body piece by piece, and say how many bytes it has and which checksum (CRC-32)."""
    size = checksum = 0
    while piece := request.read(PIECE_BYTES):
        size += len(piece)
        checksum = crc32(piece, checksum)
    return plain_text(f"Received {size} bytes, checksum {checksum}.")


def downloaded(size: int) -> HttpResponse:
    """So many bytes, made at once and sent as one."""
    return HttpResponse(b"." * size, content_type="application/octet-stream")


def counted(loans: int) -> HttpResponse:
    return plain_text(f"{loans} loans.")
