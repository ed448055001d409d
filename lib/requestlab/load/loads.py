"""What the clients do: frozen values, and the functions that make them.

What is measured are loads in a closed or an open loop. Clients that misbehave go beside such a load.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeGuard, TypeVar, Unpack, overload

from requestlab.errors import ConfigurationError
from requestlab.system import checks, wording

MAX_USERS = 5_000
MAX_EACH = 1_000_000
MAX_RATE = 20_000.0
MAX_STEPS = 30
ARRIVALS = ("constant", "poisson")

MAX_PAUSE_MS = 600_000.0
MAX_DELAY_MS = 5_000.0

OWN_HEADERS = ("connection", "content-length", "transfer-encoding")
SECRET_HEADERS = re.compile("auth|cookie|key|pass|secret|token", re.IGNORECASE)
"""What is in the names of headers that no caption tells."""

MAX_CLIENTS = 1_000
MAX_BYTES = 10_000_000
MAX_HEAD_BYTES = 8_000
MAX_PER_S = 1e9
MAX_AFTER_MS = 600_000.0

HEAD_BYTES = 4_000
BODY_BYTES = 100_000

_T = TypeVar("_T")


@dataclass(frozen=True)
class Closed:
    """A closed loop: each of `users` sends its next request as soon as the one before is answered, or `pause_ms` later.

    With `each`, every user stops after that many requests. The rest is as in `Clients`.
    """

    users: int
    each: int | None = None
    keep_alive: bool = True
    pause_ms: float = 0.0
    delay_ms: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        each = "" if self.each is None else f", {wording.counted(self.each, 'request')} each"
        pause = f", {self.pause_ms:g} ms apart" if self.pause_ms else ""
        return f"{wording.counted(self.users, 'user')}{each}{pause}{_clients_words(self)}"


@dataclass(frozen=True)
class Open:
    """An open loop: requests are due at `rate` per second, whether or not those before are answered.

    `arrivals` are `constant`, one every 1/rate seconds, or `poisson`, as independent visitors come; `seed` makes the
    same times again.
    """

    rate: float
    arrivals: str = "constant"
    seed: int = 0
    keep_alive: bool = True
    delay_ms: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        how = "" if self.arrivals == "constant" else f", {self.arrivals} arrivals"
        return f"{self.rate:,g} requests/s{how}{_clients_words(self)}"


@dataclass(frozen=True)
class Steps:
    """A ramp: one load after the other, each for the whole time of a slice."""

    loads: tuple[Closed | Open, ...]

    def __str__(self) -> str:
        return f"{self.loads[0]} to {self.loads[-1]} in {len(self.loads)} steps"


@dataclass(frozen=True)
class Misbehaving:
    """`clients` that misbehave in one `way` of `requestlab.load.misbehaving.KINDS`, each on a connection of its own.

    `size` is how many bytes a slow sender sends, `per_s` how many bytes a slow one sends or reads in a second,
    `after_ms` when one that disconnects does so.
    """

    way: str
    clients: int = 1
    size: int = 0
    per_s: float = 0.0
    after_ms: float = 0.0

    def __str__(self) -> str:
        slowly = f"at {self.per_s:,g} bytes/s"
        what = {
            "silent": "silent client{s}",
            "slow head": f"sender{{s}} of {self.size:,} bytes of head {slowly}",
            "slow body": f"slow sender{{s}} of {self.size:,} bytes {slowly}",
            "slow reader": f"slow reader{{s}} {slowly}",
            "idle": "idle client{s}",
            "disconnecting": f"client{{s}} leaving after {self.after_ms:,g} ms",
        }
        return f"{self.clients:,} {what[self.way].format(s='' if self.clients == 1 else 's')}"


Load = Closed | Open
"""One load, which makes one run; `Steps` are several of them."""

AnyLoad = Load | Misbehaving
"""What can be put on a server; only a `Load` is fit to be compared."""


class Clients(TypedDict, total=False):
    """What the clients of both loops are told: whether to keep their connections (True), how far away they are (0 ms;
    see `requestlab.load.delay`), and which headers they send besides their own, or instead of them."""

    keep_alive: bool
    delay_ms: float
    headers: Mapping[str, str]


@overload
def closed(users: int, *, each: int | None = None, pause_ms: float = 0.0, **clients: Unpack[Clients]) -> Closed: ...
@overload
def closed(
    users: Sequence[int], *, each: int | None = None, pause_ms: float = 0.0, **clients: Unpack[Clients]
) -> Steps: ...
def closed(
    users: int | Sequence[int], *, each: int | None = None, pause_ms: float = 0.0, **clients: Unpack[Clients]
) -> Closed | Steps:
    """Return a closed loop of `users` clients (1 to 5,000), with at most `each` requests from each of them.

    Each user has a connection of its own, which waits idle for `pause_ms` between an answer and the next request. A
    list of users makes a ramp. `clients`: `keep_alive=False` opens a connection for each request; `delay_ms` puts so
    many ms between client and server, each way; `headers` are sent with each request, such as `{"Accept-Encoding":
    "gzip"}` or `{"Host": "example.org"}`.

    Raises ConfigurationError for numbers out of bounds.

    >>> lab.measure(server, "/sync/page/", lab.closed(users=10, each=20))
    """
    if _several(users):
        steps = _steps("closed(users)", users)
        loads = (closed(number, each=each, pause_ms=pause_ms, **clients) for number in steps)
        return Steps(tuple(loads))
    return Closed(
        checks.whole("closed(users)", users, 1, MAX_USERS),
        None if each is None else checks.whole("closed(each)", each, 1, MAX_EACH, also="or None"),
        pause_ms=checks.number("closed(pause_ms)", pause_ms, 0, MAX_PAUSE_MS),
        **_checked("closed", clients),
    )


@overload
def open(rate: float, *, arrivals: str = "constant", seed: int = 0, **clients: Unpack[Clients]) -> Open: ...
@overload
def open(rate: Sequence[float], *, arrivals: str = "constant", seed: int = 0, **clients: Unpack[Clients]) -> Steps: ...
def open(
    rate: float | Sequence[float], *, arrivals: str = "constant", seed: int = 0, **clients: Unpack[Clients]
) -> Open | Steps:
    """Return an open loop of `rate` requests per second (above 0, up to 20,000), `constant` or `poisson`.

    A request that is due takes a connection that is free, or a new one. A list of rates makes a ramp. `clients` as in
    `closed`. Raises ConfigurationError for values that cannot work.

    >>> lab.measure(server, "/sync/page/", lab.open(rate=100, arrivals="poisson"), seconds=2)
    """
    if _several(rate):
        steps = _steps("open(rate)", rate)
        loads = (open(one, arrivals=arrivals, seed=seed, **clients) for one in steps)
        return Steps(tuple(loads))
    return Open(
        checks.number("open(rate)", rate, most=MAX_RATE, above=0, kind="requests per second"),
        checks.one_of("open(arrivals)", arrivals, ARRIVALS),
        checks.whole("open(seed)", seed),
        **_checked("open", clients),
    )


def _checked(what: str, clients: Clients) -> Any:
    checks.known_names(f"{what}()", clients, list(Clients.__annotations__), "argument")
    return {
        "keep_alive": checks.truth(f"{what}(keep_alive)", clients.get("keep_alive", True)),
        "delay_ms": checks.number(f"{what}(delay_ms)", clients.get("delay_ms", 0.0), 0, MAX_DELAY_MS),
        "headers": check_headers(f"{what}(headers)", clients.get("headers", {})),
    }


def check_headers(what: str, headers: object) -> tuple[tuple[str, str], ...]:
    """Return headers as pairs; raise ConfigurationError for what cannot be sent as such."""
    if not isinstance(headers, Mapping) or not all(_is_header(*pair) for pair in headers.items()):
        raise checks.wrong(what, headers, 'a mapping such as {"Accept-Encoding": "gzip"}')
    if own := [name for name in headers if name.lower() in OWN_HEADERS]:
        raise ConfigurationError(f"{what}: {own[0]} is said by keep_alive, or by the body")
    return tuple(headers.items())


def _is_header(name: object, value: object) -> bool:
    """Return whether it can be sent as a header: a token and a line of visible characters (RFC 9110, 5.1 and 5.5)."""
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and bool(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name))
        and bool(re.fullmatch(r"[\x20-\x7e\xa0-\xff]*", value))
    )


def silent(clients: int = 1) -> Misbehaving:
    """Return clients that connect and send nothing (1 to 1,000).

    >>> lab.measure(server, "/sync/page/", lab.open(rate=20), beside={"/": lab.silent(50)})
    """
    return Misbehaving("silent", _clients("silent", clients))


def slow_senders(clients: int, *, per_s: float, size: int | None = None, head: bool = False) -> Misbehaving:
    """Return clients that POST a body of `size` bytes (100,000; up to 10,000,000), `per_s` of them in a second, again
    and again.

    With `head`, they GET with a head of `size` bytes (4,000; up to 8,000), and it is the head that comes so slowly.

    >>> lab.measure(server, "/sync/page/", lab.open(rate=20),
    ...     beside={"/sync/page/": lab.slow_senders(5, per_s=20_000)})
    """
    checks.truth("slow_senders(head)", head)
    most, usual = (MAX_HEAD_BYTES, HEAD_BYTES) if head else (MAX_BYTES, BODY_BYTES)
    return Misbehaving(
        "slow head" if head else "slow body",
        _clients("slow_senders", clients),
        checks.whole("slow_senders(size)", usual if size is None else size, 1, most),
        checks.number("slow_senders(per_s)", per_s, most=MAX_PER_S, above=0),
    )


def slow_readers(clients: int, *, per_s: float) -> Misbehaving:
    """Return clients that ask, and read the answer at `per_s` bytes per second from its first byte on; then they ask
    again.

    Their own buffer is as small as it can be; the server's may take a megabyte or more, so only a larger answer shows
    anything.

    >>> lab.measure(server, "/sync/page/", lab.open(rate=20),
    ...     beside={"/sync/page/?books=500": lab.slow_readers(5, per_s=20_000)})
    """
    per_s = checks.number("slow_readers(per_s)", per_s, most=MAX_PER_S, above=0)
    return Misbehaving("slow reader", _clients("slow_readers", clients), per_s=per_s)


def idle(clients: int = 1) -> Misbehaving:
    """Return clients that ask once, and keep their connections without another word until the server closes them.

    >>> lab.measure(server, "/sync/page/", lab.open(rate=20), beside={"/sync/page/": lab.idle(50)})
    """
    return Misbehaving("idle", _clients("idle", clients))


def disconnecting(clients: int = 1, *, after_ms: float) -> Misbehaving:
    """Return clients that ask, leave `after_ms` later (to the next hundredth of a second), answered or not, and come
    again.

    >>> lab.measure(server, "/sync/page/", lab.open(rate=20),
    ...     beside={"/sync/wait/?ms=500": lab.disconnecting(5, after_ms=50)})
    """
    after_ms = checks.number("disconnecting(after_ms)", after_ms, most=MAX_AFTER_MS, above=0)
    return Misbehaving("disconnecting", _clients("disconnecting", clients), after_ms=after_ms)


def _clients(what: str, value: object) -> int:
    return checks.whole(f"{what}(clients)", value, 1, MAX_CLIENTS)


def _several(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) == 1


def _steps(what: str, values: Iterable[_T]) -> Sequence[_T]:
    steps = list(itertools.islice(values, MAX_STEPS + 1))  # there may be no end to them
    if not 1 <= len(steps) <= MAX_STEPS or any(map(_several, steps)):
        raise checks.wrong(what, values, f"a list of 1 to {MAX_STEPS} steps")
    return steps


def _clients_words(load: Closed | Open) -> str:
    headers = ", ".join(f"{name}: {'***' if SECRET_HEADERS.search(name) else value}" for name, value in load.headers)
    said = [
        "" if load.keep_alive else "a new connection for each request",
        f"{load.delay_ms:g} ms away" if load.delay_ms else "",
        f"with {headers}" if headers else "",
    ]
    return "".join(f", {words}" for words in said if words)
