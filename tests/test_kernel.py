"""What only Linux has, and the second way: the same names, and what they promise, by both."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import uvloop

from requestlab.worker import kernel, linux, portable

WAYS = [linux, portable]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
both = pytest.mark.parametrize("way", WAYS, ids=["linux", "portable"])


NAMES = {name for name in vars(kernel) if getattr(getattr(kernel, name), "__module__", "") == linux.__name__} | {
    "SIGNAL"
}
"""What `kernel` takes from one of the two."""


def offered(module: ModuleType) -> dict[str, object]:
    return {name: getattr(module, name) for name in NAMES if hasattr(module, name)}


def fits(one: object, other: object) -> bool:
    """Return whether the first can be called as the second is."""
    theirs = inspect.signature(other).parameters
    return (
        all(
            name in theirs if parameter.default is parameter.empty else True
            for name, parameter in inspect.signature(one).parameters.items()
        )
        and theirs.keys() <= inspect.signature(one).parameters.keys()
    )


def test_both_ways_offer_the_same_with_the_same_arguments():
    assert len(NAMES) == 13
    assert set(offered(linux)) == set(offered(portable)) == NAMES
    for name, one in offered(linux).items():
        other = offered(portable)[name]
        if not inspect.isclass(one):
            assert not callable(one) or fits(one, other), name
            continue
        for called in ("__init__", *(method for method in vars(other) if not method.startswith("_"))):
            assert fits(getattr(one, called), getattr(other, called)), (name, called)


@both
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("after_ns", [-5_000_000, 0, 300_000, 20_000_000])
def test_an_alarm_rings_once_and_not_before_its_time(way, loop, after_ns):
    async def rings() -> list[tuple[int, int]]:
        heard = []

        def ring() -> None:
            heard.append((time.perf_counter_ns(), alarm.heard()))
            assert alarm.heard() == 0  # twice does no harm

        alarm = way.Alarm(asyncio.get_running_loop(), ring)
        at.append(time.perf_counter_ns() + after_ns)
        alarm.set(at[0])
        await asyncio.sleep(0.1)
        alarm.close()
        return heard

    at: list[int] = []
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        ((when, times),) = runner.run(rings())
    assert when >= at[0]
    assert times == 1


@both
@pytest.mark.parametrize("loop", LOOPS)
def test_an_alarm_that_goes_on_counts_what_was_missed(way, loop):
    async def missed() -> list[int]:
        times: list[int] = []
        alarm = way.Alarm(asyncio.get_running_loop(), lambda: times.append(alarm.heard()), exact=False)
        alarm.set(began := time.perf_counter_ns(), 2_000_000)
        await asyncio.sleep(0.02)
        time.sleep(0.05)
        await asyncio.sleep(0.02)
        alarm.close()
        due.append(1 + (time.perf_counter_ns() - began) // 2_000_000)
        return times

    due: list[int] = []
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        times = runner.run(missed())
    assert max(times) >= 24
    assert due[0] - 3 <= sum(times) <= due[0]


@both
def test_an_alarm_does_not_keep_its_loop(way):
    import gc
    import weakref

    loop = asyncio.new_event_loop()
    alarm = way.Alarm(loop, lambda: None)
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
    alarm.close()


@both
def test_a_bell_wakes_its_thread_at_the_last_time_that_was_set(way):
    bell, woken = way.Bell(), []

    def sleep() -> None:
        bell.wait()
        woken.append(time.perf_counter_ns())

    thread = threading.Thread(target=sleep)
    bell.set(time.perf_counter_ns() + 60_000_000_000)
    thread.start()
    time.sleep(0.02)
    assert not woken
    bell.set(at := time.perf_counter_ns() + 10_000_000)
    thread.join(5)
    bell.close()
    assert woken[0] >= at


@both
def test_a_signal_timer_reaches_the_main_thread_while_it_sleeps(way):
    heard: list[int] = []
    before = signal.signal(way.SIGNAL, lambda *_: heard.append(time.perf_counter_ns()))
    timer = way.SignalTimer(threading.get_native_id())
    try:
        timer.set(at := time.perf_counter_ns() + 5_000_000)
        time.sleep(0.05)
    finally:
        timer.close()
        signal.signal(way.SIGNAL, before)
    assert len(heard) == 1
    assert heard[0] >= at


@both
def test_a_process_ends_with_its_parent(way, tmp_path):
    child = f"import sys; from requestlab.worker import {way.__name__.rpartition('.')[2]} as way; way.die_with_parent(); print(1); sys.stdout.flush(); import time; time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid, flush=True); p.wait()"],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    theirs = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    theirs.wait(2)


# The portable way as a whole: `make test-portable` runs the tests of faults, serving and measuring on it.

FOLDER = Path(__file__).parent / "portable"
PORTABLE = os.environ | {"REQUESTLAB_PORTABLE": "1", "PYTHONPATH": str(FOLDER)}


def on_the_portable_way(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=PORTABLE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('/proc/self/stat')", "may not ask this"),
        ("os.listdir('/sys/fs')", "may not ask this"),
        ("ctypes.CDLL(None).prctl", "may not call prctl"),
        ("from requestlab.worker import linux", "may not load this"),
        ("os.pidfd_open(1)", "has no attribute"),
    ],
)
def test_on_the_portable_way_the_lab_is_kept_from_what_only_linux_has(code, said, tmp_path):
    """Code counts as the lab's by its file."""
    lab = tmp_path / "lib" / "requestlab"
    lab.mkdir(parents=True)
    (lab / "asking.py").write_text(f"import ctypes, os\n{code}\n")
    done = subprocess.run([sys.executable, str(lab / "asking.py")], env=PORTABLE, capture_output=True, text=True)
    assert said in done.stderr


def test_on_the_portable_way_each_run_names_what_is_not_audited_and_a_verdict_that_needs_it_cannot_be_told():
    said = on_the_portable_way(
        "import math, requestlab as lab\n"
        "from requestlab.measurement import validity\n"
        "with lab.serve(lab.NULL) as server:\n"
        "    run = lab.measure(server, '/', lab.closed(2), seconds=0.2)\n"
        "print(len(run.about.unseen), run.about.cores_shared, math.isnan(validity.kept(run, 'p99')))\n"
        "from dataclasses import replace\n"
        "print(sum(run.about.counts.values()), run.summary['errors'])\n"
    )
    assert said.splitlines()[0] == "4 True True"


@pytest.mark.parametrize("both_killed", [False, True], ids=["supervisor", "owner and supervisor"])
def test_on_the_portable_way_a_guardian_ends_what_a_killed_supervisor_leaves(both_killed, tmp_path):
    code = (
        "import os, signal, time, requestlab as lab\n"
        f"server = lab.serve(lab.SYNC, workers=2)\n"
        "print(server.address[1], *server.pids, server.directory, flush=True)\n"
        "os.kill(server._supervisor.pid, signal.SIGKILL)\n"
        f"{'os.kill(os.getpid(), signal.SIGKILL)' if both_killed else 'time.sleep(3)'}\n"
        "print(server.alive)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=PORTABLE, capture_output=True, text=True, timeout=60)
    port, *pids, directory = done.stdout.split()[:4]
    deadline = time.monotonic() + 5
    while any(map(psutil.pid_exists, map(int, pids))) or os.path.exists(directory):
        assert time.monotonic() < deadline, (pids, os.path.exists(directory))
        time.sleep(0.02)
    if not both_killed:
        assert done.stdout.split()[4] == "False"
    assert port
