from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

from requestlab.comparison import call_costs as module
from requestlab.comparison.call_costs import CallCosts, call_costs
from requestlab.comparison.call_costs_process import Stopwatch, computing
from requestlab.errors import ConfigurationError, LabError
from requestlab.system.machine import split_cores
from requestlab.system.quick import QUICK_VARIABLE
from tests.conftest import left_after, marked_processes, seconds_to_interrupt
from tests.made_runs import COSTED

NAMES = [
    *("call", "await", "loop turn", "thread", "run_in_executor", "to_thread"),
    *("sync_to_async pool", "sync_to_async shared", "sync_to_async warm", "sync_to_async cold"),
    *("async_to_sync warm", "async_to_sync nested", "async_to_sync cold"),
]
CROSSINGS = NAMES[4:]
PLAN = {"loop": "asyncio", "rounds": 200, "seconds": 60.0, "busy_threads": 0, "seed": 1}
SCRIPT = """
import time
from requestlab.comparison.call_costs import call_costs
print("begun", flush=True)
try:
    call_costs(seconds=60, busy_threads={busy_threads})
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(QUICK_VARIABLE, "1")
        return call_costs()


@pytest.fixture(scope="module")
def on_uvloop():
    return call_costs(loop="uvloop", rounds=4, seconds=1)


@pytest.fixture(params=["quick", "on_uvloop"])
def found(request):
    return request.getfixturevalue(request.param)


def call_cost_processes() -> list[psutil.Process]:
    return [one for one in marked_processes() if "requestlab.comparison.call_costs_process" in one.cmdline()]


# What is measured


def test_every_way_has_a_cost_in_every_round_and_quick_mode_takes_a_quarter_of_the_time(quick):
    """On a slow machine fewer rounds fit into that time than are wanted."""
    assert quick.names == NAMES
    assert 8 <= len(quick.rounds) <= 16
    for table in (quick.rounds, quick.means):
        assert list(table.columns) == NAMES
        assert list(table.index) == list(range(1, len(quick.rounds) + 1))
        assert (table > 0).all(axis=None)
    assert set(quick.about.what) == set(NAMES)
    assert (quick.about.seconds, quick.about.wanted, quick.about.busy_threads) == (3.0, 16, 0)


def test_a_crossing_costs_far_more_than_an_await(found):
    assert min(found.ratio(name, "await").value for name in CROSSINGS) > 3


@pytest.mark.parametrize(
    ("over", "under"),
    [
        ("sync_to_async cold", "sync_to_async warm"),
        ("async_to_sync cold", "async_to_sync warm"),
        ("async_to_sync nested", "async_to_sync warm"),
        ("await", "call"),
    ],
)
def test_cold_costs_more_than_warm_and_there_and_back_more_than_there(quick, over, under):
    assert quick.ratio(over, under).value > 1


def test_calls_in_a_row_run_in_one_thread_if_thread_sensitive_and_else_in_the_threads_of_a_pool(found):
    sensitive, pooled = (found.brand_new_threads[f"thread_sensitive={value}"] for value in (True, False))
    assert (sensitive.calls, sensitive.distinct, sensitive.again) == (100, 1, 99)
    assert pooled.calls == 100
    assert 1 <= pooled.distinct <= os.cpu_count() + 4  # the most threads of the loop's pool
    assert pooled.again == pooled.calls - pooled.distinct > 0


def test_the_loop_is_the_one_asked_for(quick, on_uvloop):
    assert on_uvloop.about.loop == "uvloop"
    assert on_uvloop.about.loop_class == "uvloop.Loop"
    assert quick.about.loop_class.startswith("asyncio.")
    assert on_uvloop.about.cores == split_cores().server


def test_threads_that_compute_make_crossings_dearer(quick):
    beside = call_costs(rounds=1, seconds=0.5, busy_threads=4)
    assert beside.cost("sync_to_async warm", "mean").value > 3 * quick.cost("sync_to_async warm", "mean").value
    unknown = beside.cost("sync_to_async warm")
    assert "1 round has a figure" in unknown.why


def test_a_stopwatch_counts_the_calls_that_it_has_timed():
    seen: list[int] = []
    watch = Stopwatch(0.01, group=7)
    watch.time(lambda: seen.append(time.sleep(0.001)))
    assert len(seen) == 7 * len(watch.taken)
    assert min(watch.median_ns, watch.mean_ns) >= 1_000_000


def test_as_many_threads_compute_as_were_asked_for_and_only_within_the_block():
    before = threading.active_count()
    with computing(3):
        assert threading.active_count() == before + 3
    assert threading.active_count() == before


# What is said of it


def made(foreign: list[float], wanted: int | None = None, busy_threads: int = 0) -> CallCosts:
    """Return costs of as many rounds, in which others took those shares of the cores: there, all costs three times as
    much."""
    rounds = [{"await": 1_000.0 * (3 if share else 1), "call": 100.0 * (3 if share else 1)} for share in foreign]
    answer = {
        "what": {"await": "await nothing()", "call": "nothing()"},
        "medians_ns": rounds,
        "means_ns": rounds,
        "outside": [{"steal": 0.0, "foreign": share, "throttled": 0.0} for share in foreign],
        "threads": {"thread_sensitive=True": {"calls": 100, "distinct": 1}},
        "loop_class": "",
    }
    plan = {**PLAN, "rounds": wanted or len(foreign), "busy_threads": busy_threads, "cores": [0]}
    found = module._read(answer, plan)
    return replace(found, about=replace(found.about, machine=COSTED.machine))


def test_a_cost_has_an_interval_around_it_and_a_ratio_is_that_of_the_costs_round_by_round(quick):
    for name in NAMES:
        cost = quick.cost(name)
        assert cost.low <= cost.value <= cost.high
    ratio = quick.ratio("thread", "call")
    assert ratio.value == pytest.approx(quick.cost("thread").value / quick.cost("call").value)
    assert ratio.low <= ratio.value <= ratio.high


def test_costs_are_shown_as_text():
    found = made([0.5, 0, 0.5, 0], busy_threads=4)
    assert repr(found).splitlines() == [
        "What a call costs on asyncio beside 4 threads that compute:",
        "       p50, µs     99% interval  mean, µs  × await",
        "await     1.73    0.0218 to 138      1.73     1.00",
        "call     0.173  0.00218 to 13.8     0.173    0.100",
        "100 calls in a row with thread_sensitive=True ran in 1 thread",
        "doubtful: in 2 of 4 rounds something else took time of the cores, as in the first of them other processes (50%): "
        "calls that wait for a thread may have cost twice as much as they do otherwise",
        f"4 rounds on core 0 · {COSTED.machine.caption}",
    ]


def test_rounds_in_which_others_took_the_core_are_kept_but_do_not_count():
    found = made([0, 0, 0.5, 0, 0, 0.3, 0])
    assert len(found.rounds) == 7
    assert found.about.disturbed == {3: "other processes (50%)", 6: "other processes (30%)"}
    cost = found.cost("await")
    assert (cost.rounds, cost.value, cost.caveats) == (5, pytest.approx(1.0), ())


@pytest.mark.parametrize(
    ("foreign", "wanted", "caveat"),
    [
        ([0.5, 0, 0.5, 0, 0.5], 5, "in 3 of 5 rounds something else took time of the cores"),
        ([0, 0], 10, "only 2 of 10 rounds fitted"),
        ([0, 0], 2, ""),
    ],
)
def test_where_others_took_the_core_most_of_the_time_or_rounds_are_too_few_all_count_with_a_caveat(
    foreign, wanted, caveat
):
    found = made(foreign, wanted)
    cost = found.cost("await")
    assert cost.rounds == len(foreign)
    assert [caveat in one for one in cost.caveats] == [True] * bool(caveat)
    assert found.ratio("await", "call").caveats == cost.caveats


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loop", ("trio",)),
        ("rounds", (0, 201)),
        ("seconds", (0, 301)),
        ("busy_threads", (-1, 9)),
        ("seed", (-1,)),
    ],
)
def test_what_cannot_work_is_refused_at_the_door(name, values):
    for value in values:
        with pytest.raises(ConfigurationError, match=rf"call_costs\({name}=.*expected"):
            call_costs(**{name: value})


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda found: found.cost("sync_to_async"), "no call cost of 'sync_to_async'; there are: await, call"),
        (lambda found: found.ratio("call", "thred"), "no call cost of 'thred'"),
        (lambda found: found.cost("call", "p95"), "expected one of: p50, mean"),
    ],
)
def test_a_cost_that_there_is_not_is_refused_with_those_that_there_are(ask, words):
    with pytest.raises(ConfigurationError, match=words):
        ask(made([0]))


# The process


def test_a_process_that_fails_is_reported_in_its_own_words():
    with pytest.raises(LabError, match=r"failed with status 1: Traceback[\s\S]*sched_setaffinity"):
        module._ask({**PLAN, "cores": [100_000]}, lambda: None)


def test_a_process_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.5 - PLAN["seconds"])
    with pytest.raises(LabError, match="did not finish in time"):
        module._ask({**PLAN, "cores": list(split_cores().server)}, lambda: None)
    assert call_cost_processes() == []


@pytest.mark.patient
@pytest.mark.parametrize("busy_threads", [0, 4])
@pytest.mark.some(1)
def test_an_interrupt_is_obeyed_within_half_a_second_and_leaves_nothing_running(busy_threads):
    assert seconds_to_interrupt(SCRIPT.format(busy_threads=busy_threads), after_s=1.5) < 0.5
    assert left_after(1.0) == []


def test_a_killed_kernel_takes_the_process_with_it():
    script = subprocess.Popen([sys.executable, "-c", SCRIPT.format(busy_threads=4)], stdout=subprocess.PIPE)
    with script:
        script.stdout.readline()
        deadline = time.monotonic() + 20
        while not call_cost_processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1)
        assert len(call_cost_processes()) == 1
        script.send_signal(signal.SIGKILL)
    assert left_after(2.0) == []


def test_the_end_of_its_input_is_enough_to_end_the_process():
    with module._process() as process:
        plan = {**PLAN, "busy_threads": 4, "cores": list(split_cores().server)}
        process.tell(json.dumps(plan).encode() + b"\n")
        time.sleep(1.5)
        assert process.alive
        process.stdin.close()
        assert "failed with status 1" in str(process.failure())


def test_a_notebook_that_measures_call_costs_imports_neither_asgiref_nor_django():
    code = "import sys, requestlab.comparison.call_costs; print(sorted({'asgiref', 'django', 'uvloop'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
