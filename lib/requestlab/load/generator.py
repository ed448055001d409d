"""The load process: a plan comes in, raw samples go out. Run as `python -m requestlab.load.generator`.

It is a process of its own, on a core of its own where there is one, so that nothing the notebook does shows up as
latency. Each line of JSON on its standard input is a `Plan`. It answers with its `LoadReport` as one line of JSON, and
then the table of samples, row by row, as int64. The end of its input ends it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import select
import sys
from typing import Any

import uvloop

from requestlab.load.closed_loop import ClosedLoop
from requestlab.load.loop import LoadLoop
from requestlab.load.misbehaving import MisbehavingLoop
from requestlab.load.open_loop import OpenLoop
from requestlab.load.plan import COLUMNS, OUTCOME, PART_COLUMNS, ROWS, LoadReport, Plan
from requestlab.system.values import to_plain
from requestlab.worker import kernel

LOOK_AGAIN_MS = 20


def drive(plan: Plan, loop: asyncio.AbstractEventLoop) -> LoadLoop:
    """Return what carries out the plan."""
    if plan.client == "httpx":
        from requestlab.load.httpx_loop import HttpxLoop  # only here: httpx takes long to import

        return HttpxLoop(plan, loop)
    if plan.misbehaving:
        return MisbehavingLoop(plan, loop)
    return ClosedLoop(plan, loop) if plan.rate is None else OpenLoop(plan, loop)


_answers = 1
"""The pipe to the lab: in a process of its own, what was the standard output."""


def _give_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    print(context.get("message"), repr(context.get("exception")), file=sys.stderr, flush=True)
    os._exit(1)


def main() -> None:
    """Read plans, carry them out one after another, write the samples of each."""
    global _answers
    kernel.die_with_parent()
    _answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anything prints is no answer
    kernel.open_as_many_files_as_may_be()
    gc.disable()  # a pause of the collector would show as latency; the hot path makes no cycles
    usable = kernel.usable_cores()
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_give_up)  # a defect must not pass for a slow server
    while line := sys.stdin.buffer.readline():
        plan = Plan.from_json(line)
        kernel.run_on(usable if plan.core is None else {plan.core})
        _write(run_job(plan, loop))
        loop.run_until_complete(asyncio.sleep(0))  # connections that were closed give back their sockets
        gc.collect()


def run_job(plan: Plan, loop: asyncio.AbstractEventLoop) -> LoadLoop:
    """Put the load of the plan on the server, and return what was recorded."""
    loop.add_reader(sys.stdin.fileno(), os._exit, 1)  # nothing more is sent meanwhile: what arrives is the end
    load = drive(plan, loop)
    if plan.spill_s:
        loop.call_later(plan.spill_s, _spill, load, 0)
    loop.run_until_complete(load.run())
    loop.remove_reader(sys.stdin.fileno())
    os.set_blocking(sys.stdin.fileno(), True)  # libuv has changed that
    return load


def _write(load: LoadLoop) -> None:
    rows, parts = len(load.rows) // len(COLUMNS), len(load.parts) // len(PART_COLUMNS)
    report = LoadReport(tuple(load.marks), load.started, load.held_back, rows, parts, tuple(load.quiet))
    _put(OUTCOME + json.dumps(to_plain(report)).encode() + b"\n" + load.rows.tobytes() + load.parts.tobytes())


def _spill(load: LoadLoop, sent: int) -> None:
    """Send the rows that came since the last time, and again later; the first `sent` numbers are there already."""
    if load.finished.done():
        return
    data = load.rows[sent:].tobytes()
    if data:
        _put(ROWS + len(data).to_bytes(8, "little") + data)
    load.loop.call_later(load.plan.spill_s, _spill, load, len(load.rows))


def _put(data: bytes) -> None:
    """Write all of it to what was the standard output, and look again and again whether there is room.

    A plain write of megabytes was seen to sleep on a pipe that had long been emptied (Linux 6.18, with strace), while
    its reader waited for the rest.
    """
    os.set_blocking(_answers, False)
    room = select.poll()
    room.register(_answers, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(_answers, rest) :]
        except BlockingIOError:
            room.poll(LOOK_AGAIN_MS)


if __name__ == "__main__":
    main()
