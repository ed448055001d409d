"""What a request may ask for: the defaults, the bounds, and the 400 that names them."""

import math
from typing import NamedTuple

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from labapp.responses import plain_text

WAIT_DEFAULT_MS = 50
WAIT_MAX_MS = 10_000

BURN_DEFAULT_MS = 5
BURN_MAX_MS = 2_000

BLOCK_DEFAULT_MS = 50
BLOCK_MAX_MS = 2_000

HOPS_DEFAULT = 5
HOPS_MAX = 1_000

PARTS_DEFAULT = 5
PARTS_MAX = 1_000

PAUSE_DEFAULT_MS = 20
PAUSE_MAX_MS = 2_000

PART_DEFAULT_BYTES = 100
PART_MAX_BYTES = 65_536

DOWNLOAD_DEFAULT_BYTES = 1_000_000
DOWNLOAD_MAX_BYTES = 10_000_000

ROWS_DO = ("read", "write", "both", "count")
ROWS_DEFAULT = 2
ROWS_MAX = 50
ROWS_DEFAULT_MS = 0
ROWS_MAX_MS = 1_000

MAX_SHOWN_CHARACTERS = 40


class Rows(NamedTuple):
    """What the view `rows` is asked: to do something `n` times, each query taking `ms` in the database.

    `together`: not one after another. `sensitive`: the async view asks in the thread that the request's sync code
    shares.
    """

    do: str
    n: int
    ms: float
    together: bool
    sensitive: bool

    @property
    def any(self) -> bool:
        """Whether the database is asked at all."""
        return self.n > 0 or self.do == "count"

    @property
    def reads(self) -> bool:
        return self.do in ("read", "both")

    @property
    def writes(self) -> bool:
        return self.do in ("write", "both")


def wait_ms(request: HttpRequest) -> float:
    """How long to wait, from `?ms=`."""
    return milliseconds(request, default=WAIT_DEFAULT_MS, maximum=WAIT_MAX_MS)


def burn_ms(request: HttpRequest) -> float:
    """How much CPU time to use, from `?ms=`."""
    return milliseconds(request, default=BURN_DEFAULT_MS, maximum=BURN_MAX_MS)


def block_ms(request: HttpRequest) -> float:
    """How long to block, from `?ms=`."""
    return milliseconds(request, default=BLOCK_DEFAULT_MS, maximum=BLOCK_MAX_MS)


def wait_and_burn_ms(request: HttpRequest) -> tuple[float, float]:
    """How long to wait and how much CPU time to use, from `?wait=` and `?burn=`."""
    wait = number(request, "wait", default=WAIT_DEFAULT_MS, maximum=WAIT_MAX_MS)
    burn = number(request, "burn", default=BURN_DEFAULT_MS, maximum=BURN_MAX_MS)
    return wait, burn


def hops(request: HttpRequest) -> int:
    """How many calls to make, from `?n=`. Raises BadRequest for anything but a whole number within bounds."""
    return whole_number(request, "n", default=HOPS_DEFAULT, maximum=HOPS_MAX)


def parts(request: HttpRequest) -> int:
    """How many parts to stream, from `?n=`. Raises BadRequest."""
    return whole_number(request, "n", default=PARTS_DEFAULT, maximum=PARTS_MAX)


def pause_ms(request: HttpRequest) -> float:
    """How long to wait between two parts, from `?ms=`."""
    return milliseconds(request, default=PAUSE_DEFAULT_MS, maximum=PAUSE_MAX_MS)


def part_bytes(request: HttpRequest) -> int:
    """How large a part is, from `?size=`. Raises BadRequest."""
    return whole_number(request, "size", default=PART_DEFAULT_BYTES, maximum=PART_MAX_BYTES)


def download_bytes(request: HttpRequest) -> int:
    """How large an answer is, from `?size=`. Raises BadRequest."""
    return whole_number(request, "size", default=DOWNLOAD_DEFAULT_BYTES, maximum=DOWNLOAD_MAX_BYTES)


def is_sensitive(request: HttpRequest) -> bool:
    """Whether calls are to be thread-sensitive, from `?sensitive=`; they are unless it is 0."""
    return is_on(request, "sensitive", default=True)


def rows_asked(request: HttpRequest) -> Rows:
    """What to ask the database, from `?do=`, `?n=`, `?ms=`, `?together=` and `?sensitive=`. Raises BadRequest."""
    return Rows(
        do=one_of(request, "do", ROWS_DO),
        n=whole_number(request, "n", default=ROWS_DEFAULT, maximum=ROWS_MAX),
        ms=milliseconds(request, default=ROWS_DEFAULT_MS, maximum=ROWS_MAX_MS),
        together=is_on(request, "together", default=False),
        sensitive=is_sensitive(request),
    )


def is_on(request: HttpRequest, name: str, *, default: bool) -> bool:
    """Whether a switch is 1 and not 0. Raises BadRequest for anything else."""
    given = request.GET.get(name, "1" if default else "0")
    if given not in ("0", "1"):
        raise BadRequest(f"{name} must be 0 or 1; this request gave {shown(given)}.")
    return given == "1"


def one_of(request: HttpRequest, name: str, choices: tuple[str, ...]) -> str:
    """The word in `?name=`, the first of the choices unless it is given. Raises BadRequest for any other."""
    given = request.GET.get(name, choices[0])
    if given not in choices:
        raise BadRequest(f"{name} must be {' or '.join(sorted(choices))}; this request gave {shown(given)}.")
    return given


def whole_number(request: HttpRequest, name: str, *, default: int, maximum: int, minimum: int = 0) -> int:
    """The whole number of that name. Raises BadRequest, which becomes a 400, for anything out of bounds."""
    given = request.GET.get(name, str(default))
    try:
        number = int(given)
    except ValueError:
        number = minimum - 1
    if not minimum <= number <= maximum:
        raise BadRequest(
            f"{name} must be a whole number from {minimum} to {maximum}; this request gave {shown(given)}."
        )
    return number


def milliseconds(request: HttpRequest, *, default: int, maximum: int) -> float:
    """The number in `?ms=`. Raises BadRequest."""
    return number(request, "ms", default=default, maximum=maximum)


def share(request: HttpRequest, name: str) -> float:
    """The number from 0 to 1 in `?name=`, 0 unless it is given. Raises BadRequest."""
    return number(request, name, default=0, maximum=1)


def number(request: HttpRequest, name: str, *, default: int, maximum: int) -> float:
    """The number of that name, fractions allowed. Raises BadRequest, which becomes a 400, for anything out of
    bounds."""
    given = request.GET.get(name, str(default))
    try:
        value = float(given)
    except ValueError:
        value = math.nan  # like a nan that was asked for, it fails the comparison
    if not 0 <= value <= maximum:
        raise BadRequest(f"{name} must be a number from 0 to {maximum}; this request gave {shown(given)}.")
    return value


def shown(given: str) -> str:
    """A client's text made safe to print: quoted, escaped to printable ASCII, cut to a few characters."""
    ellipsis = "..." if len(given) > MAX_SHOWN_CHARACTERS else ""
    return ascii(given[:MAX_SHOWN_CHARACTERS]) + ellipsis


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django calls this for every 400; its own page would not say why."""
    return plain_text(str(exception), status=400)
