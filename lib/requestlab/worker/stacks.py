"""All stacks of a worker, written down when the lab asks by a signal: without the GIL, whoever holds it.

That walks frames which may be changing, so it is asked once, and only of a worker that has answered nothing for long.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path

SIGNAL = signal.SIGUSR2
_FILE = "stacks-"


def be_ready(directory: str) -> None:
    """Have this worker write its stacks into a file of the run's directory at the signal; not where it uses that
    itself.

    Resources: one file descriptor, for as long as the worker lives.
    """
    if signal.getsignal(SIGNAL) == signal.SIG_DFL:
        file = os.open(Path(directory, f"{_FILE}{os.getpid()}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        faulthandler.register(SIGNAL, file=file, all_threads=True)


def ask(directory: str, pid: int) -> None:
    """Ask a worker for its stacks, if it is ready for that: any other the signal would end."""
    if Path(directory, f"{_FILE}{pid}").exists():
        try:
            os.kill(pid, SIGNAL)
        except OSError:  # it has ended
            return


def written(directory: str) -> dict[int, str]:
    """Return what workers have written, by pid."""
    texts = {int(path.name.removeprefix(_FILE)): path.read_text() for path in Path(directory).glob(f"{_FILE}*")}
    return {pid: text for pid, text in texts.items() if text}
