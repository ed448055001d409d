"""Runs and comparisons made by hand for figures, and what the figures made of them say."""

from __future__ import annotations

import functools
import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

import requestlab as lab
from requestlab.comparison.comparison import Comparison, Slice
from requestlab.load.plan import COLUMNS
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.plots import style
from tests.made_runs import ABOUT, COMPARED, MS, START

GTHREAD = lab.SYNC.replace(server="gunicorn-gthread", threads=4)
SERVED = replace(ABOUT, start=START, end=START + 1000 * MS, pids=(7,), nonce=True, each=1, server_cpu_ns=100 * MS)


def facts(configuration, **about):
    """What is known of a quiet run under a configuration."""
    known = {"label": configuration.label, "configuration": configuration, "capacity": configuration.capacity}
    return replace(SERVED, **known | about)


def made(configuration, rows, *, alive=(), users=None, each=1, rate=None, path="/sync/wait/", probe=True):
    """A run of hand-made rows: dicts with times in ms from the start, the rest as in a good answer after 10 ms."""
    filled = []
    for user, row in enumerate(rows):
        cells = dict.fromkeys(COLUMNS, 0) | {"user": user, "status": 200, "size": 5, "pid": 7, "thread": 7}
        cells |= {"on_loop": 0 if probe else -1} | row
        cells["sent"] = row.get("sent", cells["planned"])
        cells["done"] = row.get("done", cells["sent"] + 10)
        cells["first_byte"] = cells["first_body"] = cells["done"]
        for name in ("planned", "sent", "first_byte", "first_body", "done"):
            cells[name] = START + round(cells[name] * MS)
        filled.append([cells[name] for name in COLUMNS])
    samples = np.array(filled, dtype=np.int64).reshape(-1, len(COLUMNS))
    counted = [[START + round(ms * MS), pid, count, *[-1] * 5] for ms, pid, count in alive]
    users = users or max(1, len(filled))
    load = f"{rate:g} requests/s" if rate else f"{users} users"
    pids = tuple(sorted({row.get("pid", 7) for row in rows if row.get("pid", 7)}))
    known = {"path": path, "load": load, "users": None if rate else users, "rate": rate, "each": each, "pids": pids}
    known |= {"label": configuration.label, "started": len(filled), "connections": users}
    about = facts(configuration.replace(probe=probe), **known)
    return Run(samples, np.array(counted, dtype=np.int64).reshape(-1, 8), about)


def one_after_another(number, configuration=lab.SYNC):
    return made(configuration, [{"done": 10 + 10 * i} for i in range(number)], alive=[(-5, 7, 1), (5, 7, 1)])


def a_thread_each(number, configuration=lab.ASGI):
    return made(configuration, [{"thread": 10 + i} for i in range(number)], alive=[(-5, 7, 1), (5, 7, number + 1)])


def on_one_loop(number, configuration=lab.ASYNC):
    rows = [{"on_loop": 1} for _ in range(number)]
    return made(configuration, rows, alive=[(-5, 7, 1), (5, 7, number + 1)], path="/async/wait/")


def took(configuration, times_ms, **kwargs):
    return made(configuration, [{"done": time} for time in times_ms], **kwargs)


def scheduled(**kwargs):
    """An open loop in which every tenth request is sent 40 ms late and is answered 5 ms later."""
    rows = [{"planned": i, "sent": i + (40 if i % 10 == 0 else 0)} for i in range(20 * TAIL)]
    return made(lab.SYNC, [row | {"done": row["sent"] + 5} for row in rows], rate=1000, each=None, **kwargs)


@functools.cache
def slice_of(configuration, *, per_s=400, ms=10.0, cpu_ms=1.0, failed=0, **about):
    """A run of one second with so many answers, each after about `ms`, at `cpu_ms` of the workers' time."""
    count = max(0, round(per_s))
    planned = START + (np.arange(count) * 0.9 / max(1, count) * 1e9).astype(np.int64)
    done = planned + (ms * np.linspace(0.5, 1.5, count) * MS).astype(np.int64)
    cells = {"planned": planned, "sent": planned, "first_byte": done, "done": done, "status": 200, "on_loop": -1}
    cells |= {"error": np.arange(count) < failed, "opened": np.arange(count) < 10}
    rows = np.column_stack([np.broadcast_to(cells.get(name, 0), count) for name in COLUMNS]).astype(np.int64)
    known = {"path": "/async/page/", "load": "10 users", "users": 10, "connections": 10, "started": count}
    known["server_cpu_ns"] = None if cpu_ms is None else round(cpu_ms * count * MS)
    return Run(rows, np.zeros((0, 8), dtype=np.int64), facts(configuration, **known | about))


def compared(
    contenders, *, rounds=8, control=None, noise=0.02, disturbed=None, drop=True, load="10 users", seed=7, **about
):
    """A comparison of hand-made slices: contenders are label -> (configuration, what `slice_of` takes)."""
    chance = np.random.default_rng(seed)
    labels = tuple(contenders)
    every = contenders | ({control: contenders[labels[0]]} if control else {})
    slices = []
    for number in range(rounds):
        for position, (label, (configuration, takes)) in enumerate(every.items()):
            usual = {"per_s": 400, "ms": 10.0, "cpu_ms": 1.0}
            shaken = {
                name: value * float(np.exp(chance.normal(0, noise)))
                for name, value in (usual | {name: takes[name] for name in usual if name in takes}).items()
                if value is not None
            }
            why = (disturbed or {}).get((number, label), "")
            run = slice_of(configuration, **takes | shaken)
            slices.append(Slice(number, position, label, run, why, bool(why) and drop))
    known = {"paths": dict.fromkeys(every, "/async/page/"), "loads": dict.fromkeys(every, load), "seed": seed}
    known |= {"wanted": rounds, "stopped": f"{rounds} rounds were wanted"}
    return Comparison(tuple(slices), labels, control, replace(COMPARED, **known | about))


def two(**kwargs):
    """A comparison in which async is slower than sync, by 0.71."""
    takes = {"per_s": 426, "ms": 14.0, "cpu_ms": 1.3}
    return compared({"sync": (lab.SYNC, {"per_s": 600}), "async": (lab.ASYNC, takes)}, **kwargs)


LOST = {"error": 1, "status": 0, "pid": 0, "thread": 0, "on_loop": -1}


def close_runs():
    """Runs whose curves are nearly one."""
    return [took(each, np.linspace(5, 5.2, 50)) for each in (lab.SYNC, lab.ASGI, lab.ASYNC, GTHREAD)]


def failing():
    """A run of two workers of which three of twelve requests got no answer."""
    return made(lab.SYNC.replace(workers=2), [{"pid": 7 + i % 2} for i in range(9)] + [LOST] * 3)


# What a figure says


def words_of(picture):
    """Every text of a figure, as it is broken into lines."""
    return [text.get_text() for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def said(picture):
    """All that a figure says, as one text."""
    return " ".join(" ".join(words_of(picture)).split())


def bars_of(*patches):
    """From when to when each bar of patches goes."""
    corners = [patch.get_path().vertices.reshape(-1, 5, 2)[:, :2, 0] for patch in patches]
    return [(float(begin), float(end)) for some in corners for begin, end in some]


def drawn_texts(picture):
    """Every text of the PNG, with its place as shares of the image; ticks beyond an axis's limits exist but are not
    drawn."""
    drawn = []
    original = Text.draw

    def noting(self, renderer):
        original(self, renderer)
        if self.get_visible() and self.get_text().strip():
            box = Text.get_window_extent(self, renderer)
            drawn.append((self, box.transformed(Affine2D().scale(1 / renderer.width, 1 / renderer.height))))

    with pytest.MonkeyPatch.context() as patch, style.applied():
        patch.setattr(Text, "draw", noting)
        picture.figure.savefig(io.BytesIO(), format="rgba")
    return drawn


def assert_legible(picture):
    """No text of the picture is cut off, small, or on another."""
    placed = drawn_texts(picture)
    points = 72 * picture.figure.get_size_inches()
    for text, box in placed:
        assert text.get_fontsize() >= 8, text
        assert min(box.x0, box.y0) >= 0, text
        assert max(box.x1, box.y1) <= 1, text
    for (one, mine), (other, its) in itertools.combinations(placed, 2):
        across = points[0] * (min(mine.x1, its.x1) - max(mine.x0, its.x0))
        upright = points[1] * (min(mine.y1, its.y1) - max(mine.y0, its.y0))
        assert across <= 1 or upright <= 1, (one, other)
