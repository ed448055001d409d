"""What the lab asks of the system: by Linux's own calls there, and by what every Unix has elsewhere.

`REQUESTLAB_PORTABLE=1` takes the second way on Linux, too: to try it where it can be tried.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from requestlab.worker import environment

PORTABLE = sys.platform != "linux" or bool(os.environ.get(environment.PORTABLE))

if TYPE_CHECKING or not PORTABLE:
    from requestlab.worker import linux as _way
else:
    from requestlab.worker import portable as _way

SIGNAL = _way.SIGNAL
Alarm = _way.Alarm
Bell = _way.Bell
SignalTimer = _way.SignalTimer
State = _way.State
Waiting = _way.Waiting
adopt_orphans = _way.adopt_orphans
die_with_parent = _way.die_with_parent
name_thread = _way.name_thread
open_as_many_files_as_may_be = _way.open_as_many_files_as_may_be
run_on = _way.run_on
thread_cpu_ns = _way.thread_cpu_ns
usable_cores = _way.usable_cores

UNSEEN = (
    (
        "which cores server and load ran on",
        "what waited for a core",
        "what other machines on the host (steal) and limits took",
        "which thread held the GIL",
    )
    if PORTABLE
    else ()
)
"""What nobody can see in this way."""
