"""What happened inside the workers while a load ran: spans, crossings, ticks of the event loop's heartbeat, stacks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from requestlab.worker.schema import KINDS, ROW_COLUMNS

COLUMNS = ("pid", *ROW_COLUMNS)
_SPANS = ("request", "middleware", "view", "step", "to_thread", "to_loop")
CROSSINGS = ("to_thread", "to_loop")
"""Kinds of spans that lead from the event loop to a thread, or back."""
ORIGINS = ("signal", "middleware", "view", "close", "other")
"""Where a crossing came from: a signal of Django's, a layer of middleware, the view, the response's close, other code."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What the probes of all workers wrote down.

    `rows` is raw, int64, shape (rows, 13): pid, then `worker.schema.ROW_COLUMNS`; `names` what their column `name` points into, one
    text each, for a crossing its origin, a tab, and what runs on the other side. `lost` counts rows that were overwritten by
    later ones before the lab read them.
    """

    rows: np.ndarray[Any, np.dtype[np.int64]]
    names: tuple[str, ...]
    lost: int = 0

    @cached_property
    def spans(self) -> pd.DataFrame:
        """One row a span, in the order of beginning: `pid`, `id`, `request`, `parent`, `kind`, `name`, `origin` (of a crossing,
        else empty), `thread`, `ran_on`, `begin`, `running`, `done`, `end` (ns; 0: it did not come to that), `bytes` (of a
        request).

        See `worker.schema.ROW_COLUMNS` for what they mean for each kind.
        """
        table = self._table(_SPANS).rename(columns={"value": "bytes"})
        crossing = table["kind"].isin(CROSSINGS)  # a tab in another name is one in a request's path
        parts = [
            name.rpartition("\t") if split else ("", "", name)
            for name, split in zip(table["name"], crossing, strict=True)
        ]
        table["origin"] = pd.Series([origin for origin, _, _ in parts], index=table.index, dtype=object)
        table["name"] = pd.Series([name for _, _, name in parts], index=table.index, dtype=object)
        order = ["pid", "id", "request", "parent", "kind", "name", "origin", "thread", "ran_on"]
        return table[[*order, "begin", "running", "done", "end", "bytes"]]

    @cached_property
    def crossings(self) -> pd.DataFrame:
        """The spans that are crossings, with `there_us` (from the call to the beginning on the other side), `inside_us`,
        `back_us` (from the end there until the caller went on) and `cost_us`, there and back; NaN where one end is missing.

        `back_us` is NaN too where the caller did not wait for the end: its request was cancelled."""
        table = self.spans[self.spans["kind"].isin(CROSSINGS)].reset_index(drop=True)
        for name, begin, end in (
            ("there_us", "begin", "running"),
            ("inside_us", "running", "done"),
            ("back_us", "done", "end"),
        ):
            both = (table[begin] > 0) & (table[end] >= table[begin])
            table[name] = ((table[end] - table[begin]) / 1e3).where(both)
        table["cost_us"] = table["there_us"] + table["back_us"]
        return table

    @cached_property
    def ticks(self) -> pd.DataFrame:
        """One row a tick of a heartbeat: `pid`, `thread` (the event loop's), `due`, `ran` (ns; 0: it never did), and CPU time so
        far of that thread (`cpu`), of the whole process (`process_cpu`), and its waiting for a core (`delayed`), in ns."""
        table = self._table(("tick",))
        table = table.rename(
            columns={"begin": "due", "end": "ran", "running": "cpu", "done": "process_cpu", "value": "delayed"}
        )
        return table[["pid", "thread", "due", "ran", "cpu", "process_cpu", "delayed"]]

    @cached_property
    def looks(self) -> pd.DataFrame:
        """One row a look at a thread while a tick was overdue: `pid`, `loop` (the thread of the event loop), `thread` (the one
        that was looked at: the loop's, or the one that computed most meanwhile), `due`, `seen` (ns), `stack` (innermost last),
        `state` (what it waited for, see `worker.schema.STATES`), `cpu` and `waited` (CPU time so far of that thread, and its
        waiting for a core, in ns)."""
        table = self._table(("stack",))
        columns = {"begin": "due", "end": "seen", "name": "stack", "value": "state", "running": "cpu", "done": "waited"}
        table = table.rename(columns=columns)
        table["loop"] = table["ran_on"].where(table["ran_on"] > 0, table["thread"])
        return table[["pid", "loop", "thread", "due", "seen", "stack", "state", "cpu", "waited"]]

    @property
    def stacks(self) -> pd.DataFrame:
        """The looks at the event loops themselves: `pid`, `thread` (the loop's), `due`, `seen` (ns), `stack`."""
        own = self.looks["thread"] == self.looks["loop"]
        return self.looks.loc[own, ["pid", "thread", "due", "seen", "stack"]].reset_index(drop=True)

    def _table(self, kinds: tuple[str, ...]) -> pd.DataFrame:
        wanted = np.isin(self.rows[:, COLUMNS.index("kind")], [KINDS.index(kind) for kind in kinds])
        table = pd.DataFrame(self.rows[wanted], columns=list(COLUMNS)).sort_values("begin", kind="stable")
        names = np.array([*self.names, ""], dtype=object)
        table["name"] = pd.Series(names[table["name"].to_numpy()], index=table.index, dtype=object)
        table["kind"] = pd.Categorical.from_codes(table["kind"].to_numpy(), categories=pd.Index(KINDS))
        return table.reset_index(drop=True)


NOTHING = Trace(np.zeros((0, len(COLUMNS)), dtype=np.int64), ())
"""Of a run without a probe."""
