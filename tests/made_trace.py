"""What probes would have written down, made by hand: for tests of what is computed and drawn from it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from requestlab.measurement.run import Run
from requestlab.serving.configuration import Configuration
from requestlab.trace.trace import COLUMNS, Trace
from requestlab.worker.schema import KINDS
from tests.made_runs import MACHINE, MS, START, made as made_run


class Notes:
    """The rows that a worker writes; `thread` is that of its event loop, or of its only thread. Times in ms from the
    start."""

    def __init__(self, pid: int = 7, thread: int | None = None) -> None:
        self.pid, self.thread = pid, thread or pid
        self.rows: list[dict[str, Any]] = []

    def row(self, kind: str, begin: float, end: float | None = None, **cells: Any) -> int:
        """Write a row and return its id; without an end it has none."""
        number = len(self.rows) + 1
        times = {name: cells.pop(name) for name in ("running", "done") if name in cells}
        stamps = {"begin": begin, "end": end} | times
        ns = {name: 0 if ms is None else START + round(ms * MS) for name, ms in stamps.items()}
        given = {"pid": self.pid, "id": number, "kind": KINDS.index(kind), "thread": self.thread, "request": 1}
        self.rows.append(dict.fromkeys(COLUMNS, 0) | {"name": ""} | given | cells | ns)
        return number

    def tick(self, due: float, ran: float | None = None) -> int:
        """Write a tick of the heartbeat; one that never ran has no `ran`."""
        return self.row("tick", due, ran, request=0)

    def hop(
        self,
        name: str,
        begin: float,
        ran_on: int,
        request: int = 1,
        parent: int = 1,
        there: float = 0.1,
        ran: float = 0.2,
    ) -> int:
        """Write a crossing to a thread and back; `name` is its origin, a tab, and what ran there."""
        running, done = begin + there, begin + there + ran
        times = {"running": running, "done": done, "ran_on": ran_on}
        return self.row("to_thread", begin, done + there, request=request, parent=parent, name=name, **times)


def inside(*workers: Notes) -> Trace:
    """Return what the lab would read of these workers."""
    rows = [row for worker in workers for row in worker.rows]
    names = list(dict.fromkeys([row["name"] for row in rows] or [""]))
    cells = [[names.index(row["name"]) if cell == "name" else row[cell] for cell in COLUMNS] for row in rows]
    return Trace(np.array(cells, dtype=np.int64).reshape(-1, len(COLUMNS)), tuple(names))


def run_inside(configuration: Configuration, rows: list[dict[str, Any]], *workers: Notes, **about: Any) -> Run:
    """Return a run of these requests, times in ms from the start, with what the probe saw."""
    filled = []
    for row in rows:
        row = {"planned": 0, "pid": 7, "thread": 7, "on_loop": 0, "number": 1} | row
        row = {"sent": row["planned"], "done": row["planned"] + 10} | row
        row["first_byte"] = row["first_body"] = row["done"]
        times = ("planned", "sent", "first_byte", "first_body", "done")
        filled.append({name: START + round(value * MS) if name in times else value for name, value in row.items()})
    said = {
        "label": configuration.label,
        "configuration": configuration.replace(probe=True),
        "capacity": configuration.capacity,
        "machine": MACHINE,
        "pids": tuple(dict.fromkeys([worker.pid for worker in workers] or [7])),
    }
    return dataclasses.replace(made_run(filled, **said | about), trace=inside(*workers))


def mixed_request(notes: Notes, request: int = 1, at: float = 1.0, thread: int = 100) -> float:
    """Write a request that hops to a thread for a middleware, for its view and back, and return when it was through.

    It takes 4 ms: 0.5 on the loop before each hop and at the end; the middleware runs 0.3, the view 1.0; each wait is
    0.1.
    """
    whole = notes.row("request", at, at + 4, request=request, name="GET /", running=at + 3.8, done=at + 3.9)
    layer = notes.row("middleware", at + 0.2, at + 3.5, request=request, parent=whole, name="SessionMiddleware")
    notes.row("step", at, at + 0.5, request=request, parent=whole)
    notes.hop("middleware\tSessionMiddleware.process_request", at + 0.5, thread, request, layer, ran=0.3)
    notes.row("step", at + 1.0, at + 1.5, request=request, parent=whole)
    crossing = notes.hop("view\tview shop.views.page", at + 1.5, thread, request, layer, ran=1.0)
    notes.row("view", at + 1.6, at + 2.6, request=request, parent=crossing, name="shop.views.page", thread=thread)
    notes.row("step", at + 2.7, at + 4, request=request, parent=whole)
    return at + 4
