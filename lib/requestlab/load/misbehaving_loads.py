"""Clients that misbehave: frozen values. They go beside an ordinary load, the victims, whose times are what is judged."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from requestlab.errors import ConfigurationError
from requestlab.load.loads import Load, within
from requestlab.load.target import Target

MAX_CLIENTS = 1_000
MAX_BYTES = 10_000_000
MAX_HEAD_BYTES = 8_000
MAX_PER_S = 1e9
MAX_AFTER_MS = 600_000.0

HEAD_BYTES = 4_000
BODY_BYTES = 100_000


@dataclass(frozen=True)
class Misbehaving:
    """`clients` that misbehave in one `way`, each on a connection of its own, for as long as the slice lasts.

    The ways are those of `misbehaving.KINDS`. `size` is how many bytes a slow sender sends, `per_s` how many bytes a slow one sends or reads in a second, `after_ms` when
    one that disconnects does so.
    """

    way: str
    clients: int = 1
    size: int = 0
    per_s: float = 0.0
    after_ms: float = 0.0

    def request(self, at: Target) -> str:
        """Return what it asks, in latin-1, without a body."""
        if self.way == "slow body":
            return at.request(True, "POST", content_length=str(self.size))
        bare = at.request(True)
        if self.way == "slow head":
            return at.request(True, x_filler="." * max(0, self.size - len(bare) - len("x-filler: \r\n")))
        return bare

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


AnyLoad = Load | Misbehaving
"""What can be put on a server; only a `Load` is fit to be compared."""


def silent(clients: int = 1) -> Misbehaving:
    """Return clients that connect and send nothing (1 to 1,000)."""
    return Misbehaving("silent", _clients("silent", clients))


def slow_senders(clients: int, *, per_s: float, size: int | None = None, head: bool = False) -> Misbehaving:
    """Return clients that POST a body of `size` bytes (100,000; up to 10,000,000), `per_s` of them in a second.

    Who is answered begins another. With `head`, they GET with a head of `size` bytes (4,000; up to 8,000), and it is the head
    that comes so slowly.
    """
    most, usual = (MAX_HEAD_BYTES, HEAD_BYTES) if head else (MAX_BYTES, BODY_BYTES)
    number = _clients("slow_senders", clients)
    bytes_in_all = within("slow_senders(size", usual if size is None else size, most)
    return Misbehaving(
        "slow head" if head else "slow body", number, bytes_in_all, _number("slow_senders(per_s", per_s, MAX_PER_S)
    )


def slow_readers(clients: int, *, per_s: float) -> Misbehaving:
    """Return clients that ask, and read the answer at `per_s` bytes per second from its first byte on. Who has read it asks again.

    The system's buffer on their side is as small as it can be at that rate; the server's own side may still take in a megabyte
    or more, so only a larger answer shows anything.
    """
    return Misbehaving(
        "slow reader", _clients("slow_readers", clients), per_s=_number("slow_readers(per_s", per_s, MAX_PER_S)
    )


def idle(clients: int = 1) -> Misbehaving:
    """Return clients that ask once, and keep their connections without another word until the server closes them."""
    return Misbehaving("idle", _clients("idle", clients))


def disconnecting(clients: int = 1, *, after_ms: float) -> Misbehaving:
    """Return clients that ask, leave `after_ms` later (to the next hundredth of a second), answered or not, and come again."""
    number = _clients("disconnecting", clients)
    return Misbehaving("disconnecting", number, after_ms=_number("disconnecting(after_ms", after_ms, MAX_AFTER_MS))


def _clients(what: str, value: object) -> int:
    return within(f"{what}(clients", value, MAX_CLIENTS)


def _number(what: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= most:
        raise ConfigurationError(f"{what}={value!r}): expected a number above 0 and up to {most:,g}")
    return float(value)
