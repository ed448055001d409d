"""Every reason of `validity`: runs that give it, and runs that nearly do."""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import requestlab as lab
from requestlab.load.connection import CUT_SHORT, RESET, TIMEOUT, WRONG_BODY
from requestlab.load.plan import COLUMNS
from requestlab.measurement import validity
from requestlab.measurement.measure import use_of_cores
from requestlab.measurement.record import CoreUse
from requestlab.measurement.run import Run
from requestlab.serving.upstream.statistics import UpstreamUse
from tests.made_runs import END, MS, START, closed_loop, made, open_loop

GOOD = [{}] * 2_000
EARLY = {"planned": START - 5 * MS, "sent": START - 5 * MS}
NO_CONNECTION = {"sent": 0, "first_byte": 0, "status": 0, "error": TIMEOUT}


def reasons(run: Run) -> str:
    return " | ".join(run.summary["reasons"])


def found(run: Run) -> tuple[str, list[str]]:
    return run.summary["validity"], run.summary["reasons"]


def good(**about: Any) -> Run:
    return made(GOOD, **about)


def some(share: float, change: dict[str, int]) -> list[dict[str, int]]:
    """Two thousand rows of which that share has the change, the rest is good."""
    changed = round(2_000 * share)
    return [change] * changed + [{}] * (2_000 - changed)


def on_cores(busy: float, idle: float, steal: float, cores: int = 1) -> dict[str, Any]:
    """Shares of the stretch: busy and idle summed over the cores, steal of the one that lost most."""
    used = CoreUse(busy=int(busy * 1e9), idle=int(idle * 1e9), steal=int(steal * 1e9))
    return {"cores_ns": used, "cores_watched": cores}


UPSTREAM = UpstreamUse("http://127.0.0.1:9", 7, timed=100, promised_ns=100 * 50 * MS, late_ns=100 * MS)


def upstream(cpu_ms: int = 100, wait_ms: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "upstream": replace(UPSTREAM, **changes),
        "upstream_cpu_ns": cpu_ms * MS,
        "upstream_wait_ns": wait_ms * MS,
    }


def generator(cpu_ms: int = 100, wait_ms: int = 0) -> dict[str, Any]:
    return {"generator_cpu_ns": cpu_ms * MS, "generator_wait_ns": wait_ms * MS}


INVALID = [
    ({"server_ended": True}, "the server ended during the run"),
    ({"server_ended": True, "worker_ended": True}, "the server ended during the run"),
    ({"worker_ended": True}, "a worker of the server ended, before the run or during it"),
    ({"nonce": False}, "somebody else answers at the server's address: the answers may not be its own"),
    ({"started": 2_001}, "2,001 requests were sent, and 2,000 were answered or failed"),
    ({"started": 1_999}, "1,999 requests were sent, and 2,000 were answered or failed"),
    (
        {"counts": {7: 1_200, 8: 1_201}},
        "the server counted 2,401 requests, and 2,000 were sent: somebody else asked too, or what was given up earlier came late",
    ),
    (
        {"counts": {7: 999, 8: 1_000}},
        "2,000 answers came, and the application counted 1,999 requests: it did not give all of them",
    ),
]
IT_MAY = "it may have been the bottleneck"
UNEVEN = "the workers did not share the work evenly"
STOLEN = "other machines on the same host took 6% of the time of a core of the server's (steal)"
FOREIGN = "other processes used 18% of the time of the server's cores"
PROMISED = "the upstream promised answers after"
STARVED = "the generator had to wait for its core for 11% of the time: something else ran there"
HALTED = "a CPU limit (of the container, say) halted processes here for 6% of the time"
PRESSED = "something on this machine waited for a core for 21% of the time (CPU pressure)"
NO_UPSTREAM = "the upstream at http://127.0.0.1:9 did not answer, or was another one at the end: is it still running?"
SUSPECT = [
    (generator(610), f"the generator used 61% of its core: {IT_MAY}"),
    (generator(300, 310), f"the generator used 30% of its core and waited for it for another 31%: {IT_MAY}"),
    (generator(0, 610), f"the generator used 0% of its core and waited for it for another 61%: {IT_MAY}"),
    (generator(wait_ms=110), STARVED),
    ({"counts": {7: 1_500, 8: 500}}, f"{UNEVEN}: 1,500, 500 requests, where an even share is 1,000"),
    ({"counts": {7: 0, 8: 2_000}}, f"{UNEVEN}: 2,000, 0 requests, where an even share is 1,000"),
    (on_cores(0.5, 0.42, 0.08), STOLEN),
    ({"pids": (7,)} | on_cores(0.5, 7.42, 0.08, cores=8), STOLEN),
    (on_cores(0.7, 0.3, 0), FOREIGN),
    ({"pids": (7,)} | on_cores(0.7, 0.3, 0, cores=2), FOREIGN),  # one worker runs on one core at a time
    ({"throttled_ns": 60 * MS}, HALTED),
    ({"pressure_ns": 210 * MS}, PRESSED),
    (upstream(610), f"the upstream used 61% of its core: {IT_MAY}"),
    (upstream(400, 250), f"the upstream used 40% of its core and waited for it for another 25%: {IT_MAY}"),
    (upstream(late_ns=100 * int(2.6 * MS)), f"{PROMISED} 50 ms, and was late by 2.6 ms on average"),
    (upstream(promised_ns=100 * MS, late_ns=60 * MS), f"{PROMISED} 1 ms, and was late by 0.6 ms on average"),
    (upstream(pid=None), NO_UPSTREAM),
]


ODD_ANSWERS = [
    ([{"error": CUT_SHORT}] * 2 + [{"status": 500}] + GOOD, "3 of 2,003 requests failed"),
    (
        [{"error": WRONG_BODY}] * 2 + [{"status": 500}] + GOOD,
        "3 of 2,003 requests failed, 2 of them with a body that does not hold what was expected",
    ),
    ([EARLY | {"status": 500}, *GOOD], "1 of 2,001 requests failed"),
    ([{"status": 500, "body": 1}, {"error": CUT_SHORT, "body": 2}, *GOOD], "2 of 2,002 requests failed"),
    (
        some(0.51, {"status": 302}),
        "1,020 of 2,000 answers are redirects (status 3xx): is this the page that was meant?",
    ),
    (
        some(0.5, {"status": 302}),
        "answers to the same request have different statuses: 1,000 × 200, 1,000 × 302",
    ),
    ([{"body": 1}] * 3 + GOOD, "3 of 2,003 answers had another body than the rest"),
    (
        [{"body": number % 2, "size": 900 if number % 2 else 100} for number in range(2_000)],
        "answers to the same request are of very different sizes, 100 to 900 bytes: are all right?",
    ),
    (
        some(0.11, {"done": START + 45 * MS, "first_byte": START + 4 * MS}),
        "in 220 of 2,000 answers the rest came some 40 ms behind the first byte: Nagle's algorithm was waiting for a "
        "delayed acknowledgement (the server should set TCP_NODELAY)",
    ),
]
NO_EVIDENCE = [
    *({"nonce": True}, {"nonce": None}, {"counts": {7: 1_000, 8: 1_000}}, {"counts": {}}, {"started": 2_000}),
    *(generator(590), generator(500, 90), generator(wait_ms=90)),
    generator(wait_ms=110) | {"cores_shared": True},
    *({"counts": {7: 1_300, 8: 700}}, {"counts": {7: 2_000}}),
    on_cores(0.5, 0.44, 0.06),
    on_cores(0.61, 0.39, 0),
    {"server_cpu_ns": 100 * MS} | on_cores(0.4, 0.6, 0),
    {"server_cpu_ns": None} | on_cores(1, 0, 0),
    {"pids": (7, 8, 9)} | on_cores(0.7, 0.3, 0, cores=2),
    {"cores_shared": True} | generator(300) | on_cores(0.8, 0.2, 0),  # the generator is no other process
    *({"throttled_ns": None}, {"throttled_ns": 0}, {"throttled_ns": 40 * MS}),
    *({"pressure_ns": None}, {"pressure_ns": 190 * MS}),
    *({"pressure_ns": 210 * MS, "capacity": 4}, {"pressure_ns": 210 * MS, "capacity": None}),
    {"pressure_ns": 210 * MS, "cores_shared": True},
    *(upstream(), upstream(590), upstream(late_ns=100 * int(2.4 * MS))),
    upstream(promised_ns=100 * MS, late_ns=49 * MS),
    upstream(timed=0, promised_ns=0, late_ns=0),
]
UNLIKE_ANSWERS = [
    [EARLY] * 20 + GOOD,
    [{"status": 299}] * 2_000,
    [{"body": number} for number in range(2_000)],  # a page that changes
    [{"body": number % 2} for number in range(2_000)],
    some(0.09, {"done": START + 45 * MS, "first_byte": START + 4 * MS}),
    some(0.5, {"done": START + 45 * MS, "first_byte": START + 44 * MS}),
    some(0.5, {"done": START + 70 * MS, "first_byte": START + 4 * MS}),
    some(0.5, {"done": START + 30 * MS, "first_byte": START}),
]
LOADS = [closed_loop(users=20), open_loop(rate=2_500), open_loop(rate=2_500, late_ms=0.9)]


@pytest.mark.parametrize(
    ("run", "word", "reason"),
    [
        *((good(**about), "invalid", reason) for about, reason in INVALID),
        *((good(**about), "suspect", reason) for about, reason in SUSPECT),
        *((made(rows), "suspect", reason) for rows, reason in ODD_ANSWERS),
    ],
)
def test_evidence_makes_a_run_invalid_or_suspect_and_is_told_in_a_sentence(run, word, reason):
    assert found(run) == (word, [reason])


@pytest.mark.parametrize("run", [good(), *(good(**about) for about in NO_EVIDENCE), *map(made, UNLIKE_ANSWERS), *LOADS])
def test_what_is_no_evidence_leaves_a_run_valid_without_a_word(run):
    assert found(run) == ("valid", [])


# Answers


def test_a_run_without_a_good_answer_is_invalid_and_one_good_answer_is_a_run():
    assert made([{"status": 404}] * 5).summary["validity"] == "invalid"
    assert "no request was answered with a status below 400" in reasons(made([{"error": RESET, "status": 0}]))
    assert "no request was answered" not in reasons(made([{"status": 404}, {}]))


@pytest.mark.parametrize(
    ("wrong", "counted", "word"),
    [
        *(({"error": TIMEOUT, "status": 0}, counted, "suspect") for counted in (97, 98, 100)),
        *(({"error": TIMEOUT, "status": 0}, counted, "invalid") for counted in (96, 101)),
        ({"status": 503}, 100, "suspect"),
        ({"status": 503}, 97, "invalid"),  # answers that say no were answers all the same
    ],
)
def test_what_failed_may_or_may_not_have_reached_the_server(wrong, counted, word):
    assert made([wrong] * 3 + [{}] * 97, counts={7: counted}).summary["validity"] == word


def with_users(run: Run, users: int) -> Run:
    return replace(run, about=replace(run.about, users=users))


def paused_after_a_failure() -> Run:
    paused = closed_loop(users=2)
    paused.samples[0, COLUMNS.index("error")] = RESET
    return with_users(paused, 3)


NEVER_CONNECTED = [{"user": -1} | NO_CONNECTION, {"user": 0} | NO_CONNECTION, {}]
LATE, LITTLE = "did not keep its schedule", "Little's law"
SENT_LATE = {"planned": START, "sent": START + 100 * MS, "done": END}
STRADDLING = [
    {"planned": begin, "sent": begin, "done": done}
    for begin, done in ((-500, 500), (500, 1_900), (-900, -1))
    for begin, done in [(START + begin * MS, START + done * MS)]
]
UNSERVED = [{"user": user, "done": END + MS if user >= 7 else END - MS} for user in range(10)]
LATE_BY_3 = open_loop(rate=2_500, late_ms=3, held_back=12, connections=5_000)


@pytest.mark.parametrize(
    ("run", "words", "said"),
    [
        (made(NEVER_CONNECTED, started=2), "were sent, and", False),
        (made([{"status": 400}] * 2_000), "redirects", False),
        (
            made([{}] * 3, users=2, each=5),
            "only 3 of 10 requests were sent before the time was over",
            True,
        ),
        (made([{}] * 10, users=2, each=5), "were sent before", False),
        (
            open_loop(rate=2_500, late_ms=1.2),
            "sent more than 1 ms after they were planned (p99 1.2 ms)",
            True,
        ),
        (LATE_BY_3, "all 5,000 connections were in use: 12 requests were held back until one was free", True),
        (LATE_BY_3, LATE, False),
        (with_users(closed_loop(users=40), 41), "40 requests were under way, and 41 users should have one each", True),
        (with_users(closed_loop(users=100), 101), LITTLE, False),
        (made([SENT_LATE], users=1), "the rest of the time was spent in the load process", True),
        (paused_after_a_failure(), LITTLE, False),
        (closed_loop(users=5, each=100), LITTLE, False),
        (open_loop(rate=10), LITTLE, False),
        (made(STRADDLING, users=1), LITTLE, False),
        (made(UNSERVED, users=10), "3 of 10 users had no answer in 1 s: too short for so many, or unfair", True),
        (made(UNSERVED[:7], users=7), "had no answer", False),
        (made(UNSERVED, users=10, each=1), "had no answer", False),
        (made([{}] * 30, counts={7: 30, 8: 0}), "evenly", False),
        (made([{}] * 40, counts={7: 40, 8: 0}), "evenly", True),
        (good(**generator(300), **on_cores(0.8, 0.2, 0)), "other processes", True),  # it has a core of its own
        (good(**generator(wait_ms=200), **upstream(1)), "the upstream, or something else, ran there", True),
    ],
)
def test_what_the_rows_say_is_told_and_nothing_else(run, words, said):
    assert (words in reasons(run)) is said


def test_requests_under_way_are_counted_from_sent_and_by_the_part_that_lies_in_the_stretch():
    runs = [closed_loop(users=40), made([SENT_LATE]), made(STRADDLING)]
    assert [run.mean_under_way() for run in runs] == pytest.approx([40, 0.9, 1])


@pytest.mark.parametrize(
    ("late", "about", "broken"), [(15, {"rate": 1.0}, False), (25, {"rate": 1.0}, True), (25, {"rate": None}, False)]
)
def test_one_late_request_in_a_hundred_breaks_the_schedule_of_an_open_loop(late, about, broken):
    run = made([{"sent": START + 5 * MS}] * late + [{}] * (2_000 - late), **about)
    assert run.summary["late"] == late
    assert (LATE in reasons(run)) is broken


def answers_of(takes_ms: Callable[[int], float], *, before: int = 250) -> list[dict[str, int]]:
    """Rows of a thousand requests per second, from so many before the stretch on; the n-th takes so long."""
    due = [START + (number - before) * MS for number in range(before + 1_000)]
    return [{"planned": at, "sent": at, "done": at + int(takes_ms(n) * MS)} for n, at in enumerate(due)]


@pytest.mark.parametrize("before", [0, 250])
def test_a_server_that_does_not_keep_up_with_an_open_loop_is_overtaken(before):
    """One that answers ten requests in the time in which eleven are due: each waits a tenth of a millisecond longer."""
    run = made(answers_of(lambda number: number / 10, before=before), rate=1_000.0)
    assert run.summary["validity"] == "suspect"
    assert (
        f"{(1_000 + before) // 11} requests waited for their answers at the end, and 1,000 were due in that time: the server "
        "did not keep up, and response times depend on how long the run lasted"
    ) in reasons(run)


@pytest.mark.parametrize("rate", [20, 40, 100, 400])
def test_a_small_open_loop_of_twice_what_the_server_can_give_is_overtaken(rate):
    """One worker that takes as long as two requests are apart, so that the n-th waits for n answers."""
    apart = 1_000 * MS // rate
    dues = [START + number * apart for number in range(rate)]
    rows = [{"planned": at, "sent": at, "done": START + 2 * (n + 1) * apart} for n, at in enumerate(dues)]
    run = made(rows, rate=float(rate))
    assert f"and {rate} were due in that time: the server did not keep up" in reasons(run)
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
    ("takes_ms", "rate"),
    [
        (lambda number: 40, 1_000.0),
        (lambda number: 700, 1_000.0),  # slower than the warm-up lasts
        (lambda number: 40 + number / 25, 1_000.0),  # a little slower all the time
        (lambda number: 290 if 600 < number < 890 else 2, 1_000.0),  # a freeze
        (lambda number: number, None),  # a closed loop is never overtaken
    ],
)
def test_a_server_that_keeps_up_is_not_overtaken_however_long_its_answers_take(takes_ms, rate):
    assert "did not keep up" not in reasons(made(answers_of(takes_ms), rate=rate))


def test_steal_is_that_of_the_core_that_lost_most_and_the_use_of_cores_is_that_of_all():
    before = {core: {"busy": 5, "idle": 5, "steal": 5} for core in ("cpu0", "cpu1")}
    after = {"cpu0": {"busy": 15, "idle": 6, "steal": 5}, "cpu1": {"busy": 6, "idle": 10, "steal": 12}}
    assert use_of_cores(before, after) == CoreUse(busy=11, idle=6, steal=7)
    assert use_of_cores({}, {}) == CoreUse(busy=0, idle=0, steal=0)


# The verdict


@pytest.mark.parametrize(
    ("requests", "remarks"),
    [
        (100, ["too few requests for p95 and p99: fewer than 20 lie beyond"]),
        (399, ["too few requests for p95 and p99: fewer than 20 lie beyond"]),
        (400, ["too few requests for p99: fewer than 20 lie beyond"]),
        (2_000, []),
    ],
)
def test_remarks_on_percentiles_leave_a_run_valid(requests, remarks):
    assert found(made([{}] * requests)) == ("valid", remarks)


def test_what_is_invalid_is_said_first_and_what_is_only_weak_last():
    run = made([{"error": RESET, "status": 0}, {}], worker_ended=True)
    assert [words.split()[0] for words in run.summary["reasons"]] == ["a", "1", "too"]
    assert run.summary["validity"] == "invalid"


def test_every_check_is_in_use():
    checks = {name for name, one in inspect.getmembers(validity, inspect.isgeneratorfunction)}
    used = {check.__name__ for check in (*validity._INVALID, *validity._SUSPECT, *validity._REMARKS)}
    assert checks == used


# Evidence from outside


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (on_cores(0.5, 0.42, 0.08), "steal"),
        ({"pids": (7, 8)} | on_cores(0.5, 7.42, 0.08, cores=8), "steal"),
        (on_cores(0.7, 0.3, 0), "other processes"),
        ({"throttled_ns": 60 * MS}, "CPU limit"),
        (generator(wait_ms=110), "generator starved"),
        (generator(400, 400), "generator starved"),
        (on_cores(0.7, 0.2, 0.1) | generator(wait_ms=110), "steal, other processes, generator starved"),
        ({}, ""),
        ({"throttled_ns": 40 * MS}, ""),
        # What server, load and upstream do to each other is not from outside.
        (generator(900), ""),
        ({"pressure_ns": 900 * MS}, ""),
        ({"counts": {7: 2_000, 8: 0}}, ""),
        ({"server_ended": True}, ""),
        ({"held_back": 9, "rate": 1.0}, ""),
        (generator(wait_ms=200) | upstream(1), ""),
    ],
)
def test_what_disturbed_the_run_from_outside_is_named(about, words):
    assert validity.outside(good(**about)) == words


def test_in_an_open_loop_it_looks_at_how_late_requests_were_sent_and_at_no_answer():
    late = [{"sent": START + 5 * MS, "done": START + 6 * MS}] * 100
    slow = [{"sent": START, "done": START + 900 * MS}] * 100
    assert validity.outside(made(late, rate=100.0)) == "schedule late"
    assert validity.outside(made(slow, rate=100.0)) == ""
    assert validity.outside(made(late, rate=100.0, held_back=3)) == ""  # the server kept the connections in use
    assert validity.outside(made(late, rate=None)) == ""


# Against real servers


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
