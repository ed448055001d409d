"""JupyterLab as a process that one interrupt ends, wherever it comes: `python -m requestlab.notebooks.lab_process`.

Without a terminal, JupyterLab leaves SIGINT to Python, which raises KeyboardInterrupt in whatever runs just then: in
the middle of the start or the end of a kernel, say, for which its cleaning up then waits. On SIGTERM it leaves its
event loop between two steps, so SIGINT is handed on as that. With a terminal, JupyterLab puts a handler of its own in
place of this one.
"""

from __future__ import annotations

import os
import signal


def _end(number: int, frame: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)  # also where it is ignored: in the background of a script

    from jupyterlab.labapp import main

    main()
