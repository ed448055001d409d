"""For `make coverage`: a load process is killed when it is no longer needed, and would take along what it has counted.
Here it is asked to end first. A plugin of pytest."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from requestlab.system.child import Child

PATIENCE_S = 5.0

_end = Child.end


def _end_with_its_counts(self: Child) -> None:
    if self._process.returncode is None:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.kill(self._process.pid, signal.SIGTERM)  # for which coverage writes down what it has
            self._process.wait(PATIENCE_S)
    _end(self)


Child.end = _end_with_its_counts  # type: ignore[method-assign]
