"""The probe as a whole: what is put in place before the application is loaded, and around it afterwards."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import Any

from requestlab.worker import asgiref_hooks, django_hooks, environment, wrappers
from requestlab.worker.heartbeat import Heartbeat
from requestlab.worker.recorder import SPANS, TICKS, Recorder
from requestlab.worker.watchdog import Watchdog

_beating: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Heartbeat] = weakref.WeakKeyDictionary()


class Probe:
    """Traces requests of one worker into files of the run's directory: that share of them, or as many as it can
    afford."""

    def __init__(self, directory: str, share: str) -> None:
        self._directory = directory
        self._spans = Recorder(directory, SPANS)
        if share == environment.WITHIN_BUDGET:
            self._numbers = wrappers.Numbers(1.0, wrappers.Budget(self._spans))
        else:
            self._numbers = wrappers.Numbers(float(share))

    def prepare(self) -> None:
        """Put hooks into asgiref and Django; before the application is loaded."""
        asgiref_hooks.record_crossings(self._spans)
        django_hooks.record_django(self._spans)

    def wrap(self, application: Any, interface: str) -> Any:
        """Return the application with the probe around it."""
        if interface == "wsgi":
            return wrappers.wrap_wsgi(application, self._numbers, self._spans)
        ticks = Recorder(self._directory, TICKS)
        return wrappers.wrap_asgi(application, self._numbers, self._spans, lambda: start(ticks))


def start(recorder: Recorder) -> None:
    """Have the running event loop beat, and a watchdog look after it; nothing happens where it does already.

    Resources: one thread, three timers and three file descriptors, given back when the loop is closed. The loop may be
    stopped, run again and closed at any time. A forked child does not write.
    """
    loop = asyncio.get_running_loop()
    if loop in _beating:
        return
    if not _beating:
        os.register_at_fork(after_in_child=_fall_silent)
    _beating[loop] = heartbeat = Heartbeat(loop, recorder)
    Watchdog(heartbeat, recorder).start()


def _fall_silent() -> None:
    for heartbeat in list(_beating.values()):
        heartbeat.silent = True
