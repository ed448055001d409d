from __future__ import annotations

import io
import sys
import time

from requestlab.system import progress
from requestlab.system.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, out, seconds, *, ticks=3, elapsed=0.0):
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    with Progress("sync /page/", seconds) as line:
        line._start -= elapsed
        for _ in range(ticks):
            time.sleep(0.001)
            line.tick()
    return out.getvalue()


def test_what_takes_long_is_shown_in_one_line_that_is_taken_away_again(monkeypatch):
    text = shown(monkeypatch, Terminal(), 10, elapsed=3)
    assert "\rsync /page/: 3 s, 7 s left" in text
    assert "\n" not in text
    last = text.rstrip("\r").rpartition("\r")[2]
    assert last.strip() == ""
    assert len(last) >= len("sync /page/: 3 s, 7 s left")


def test_what_is_short_is_not_shown(monkeypatch):
    assert shown(monkeypatch, Terminal(), 1.0) == ""


def test_what_was_to_be_short_is_shown_once_it_takes_long(monkeypatch):
    assert "3 s, 0 s left" in shown(monkeypatch, Terminal(), 1.0, elapsed=3)
    assert "sync /page/: 3 s" in shown(monkeypatch, Terminal(), None, elapsed=3)


def test_nothing_is_written_where_nobody_looks(monkeypatch):
    assert shown(monkeypatch, io.StringIO(), 10, elapsed=3) == ""


def test_a_notebook_is_a_place_where_somebody_looks(monkeypatch):
    class Stream(io.StringIO):
        pass

    Stream.__module__ = "ipykernel.iostream"
    cell = Stream()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(sys, "stdout", cell)
    shown(monkeypatch, io.StringIO(), 10, elapsed=3)
    assert "3 s, 7 s left" in cell.getvalue()
