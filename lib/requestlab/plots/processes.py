"""Figure: what a server's worker processes hold over time: memory, threads, files, connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from requestlab.errors import ConfigurationError
from requestlab.load.watch import LOOKING_S
from requestlab.plots import inputs, marks, style
from requestlab.plots.inputs import Contender, Runs
from requestlab.plots.marks import Curve
from requestlab.plots.sheet import AXIS_IN, Line, Picture, Sheet
from requestlab.system import wording
from requestlab.trace.activity import Floats

MAX_RUNS = 6
HELD = {
    "resident": "MB of memory",
    "threads": "threads",
    "files": "open files",
    "sockets": "sockets",
    "databases": "connections\nto the database",
}
_LEFT_IN, _MEMORY_IN, _OTHERS_IN, _BETWEEN_IN = 0.95, 1.7, 0.8, 0.2
_LITTLE_MB = 2.0
_READ = (
    f"Each line is one worker process, looked at every {LOOKING_S:g} s: what comes and goes in between is not seen. A panel that "
    "would be flat at 0 is left out. Memory is what is resident: what workers share with each other counts in each."
)


@dataclass(frozen=True, eq=False)
class Held:
    """What one worker held: at which seconds it was looked at, and what was read then, by column."""

    contender: Contender
    seconds: Floats
    columns: dict[str, Floats]


@style.applied()
def processes(*runs: Runs) -> Picture:
    """Draw the memory, threads, open files, sockets and database connections of each worker of each run, over time.

    >>> lab.plots.processes({"sync": one, "asgi": other})

    Takes up to six runs, or one mapping of labels to runs, of servers whose processes are known, else
    ConfigurationError. See `Run.processes` for the units.
    """
    contenders = inputs.gather(runs, "processes", MAX_RUNS)
    workers = {contender.label: list(_workers(contender)) for contender in contenders}
    drawn = [worker for one in workers.values() for worker in one]
    shown = [what for what in HELD if what == "resident" or any(one.columns[what].max() > 0 for one in drawn)]

    page = Sheet(finding(workers))
    ranked = sorted(contenders, key=lambda one: -workers[one.label][0].columns["resident"][-1])
    named = [_named(contender, workers[contender.label]) for contender in ranked]
    for what in shown:
        last = what == shown[-1]
        below_in = AXIS_IN if last else _BETWEEN_IN
        if what == "resident":
            axes = marks.named_panel(page, _MEMORY_IN, named, _LEFT_IN, below_in)
        else:
            axes = page.panel(_OTHERS_IN, _LEFT_IN, marks.RIGHT_IN, below_in=below_in)
        _draw(axes, what, drawn, last)
    page.explain(_READ)
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def _workers(contender: Contender) -> Iterator[Held]:
    table = contender.run.processes
    if not len(table):
        raise ConfigurationError(f"processes(): the processes of {contender.label} were not seen")
    start = contender.run.about.start
    for _, seen in table.groupby("pid"):
        columns = {what: _read(seen[what]) for what in HELD}
        yield Held(contender, (seen["time"].to_numpy(np.float64) - start) / 1e9, columns)


def _read(column: pd.Series) -> Floats:
    """Return what was read, and between two readings the last one: not all is read as often."""
    values = column.astype(np.float64)
    return np.asarray(values.where(values >= 0).ffill().bfill().fillna(0.0), dtype=np.float64)


def finding(workers: dict[str, list[Held]]) -> str:
    """Say from which to which memory a worker came, from the first look to the last: of the run in which that changed
    most."""
    ends = [
        [float(np.mean([worker.columns["resident"][at] for worker in one])) for at in (0, -1)]
        for one in workers.values()
    ]
    (first, last), one = max(zip(ends, workers.values(), strict=True), key=lambda pair: pair[0][1] - pair[0][0])
    most = "most " * (len(workers) > 1)
    if last - first < _LITTLE_MB:
        return f"No worker's memory grew by more than {_LITTLE_MB:g} MB"
    return f"A worker's memory grew {most}{one[0].contender.under}, from {first:.0f} to {last:.0f} MB"


def _named(contender: Contender, workers: list[Held]) -> Curve:
    said = [f"{wording.counted(len(workers), 'worker')}, at most"]
    for what, unit in (("threads", "thread"), ("databases", "database connection")):
        most = int(max(worker.columns[what].max() for worker in workers))
        if most:
            said.append(wording.counted(most, unit))
    block: list[Line] = contender.block(
        marks.NAMES_IN, [f"{said[0]} {wording.listed(said[1:])}" if said[1:] else said[0]]
    )
    last = workers[0]
    return Curve(block, contender.look.colour, lambda height: (last.seconds[-1], last.columns["resident"][-1]))


def _draw(axes: Axes, what: str, workers: list[Held], labelled: bool) -> None:
    highest = max(float(one.columns[what].max()) for one in workers)
    for worker in workers:
        look = worker.contender.look
        axes.plot(worker.seconds, worker.columns[what], color=look.colour, linestyle=look.line, drawstyle="steps-post")
    axes.set_ylim(0, 1.15 * highest)
    axes.set_ylabel(HELD[what])
    marks.number(axes.yaxis, 4)
    axes.grid(axis="y", linewidth=0.6, color=style.PALE)
    if labelled:
        axes.set_xlabel("seconds since the measured stretch began", labelpad=3)
    else:
        axes.tick_params(labelbottom=False)
