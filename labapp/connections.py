"""Which connections this worker has opened, counted as Django says so; and which thread runs a query on which of
them."""

import threading
import time
from typing import Any
from weakref import WeakSet

from django.db import connection as current
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

_lock = threading.Lock()
_taken = 0
_seen: set[int] = set()
_wrappers: WeakSet[BaseDatabaseWrapper] = WeakSet()


@receiver(connection_created)
def count(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Django calls this whenever a thread has got a connection: a new one, or one of a pool."""
    global _taken
    with _lock:
        _taken += 1
        connection.labapp_number = _taken
        _seen.add(number_of(connection))
        _wrappers.add(connection)
    if connection.vendor == "sqlite":
        connection.connection.create_function("sleep_ms", 1, sleep_ms)


def number_of(connection: BaseDatabaseWrapper) -> int:
    """What tells a connection from others: PostgreSQL's process for it, or on SQLite the how-manieth it is."""
    if connection.vendor == "postgresql":
        return connection.connection.info.backend_pid
    return connection.labapp_number


def here() -> tuple[int, int]:
    """This thread, by the system's number for it, and the connection that it uses."""
    return threading.get_native_id(), number_of(current)


def opened() -> dict[str, int]:
    """This worker's connections so far: `taken` by a thread, `opened` (less often, where a pool lends them), `held`
    now."""
    with _lock:
        held = sum(wrapper.connection is not None for wrapper in _wrappers)
        return {"taken": _taken, "opened": len(_seen), "held": held}


def sleep_ms(ms: float) -> int:
    """What SQLite lacks: a query that takes a known time."""
    time.sleep(ms / 1000)
    return 0
