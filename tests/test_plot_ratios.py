from __future__ import annotations

import dataclasses

import numpy as np

import requestlab as lab
from requestlab.comparison import Comparison, Slice
from requestlab.generator import COLUMNS
from requestlab.runs import Run
from tests.test_plots import MACHINE, MS, START

THREADS = lab.SYNC.replace(server="gunicorn-gthread", threads=4)


def slice_of(configuration, *, per_s=400, ms=10.0, cpu_ms=1.0, failed=0, **about):
    """A run of one second with so many answers, each after about `ms`, at `cpu_ms` of the workers' time."""
    count = max(0, round(per_s))
    rows = np.zeros((count, len(COLUMNS)), dtype=np.int64)
    planned = START + (np.arange(count) * 0.9 / max(1, count) * 1e9).astype(np.int64)
    took = (ms * np.linspace(0.5, 1.5, count) * MS).astype(np.int64)
    for name, values in {
        "planned": planned,
        "sent": planned,
        "first_byte": planned + took,
        "done": planned + took,
        "status": 200,
    }.items():
        rows[:, COLUMNS.index(name)] = values
    rows[:, COLUMNS.index("on_loop")] = -1
    rows[:failed, COLUMNS.index("error")] = 1
    rows[:10, COLUMNS.index("opened")] = 1
    known = {
        "label": configuration.label,
        "configuration": dataclasses.asdict(configuration),
        "capacity": configuration.capacity,
        "path": "/async/page/",
        "load": "10 users",
        "users": 10,
        "rate": None,
        "each": 1,
        "pids": [7],
        "nonce": True,
        "counts": {},
        "started": count,
        "held_back": 0,
        "connections": 10,
        "cores_shared": False,
        "cores_watched": 1,
        "cores_ns": {"busy": 0, "idle": 1000 * MS, "steal": 0},
        "pressure_ns": None,
        "start": START,
        "end": START + 1000 * MS,
        "generator_cpu_ns": 100 * MS,
        "generator_wait_ns": 0,
        "worker_ended": False,
        "server_cpu_ns": None if cpu_ms is None else round(cpu_ms * count * MS),
        "server_ended": False,
        "machine": MACHINE,
    }
    return Run(rows, np.zeros((0, 3), dtype=np.int64), known | about)


def compared(contenders, *, rounds=8, control=None, noise=0.02, dropped=None, load="10 users", seed=7, **about):
    """A comparison of hand-made slices: contenders are label -> (configuration, what `slice_of` takes)."""
    chance = np.random.default_rng(seed)
    labels = tuple(contenders)
    every = contenders | ({control: contenders[labels[0]]} if control else {})
    slices = []
    for number in range(rounds):
        for position, (label, (configuration, takes)) in enumerate(every.items()):
            shaken = {
                name: value * float(np.exp(chance.normal(0, noise)))
                for name, value in ({"per_s": 400, "ms": 10.0, "cpu_ms": 1.0} | takes).items()
                if name in ("per_s", "ms", "cpu_ms") and value is not None
            }
            why = (dropped or {}).get((number, label), "")
            slices.append(Slice(number, position, label, slice_of(configuration, **takes | shaken), why))
    known = {
        "paths": dict.fromkeys(every, "/async/page/"),
        "loads": dict.fromkeys(every, load),
        "seed": seed,
        "stopped": "8 rounds were wanted",
        "seconds": 1.0,
        "machine": MACHINE,
    }
    return Comparison(tuple(slices), labels, control, known | about)


def two(**kwargs):
    return compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"per_s": 284, "ms": 14.0, "cpu_ms": 1.3})}, **kwargs)
