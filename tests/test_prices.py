from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from requestlab.comparison import call_costs
from requestlab.comparison.call_costs import call_costs as prices
from requestlab.comparison.call_costs_process import Stopwatch, computing
from requestlab.errors import ConfigurationError, LabError
from requestlab.system.machine import split_cores
from requestlab.system.quick import QUICK_VARIABLE
from tests.conftest import left_after, marked_processes, seconds_to_interrupt
from tests.made_runs import COSTED

NAMES = [
    "call",
    "await",
    "loop turn",
    "thread",
    "run_in_executor",
    "to_thread",
    "sync_to_async pool",
    "sync_to_async shared",
    "sync_to_async warm",
    "sync_to_async cold",
    "async_to_sync warm",
    "async_to_sync nested",
    "async_to_sync cold",
]
CROSSINGS = NAMES[4:]
VERSIONS = ("python", "asgiref", "uvloop", "loop_class", "new_loop_class", "gil", "switch_interval_ms")
POOLED = {"run_in_executor", "to_thread", "sync_to_async pool"}
"""Ways whose pool may still grow by a thread now and then."""

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
        return prices()


@pytest.fixture(scope="module")
def on_uvloop():
    return prices(loop="uvloop", rounds=4, seconds=1)


def pricing_processes() -> list[psutil.Process]:
    return [
        process for process in marked_processes() if "requestlab.comparison.call_costs_process" in process.cmdline()
    ]


def test_every_way_has_a_price_in_every_round(quick):
    assert quick.names == NAMES
    for table in (quick.rounds, quick.means):
        assert list(table.columns) == NAMES
        assert table.index.name == "round"
        assert list(table.index) == [1, 2, 3, 4, 5]
        assert (table > 0).all(axis=None)
    assert set(quick.about.calls) == set(quick.about.what) == set(NAMES)
    assert min(quick.about.calls.values()) >= 5


def test_the_table_has_each_price_with_an_interval_around_it(quick):
    table = quick.table
    assert list(table.columns) == ["name", "p50_us", "low_us", "high_us", "rounds", "mean_us"]
    assert list(table["name"]) == NAMES
    assert (table["low_us"] <= table["p50_us"]).all()
    assert (table["p50_us"] <= table["high_us"]).all()
    row = table.set_index("name").loc["thread"]
    price, mean = quick.price("thread"), quick.price("thread", "mean")
    assert tuple(row) == (price.value, price.low, price.high, price.rounds, mean.value)


def test_quick_mode_takes_a_quarter_of_the_time_in_half_as_many_rounds(quick):
    about = quick.about
    assert (about.seconds, about.wanted, about.busy_threads) == (3.0, 5, 0)


@pytest.mark.parametrize("name", CROSSINGS)
def test_a_crossing_costs_far_more_than_an_await(quick, on_uvloop, name):
    assert quick.ratio(name, "await").value > 3
    assert on_uvloop.ratio(name, "await").value > 3


def test_cold_costs_more_than_warm_and_there_and_back_more_than_there(quick):
    assert quick.ratio("sync_to_async cold", "sync_to_async warm").value > 1
    assert quick.ratio("async_to_sync cold", "async_to_sync warm").value > 1
    assert quick.ratio("async_to_sync nested", "async_to_sync warm").value > 1
    assert quick.ratio("await", "call").value > 1


def test_a_ratio_is_that_of_the_prices_round_by_round(quick):
    over, under = quick.price("to_thread"), quick.price("call")
    ratio = quick.ratio("to_thread", "call")
    assert ratio.value == pytest.approx(over.value / under.value)
    assert ratio.low <= ratio.value <= ratio.high


def test_calls_that_are_not_thread_sensitive_run_in_used_threads_too(quick, on_uvloop):
    for found in (quick, on_uvloop):
        used = found.brand_new_threads["thread_sensitive=False"]
        assert used.calls == 100
        assert 1 <= used.distinct <= os.cpu_count() + 4  # the most threads of the loop's pool
        assert used.again == used.calls - used.distinct > 0


def test_thread_sensitive_calls_in_one_context_share_one_thread(quick, on_uvloop):
    for found in (quick, on_uvloop):
        used = found.brand_new_threads["thread_sensitive=True"]
        assert (used.calls, used.distinct, used.again) == (100, 1, 99)


def test_cold_calls_start_threads_and_warm_ones_none(quick, on_uvloop):
    for found in (quick, on_uvloop):
        started = found.about.threads_started
        release = tuple(map(int, found.about.asgiref.split(".")[:2]))
        cold = 2 if release >= (3, 12) else 1  # one that runs the function, and one that waits for the end of that
        assert {name: count for name, count in started.items() if name not in POOLED} == {
            **dict.fromkeys(set(NAMES) - POOLED, 0),
            "thread": 1,
            "sync_to_async cold": cold,
            "async_to_sync cold": 1,
        }
        assert all(abs(started[name]) < 1 for name in POOLED)


def test_a_stopwatch_counts_the_calls_that_it_has_timed():
    seen: list[int] = []
    watch = Stopwatch(0.01, group=7)
    watch.time(lambda: seen.append(time.sleep(0.001)))
    assert watch.calls == len(seen) == 7 * len(watch.taken)
    assert watch.median_ns >= 1_000_000
    assert watch.mean_ns >= 1_000_000


def test_threads_that_compute_end_with_their_block():
    before = threading.active_count()
    with computing(3):
        assert threading.active_count() == before + 3
    assert threading.active_count() == before


def test_versions_cores_and_loop_travel_with_the_prices(quick, on_uvloop):
    about = on_uvloop.about
    assert about.asgiref == about.machine.versions["asgiref"]
    assert about.python == about.machine.python
    assert tuple(about.cores) == split_cores().server
    assert about.loop == "uvloop"
    assert about.loop_class == "uvloop.Loop"
    assert quick.about.loop_class.startswith("asyncio.")


def test_a_cold_async_to_sync_makes_a_loop_of_asyncio_under_uvloop_too(on_uvloop):
    assert on_uvloop.about.new_loop_class.startswith("asyncio.")


def test_threads_that_compute_make_crossings_dearer(quick):
    beside = prices(rounds=1, seconds=0.5, busy_threads=4)
    assert beside.about.busy_threads == 4
    assert "beside 4 threads that compute" in repr(beside)
    assert beside.price("sync_to_async warm", "mean").value > 3 * quick.price("sync_to_async warm", "mean").value
    unknown = beside.price("sync_to_async warm")
    assert not unknown.known
    assert "1 rounds have a figure" in unknown.why


def test_prices_are_shown_as_text_and_as_a_table(quick):
    text, html = repr(quick), quick._repr_html_()
    for name in NAMES:
        assert f"\n{name} " in text
        assert name in html
    assert "What a call costs on asyncio:" in text
    assert "100 calls in a row with thread_sensitive=True ran in 1 thread" in text
    assert "asyncio.sleep(0): the loop goes round once" in html
    assert quick.about.asgiref in text
    assert quick.about.asgiref in html


@pytest.mark.parametrize(
    "arguments",
    [
        {"loop": "trio"},
        {"loop": None},
        {"rounds": 0},
        {"rounds": 2.5},
        {"rounds": True},
        {"rounds": 201},
        {"seconds": 0},
        {"seconds": math.nan},
        {"seconds": "1"},
        {"seconds": 301},
        {"busy_threads": -1},
        {"busy_threads": 9},
        {"busy_threads": None},
        {"seed": -1},
    ],
)
def test_what_cannot_work_is_refused_at_the_door(arguments):
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=rf"prices\({name}=.*expected"):
        prices(**arguments)


def test_a_price_that_there_is_not_is_refused_with_those_that_there_are(quick):
    with pytest.raises(ConfigurationError, match="no price of 'sync_to_async'; there are: call, await"):
        quick.price("sync_to_async")
    with pytest.raises(ConfigurationError, match="no price of 'thred'"):
        quick.ratio("call", "thred")
    with pytest.raises(ConfigurationError, match="expected one of: p50, mean"):
        quick.price("call", "p95")


def made(foreign: list[float], wanted: int | None = None) -> call_costs.CallCosts:
    """Return prices of as many rounds, in which others took those shares of the cores: there, all costs three times as much."""
    rounds = [{"await": 1_000.0 * (3 if share else 1), "call": 100.0 * (3 if share else 1)} for share in foreign]
    answer = {
        "what": {"await": "", "call": ""},
        "medians_ns": rounds,
        "means_ns": rounds,
        "outside": [{"steal": 0.0, "foreign": share, "throttled": 0.0} for share in foreign],
        "threads": {},
        "threads_started": {"await": 0.0, "call": 0.0},
        "calls": {},
    }
    answer |= {name: getattr(COSTED, name) for name in VERSIONS}
    settings = {"loop": "asyncio", "rounds": wanted or len(foreign), "busy_threads": 0, "seconds": 1.0, "seed": 0}
    return call_costs._understand(answer, settings, [0])


def test_rounds_in_which_others_took_the_core_are_kept_but_do_not_count():
    found = made([0, 0, 0.5, 0, 0, 0.3, 0])
    assert len(found.rounds) == 7
    assert found.about.disturbed == {3: "other processes (50%)", 6: "other processes (30%)"}
    assert found.price("await").rounds == 5
    assert found.price("await").value == pytest.approx(1.0)
    assert found.price("await").caveats == ()


def test_where_others_took_the_core_most_of_the_time_all_rounds_count_and_are_doubted():
    found = made([0.5, 0, 0.5, 0, 0.5])
    price = found.price("await")
    assert price.rounds == 5
    assert price.value > 1
    assert "in 3 of 5 rounds something else took time of the cores" in price.caveats[0]
    assert "doubtful: in 3 of 5 rounds" in repr(found)
    assert found.ratio("await", "call").caveats == price.caveats


def test_too_few_rounds_are_said_to_be_too_few():
    assert "only 2 of 10 rounds fitted" in made([0, 0], wanted=10).about.caveats[0]
    assert made([0, 0], wanted=2).about.caveats == ()


def test_a_process_that_fails_is_reported_in_its_own_words():
    with pytest.raises(LabError, match=r"failed with status 1: Traceback[\s\S]*sched_setaffinity"):
        call_costs._ask({**PLAN, "cores": [100_000]}, lambda: None)


def test_a_process_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(call_costs, "_PATIENCE_S", 0.5 - PLAN["seconds"])
    with pytest.raises(LabError, match="did not finish in time"):
        call_costs._ask({**PLAN, "cores": list(split_cores().server)}, lambda: None)
    assert pricing_processes() == []


@pytest.mark.parametrize("busy_threads", [0, 4])
def test_an_interrupt_is_obeyed_within_half_a_second_and_leaves_nothing_running(busy_threads):
    assert seconds_to_interrupt(SCRIPT.format(busy_threads=busy_threads), after_s=1.5) < 0.5
    assert left_after(1.0) == []


@pytest.mark.parametrize("busy_threads", [0, 4])
def test_a_killed_kernel_takes_the_process_with_it(busy_threads):
    script = subprocess.Popen([sys.executable, "-c", SCRIPT.format(busy_threads=busy_threads)], stdout=subprocess.PIPE)
    with script:
        script.stdout.readline()
        deadline = time.monotonic() + 20
        while not pricing_processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1)
        assert len(pricing_processes()) == 1
        script.send_signal(signal.SIGKILL)
    assert left_after(2.0) == []


def test_the_end_of_its_input_is_enough_to_end_the_process():
    with call_costs._process({**PLAN, "busy_threads": 4, "cores": list(split_cores().server)}) as (process, _):
        time.sleep(1.5)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(2) == 1


def test_a_notebook_that_prices_calls_imports_neither_asgiref_nor_django():
    code = "import sys, requestlab.comparison.call_costs; print(sorted({'asgiref', 'django', 'uvloop'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
