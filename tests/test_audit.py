"""Every reason of the audit: one run that gives it, and one that nearly does."""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import requestlab as lab
from requestlab.load.connection import CUT_SHORT, RESET, TIMEOUT, WRONG_BODY
from requestlab.load.plan import COLUMNS
from requestlab.measurement import measure, validity
from requestlab.measurement.facts import CoreUse, RunFacts
from requestlab.measurement.run import Run
from requestlab.serving.upstream.statistics import UpstreamUse
from tests.made_runs import END, MS, START, closed_loop, made, open_loop

GOOD = [{}] * 2_000


def reasons(run: Run) -> str:
    return " | ".join(run.summary["reasons"])


def assert_valid(run: Run) -> None:
    assert (run.summary["validity"], run.summary["reasons"]) == ("valid", [])


def with_share(rows: int, share: float, change: dict[str, int]) -> list[dict[str, int]]:
    """Rows of which that share has the change, the rest is good."""
    changed = round(rows * share)
    return [change] * changed + [{}] * (rows - changed)


def test_runs_in_which_nothing_is_wrong_are_valid_without_a_word():
    assert_valid(made(GOOD))
    assert_valid(closed_loop(users=20))
    assert_valid(open_loop(rate=2_500))


# What makes a run invalid.


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"server_ended": True}, "the server ended during the run"),
        ({"server_ended": True, "worker_ended": True}, "the server ended during the run"),
        ({"worker_ended": True}, "a worker of the server ended, before the run or during it"),
        ({"nonce": False}, "somebody else answers at the server's address: the answers may not be its own"),
        ({"started": 2_001}, "2,001 requests were sent, and 2,000 were answered or failed"),
        ({"started": 1_999}, "1,999 requests were sent, and 2,000 were answered or failed"),
        (
            {"counts": {7: 1_200, 8: 1_201}},
            "the server counted 2,401 requests, and 2,000 were sent: somebody else asked too, or what was given up earlier "
            "came late",
        ),
        (
            {"counts": {7: 999, 8: 1_000}},
            "2,000 answers came, and the application counted 1,999 requests: it did not give all of them",
        ),
    ],
)
def test_evidence_that_the_figures_are_not_those_of_the_server_makes_a_run_invalid(about, words):
    run = made(GOOD, **about)
    assert run.summary["validity"] == "invalid"
    assert run.summary["reasons"] == [words]


@pytest.mark.parametrize(
    "about", [{"nonce": True}, {"nonce": None}, {"counts": {7: 1_000, 8: 1_000}}, {"counts": {}}, {"started": 2_000}]
)
def test_a_server_that_is_itself_and_counts_as_many_is_no_evidence(about):
    assert_valid(made(GOOD, **about))


def test_a_run_without_a_good_answer_is_invalid_and_one_good_answer_is_a_run():
    assert made([{"status": 404}] * 5).summary["validity"] == "invalid"
    assert "no request was answered with a status below 400" in reasons(made([{"error": RESET, "status": 0}]))
    assert "no request was answered" not in reasons(made([{"status": 404}, {}]))


def test_what_failed_may_or_may_not_have_reached_the_server():
    rows = [{"error": TIMEOUT, "status": 0}] * 3 + [{}] * 97
    for counted in (97, 98, 100):
        assert made(rows, counts={7: counted}).summary["validity"] == "suspect"
    for counted in (96, 101):
        assert made(rows, counts={7: counted}).summary["validity"] == "invalid"


def test_answers_that_say_no_were_answers_all_the_same():
    rows = [{"status": 503}] * 3 + [{}] * 97
    assert made(rows, counts={7: 100}).summary["validity"] == "suspect"
    assert "did not give all of them" in reasons(made(rows, counts={7: 97}))


def test_a_request_that_never_had_a_connection_is_not_a_lost_one():
    never = {"user": -1, "sent": 0, "first_byte": 0, "status": 0, "error": TIMEOUT}
    refused_at_once = {"user": 0, "sent": 0, "first_byte": 0, "status": 0, "error": TIMEOUT}
    run = made([never, refused_at_once, {}], started=2)
    assert "were sent, and" not in reasons(run)


# What makes it suspect.


def test_failures_make_a_run_suspect_and_bodies_that_do_not_hold_what_was_expected_are_named():
    failed = made([{"error": CUT_SHORT}] * 2 + [{"status": 500}] + GOOD)
    assert failed.summary["validity"] == "suspect"
    assert failed.summary["reasons"] == ["3 of 2,003 requests failed"]
    wrong = made([{"error": WRONG_BODY}] * 2 + [{"status": 500}] + GOOD)
    assert wrong.summary["reasons"] == [
        "3 of 2,003 requests failed, 2 of them with a body that does not hold what was expected"
    ]


def test_failures_are_counted_also_where_they_were_planned_in_the_warm_up_and_good_answers_are_none():
    early = {"planned": START - 5 * MS, "sent": START - 5 * MS}
    assert_valid(made([early] * 20 + GOOD))
    assert made([early | {"status": 500}, *GOOD]).summary["reasons"] == ["1 of 2,001 requests failed"]


def test_answers_that_are_mostly_redirects_are_suspect():
    run = made(with_share(2_000, 0.51, {"status": 302}))
    assert run.summary["validity"] == "suspect"
    assert run.summary["errors"] == 0
    assert "1,020 of 2,000 answers are redirects (status 3xx): is this the page that was meant?" in reasons(run)
    assert "redirects" not in reasons(made(with_share(2_000, 0.5, {"status": 302})))
    assert "redirects" not in reasons(made([{"status": 299}] * 2_000)) + reasons(made([{"status": 400}] * 2_000))


def test_a_few_answers_with_another_body_are_odd():
    run = made([{"body": 1}] * 3 + GOOD)
    assert run.summary["reasons"] == ["3 of 2,003 answers had another body than the rest"]
    assert run.summary["validity"] == "suspect"


def test_bodies_that_mostly_differ_are_a_page_that_changes():
    assert_valid(made([{"body": number} for number in range(2_000)]))
    assert_valid(made([{"body": number % 2} for number in range(2_000)]))


def test_bodies_of_failures_are_not_compared():
    run = made([{"status": 500, "body": 1}, {"error": CUT_SHORT, "body": 2}, *GOOD])
    assert "another body" not in reasons(run)


@pytest.mark.parametrize(("cpu", "wait"), [(0.61, 0.0), (0.3, 0.31), (0.0, 0.61)])
def test_a_generator_that_ran_or_waited_for_most_of_the_time_may_have_been_the_bottleneck(cpu, wait):
    run = made(GOOD, generator_cpu_ns=int(cpu * 1e9), generator_wait_ns=int(wait * 1e9))
    assert run.summary["validity"] == "suspect"
    assert f"the generator used {cpu:.0%} of its core" in reasons(run)
    assert ("waited for it for another" in reasons(run)) is bool(wait)


def test_a_generator_below_that_share_is_no_reason():
    assert_valid(made(GOOD, generator_cpu_ns=590 * MS))
    assert_valid(made(GOOD, generator_cpu_ns=500 * MS, generator_wait_ns=90 * MS))


def test_a_generator_that_has_to_wait_for_a_core_of_its_own_is_starved():
    run = made(GOOD, generator_wait_ns=110 * MS)
    assert run.summary["reasons"] == [
        "the generator had to wait for its core for 11% of the time: something else ran there"
    ]
    assert_valid(made(GOOD, generator_wait_ns=90 * MS))
    assert_valid(made(GOOD, generator_wait_ns=110 * MS, cores_shared=True))


def test_a_load_that_was_cut_short_is_unfinished():
    cut = made([{}] * 3, users=2, each=5)
    assert cut.summary["reasons"][0] == (
        "only 3 of 10 requests were sent before the time was over; give it more seconds"
    )
    assert "were sent before" not in reasons(made([{}] * 10, users=2, each=5))


def test_a_schedule_that_was_not_kept_is_said_with_how_many_were_late():
    late = open_loop(rate=2_500, late_ms=1.2)
    assert late.summary["validity"] == "suspect"
    assert "were sent more than 1 ms after they were planned (p99 1.2 ms)" in reasons(late)
    assert f"{late.summary['late']:,} of {len(late.requests):,} requests" in reasons(late)
    assert late.summary["late"] == len(late.requests)
    assert_valid(open_loop(rate=2_500, late_ms=0.9))


def test_one_late_request_in_a_thousand_does_not_break_the_schedule():
    few = [{"sent": START + 5 * MS}] * 15 + [{}] * 1_985
    many = [{"sent": START + 5 * MS}] * 25 + [{}] * 1_975
    assert made(few, rate=1.0).summary["late"] == 15
    assert "did not keep its schedule" not in reasons(made(few, rate=1.0))
    assert "did not keep its schedule" in reasons(made(many, rate=1.0))
    assert "schedule" not in reasons(made(many, users=None))


def test_requests_that_were_held_back_say_that_connections_ran_out():
    run = open_loop(rate=2_500, late_ms=3, held_back=12, connections=5_000)
    assert "all 5,000 connections were in use: 12 requests were held back until one was free" in reasons(run)
    assert "did not keep its schedule" not in reasons(run)


def answers_of(takes_ms: Callable[[int], float], *, before: int = 250) -> list[dict[str, int]]:
    """Rows of a thousand requests per second, from so many before the stretch on; the n-th takes so long."""
    due = [START + (number - before) * MS for number in range(before + 1_000)]
    return [{"planned": at, "sent": at, "done": at + int(takes_ms(n) * MS)} for n, at in enumerate(due)]


@pytest.mark.parametrize("before", [0, 250])
def test_a_server_that_does_not_keep_up_with_an_open_loop_is_overtaken(before):
    """One that answers ten requests in the time in which eleven are due: each waits a tenth of a millisecond longer."""
    run = made(answers_of(lambda number: number / 10, before=before), rate=1_000.0)
    assert run.summary["validity"] == "suspect"
    waiting = (1_000 + before) // 11
    assert f"{waiting} requests waited for their answers at the end, and 1,000 were due in that time" in reasons(run)
    assert "the server did not keep up, and response times depend on how long the run lasted" in reasons(run)


@pytest.mark.parametrize("rate", [20, 40, 100, 400])
def test_a_small_open_loop_of_twice_what_the_server_can_give_is_overtaken(rate):
    """One worker that takes as long as two requests are apart, so that the n-th waits for n answers."""
    apart = 1_000 * MS // rate
    dues = [START + number * apart for number in range(rate)]
    rows = [{"planned": at, "sent": at, "done": START + 2 * (n + 1) * apart} for n, at in enumerate(dues)]
    run = made(rows, rate=float(rate))
    assert f"and {rate} were due in that time: the server did not keep up" in reasons(run)
    assert run.summary["validity"] == "suspect"
    assert validity.fell_behind(run)


@pytest.mark.parametrize("rate", [5, 20, 40, 100, 400])
def test_a_small_open_loop_is_not_overtaken_by_the_few_that_are_under_way_at_its_end(rate):
    """Two at any time, by Little's law, and three more that chance has brought late."""
    late = {"planned": END - MS, "sent": END - MS, "done": END + MS}
    steady = open_loop(rate=rate, each_ms=2_000 / rate)
    run = dataclasses.replace(steady, samples=np.vstack([steady.samples, made([late] * 3).samples]))
    assert not validity.fell_behind(steady)
    assert not validity.fell_behind(run)


@pytest.mark.parametrize(
    "takes_ms",
    [
        lambda number: 40,
        lambda number: 700,
        lambda number: 40 + number / 25,
        lambda number: 290 if 600 < number < 890 else 2,
    ],
    ids=["quick", "slower than the warm-up lasts", "a little slower all the time", "a freeze"],
)
def test_a_server_that_keeps_up_is_not_overtaken_however_long_its_answers_take(takes_ms):
    assert "did not keep up" not in reasons(made(answers_of(takes_ms), rate=1_000.0))


def test_a_closed_loop_is_never_overtaken():
    assert "did not keep up" not in reasons(made(answers_of(lambda number: number), rate=None))


def test_users_who_do_not_all_have_a_request_under_way_break_littles_law():
    run = closed_loop(users=40, each_ms=10)
    fewer = dataclasses.replace(run, about=replace(run.about, users=41))
    assert fewer.mean_under_way == pytest.approx(40)
    assert fewer.summary["validity"] == "suspect"
    assert "on average 40 requests were under way, and 41 users should have one each (Little's law)" in reasons(fewer)
    nearly = closed_loop(users=100, each_ms=10)
    nearly = dataclasses.replace(nearly, about=replace(nearly.about, users=101))
    assert "Little's law" not in reasons(nearly)


def test_littles_law_counts_from_sent_and_is_silent_where_a_user_paused_after_a_failure():
    late = made([{"planned": START, "sent": START + 100 * MS, "done": END}], users=1)
    assert late.mean_under_way == pytest.approx(0.9)
    assert "the rest of the time was spent in the load process" in reasons(late)
    paused = closed_loop(users=2, each_ms=10)
    paused.samples[0, COLUMNS.index("error")] = RESET
    assert "Little's law" not in reasons(dataclasses.replace(paused, about=replace(paused.about, users=3)))


def test_a_fixed_number_of_requests_and_an_open_loop_owe_nothing_to_littles_law():
    assert "Little's law" not in reasons(closed_loop(users=5, each=100))
    assert "Little's law" not in reasons(open_loop(rate=10))


def test_requests_that_straddle_the_ends_count_for_the_part_that_lies_inside():
    run = made(
        [
            {"planned": START - 500 * MS, "sent": START - 500 * MS, "done": START + 500 * MS},
            {"planned": START + 500 * MS, "sent": START + 500 * MS, "done": END + 900 * MS},
            {"planned": START - 900 * MS, "sent": START - 900 * MS, "done": START - 1},
        ],
        users=1,
    )
    assert run.mean_under_way == pytest.approx(1)
    assert "Little's law" not in reasons(run)


def test_users_who_had_no_answer_are_counted():
    rows = [{"user": user, "done": END + MS if user >= 7 else END - MS} for user in range(10)]
    run = made(rows, users=10)
    assert "3 of 10 users had no answer in 1 s: too short for so many, or unfair" in reasons(run)
    assert "had no answer" not in reasons(made(rows[:7], users=7))
    assert "had no answer" not in reasons(made(rows, users=10, each=1))


def test_answers_whose_rest_comes_forty_milliseconds_behind_fell_into_the_trap():
    trapped = {"done": START + 45 * MS, "first_byte": START + 4 * MS}
    run = made(with_share(2_000, 0.11, trapped))
    assert run.summary["validity"] == "suspect"
    assert "in 220 of 2,000 answers the rest came some 40 ms behind the first byte" in reasons(run)
    assert "TCP_NODELAY" in reasons(run)


@pytest.mark.parametrize(
    "rows",
    [
        with_share(2_000, 0.09, {"done": START + 45 * MS, "first_byte": START + 4 * MS}),
        with_share(2_000, 0.5, {"done": START + 45 * MS, "first_byte": START + 44 * MS}),
        with_share(2_000, 0.5, {"done": START + 70 * MS, "first_byte": START + 4 * MS}),
        with_share(2_000, 0.5, {"done": START + 30 * MS, "first_byte": START}),
    ],
    ids=["too few", "a slow server", "a longer pause", "a shorter pause"],
)
def test_other_pauses_are_not_the_trap(rows):
    assert "Nagle" not in reasons(made(rows))


def test_workers_that_share_badly_are_shown_with_their_requests():
    run = made(GOOD, counts={7: 1_500, 8: 500})
    assert run.summary["validity"] == "suspect"
    assert run.summary["reasons"] == [
        "the workers did not share the work evenly: 1,500, 500 requests, where an even share is 1,000"
    ]
    assert "2,000, 0 requests" in reasons(made(GOOD, counts={7: 0, 8: 2_000}))
    assert_valid(made(GOOD, counts={7: 1_300, 8: 700}))
    assert_valid(made(GOOD, counts={7: 2_000}))


def test_too_few_requests_say_nothing_of_how_workers_share():
    assert "evenly" not in reasons(made([{}] * 30, counts={7: 30, 8: 0}))
    assert "evenly" in reasons(made([{}] * 40, counts={7: 40, 8: 0}))


def on_cores(busy: float, idle: float, steal: float, cores: int = 1) -> dict[str, object]:
    """Shares of the stretch: busy and idle summed over the cores, steal of the one that lost most."""
    used = CoreUse(busy=int(busy * 1e9), idle=int(idle * 1e9), steal=int(steal * 1e9))
    return {"cores_ns": used, "cores_watched": cores}


def test_time_that_other_machines_took_is_steal():
    run = made(GOOD, **on_cores(0.5, 0.42, 0.08))
    assert run.summary["reasons"] == [
        "other machines on the same host took 6% of the time of a core of the server's (steal)"
    ]
    assert_valid(made(GOOD, **on_cores(0.5, 0.44, 0.06)))


def test_one_worker_loses_as_much_to_steal_and_to_others_on_many_cores_as_on_one():
    stolen = on_cores(0.5, 7.42, 0.08, cores=8)
    assert "took 6% of the time of a core of the server's (steal)" in reasons(made(GOOD, pids=[7], **stolen))
    assert validity.outside(made(GOOD, pids=[7], **stolen)) == "steal"
    assert validity.outside(made(GOOD, pids=[7, 8], **stolen)) == "steal"
    foreign = on_cores(0.7, 0.3, 0, cores=2)
    assert "other processes used 18%" in reasons(made(GOOD, pids=[7], **foreign))
    assert_valid(made(GOOD, pids=[7, 8, 9], **foreign))


def test_steal_is_that_of_the_core_that_lost_most_and_the_use_of_cores_is_that_of_all():
    before = {core: {"busy": 5, "idle": 5, "steal": 5} for core in ("cpu0", "cpu1")}
    after = {"cpu0": {"busy": 15, "idle": 6, "steal": 5}, "cpu1": {"busy": 6, "idle": 10, "steal": 12}}
    assert measure._use_of_cores(before, after) == {"busy": 11, "idle": 6, "steal": 7}
    assert measure._use_of_cores({}, {}) == {"busy": 0, "idle": 0, "steal": 0}


def test_time_in_which_a_limit_halted_processes_is_evidence_from_outside():
    run = made(GOOD, throttled_ns=60 * MS)
    assert run.summary["validity"] == "suspect"
    assert run.summary["reasons"] == ["a CPU limit (of the container, say) halted processes here for 6% of the time"]
    assert validity.outside(run) == "CPU limit"
    for harmless in (None, 0, 40 * MS):
        assert_valid(made(GOOD, throttled_ns=harmless))
        assert validity.outside(made(GOOD, throttled_ns=harmless)) == ""


def test_time_that_other_processes_took_matters_where_the_cores_were_full():
    run = made(GOOD, **on_cores(0.7, 0.3, 0))
    assert run.summary["reasons"] == ["other processes used 18% of the time of the server's cores"]
    assert_valid(made(GOOD, **on_cores(0.61, 0.39, 0)))
    assert_valid(made(GOOD, server_cpu_ns=100 * MS, **on_cores(0.4, 0.6, 0)))


def test_the_generator_is_no_other_process_where_it_shares_the_cores():
    shared = {"cores_shared": True, "generator_cpu_ns": 300 * MS, "server_cpu_ns": 500 * MS}
    assert_valid(made(GOOD, **shared, **on_cores(0.8, 0.2, 0)))
    assert "other processes" in reasons(made(GOOD, **shared | {"cores_shared": False}, **on_cores(0.8, 0.2, 0)))


def test_nobody_is_blamed_where_the_servers_own_use_is_not_known():
    assert "other processes" not in reasons(made(GOOD, server_cpu_ns=None, **on_cores(1, 0, 0)))


def test_pressure_counts_where_neither_server_nor_load_has_reason_to_wait():
    run = made(GOOD, pressure_ns=210 * MS)
    assert run.summary["reasons"] == ["something on this machine waited for a core for 21% of the time (CPU pressure)"]
    assert_valid(made(GOOD, pressure_ns=190 * MS))
    assert_valid(made(GOOD, pressure_ns=210 * MS, capacity=4))
    assert_valid(made(GOOD, pressure_ns=210 * MS, capacity=None))
    assert_valid(made(GOOD, pressure_ns=210 * MS, cores_shared=True))
    assert_valid(made(GOOD, pressure_ns=None))


def test_remarks_on_percentiles_leave_a_run_valid():
    run = made([{}] * 100)
    assert run.summary["validity"] == "valid"
    assert run.summary["reasons"] == ["too few requests for p95 and p99: fewer than 20 lie beyond"]


def test_what_is_invalid_is_said_first_and_what_is_only_weak_last():
    run = made([{"error": RESET, "status": 0}, {}], worker_ended=True)
    assert [words.split()[0] for words in run.summary["reasons"]] == ["a", "1", "too"]
    assert run.summary["validity"] == "invalid"


def test_every_check_is_in_use():
    checks = {
        name
        for name, check in inspect.getmembers(validity, inspect.isgeneratorfunction)
        if check.__module__ == validity.__name__
    }
    used = {check.__name__ for check in (*validity._INVALID, *validity._SUSPECT)}
    assert checks == used | {"_weak_percentiles"}


# Evidence from outside.


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (on_cores(0.5, 0.42, 0.08), "steal"),
        (on_cores(0.7, 0.3, 0), "other processes"),
        ({"generator_wait_ns": 110 * MS}, "generator starved"),
        ({"generator_wait_ns": 400 * MS, "generator_cpu_ns": 400 * MS}, "generator starved"),
        (on_cores(0.7, 0.2, 0.1) | {"generator_wait_ns": 110 * MS}, "steal, other processes, generator starved"),
    ],
)
def test_what_disturbed_the_run_from_outside_is_named(about, words):
    assert validity.outside(made(GOOD, **about)) == words


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"generator_cpu_ns": 900 * MS},
        {"pressure_ns": 900 * MS},
        {"counts": {7: 2_000, 8: 0}},
        {"server_ended": True},
        {"held_back": 9, "rate": 1.0},
    ],
)
def test_what_server_and_load_do_to_each_other_is_not_from_outside(about):
    assert validity.outside(made(GOOD, **about)) == ""


@pytest.mark.parametrize(
    "rows",
    [
        [{"done": START + 900 * MS}] * 2_000,
        [{"done": START + 900 * MS, "first_byte": START + 860 * MS}] * 2_000,
        [{"sent": START + 500 * MS, "done": START + 900 * MS}] * 2_000,
        [{"error": TIMEOUT, "status": 0}] * 2_000,
        [{"status": 500}] * 2_000,
        [{"body": 1}] * 900 + [{}] * 1_100,
        [],
    ],
)
def test_evidence_from_outside_looks_at_no_request(rows):
    quiet, disturbed = {"rate": None}, {"rate": None, "generator_wait_ns": 110 * MS}
    assert validity.outside(made(rows, **quiet)) == ""
    assert validity.outside(made(rows, **disturbed)) == "generator starved"
    blind = made(rows, **disturbed)
    object.__setattr__(blind, "samples", None)
    assert validity.outside(blind) == "generator starved"


def test_in_an_open_loop_it_looks_at_how_late_requests_were_sent_and_at_no_answer():
    late = [{"sent": START + 5 * MS, "done": START + 6 * MS}] * 100
    slow = [{"sent": START, "done": START + 900 * MS}] * 100
    assert validity.outside(made(late, rate=100.0)) == "schedule late"
    assert validity.outside(made(slow, rate=100.0)) == ""
    assert validity.outside(made(late, rate=100.0, held_back=3)) == ""  # the server kept the connections in use
    assert validity.outside(made(late, rate=None)) == ""


# Against real servers.


def test_a_real_run_carries_all_that_the_audit_asks_for():
    with lab.serve(lab.SYNC) as server:
        about = lab.measure(server, "/sync/page/", lab.closed(2), seconds=0.2).about
    assert isinstance(about, RunFacts)
    assert about.nonce is True
    assert sum(about.counts.values()) == about.started


def test_two_measurements_at_once_on_one_server_are_both_invalid():
    runs: list[Run] = []
    with lab.serve(lab.SYNC, application="bare") as server:
        measure = lambda: runs.append(lab.measure(server, "/", lab.closed(2), seconds=1))  # noqa: E731
        threads = [threading.Thread(target=measure) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = lab.measure(server, "/", lab.closed(2), seconds=0.2)
    assert [run.summary["validity"] for run in runs] == ["invalid", "invalid"]
    assert all("somebody else asked too" in reasons(run) for run in runs)
    assert "somebody else" not in reasons(alone)
    assert alone.summary["validity"] != "invalid"


# The upstream behind the server.

QUIET_UPSTREAM = UpstreamUse("http://127.0.0.1:9", 7, timed=100, promised_ns=100 * 50 * MS, late_ns=100 * MS)


def with_upstream(cpu_ms: int = 100, wait_ms: int = 0, **changes) -> Run:
    return made(
        GOOD, upstream=replace(QUIET_UPSTREAM, **changes), upstream_cpu_ns=cpu_ms * MS, upstream_wait_ns=wait_ms * MS
    )


def test_a_quiet_upstream_is_no_reason():
    assert_valid(with_upstream())
    assert_valid(with_upstream(cpu_ms=590))
    assert_valid(with_upstream(late_ns=100 * int(2.4 * MS)))
    assert_valid(with_upstream(promised_ns=100 * MS, late_ns=49 * MS))
    assert_valid(with_upstream(timed=0, promised_ns=0, late_ns=0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu_ms": 610}, "the upstream used 61% of its core: it may have been the bottleneck"),
        (
            {"cpu_ms": 400, "wait_ms": 250},
            "the upstream used 40% of its core and waited for it for another 25%: it may have been the bottleneck",
        ),
        (
            {"late_ns": 100 * int(2.6 * MS)},
            "the upstream promised answers after 50 ms, and was late by 2.6 ms on average",
        ),
        (
            {"promised_ns": 100 * MS, "late_ns": 60 * MS},
            "the upstream promised answers after 1 ms, and was late by 0.6 ms on average",
        ),
        (
            {"pid": None},
            "the upstream at http://127.0.0.1:9 did not answer, or was another one at the end: is it still running?",
        ),
    ],
)
def test_an_upstream_that_may_be_what_was_measured_makes_a_run_suspect(changes, words):
    run = with_upstream(**changes)
    assert (run.summary["validity"], run.summary["reasons"]) == ("suspect", [words])


def test_a_generator_that_waits_for_the_core_it_shares_with_an_upstream_is_not_disturbed_from_outside():
    assert validity.outside(made(GOOD, generator_wait_ns=200 * MS)) == "generator starved"
    run = made(GOOD, generator_wait_ns=200 * MS, upstream=QUIET_UPSTREAM, upstream_cpu_ns=MS, upstream_wait_ns=0)
    assert validity.outside(run) == ""
    assert "the upstream, or something else, ran there" in reasons(run)
