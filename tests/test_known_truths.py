"""Servers with a known truth, and what the lab reports of them."""

from __future__ import annotations

import math
import os
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

import requestlab as lab
from requestlab.load.plan import COLUMNS, Plan
from requestlab.measurement.run import Run
from tests.known_server import BODY, known_server
from tests.load_process import run_plan
from tests.processes import started_for_all

pytestmark = pytest.mark.measuring(slices=6)


def close(measured: float, truth: float) -> bool:
    """The tolerance of the lab: 3% + 0.5 ms."""
    return truth * 0.97 - 0.5 <= measured <= truth * 1.03 + 0.5


@pytest.fixture(scope="module")
def delayed() -> Iterator[Callable[[float], str]]:
    """The address of a server that gives each answer after so many ms: one for all tests."""
    urls: dict[float, str] = {}
    with ExitStack() as stack:

        def url(ms: float) -> str:
            if ms not in urls:
                with started_for_all():
                    urls[ms] = stack.enter_context(known_server("delay", ms)).url
            return urls[ms]

        yield url


def seen_by_a_plain_client(url: str) -> float:
    """Return the median response time, in ms, of one who asks now and then and does nothing else."""
    host, port = url.removeprefix("http://").split(":")
    times = []
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for _ in range(9):
            time.sleep(1 / 60)
            start = time.perf_counter()
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert connection.recv(65_536).endswith(BODY)
            times.append((time.perf_counter() - start) * 1_000)
    return statistics.median(times)


def all_response_ms(samples: np.ndarray) -> np.ndarray:
    return (samples[:, COLUMNS.index("done")] - samples[:, COLUMNS.index("planned")]) / 1e6


def reasons(run: Run) -> str:
    return " | ".join(run.summary["reasons"])


# Constant delays.


@pytest.mark.parametrize("ms", [2, 10, 50])
@pytest.mark.parametrize(
    "load", [lab.closed(1), lab.closed(4), lab.open(60), lab.open(60, arrivals="poisson")], ids=str
)
def test_a_constant_delay_is_reported_within_three_percent_and_half_a_millisecond(delayed, ms, load):
    """Of what a plain client sees: a machine that takes long to wake who sleeps makes the delay longer for both."""
    run = lab.measure(delayed(ms), "/", load, seconds=0.4, warmup=0.1)
    truth = seen_by_a_plain_client(delayed(ms))
    assert run.summary["errors"] == 0
    assert run.response_ms.min() >= ms
    assert (run.response_ms >= run.service_ms).all()
    assert ms <= run.summary["service_p50"] <= run.summary["p50"] <= truth * 1.03 + 0.5
    assert truth <= ms + 5, "this machine takes long"


@pytest.mark.parametrize(("users", "ms"), [(1, 10), (5, 10), (20, 50)])
def test_the_throughput_of_users_who_wait_is_their_number_by_the_delay(delayed, users, ms):
    """Each asks again at once: between two questions lies the answer to the first, whatever made that late, and little
    else."""
    run = lab.measure(delayed(ms), "/", lab.closed(users), seconds=0.6, warmup=0.1)
    between_ms, answered_ms = users / run.summary["throughput"] * 1_000, run.response_ms.mean()
    assert ms <= answered_ms <= between_ms * 1.03
    assert between_ms <= answered_ms * 1.03 + 0.5


@pytest.mark.parametrize("users", [1, 4])
@pytest.mark.parametrize("ms", [300, 400, 700])
def test_the_throughput_of_views_that_wait_is_right_though_few_of_them_fit_into_a_slice(delayed, ms, users):
    """Whole answers in a second would be too few by up to a third, or too many, for all users at the same time."""
    run = lab.measure(delayed(ms), "/", lab.closed(users), seconds=1)
    truth = users * 1_000 / ms
    assert truth * 0.98 < run.summary["throughput"] <= truth
    assert close(run.summary["p50"], ms)
    assert "Little's law" not in reasons(run)


def test_the_throughput_of_an_open_loop_is_its_rate(delayed):
    run = lab.measure(delayed(2), "/", lab.open(400), seconds=0.5)
    assert run.about.started == len(run.samples) == 300
    assert abs(run.summary["throughput"] / 400 - 1) < 0.03


# Exponential delays.


def exponential(measured_ms: np.ndarray, mean_ms: float) -> bool:
    """Whether mean and median are those of the distribution, within four standard errors of so many draws and the
    tolerance.

    Of n exponential times the mean has the standard error mean / sqrt(n), and so has the median: where it lies the
    density is 1 / (2 mean), and the error of a median is 1 / (2 density sqrt(n)).
    """
    error = 4 * mean_ms / len(measured_ms) ** 0.5 + 0.03 * mean_ms + 0.5
    return abs(measured_ms.mean() - mean_ms) <= error and abs(np.median(measured_ms) - mean_ms * math.log(2)) <= error


@pytest.mark.parametrize(
    ("load", "seconds"),
    [(lab.closed(8, each=80), 20), (lab.open(400), 1.2), (lab.open(400, arrivals="poisson", seed=3), 1.2)],
    ids=["closed", "constant arrivals", "poisson arrivals"],
)
def test_exponential_delays_are_reported_as_the_server_held_them_and_as_theory_has_them(load, seconds):
    """One by one in order of length: none is shorter than the server held it, and half of them are longer by 0.5 ms at
    most."""
    with known_server("exponential", 20, 7) as known:
        run = lab.measure(known.url, "/", load, seconds=seconds)
    measured_ms, held_ms = np.sort(all_response_ms(run.samples)), np.sort(known.held_ms)
    assert run.summary["errors"] == 0
    assert len(measured_ms) == len(held_ms) == known.requests
    assert (measured_ms > held_ms).all()
    assert np.median(measured_ms - held_ms) < 0.5
    assert all(close(np.percentile(measured_ms, q), np.percentile(held_ms, q)) for q in (50, 95, 99))
    assert exponential(measured_ms, 20)


def test_long_times_are_not_met_more_often_than_they_are_in_short_slices_of_a_closed_loop():
    """A second has five of them, on average. With those under way at its beginning, the median would be 20% too
    long."""
    with known_server("exponential", 200, 3) as known:
        runs = [lab.measure(known.url, "/", lab.closed(200), seconds=1) for _ in range(2)]
    every = np.concatenate([run.response_ms for run in runs])
    error = 200 / len(every) ** 0.5
    assert len(every) > 1_500
    assert np.median(every) == pytest.approx(200 * math.log(2), abs=3 * error + 0.5)
    assert every.mean() == pytest.approx(200, abs=3 * error + 0.5)


# One freeze.


def slow(measured_ms: np.ndarray) -> int:
    return int((measured_ms > 25).sum())


def test_a_freeze_of_the_server_is_in_the_tail_of_the_open_loop_and_hardly_in_that_of_the_closed():
    rate, frozen_s = 300, 0.3
    with known_server("freeze", 900, frozen_s * 1_000, 1) as known:
        open_run = lab.measure(known.url, "/", lab.open(rate), seconds=1.8, warmup=0.2)
    with known_server("freeze", 900, frozen_s * 1_000, 1) as other:
        closed_run = lab.measure(other.url, "/", lab.closed(2), seconds=1.8, warmup=0.2)

    due_meanwhile = rate * frozen_s
    assert slow(open_run.response_ms) >= due_meanwhile - rate * 0.025 - 2
    assert slow(open_run.response_ms) <= due_meanwhile * 1.5
    assert open_run.summary["p99"] > 0.9 * frozen_s * 1_000
    assert open_run.summary["p95"] > 0.5 * frozen_s * 1_000
    assert open_run.summary["max"] >= frozen_s * 1_000 - 1_000 / rate

    assert slow(closed_run.response_ms) < due_meanwhile / 4
    assert closed_run.summary["p99"] < open_run.summary["p99"] / 10
    assert closed_run.summary["max"] >= frozen_s * 1_000 - 10

    for run, server in ((open_run, known), (closed_run, other)):
        assert len(run.samples) == run.about.started == server.requests
        assert run.summary["errors"] == 0
    assert len(open_run.samples) == rate * 2


def test_response_time_counts_from_planned_where_connections_run_out_and_service_time_does_not():
    """Two connections only: all but two of the requests that are due in the freeze wait in the client, unsent."""
    rate, frozen_ms = 300, 300
    with known_server("freeze", 500, frozen_ms, 1) as known:
        plan = Plan(
            family=socket.AF_INET,
            address=known.address,
            requests=("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",),
            rate=float(rate),
            connections=2,
            seconds=1.2,
            warmup_s=0.0,
            timeout_s=10.0,
        )
        outcome = run_plan(plan)
    planned, sent, done = (outcome.samples[:, COLUMNS.index(name)] for name in ("planned", "sent", "done"))
    due_meanwhile = rate * frozen_ms // 1_000
    assert len(outcome.samples) == outcome.report.started == known.requests == 360
    assert outcome.report.held_back >= due_meanwhile - 5
    assert slow((done - planned) / 1e6) >= due_meanwhile - 10
    assert slow((done - sent) / 1e6) < due_meanwhile / 4
    assert (sent >= planned).all()


# Nagle's algorithm.


@pytest.mark.parametrize(("no_delay", "p50", "said"), [(0, (30, 70), True), (1, (0, 20), False)])
def test_two_small_writes_fall_into_the_forty_millisecond_trap_unless_they_go_out_at_once(no_delay, p50, said):
    with known_server("two_writes", no_delay) as known:
        run = lab.measure(known.url, "/", lab.closed(2, each=40))
    assert p50[0] < run.summary["p50"] < p50[1]
    assert ("Nagle's algorithm was waiting for a delayed acknowledgement" in reasons(run)) is said


# Workers.


def test_a_worker_that_is_ten_times_slower_shows_in_the_requests_per_worker(monkeypatch):
    monkeypatch.setattr(lab.Bare, "targets", {"wsgi": "tests.known_server:one_slow_worker"})
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    with lab.serve(lab.SYNC, application="bare", workers=2) as server:
        run = lab.measure(server, "/", lab.closed(4), seconds=1)
        pids = set(server.pids)
    counts = run.about.counts
    assert {int(pid) for pid in counts} == pids
    least, most = sorted(counts.values())
    assert 4 < most / least < 15
    assert least + most == run.about.started == len(run.samples)
    assert f"the workers did not share the work evenly: {most:,}, {least:,} requests" in reasons(run)
    assert run.summary["validity"] == "suspect"


def test_a_worker_that_is_killed_mid_way_makes_rows_and_an_invalid_run_whose_counts_agree():
    with lab.serve(lab.SYNC, workers=2) as server:
        victim = threading.Timer(0.8, os.kill, (server.pids[0], signal.SIGKILL))
        victim.start()
        run = lab.measure(server, "/sync/wait/?ms=100", lab.closed(6), seconds=2, timeout=5)
        victim.join()
        assert server.alive
    assert run.summary["validity"] == "invalid"
    assert run.summary["reasons"][0] == "a worker of the server ended, before the run or during it"
    failed = run.requests[run.requests["error"] != ""]
    assert 1 <= len(failed) <= 2  # what that worker had in hand
    assert set(failed["error"]) <= {"connection reset", "closed before the answer"}
    assert len(run.samples) == run.about.started
    assert len(run.samples) - len(failed) <= sum(run.about.counts.values()) <= run.about.started
    assert "counted" not in reasons(run)
    assert len(run.about.counts) == 3  # the one that gunicorn started in its place has counted too


# Faults.


def test_a_few_wrong_bodies_are_noticed_without_being_told_what_is_right():
    with known_server("wrong_body", 10) as known:
        run = lab.measure(known.url, "/", lab.closed(4, each=50))
    assert (run.summary["errors"], run.summary["validity"]) == (0, "suspect")
    assert "20 of 200 answers had another body than the rest" in reasons(run)


@pytest.mark.parametrize(("every", "wrong", "validity"), [(10, 20, "suspect"), (1, 200, "invalid")])
def test_wrong_bodies_are_failures_where_the_right_one_is_known(every, wrong, validity):
    with known_server("wrong_body", every) as known:
        run = lab.measure(known.url, "/", lab.closed(50, each=4), expect=BODY.decode())
    assert (run.requests["error"] == "wrong body").sum() == wrong == run.summary["errors"]
    assert len(run.requests) == known.requests == 200
    assert run.summary["validity"] == validity
    assert f"{wrong} of 200 requests failed, {wrong} of them with a body that does not hold" in reasons(run)
    assert ("no request was answered" in reasons(run)) is (validity == "invalid")


def test_right_bodies_hold_what_was_expected(delayed):
    run = lab.measure(delayed(2), "/", lab.closed(2, each=5), expect=BODY.decode()[3:9])
    assert run.summary["errors"] == 0


@pytest.mark.parametrize(("behaviour", "error"), [("half_sent", "answer cut short"), ("reset", "connection reset")])
@pytest.mark.parametrize(
    ("load", "seconds"), [(lab.closed(20, each=10), 10), (lab.open(400), 0.5)], ids=["closed", "open"]
)
def test_answers_that_end_too_early_are_rows_with_their_name(behaviour, error, load, seconds):
    with known_server(behaviour, 10) as known:
        run = lab.measure(known.url, "/", load, seconds=seconds, warmup=0)
    assert len(run.requests) == run.about.started == known.requests == 200
    assert dict(run.requests["error"].value_counts()[lambda count: count > 0]) == {"": 180, error: 20}
    assert run.summary["errors"] == 20
    assert "20 of 200 requests failed" in reasons(run)
    assert run.summary["validity"] == "suspect"
    assert run.connections >= 20


def test_a_server_that_is_gone_is_rows_and_no_request_is_missed():
    with known_server("delay", 5) as known:
        pass
    run = lab.measure(known.url, "/", lab.closed(3, each=2))
    assert set(run.requests["error"]) == {"connection refused"}
    assert run.summary["validity"] == "invalid"
    assert "were sent, and" not in reasons(run)
