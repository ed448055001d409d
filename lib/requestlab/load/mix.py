"""What is asked: one path, or a mix of requests as visitors send them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from requestlab.errors import ConfigurationError
from requestlab.load.loads import check_headers
from requestlab.system import checks, wording

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

MAX_REQUESTS = 200
MAX_WEIGHT = 1_000
MAX_SHOWN = 3
ORDER = 1_000
"""After so many requests, at most, the order of a mix begins anew."""


@dataclass(frozen=True)
class Ask:
    """One request of a mix: where, how, with which headers and body, and how often compared with the others.

    >>> lab.mix(lab.ask("/news/", weight=3), "/about/").asks[0]
    """

    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    weight: int = 1

    def __str__(self) -> str:
        return self.path if self.method == "GET" else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Mix:
    """Several requests, which each client sends in an order that chance decided, each as often as its weight says.

    >>> lab.mix(lab.ask("/news/", weight=3), "/about/").order()
    """

    asks: tuple[Ask, ...]

    def __str__(self) -> str:
        if len(self.asks) == 1:
            return str(self.asks[0])
        shown = [str(ask) for ask in self.asks[:MAX_SHOWN]]
        more = len(self.asks) - MAX_SHOWN
        return f"mix of {wording.listed([*shown, *([f'{more} more'] if more > 0 else [])])}"

    @property
    def safe(self) -> bool:
        """Whether nothing in it changes data."""
        return all(ask.method in SAFE for ask in self.asks)

    def order(self, seed: int = 0) -> tuple[int, ...]:
        """Return which request comes when."""
        total = sum(ask.weight for ask in self.asks)
        times = [max(1, round(ask.weight * min(1.0, ORDER / total))) for ask in self.asks]
        order = [number for number, often in enumerate(times) for _ in range(often)]
        random.Random(seed).shuffle(order)
        return tuple(order)


def ask(
    path: str, method: str = "GET", *, headers: dict[str, str] | None = None, body: str = "", weight: int = 1
) -> Ask:
    """Return one request for a `mix`; raises ConfigurationError for values that cannot work.

    >>> lab.mix("/", lab.ask("/news/", method="HEAD", weight=3))
    """
    checks.text("ask(path)", path, "a path that begins with a slash, such as /news/", begins="/")
    return Ask(
        path,
        checks.one_of("ask(method)", method, METHODS),
        check_headers("ask(headers)", {} if headers is None else headers),
        checks.writable("ask(body)", body),
        checks.whole("ask(weight)", weight, 1, MAX_WEIGHT),
    )


def mix(*requests: str | Ask) -> Mix:
    """Return several requests as one load's path.

    >>> measure(server, mix("/", ask("/news/", weight=3)), closed(users=10))

    Raises ConfigurationError for what is neither a path nor an `ask()`.
    """
    if not 1 <= len(requests) <= MAX_REQUESTS:
        raise ConfigurationError(f"mix() takes 1 to {MAX_REQUESTS} requests, not {len(requests)}")
    return Mix(tuple(_asks(requests)))


def _asks(requests: Iterable[object]) -> Iterable[Ask]:
    for one in requests:
        if isinstance(one, Ask):
            yield one
        elif isinstance(one, str):
            yield ask(one)
        else:
            raise checks.wrong("mix", one, "paths, and requests of ask()")
