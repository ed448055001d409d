"""What a request may ask for: the defaults, the bounds, and the 400 that names them."""

import math

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from labapp.responses import plain_text

MIN_MS = 0

WAIT_DEFAULT_MS = 50
WAIT_MAX_MS = 10_000

BURN_DEFAULT_MS = 5
BURN_MAX_MS = 2_000

MAX_SHOWN_CHARACTERS = 40


def wait_ms(request: HttpRequest) -> float:
    """How long to wait, from `?ms=`."""
    return milliseconds(request, default=WAIT_DEFAULT_MS, maximum=WAIT_MAX_MS)


def burn_ms(request: HttpRequest) -> float:
    """How much CPU time to use, from `?ms=`."""
    return milliseconds(request, default=BURN_DEFAULT_MS, maximum=BURN_MAX_MS)


def milliseconds(request: HttpRequest, *, default: int, maximum: int) -> float:
    """The number in `?ms=`, fractions allowed. Raises BadRequest, which becomes a 400, for anything out of bounds."""
    given = request.GET.get("ms", str(default))
    try:
        ms = float(given)
    except ValueError:
        ms = math.nan  # like a nan that was asked for, it fails the comparison
    if not MIN_MS <= ms <= maximum:
        raise BadRequest(f"ms must be a number from {MIN_MS} to {maximum}; this request gave {shown(given)}.")
    return ms


def shown(given: str) -> str:
    """A client's text made safe to print: quoted, escaped to printable ASCII, cut to a few characters."""
    ellipsis = "..." if len(given) > MAX_SHOWN_CHARACTERS else ""
    return ascii(given[:MAX_SHOWN_CHARACTERS]) + ellipsis


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django calls this for every 400; its own page would not say why."""
    return plain_text(str(exception), status=400)
