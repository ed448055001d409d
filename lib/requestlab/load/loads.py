"""What the clients do: frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar, overload

from requestlab.errors import ConfigurationError

MAX_USERS = 5_000
MAX_EACH = 1_000_000
MAX_RATE = 20_000.0
MAX_STEPS = 30
ARRIVALS = ("constant", "poisson")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Closed:
    """A closed loop: each of `users` sends its next request as soon as the one before is answered.

    With `each`, every user sends that many requests and stops; without, it goes on until the time is over. Without
    `keep_alive`, each request asks the server to close, and the next one opens a connection of its own.
    """

    users: int
    each: int | None = None
    keep_alive: bool = True

    def __str__(self) -> str:
        users = f"{self.users} user{'s' if self.users != 1 else ''}"
        each = "" if self.each is None else f", {self.each} request{'s' if self.each != 1 else ''} each"
        return f"{users}{each}{_closing(self.keep_alive)}"


@dataclass(frozen=True)
class Open:
    """An open loop: requests are due at `rate` per second, whether or not those before are answered.

    `arrivals` are `constant`, one every 1/rate seconds, or `poisson`, at random as independent visitors come; `seed` makes
    the same times again.
    """

    rate: float
    arrivals: str = "constant"
    seed: int = 0
    keep_alive: bool = True

    def __str__(self) -> str:
        how = "" if self.arrivals == "constant" else f", {self.arrivals} arrivals"
        return f"{self.rate:,g} requests/s{how}{_closing(self.keep_alive)}"


@dataclass(frozen=True)
class Steps:
    """A ramp: one load after the other, each for the whole time of a slice."""

    loads: tuple[Closed | Open, ...]

    def __str__(self) -> str:
        return f"{self.loads[0]} to {self.loads[-1]} in {len(self.loads)} steps"


Load = Closed | Open
"""One load, which makes one run; `Steps` are several of them."""


@overload
def closed(users: int, *, each: int | None = None, keep_alive: bool = True) -> Closed: ...
@overload
def closed(users: Sequence[int], *, each: int | None = None, keep_alive: bool = True) -> Steps: ...
def closed(users: int | Sequence[int], *, each: int | None = None, keep_alive: bool = True) -> Closed | Steps:
    """Return a closed loop of `users` clients (1 to 5,000), with at most `each` requests from each of them.

    Each user has a connection of its own, kept alive unless told otherwise. A list of users makes a ramp.
    Raises ConfigurationError for numbers out of bounds.
    """
    if _several(users):
        loads = (closed(number, each=each, keep_alive=keep_alive) for number in _steps("closed(users", users))
        return Steps(tuple(loads))
    _truth("closed(keep_alive", keep_alive)
    most = None if each is None else within("closed(each", each, MAX_EACH)
    return Closed(within("closed(users", users, MAX_USERS), most, keep_alive)


@overload
def open(rate: float, *, arrivals: str = "constant", seed: int = 0, keep_alive: bool = True) -> Open: ...
@overload
def open(rate: Sequence[float], *, arrivals: str = "constant", seed: int = 0, keep_alive: bool = True) -> Steps: ...
def open(
    rate: float | Sequence[float], *, arrivals: str = "constant", seed: int = 0, keep_alive: bool = True
) -> Open | Steps:
    """Return an open loop of `rate` requests per second (above 0, up to 20,000), `constant` or `poisson`.

    A request that is due takes a connection that is free, or a new one. A list of rates makes a ramp. Raises
    ConfigurationError for values that cannot work.
    """
    if _several(rate):
        loads = (open(r, arrivals=arrivals, seed=seed, keep_alive=keep_alive) for r in _steps("open(rate", rate))
        return Steps(tuple(loads))
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 < float(rate) <= MAX_RATE:
        raise ConfigurationError(f"open(rate={rate!r}): expected requests per second, above 0 and up to {MAX_RATE:,g}")
    if arrivals not in ARRIVALS:
        raise ConfigurationError(f"open(arrivals={arrivals!r}): expected one of: {', '.join(ARRIVALS)}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ConfigurationError(f"open(seed={seed!r}): expected a whole number")
    _truth("open(keep_alive", keep_alive)
    return Open(float(rate), arrivals, seed, keep_alive)


def _closing(keep_alive: bool) -> str:
    return "" if keep_alive else ", a new connection for each request"


def _several(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) == 1


def _steps(what: str, values: Iterable[_T]) -> Sequence[_T]:
    values = list(values)
    if not 1 <= len(values) <= MAX_STEPS:
        raise ConfigurationError(f"{what}={values!r}): expected a list of 1 to {MAX_STEPS} steps")
    return values


def within(what: str, value: object, most: int) -> int:
    """Return a whole number from 1 to `most`, or raise ConfigurationError; `what` begins its message, up to the number."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= int(value) <= most:
        raise ConfigurationError(f"{what}={value!r}): expected a whole number from 1 to {most}")
    return int(value)


def _truth(what: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{what}={value!r}): expected True or False")
