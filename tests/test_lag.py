"""When an event loop is blocked: is that reported, with the right length and the right culprit?

Each truth is told several times: of cause and length the median or most of the reports count, with the tolerance of a
single block. A name is another thing: no report at all may have a wrong one.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import uvloop

import requestlab as lab
from requestlab.trace.blocking import COLUMNS, blocks, idle_floors
from requestlab.trace.culprit import who_took_most, who_was_seen_most
from requestlab.trace.trace import Trace, TraceReader
from requestlab.worker import heartbeat, probe
from requestlab.worker.heartbeat import EVERY_NS
from requestlab.worker.recorder import Recorder
from requestlab.worker.sampler import SIGNAL
from requestlab.worker.schema import IN_CALL, IN_LOCK, IN_LOOP, OWN
from requestlab.worker.stack import short_path
from tests.blocking_app import BlockingServer, Truth, blocking_server, burn_here
from tests.burner import half_a_core_burnt
from tests.made_runs import START
from tests.made_trace import Notes, inside

pytestmark = pytest.mark.measuring

LOOPS = ("asyncio", "uvloop")
APP = "tests/blocking_app.py"
MS = 1_000_000


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingServer]:
    with blocking_server(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


def ask(server: BlockingServer, path: str, times: int, pause_s: float = 0.0137) -> tuple[Trace, list[Truth]]:
    """Ask so often; return what the probe wrote meanwhile, and the true blocks."""
    with TraceReader(str(server.directory)) as recording:
        time.sleep(0.02)  # some quiet ticks come first
        truths = []
        for _ in range(times):
            truths.append(server.ask(path))
            time.sleep(pause_s)
        return recording.read(), truths


def reports(trace: Trace, truths: list[Truth]) -> pd.DataFrame:
    """Return the block that has most of each true one; all must have been reported."""
    table = blocks(trace)
    found = []
    for begin, end, _ in truths:
        common = np.minimum(table["end"], end) - np.maximum(table["begin"], begin)
        assert common.max() > 0, f"not reported: {(begin, end)}"
        found.append(common.idxmax())
    return table.loc[found].reset_index(drop=True)


def most(values: pd.Series) -> str:
    return statistics.mode(values)


@functools.lru_cache
def line_of(text: str) -> str:
    lines = (Path(__file__).parent / "blocking_app.py").read_text().splitlines()
    return f"{APP}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


# Known truths


@pytest.mark.parametrize("ms", [5, 20, 50, 300])
@pytest.mark.parametrize(("way", "cause"), [("sleep_here", "blocking call"), ("burn_here", "blocking code")])
def test_a_block_is_reported_with_its_length_within_2_ms_and_5_percent_and_with_its_cause(server, way, cause, ms):
    trace, truths = ask(server, f"/{way}?ms={ms}", times=5 if ms == 300 else 11)

    found = reports(trace, truths)
    true_ms = np.array([(end - begin) / MS for begin, end, _ in truths])
    assert (found["ms"] - true_ms).abs().median() <= 2 + 0.05 * np.median(true_ms)
    assert most(found["cause"]) == cause
    named = found[found["where"] != ""]
    assert set(named["function"]) <= {way}
    if ms > 5:
        assert len(named) > len(found) / 2
        assert set(named["where"].str.partition(":")[0]) == {APP}
        if way == "sleep_here":
            assert set(named["where"]) == {line_of("time.sleep(ms / 1000)")}


class WrongName(Exception):
    """No failed assertion, which would be given another slice: a wrong name is wrong, however disturbed the machine."""


@pytest.mark.parametrize(("loop", "interval_ms"), [("uvloop", 0.5), ("asyncio", 5), ("uvloop", 5), ("asyncio", 20)])
def test_however_short_a_block_and_however_busy_the_machine_no_name_is_wrong_and_from_10_ms_on_most_are_known(
    loop, interval_ms, tmp_path
):
    with half_a_core_burnt(), blocking_server(loop, tmp_path, interval_ms) as server:
        names = {}
        for way in ("burn_here", "sleep_here", "wait_for_a_lock"):
            for ms in (2, 3, 5, 10, 20, 50):
                trace, truths = ask(server, f"/{way}?ms={ms}", times=6)
                table = blocks(trace)
                certain = [truth for truth in truths if truth.innocent_ns < MS]
                assert certain, f"no function around {way} was short"
                ours = [((table["begin"] < end) & (table["end"] > begin)).to_numpy() for begin, end, _ in certain]
                names[way, ms] = Counter(table[np.logical_or.reduce(ours)]["function"])

    wrong = {case: found for case, found in names.items() if set(found) - {case[0], ""}}
    if wrong:
        raise WrongName(wrong)
    long = sum((found for (_, ms), found in names.items() if ms >= 10), Counter())
    assert long[""] < long.total() / 2, names
    assert sum(found[way] for (way, ms), found in names.items() if ms == 5) > 0, names


@pytest.mark.parametrize(
    ("path", "cause", "function"),
    [
        ("/sleep_beside_a_hog?ms=60", "blocking call", "sleep_here"),
        ("/wait_for_a_lock?ms=40", "blocking call", "wait_for_a_lock"),
        ("/call_c_that_computes?ms=40", "blocking code", "call_c_that_computes"),
        ("/start_threads_beside_a_hog?ms=100", "GIL held elsewhere", "compute_until"),
    ],
)
def test_what_held_up_the_loop_is_told_apart_and_named(server, path, cause, function):
    found = reports(*ask(server, path, times=5, pause_s=0.2))

    assert most(found["cause"]) == cause
    assert most(found["function"]) == function


def test_a_thread_that_hogs_the_gil_is_told_from_what_blocks_the_loop_and_named(server):
    with TraceReader(str(server.directory)) as recording:
        time.sleep(0.02)
        end = server.ask("/hog_the_gil?ms=600").end
        time.sleep(0.7)
        trace = recording.read()

    table = blocks(trace)
    table = table[(table["begin"] > end) & (table["end"] < end + 590 * MS)]
    assert len(table) > 10
    assert set(table["cause"]) <= {"GIL held elsewhere", "not scheduled"}
    held = table[table["cause"] == "GIL held elsewhere"]
    assert len(held) > len(table) / 2
    named = held[held["where"] != ""]
    assert most(named["function"]) == "compute_until"
    assert most(named["where"].str.partition(":")[0]) == APP


def test_a_process_that_was_stopped_was_not_scheduled(server):
    with TraceReader(str(server.directory)) as recording:
        time.sleep(0.1)  # of the first tick in a record, nothing is known
        for _ in range(3):
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(0.2)
            os.kill(server.pid, signal.SIGCONT)
            time.sleep(0.1)
        table = blocks(recording.read())

    assert list(table[table["ms"] >= 190]["cause"]) == ["not scheduled"] * 3


def test_a_loop_that_got_no_core_was_not_scheduled(tmp_path):
    core = min(os.sched_getaffinity(0))
    with blocking_server("asyncio", tmp_path) as server, _busy(core, processes=3):
        for thread in psutil.Process(server.pid).threads():
            os.sched_setaffinity(thread.id, {core})
            os.setpriority(os.PRIO_PROCESS, thread.id, 19)
        with TraceReader(str(server.directory)) as recording:
            time.sleep(1.5)
            table = blocks(recording.read())

    assert len(table) > 0
    assert set(table["cause"]) <= {"not scheduled", "unknown"}


@contextmanager
def _busy(core: int, processes: int) -> Iterator[None]:
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_an_idle_loop_reports_its_floor_and_blames_no_code(server):
    with TraceReader(str(server.directory)) as recording:
        time.sleep(1.5)
        trace = recording.read()

    (floor_ms,) = idle_floors(trace).values()
    assert 0 < floor_ms < EVERY_NS / MS
    table = blocks(trace)
    blamed = table[~table["cause"].isin(("not scheduled", "unknown"))]  # collecting garbage is code, too
    assert blamed["ms"].sum() < 0.02 * 1500
    assert (blamed["function"] == "").all()


def test_no_tick_is_missing_however_long_the_loop_was_stuck(server):
    trace, _ = ask(server, "/sleep_here?ms=150", times=3)

    due = trace.ticks.sort_values("due")["due"].to_numpy()
    assert set(np.diff(due)) == {EVERY_NS}
    assert (trace.ticks["ran"] >= trace.ticks["due"]).all()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("view", "cause"), [("block", "blocking call"), ("burn", "blocking code")])
def test_the_view_that_blocks_the_loop_of_a_django_project_is_named_even_for_5_ms(loop, view, cause, served):
    server = served(lab.ASGI, probe=True, loop=loop)
    for ms in (5, 50):
        run = lab.measure(server, f"/async/{view}/?ms={ms}", lab.closed(users=1), seconds=0.6)
        table = run.blocks[run.blocks["view"] != ""]
        assert len(table) >= 5
        assert set(table["view"]) == {f"labapp.async_views.{view}"}
        assert set(table["function"]) <= {view, "burn_cpu"}
        assert most(table["cause"]) == cause
        if ms == 50:
            where = {"block": "labapp/async_views.py:", "burn": "labapp/work.py:"}[view]
            assert most(table["where"]).startswith(where)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_sync_view_that_computes_in_a_thread_is_named_as_the_one_who_holds_the_gil(loop, served):
    server = served(lab.ASGI, probe=True, loop=loop)
    run = lab.measure(server, "/sync/burn/?ms=100", lab.closed(users=1), seconds=1)

    table = run.blocks[run.blocks["view"] != ""]
    assert len(table) >= 10
    assert set(table["view"]) == {"labapp.sync_views.burn"}
    assert most(table["cause"]) == "GIL held elsewhere"
    held = table[table["cause"] == "GIL held elsewhere"]
    assert most(held["function"]) == "burn_cpu"
    assert most(held["where"]).startswith("labapp/work.py:")


# The rules, on records made by hand, times in ms


VIEW = "shop/views.py:3 buy"
IN_WAIT = f"{VIEW}\nlib/python3.11/threading.py:1 Event.wait"
IN_START = f"{VIEW}\nlib/python3.11/threading.py:964 Thread.start\nlib/python3.11/threading.py:1 Event.wait"


def late_loop(ran: float = 20.05, own: float = 0, others: float = 0, delayed: float = 0, due: int = 10) -> Notes:
    """Return the record of a loop whose ticks from `due` on ran all at once, and what was used and waited for
    meanwhile."""
    notes = Notes()
    for each in range(2, due, 2):
        notes.row("tick", each, each + 0.05, running=0, done=0)
    for each in range(due, int(ran) + 1, 2):
        notes.row("tick", each, ran, running=own, done=own + others, value=round(delayed * MS))
    return notes


def look(notes: Notes, seen: float, stack: str, state: int = OWN, cpu: float = 0) -> None:
    notes.row("stack", 10, seen, name=stack, value=state, running=cpu, done=0)


def view_from(notes: Notes, begin: float, end: float) -> None:
    view = notes.row("view", begin, end, name="shop.views.buy")
    notes.row("step", begin, end, parent=view)


def block_of(notes: Notes) -> dict[str, object]:
    (block,) = blocks(inside(notes)).to_dict("records")
    return {str(name): value for name, value in block.items()}


def test_missed_ticks_make_one_block_that_begins_between_two_ticks():
    block = block_of(late_loop())

    assert block["end"] == START + 20.05 * MS
    assert 8.05 * MS <= block["begin"] - START <= 10.05 * MS
    assert block["late_ms"] == pytest.approx(10.05)


def test_a_step_that_fills_the_block_says_when_it_began_and_its_view_names_it():
    notes = late_loop(own=12)
    view_from(notes, 8.3, 20)

    block = block_of(notes)

    assert block["begin"] == START + 8.3 * MS
    assert (block["view"], block["function"], block["where"]) == ("shop.views.buy", "buy", "")


@pytest.mark.parametrize(
    ("cpu", "others", "delayed", "looks", "cause"),
    [
        (10, 0, 0, [], "blocking code"),
        (10, 0, 14, [], "blocking code"),
        (0.1, 0.1, 11, [], "not scheduled"),
        (0.1, 0.1, 0, [], "not scheduled"),
        (0.1, 0.1, 0, [(VIEW, OWN)], "not scheduled"),
        (0.1, 0.1, 0, [(VIEW, IN_LOCK)], "blocking call"),
        (0.1, 11, 0, [(VIEW, IN_CALL)], "blocking call"),
        (0.1, 11, 0, [(VIEW, IN_LOCK)], "GIL held elsewhere"),
        (0.1, 11, 0, [(VIEW, IN_LOCK)] * 3, "blocking call"),
        (0.1, 11, 0, [(IN_WAIT, IN_LOCK)] * 3, "blocking call"),
        (0.1, 11, 0, [(IN_START, IN_LOCK)] * 3, "GIL held elsewhere"),
        (0.1, 4, 0, [(IN_START, IN_LOCK)] * 3, "blocking call"),
        (0.1, 11, 0, [(IN_LOOP, IN_LOCK)], "GIL held elsewhere"),
        (0.1, 11, 0, [], "GIL held elsewhere"),
        (0.1, 3, 5, [(IN_LOOP, IN_LOCK)], "GIL held elsewhere"),
    ],
)
def test_the_cause_is_judged_by_who_used_the_time_and_what_was_seen(cpu, others, delayed, looks, cause):
    notes = late_loop(own=cpu, others=others, delayed=delayed)
    for number, (stack, state) in enumerate(looks):
        look(notes, 12 + 2 * number, stack, state)

    assert block_of(notes)["cause"] == cause


@pytest.mark.parametrize(
    ("looks", "function"),
    [
        ([(14.5, 5.0)], ""),  # one look shows a moment
        ([(14.5, 5.0), (15, 5.5)], ""),
        ([(11, 1.0), (15, 5.5)], ""),  # another function may have begun and ended between them
        ([(11, 1.0), (13, 3.2), (15, 5.5)], "buy"),
        ([(11, 5.0), (15, 5.5)], ""),  # the thread had little of a core between them
        ([(11, 1.0), (15.9, 5.5)], ""),  # a look when the block was over
    ],
)
def test_code_is_named_where_looks_in_a_row_saw_it_for_most_of_the_cpu_time(looks, function):
    notes = late_loop(ran=15.5, own=6)
    for seen, cpu in looks:
        look(notes, seen, VIEW, cpu=cpu)

    assert block_of(notes)["function"] == function


SERVE = "site-packages/uvicorn/server.py:1 serve"


@pytest.mark.parametrize(
    ("stacks", "found"),
    [
        ([VIEW] * 4, ("shop/views.py:3", "buy")),
        (
            [f"{VIEW}\nshop/prices.py:9 fetch.<locals>.total\nsite-packages/x/y.py:1 f"] * 4,
            ("shop/prices.py:9", "total"),
        ),
        (
            [f"{SERVE}\nsite-packages/other/cache.py:5 h\nsite-packages/asgiref/sync.py:1 i"] * 4,
            ("site-packages/other/cache.py:5", "h"),
        ),
        ([SERVE] * 4, ("site-packages/uvicorn/server.py:1", "serve")),
        (["lib/python3.11/asyncio/events.py:1 run"] * 4, ("", "")),
        ([IN_LOOP] * 4, ("", "")),
        # What was called in turns took less than the caller.
        ([f"{VIEW}\nshop/{each}.py:1 {each}" for each in "abca"], ("shop/views.py:3", "buy")),
        # It may have been the function that was called, or not.
        ([f"{VIEW}\nshop/a.py:1 a"] * 2 + [VIEW] * 2, ("", "")),
        ([f"{VIEW}\nshop/a.py:1 a"] * 3 + [VIEW], ("shop/a.py:1", "a")),
        ([VIEW, IN_LOOP, VIEW, IN_LOOP], ("", "")),
    ],
)
def test_the_innermost_function_of_the_application_that_surely_took_most_is_named(stacks, found):
    assert who_took_most([(number * MS, stack) for number, stack in enumerate(stacks)], whole=round(3.5 * MS)) == found


def test_of_threads_that_computed_the_function_seen_most_is_named():
    inner = f"{VIEW}\nshop/prices.py:9 total"
    assert who_was_seen_most([VIEW, inner, inner, SERVE]) == ("shop/prices.py:9", "total")
    assert who_was_seen_most([IN_LOOP]) == who_was_seen_most([]) == ("", "")


def test_where_nothing_was_recorded_there_are_no_blocks():
    nothing = inside()
    assert list(blocks(nothing).columns) == list(COLUMNS)
    assert len(blocks(nothing)) == len(idle_floors(nothing)) == 0


def test_file_names_are_short_and_say_what_is_not_the_applications():
    assert short_path(asyncio.__file__).startswith("lib/python3.")
    assert short_path(pytest.__file__) == "site-packages/pytest/__init__.py"
    assert short_path("/nowhere/at/all.py") == "/nowhere/at/all.py"


# The heartbeat in this process


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop() if name == "asyncio" else uvloop.new_event_loop()


def open_timers() -> int:
    """Return how many descriptors of this process are of the sort that a heartbeat holds."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return sum("timerfd" in link or link.endswith(("/schedstat", "/syscall")) for link in links)


async def beat_for(recorder: Recorder, seconds: float) -> None:
    probe.start(recorder)
    probe.start(recorder)
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("name", LOOPS)
def test_a_heartbeat_does_not_keep_its_loop_from_closing_and_leaves_nothing_behind(name, tmp_path):
    timers, threads = open_timers(), threading.active_count()
    loop = new_loop(name)
    loop.run_until_complete(beat_for(Recorder(str(tmp_path), "ticks", 4096), 0.05))
    assert threading.active_count() == threads + 1
    assert open_timers() == timers + 6
    loop.close()

    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == threads
    assert open_timers() == timers


@pytest.mark.parametrize("name", LOOPS)
def test_while_a_loop_is_not_run_nothing_is_late(name, tmp_path):
    with TraceReader(str(tmp_path)) as recording:
        recorder = Recorder(str(tmp_path), "ticks", 4096)
        loop = new_loop(name)
        loop.run_until_complete(beat_for(recorder, 0.05))
        time.sleep(0.4)
        loop.run_until_complete(beat_for(recorder, 0.05))
        loop.close()
        inside = recording.read()

    assert len(inside.ticks) >= 30
    assert (inside.ticks["ran"] - inside.ticks["due"]).max() < 200 * MS


def test_a_signal_handler_of_the_project_stays_in_place(tmp_path):
    def handler(*_: object) -> None:
        """Do nothing."""

    before = signal.signal(SIGNAL, handler)
    try:
        asyncio.run(beat_for(Recorder(str(tmp_path), "ticks", 4096), 0.02))
        assert signal.getsignal(SIGNAL) is handler
    finally:
        signal.signal(SIGNAL, before)


def test_a_loop_that_is_not_in_the_main_thread_is_watched_too(tmp_path):
    async def block() -> None:
        probe.start(recorder)
        await asyncio.sleep(0.05)
        time.sleep(0.06)
        await asyncio.sleep(0.05)

    with TraceReader(str(tmp_path)) as recording:
        recorder = Recorder(str(tmp_path), "ticks", 4096)
        thread = threading.Thread(target=asyncio.run, args=[block()])
        thread.start()
        thread.join()
        table = blocks(recording.read())

    longest = table.loc[table["ms"].idxmax()]
    assert longest["ms"] >= 55
    assert (longest["cause"], longest["function"]) == ("blocking call", "block")


@pytest.mark.parametrize("name", LOOPS)
def test_of_many_short_steps_in_a_row_nothing_is_written_and_a_long_one_among_them_is_named(name, tmp_path):
    """A busy loop is always late. To write down who was at work at each of its moments would cost it a tenth of its
    time."""

    async def steps(count: int, ms: float) -> None:
        for _ in range(count):
            burn_here(ms)
            await asyncio.sleep(0)

    async def busy(ms: float) -> None:
        probe.start(recorder)
        await asyncio.sleep(0.05)
        await asyncio.gather(*(steps(count=20, ms=0.4) for _ in range(20)), steps(count=10, ms=ms))

    with TraceReader(str(tmp_path)) as recording:
        recorder = Recorder(str(tmp_path), "ticks", 4096)
        looks, named = {}, {}
        for ms in (0.4, 20):
            with closing(new_loop(name)) as loop:
                loop.run_until_complete(busy(ms))
            trace = recording.read()
            looks[ms], named[ms] = len(trace.looks), set(blocks(trace)["function"])

    assert looks[0.4] < looks[20] / 4
    assert "burn_here" not in named[0.4]
    assert "burn_here" in named[20]


def test_a_block_longer_than_rows_are_written_for_keeps_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "MAX_ROWS", 10)

    async def block() -> None:
        probe.start(recorder)
        await asyncio.sleep(0.05)
        time.sleep(0.3)
        await asyncio.sleep(0.05)

    with TraceReader(str(tmp_path)) as recording:
        recorder = Recorder(str(tmp_path), "ticks", 4096)
        asyncio.run(block())
        inside = recording.read()

    assert len(inside.ticks) < 100
    assert blocks(inside)["ms"].max() >= 295


def test_a_forked_child_writes_nothing(tmp_path):
    script = """
import asyncio, os, sys, time
from requestlab.worker import heartbeat, probe
from requestlab.worker.recorder import Recorder

async def main():
    probe.start(Recorder(sys.argv[1], "ticks", 4096))
    await asyncio.sleep(0.05)
    child = os.fork()
    if not child:
        for one in list(probe._beating.values()):
            one.timer.heard = lambda: 1
            one.thread = -1
            one.beat()
        os._exit(0)
    os.waitpid(child, 0)
    await asyncio.sleep(0.05)

asyncio.run(main())
"""
    with TraceReader(str(tmp_path)) as recording:
        subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], check=True)
        inside = recording.read()

    assert len(inside.ticks) >= 40
    assert -1 not in set(inside.ticks["thread"])
