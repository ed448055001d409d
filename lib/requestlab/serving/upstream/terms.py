"""What a request may ask of the upstream, in its query: the bounds, and the sentence that names them.

ms       how long the answer takes: 0 to 10,000, fractions allowed; 50 for the API, 0 for the store unless said otherwise
spread   constant, or exponential: a mean of `ms`, at most ten times as long
seed     makes the same exponential delays again
fail     the share of answers that are a 503: 0.1 is every tenth, exactly
limit    how many are worked on at once; the others stand in line. 0: any number
refuse   1: those beyond the limit are refused with a 429 instead
name     tells one service from another that has the same terms; each counts its failures and its line by itself
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import parse_qsl

MAX_MS = 10_000
MAX_AT_ONCE = 10_000
MAX_SEED = 2**32
SPREADS = ("constant", "exponential")
NAMES = ("ms", "spread", "seed", "fail", "limit", "refuse", "name")
SHOWN = 40


class BadRequest(Exception):
    """A request that cannot be served as it is; the message is the answer, with a 400."""


@dataclass(frozen=True)
class Terms:
    """What a service promises."""

    ms: float
    spread: str = "constant"
    seed: int = 0
    fail: float = 0.0
    limit: int = 0
    refuse: bool = False


def terms_of(query: str, default_ms: float) -> Terms:
    """Return what a query asks for. Raises BadRequest for what is out of bounds, not known, or said twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    unknown = [name for name in given if name not in NAMES]
    if unknown or len(given) != len(pairs):
        what = f"{shown(unknown[0])} is not known" if unknown else "a parameter stands there twice"
        raise BadRequest(f"{what}; expected, once each: {', '.join(NAMES)}.")
    spread = given.get("spread", "constant")
    if spread not in SPREADS:
        raise BadRequest(f"spread must be one of {', '.join(SPREADS)}; this request gave {shown(spread)}.")
    return Terms(
        ms=_number(given, "ms", default_ms, MAX_MS),
        spread=spread,
        seed=_whole(given, "seed", MAX_SEED),
        fail=_number(given, "fail", 0.0, 1),
        limit=_whole(given, "limit", MAX_AT_ONCE),
        refuse=bool(_whole(given, "refuse", 1)),
    )


def shown(text: str) -> str:
    """Return a client's text safe to print."""
    return ascii(text[:SHOWN]) + ("..." if len(text) > SHOWN else "")


def _number(given: dict[str, str], name: str, default: float, most: float) -> float:
    try:
        value = float(given.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be a number from 0 to {most:g}; this request gave {shown(given[name])}.")
    return value


def _whole(given: dict[str, str], name: str, most: int) -> int:
    text = given.get(name, "0")
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be a whole number from 0 to {most}; this request gave {shown(text)}.")
    return value
