"""What happened inside the workers while a load ran, and reading it from the files that their probes write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from requestlab.worker.recorder import SPANS, TICKS
from requestlab.worker.schema import KINDS, ROW_COLUMNS

Rows = np.ndarray[Any, np.dtype[np.int64]]

COLUMNS = ("pid", *ROW_COLUMNS)
_SPANS = ("request", "middleware", "view", "step", "to_thread", "to_loop")
CROSSINGS = ("to_thread", "to_loop")
"""Kinds of spans that lead from the event loop to a thread, or back."""
ORIGINS = ("signal", "middleware", "view", "close", "other")
"""Where a crossing came from: a signal of Django's, a layer of middleware, the view, the response's close, other
code."""

_ID = ROW_COLUMNS.index("id")


@dataclass(frozen=True, eq=False)
class Trace:
    """What the probes of all workers wrote down.

    `rows` is raw, int64, shape (rows, 13): pid, then `worker.schema.ROW_COLUMNS`, which says what they mean for each
    kind; `names` what their column `name` points into, for a crossing its origin, a tab, and what runs on the other
    side. `lost` counts rows that were overwritten by later ones before the lab read them.
    """

    rows: Rows
    names: tuple[str, ...]
    lost: int = 0

    @cached_property
    def spans(self) -> pd.DataFrame:
        """One row a span, in the order of beginning: `pid`, `id`, `request`, `parent`, `kind`, `name`, `origin` (of a
        crossing, else empty), `thread`, `ran_on`, `begin`, `running`, `done`, `end` (ns; 0: it did not come to that),
        `bytes` (of a request)."""
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
        """The spans that are crossings, with `there_us` (from the call to the beginning on the other side),
        `inside_us`, `back_us` (from the end there until the caller went on) and `cost_us`, there and back; NaN where
        one end is missing.

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
        """One row a tick of a heartbeat: `pid`, `thread` (the event loop's), `due`, `ran` (ns; 0: it never did), and
        CPU time so far of that thread (`cpu`), of the whole process (`process_cpu`), and its waiting for a core
        (`delayed`), in ns."""
        columns = {"begin": "due", "end": "ran", "running": "cpu", "done": "process_cpu", "value": "delayed"}
        table = self._table(("tick",)).rename(columns=columns)
        return table[["pid", "thread", "due", "ran", "cpu", "process_cpu", "delayed"]]

    @cached_property
    def looks(self) -> pd.DataFrame:
        """One row a look at a thread while a tick was overdue: `pid`, `loop` (the thread of the event loop), `thread`
        (the one that was looked at: the loop's, or the one that computed most meanwhile), `due`, `seen` (ns), `stack`
        (innermost last), `state` (what it waited for, see `worker.schema.STATES`), `cpu` and `waited` (CPU time so far
        of that thread, and its waiting for a core, in ns)."""
        columns = {"begin": "due", "end": "seen", "name": "stack", "value": "state", "running": "cpu", "done": "waited"}
        table = self._table(("stack",)).rename(columns=columns)
        table["loop"] = table["ran_on"].where(table["ran_on"] > 0, table["thread"])
        return table[["pid", "loop", "thread", "due", "seen", "stack", "state", "cpu", "waited"]]

    def _table(self, kinds: tuple[str, ...]) -> pd.DataFrame:
        wanted = np.isin(self.rows[:, COLUMNS.index("kind")], [KINDS.index(kind) for kind in kinds])
        table = pd.DataFrame(self.rows[wanted], columns=list(COLUMNS)).sort_values("begin", kind="stable")
        names = np.array([*self.names, ""], dtype=object)
        table["name"] = pd.Series(names[table["name"].to_numpy()], index=table.index, dtype=object)
        table["kind"] = pd.Categorical.from_codes(table["kind"].to_numpy(), categories=pd.Index(KINDS))
        return table.reset_index(drop=True)


NOTHING = Trace(np.zeros((0, len(COLUMNS)), dtype=np.int64), ())
"""Of a run without a probe."""


class TraceReader:
    """What is written from now on into the files of one run's directory; a context manager, which keeps them open.

    >>> with TraceReader(directory) as reader:
    ...     load()
    ...     trace = reader.read()

    Once open, a file can be read after the server has ended and its directory is gone.
    """

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._files: dict[str, tuple[BinaryIO, BinaryIO]] = {}
        self._last: dict[str, int] = {}

    def __enter__(self) -> TraceReader:
        self._open()
        self._last = {name: _last(_rows(file)) for name, (file, _) in self._files.items()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self) -> Trace:
        """Return all that was written since the block was entered and has not been overwritten."""
        self._open()  # a worker may have come in place of another
        tables = [NOTHING.rows]
        names: list[str] = []
        lost = 0
        for name, (file, texts) in self._files.items():
            rows, since = _rows(file), self._last.get(name, 0)
            new = rows[rows[:, _ID] > since]
            lost += max(0, _last(rows) - since - len(new))
            table = np.column_stack([np.full(len(new), int(name.partition("-")[2])), new])
            table[:, COLUMNS.index("name")] += len(names)
            tables.append(table)
            names += _names(texts) or [""]
        return Trace(np.concatenate(tables), tuple(names), lost)

    def _open(self) -> None:
        for path in self._paths():
            if path.name not in self._files:
                try:
                    pair = path.open("rb"), path.with_name(f"{path.name}.names").open("rb")
                except FileNotFoundError:  # just being made, or gone with the server
                    continue
                self._files[path.name] = self._stack.enter_context(pair[0]), self._stack.enter_context(pair[1])

    def _paths(self) -> Iterator[Path]:
        for sort in (SPANS, TICKS) if self._directory else ():
            yield from sorted(Path(str(self._directory)).glob(f"{sort}-*[0-9]"))


def _rows(file: BinaryIO) -> Rows:
    file.seek(0)
    data = file.read()
    whole = len(data) // (8 * len(ROW_COLUMNS)) * len(ROW_COLUMNS)
    rows = np.frombuffer(data, dtype=np.int64, count=whole).reshape(-1, len(ROW_COLUMNS))
    return rows[rows[:, _ID] > 0]


def _last(rows: Rows) -> int:
    return int(rows[:, _ID].max(initial=0))


def _names(file: BinaryIO) -> list[str]:
    file.seek(0)
    lines = file.read().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]  # the last one is empty, or half-written
