"""JupyterLab as a process that one interrupt ends, wherever it comes: `python -m requestlab.notebooks.lab_process`.

Without a terminal, JupyterLab leaves SIGINT to Python, which raises KeyboardInterrupt in whatever runs just then: in
the middle of the start or the end of a kernel, say, for which its cleaning up then waits. On SIGTERM it leaves its
event loop between two steps, so SIGINT is handed on as that. With a terminal, JupyterLab puts a handler of its own in
place of this one.

It then leaves the loop whatever requests are under way. The threads that read files for them (anyio's) are never told
that their request is over, and Python waits for these threads, without end. So such requests are cancelled, as
`asyncio.run` would.
"""

from __future__ import annotations

import asyncio
import os
import signal

AT_MOST_S = 3.0


async def cancel_others() -> None:
    """Cancel all else that is under way on this event loop, and wait until it has ended."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=AT_MOST_S)
    await asyncio.sleep(0)  # what is to be called when a task is done is called a step later


def _end(number: int, frame: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _end)  # also where it is ignored: in the background of a script

    from jupyterlab.labapp import main
    from tornado.ioloop import IOLoop

    main()
    IOLoop.current().run_sync(cancel_others)
