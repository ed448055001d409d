"""What the view fetch has in common in both twins: what is asked for, and what is answered."""

from collections import Counter
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from labapp.parameters import is_on, milliseconds, one_of, share, whole_number
from labapp.responses import plain_text
from labapp.upstream import CLIENTS

CALLS_DEFAULT = 1
CALLS_MAX = 100
DELAY_DEFAULT_MS = 50
DELAY_MAX_MS = 2_000


class Fetch(NamedTuple):
    n: int
    together: bool
    client: str
    path: str


def fetch_of(request: HttpRequest) -> Fetch:
    """What a request asks for: `n` calls, each of `ms`, of which the share `fail` is to fail, `together` or not, by
    which `client`. Raises BadRequest."""
    ms = milliseconds(request, default=DELAY_DEFAULT_MS, maximum=DELAY_MAX_MS)
    return Fetch(
        n=whole_number(request, "n", default=CALLS_DEFAULT, maximum=CALLS_MAX),
        together=is_on(request, "together", default=False),
        client=one_of(request, "client", CLIENTS),
        path="/api/?" + urlencode({"ms": f"{ms:g}", "fail": f"{share(request, 'fail'):g}"}),
    )


def fetched(statuses: list[int]) -> HttpResponse:
    """Say how many calls succeeded; with a 502 where some did not. A status of 0: no answer at all."""
    failed = Counter(status or "no answer" for status in statuses if status != 200)
    sentence = f"Fetched {len(statuses) - failed.total()} of {len(statuses)}."
    if not failed:
        return plain_text(sentence)
    whys = ", ".join(f"{count} × {why}" for why, count in sorted(failed.items(), key=str))
    return plain_text(f"{sentence} Failed: {whys}.", status=502)
