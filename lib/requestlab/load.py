"""What the clients do: frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from requestlab.errors import ConfigurationError

MOST_USERS = 5_000
MOST_EACH = 1_000_000


@dataclass(frozen=True)
class Closed:
    """A closed loop: each of `users` sends its next request as soon as the one before is answered.

    With `each`, every user sends that many requests and stops; without, it goes on until the time is over.
    """

    users: int
    each: int | None = None

    def __str__(self) -> str:
        users = f"{self.users} user{'s' if self.users != 1 else ''}"
        return users if self.each is None else f"{users}, {self.each} request{'s' if self.each != 1 else ''} each"


def closed(users: int, *, each: int | None = None) -> Closed:
    """Return a closed loop of `users` clients (1 to 5,000), with at most `each` requests from each of them.

    Each user has a connection of its own. Raises ConfigurationError for numbers out of bounds.
    """
    _within("users", users, MOST_USERS)
    if each is not None:
        _within("each", each, MOST_EACH)
    return Closed(users, each)


def _within(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"closed({name}={value!r}): expected a whole number from 1 to {most}")
