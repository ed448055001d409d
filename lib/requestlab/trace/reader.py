"""Reading what the probes of a server's workers write, while they work or after they were killed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from requestlab.trace.trace import COLUMNS, NOTHING, Trace
from requestlab.worker.recorder import SPANS, TICKS
from requestlab.worker.schema import ROW_COLUMNS

Rows = np.ndarray[Any, np.dtype[np.int64]]

_ID, _NAME = ROW_COLUMNS.index("id"), COLUMNS.index("name")


class TraceReader:
    """What is written from now on into the files of one run's directory; a context manager, which keeps them open.

    >>> with TraceReader(directory) as recording:
    ...     load()
    ...     inside = recording.read()

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
        if not self._files:
            return NOTHING
        tables: list[Rows] = []
        names: list[str] = []
        lost = 0
        for name, (file, texts) in self._files.items():
            rows, since = _rows(file), self._last.get(name, 0)
            new = rows[rows[:, _ID] > since]
            lost += max(0, _last(rows) - since - len(new))
            table = np.column_stack([np.full(len(new), int(name.partition("-")[2])), new])
            table[:, _NAME] += len(names)
            tables.append(table)
            names += _names(texts) or [""]
        return Trace(np.concatenate(tables), tuple(names), lost)

    def _open(self) -> None:
        if self._directory is None:
            return
        for sort in (SPANS, TICKS):
            for path in sorted(Path(self._directory).glob(f"{sort}-*[0-9]")):
                if path.name not in self._files:
                    try:
                        pair = (path.open("rb"), path.with_name(f"{path.name}.names").open("rb"))
                    except FileNotFoundError:  # just being made, or gone with the server
                        continue
                    self._files[path.name] = (self._stack.enter_context(pair[0]), self._stack.enter_context(pair[1]))


def _rows(file: BinaryIO) -> Rows:
    file.seek(0)
    data = file.read()
    rows = np.frombuffer(data[: len(data) // (8 * len(ROW_COLUMNS)) * 8 * len(ROW_COLUMNS)], dtype=np.int64).reshape(
        -1, len(ROW_COLUMNS)
    )
    return rows[rows[:, _ID] > 0]


def _last(rows: Rows) -> int:
    return int(rows[:, _ID].max(initial=0))


def _names(file: BinaryIO) -> list[str]:
    file.seek(0)
    lines = file.read().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]  # the last one is empty, or half-written
