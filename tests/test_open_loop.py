"""The schedule of an open loop: what is due, what was sent, and what could not be."""

from __future__ import annotations

import socket
import threading
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

import requestlab as lab
from requestlab.load.connection import ERRORS, REFUSED, TIMEOUT
from requestlab.load.open_loop import schedule
from requestlab.load.plan import COLUMNS
from requestlab.load.pool import Outcome
from requestlab.measurement import validity
from tests import load_process
from tests.conftest import ALL_CASES
from tests.known_server import known_server
from tests.load_process import run_plan
from tests.tiny_server import tiny_server

plan = partial(load_process.plan, rate=100.0, connections=50, seconds=0.5, timeout_s=10.0)


def table(outcome: Outcome) -> pd.DataFrame:
    return pd.DataFrame(outcome.samples, columns=list(COLUMNS)).sort_values("planned", kind="stable")


# The schedule itself.


@pytest.mark.parametrize(
    ("rate", "seconds", "number"), [(1000, 2.0, 2_000), (3, 1.0, 3), (0.5, 1.0, 1), (0.1, 0.05, 1), (7, 0.3, 3)]
)
def test_constant_arrivals_are_one_every_so_many_nanoseconds_and_as_many_as_fit(rate, seconds, number):
    due = schedule(plan(rate=rate, seconds=seconds))
    assert due == [int(position * 1e9 / rate) for position in range(number)]


@settings(max_examples=200 if ALL_CASES else 60, deadline=None)
@given(st.floats(0.01, 2_000), st.floats(0.01, 3), st.floats(0, 1), st.sampled_from(["constant", "poisson"]))
def test_every_schedule_is_in_order_and_lies_within_the_time(rate, seconds, warmup_s, arrivals):
    due = schedule(plan(rate=rate, seconds=seconds, warmup_s=warmup_s, arrivals=arrivals))
    assert due == sorted(due)
    assert all(0 <= at < (seconds + warmup_s) * 1e9 for at in due)
    if arrivals == "constant":
        assert abs(len(due) - rate * (seconds + warmup_s)) <= 1


def test_the_same_seed_makes_the_same_visitors_and_another_seed_others():
    one, same, other = (schedule(plan(arrivals="poisson", seed=seed, seconds=20.0)) for seed in (5, 5, 6))
    assert one == same
    assert one != other
    longer = schedule(plan(arrivals="poisson", seed=5, seconds=40.0))
    assert longer[: len(one)] == one


def test_gaps_between_poisson_arrivals_are_exponential_and_their_number_is_poissons():
    due = np.array(schedule(plan(rate=500.0, arrivals="poisson", seed=1, seconds=20.0)))
    gaps_ms = np.diff(due) / 1e6
    assert stats.kstest(gaps_ms, stats.expon(scale=2).cdf).pvalue > 0.01
    assert abs(np.corrcoef(gaps_ms[1:], gaps_ms[:-1])[0, 1]) < 4 / len(gaps_ms) ** 0.5
    counts = [len(schedule(plan(rate=100.0, arrivals="poisson", seed=seed, seconds=1.0))) for seed in range(400)]
    assert abs(np.mean(counts) - 100) < 4 * 10 / 400**0.5
    assert np.var(counts) / np.mean(counts) == pytest.approx(1, abs=4 * (2 / 400) ** 0.5)


# What is sent.


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_every_request_is_planned_for_the_very_time_that_the_schedule_says_and_not_sent_before(arrivals, served):
    run = lab.measure(served(lab.NULL), "/", lab.open(1_000, arrivals=arrivals, seed=4), seconds=1)
    due = schedule(plan(rate=1_000.0, arrivals=arrivals, seed=4, seconds=1.0, warmup_s=0.25))
    planned = np.sort(run.samples[:, COLUMNS.index("planned")])
    assert list(planned - planned[0]) == [at - due[0] for at in due]
    assert run.about.started == len(run.samples) == len(due)
    assert run.about.held_back == 0
    requests = run.requests
    assert (requests["sent"] >= requests["planned"]).all()
    assert (requests["first_byte"] > requests["sent"]).all()
    late_ms = (requests["sent"] - requests["planned"]) / 1e6
    assert run.summary["late"] == (late_ms > validity.LATE_MS).sum()
    assert run.summary["late_p99"] == pytest.approx(np.percentile(late_ms, 99))
    timed = requests["planned"] >= run.about.start
    assert len(run.response_ms) == timed.sum()
    assert run.response_ms - run.service_ms == pytest.approx(late_ms[timed].to_numpy())


@pytest.mark.measuring
def test_the_schedule_is_kept_better_than_a_timer_of_whole_milliseconds_would(served):
    """Every other request is due half a millisecond after a whole one; such a timer would be 0.5 ms late, each time."""
    runs = [lab.measure(served(lab.NULL), "/", lab.open(666.6), seconds=0.3) for _ in range(5)]
    assert min(np.median(run.late_ms) for run in runs) < 0.25


def test_a_stretch_without_visitors_lasts_as_long_as_any_other():
    with known_server("delay", 1) as known:
        outcome = run_plan(plan(known.address, rate=0.5, seconds=0.4, arrivals="poisson", seed=0))
    assert len(outcome.samples) == known.requests == 0
    first, last = outcome.report.marks
    assert last.time_ns - first.time_ns >= 0.99 * 0.4e9


@pytest.mark.patient
def test_a_connection_that_is_free_is_used_again_and_a_new_one_opened_where_none_is():
    with known_server("delay", 100) as known:
        run = lab.measure(known.url, "/", lab.open(100), seconds=1, warmup=0)
    assert 10 <= run.connections <= 40  # ten under way at any time, by Little's law
    assert run.requests["user"].nunique() == run.connections
    with known_server("delay", 1) as known:
        one_each = lab.measure(known.url, "/", lab.open(100, keep_alive=False), seconds=0.5, warmup=0)
    assert known.requests == 50
    assert one_each.summary["errors"] == 0


@pytest.mark.measuring
def test_a_server_that_is_slower_than_the_schedule_is_said_to_fall_behind(served):
    """One worker that takes 20 ms and is asked for twice as much as it can give."""
    run = lab.measure(served(lab.SYNC), "/sync/wait/?ms=20", lab.open(100), seconds=1)
    assert len(run.samples) == 125
    assert "the server did not keep up" in " ".join(run.summary["reasons"])
    assert np.median(run.response_ms[-20:]) > 2 * np.median(run.response_ms[:20])
    assert "Little's law" not in " ".join(run.summary["reasons"])


# What cannot be sent.


@pytest.mark.patient
def test_requests_wait_for_a_connection_where_all_are_in_use_and_are_counted():
    with known_server("delay", 40) as known:
        outcome = run_plan(plan(known.address, connections=1, rate=50.0))
    rows = table(outcome)
    assert outcome.report.started == known.requests == len(rows) == 25
    assert outcome.report.held_back == 24  # each but the first finds the one before under way
    assert set(rows["user"]) == {0}
    assert rows["opened"].sum() == 1
    assert (rows["sent"].to_numpy()[1:] >= rows["done"].to_numpy()[:-1]).all()
    assert rows["sent"].is_monotonic_increasing  # first come, first served
    late_ms = ((rows["sent"] - rows["planned"]) / 1e6).to_numpy()
    assert (late_ms[1:] >= np.arange(1, 25) * 20 - 1).all()


@pytest.mark.patient
def test_a_request_that_was_never_sent_is_a_row_all_the_same_and_none_is_sent_when_it_is_overdue():
    with known_server("delay", 5_000) as known:
        outcome = run_plan(plan(known.address, connections=2, rate=50.0, timeout_s=0.3))
    rows = table(outcome)
    unsent, sent = rows[rows["user"] == -1], rows[rows["user"] >= 0]
    assert len(rows) == 25
    assert len(unsent) == 25 - outcome.report.started > 0
    assert not unsent[["sent", "first_byte"]].any(axis=None)
    assert (unsent["done"] - unsent["planned"] >= 0.3e9).all()
    assert set(rows["error"]) == {TIMEOUT}
    assert (rows["done"] - rows["planned"] < 2e9).all()
    assert (sent["sent"] - sent["planned"] < 0.45e9).all()


@pytest.mark.patient
def test_thousands_that_wait_for_a_connection_to_a_server_that_vanishes_are_refused_one_by_one():
    gone = threading.Event()

    def never_answer(connection: socket.socket) -> None:
        gone.wait()

    def vanish() -> None:
        server.close()
        gone.set()

    with tiny_server(never_answer) as server:
        threading.Timer(0.8, vanish).start()
        outcome = run_plan(plan(server.address, connections=3, rate=4_000.0, seconds=1.0))
    rows = table(outcome)
    assert len(rows) == 4_000 == outcome.report.started
    assert outcome.report.held_back > 2_000
    assert (rows["error"] == REFUSED).sum() >= 3_990
    assert set(rows["error"].map(lambda code: ERRORS[code])) <= {
        *("connection refused", "connection reset", "closed before the answer")
    }


def test_a_timeout_counts_from_when_a_request_was_planned():
    with known_server("delay", 1_000) as known:
        run = lab.measure(known.url, "/", lab.open(20), seconds=0.5, warmup=0, timeout=0.3)
    assert set(run.requests["error"]) == {"timeout"}
    took_ms = (run.requests["done"] - run.requests["planned"]) / 1e6
    assert took_ms.min() >= 300
    assert run.summary["validity"] == "invalid"


# The alarm.


# Ramps.


def test_a_list_of_rates_or_of_users_is_a_ramp_with_a_run_for_each_step(served):
    by_rate = lab.measure(served(lab.NULL), "/", lab.open(rate=[50, 100, 200]), seconds=0.3)
    by_users = lab.measure(served(lab.NULL), "/", lab.closed(users=[1, 3]), seconds=0.1)
    assert isinstance(by_rate, lab.Ramp)
    assert (by_rate.unit, by_rate.steps) == ("requests/s", [50, 100, 200])
    assert [run.about.rate for run in by_rate] == [50, 100, 200]
    assert [len(run.samples) for run in by_rate] == [28, 55, 110]
    assert list(by_rate.table.index) == [50, 100, 200]
    assert list(by_rate.table["throughput"]) == [run.summary["throughput"] for run in by_rate]
    assert repr(by_rate) == "<Ramp null, 50, 100, 200 requests/s>"
    assert (by_users.unit, by_users.steps, len(by_users)) == ("users", [1, 3], 2)
    assert [run.connections for run in by_users] == [1, 3]
    ends = [run.samples[:, COLUMNS.index("done")].max() for run in (*by_rate, *by_users)]
    starts = [run.samples[:, COLUMNS.index("planned")].min() for run in (*by_rate, *by_users)]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
