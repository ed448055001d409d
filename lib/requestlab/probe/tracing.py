"""The probe as a whole: what is put in place before the application is loaded, and around it afterwards."""

from __future__ import annotations

from typing import Any

from requestlab.probe import crossings, django_spans, environment, served
from requestlab.probe.recorder import SPANS, TICKS, Recorder


class Probe:
    """Traces requests of one worker into files of the run's directory: that share of them, or as many as it can afford."""

    def __init__(self, directory: str, share: str) -> None:
        self._directory = directory
        self._spans = Recorder(directory, SPANS)
        if share == environment.WITHIN_BUDGET:
            self._numbers = served.Numbers(1.0, served.Budget(self._spans))
        else:
            self._numbers = served.Numbers(float(share))

    def prepare(self) -> None:
        """Put hooks into asgiref and Django; before the application is loaded."""
        crossings.record_crossings(self._spans)
        django_spans.record_django(self._spans)

    def wrap(self, application: Any, interface: str) -> Any:
        """Return the application with the probe around it."""
        if interface == "wsgi":
            return served.wrap_wsgi(application, self._numbers, self._spans)
        from requestlab.probe import heartbeat

        ticks = Recorder(self._directory, TICKS)
        return served.wrap_asgi(application, self._numbers, self._spans, lambda: heartbeat.start(ticks))
