"""Comparisons: the rules of the verdict on slices made by hand, the course of the rounds, and real servers."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import requestlab as lab
from requestlab.comparison import compare, intervals
from requestlab.comparison.comparison import ALIKE, ANSWERED, METRICS, Comparison, Slice
from requestlab.comparison.intervals import FALSE_ALARMS, MIN_ROUNDS, Interval
from requestlab.comparison.slices import best_seconds
from requestlab.errors import ConfigurationError, LabError, RemoteTargetError, ServerGoneError
from requestlab.measurement import validity
from requestlab.measurement.record import CoreUse
from requestlab.measurement.run import Run
from requestlab.system import budget as budgets
from requestlab.system.budget import Budget
from tests.conftest import left_after, seconds_to_interrupt
from tests.known_server import known_server
from tests.made_runs import COMPARED, MS, START, changed, comparison, made, simulated, slice_of
from tests.tiny_server import answering, tiny_server

BARE = lab.SYNC.replace(application="bare")


def around(middle: float, rounds: int = 8, spread: float = 0.01) -> np.ndarray:
    """Figures that scatter a little, so that their mean logarithm is that of `middle`."""
    return middle * np.exp(spread * np.resize([1, -1], rounds))


def verdict(result: Comparison, over: str, under: str, metric: str = "throughput") -> str:
    return result.ratio(over, under, metric).verdict


def twice_as_fast() -> Comparison:
    """Return a comparison of `base` with `other`, which has twice its figures in each of eight rounds."""
    return comparison({"base": np.full(8, 100.0), "other": np.full(8, 200.0)})


# The rules of the verdict.


@pytest.mark.parametrize(
    ("ratio", "throughput", "p50"),
    [
        (1.3, "faster", "slower"),
        (1 / 1.3, "slower", "faster"),
        (1.0, "cannot tell", "cannot tell"),
        (1.02, "cannot tell", "cannot tell"),
    ],
)
def test_a_verdict_is_on_the_first_of_two_and_more_is_faster_only_for_throughput(ratio, throughput, p50):
    result = comparison({"base": around(100.0, spread=0.005), "other": around(100 * ratio, spread=-0.005)})
    assert verdict(result, "other", "base") == throughput
    for metric in ("p50", "p95", "p99", "cpu_per_request"):
        assert verdict(result, "other", "base", metric) == p50
    assert result.ratio("other", "base").value == pytest.approx(ratio)
    assert result.ratio("base", "other").value == pytest.approx(1 / ratio)


def test_a_ratio_is_called_only_where_its_interval_is_further_from_one_than_equal_processes_may_be():
    for factor, there, back in ((1.001, "faster", "slower"), (0.999, "cannot tell", "cannot tell")):
        result = comparison({"base": np.full(8, 100.0), "other": np.full(8, 100 * (1 + ALIKE) * factor)})
        assert (verdict(result, "other", "base"), verdict(result, "base", "other")) == (there, back)
    alike = result.ratio("other", "base")
    assert alike.reason == "they are within 3% of each other, as two equal processes may be"
    assert alike.settled
    near = comparison({"base": np.full(8, 100.0), "other": around(103.0, spread=0.002)}).ratio("other", "base")
    assert near.low > 1
    assert near.reason == "the interval comes within 3% of 1, as far as two equal processes may lie apart"
    assert not near.settled


def test_a_wide_interval_that_holds_one_tells_nothing():
    result = comparison({"base": np.full(8, 100.0), "other": np.resize([80.0, 180.0], 8)})
    found = result.ratio("other", "base")
    assert found.low < 1 < found.value
    assert (found.verdict, found.reason) == ("cannot tell", "the interval holds 1")


def test_fewer_than_four_rounds_tell_nothing_and_say_why():
    found = comparison({"base": np.full(3, 100.0), "other": np.full(3, 200.0)}).ratio("other", "base")
    assert found.value == pytest.approx(2)
    assert np.isnan(found.low)
    assert found.verdict == "cannot tell"
    assert found.reason == f"3 rounds have a figure, and an interval needs {MIN_ROUNDS}"


def test_a_slice_that_was_dropped_takes_its_partner_with_it_in_the_same_round():
    base, other = np.array([100.0, 100, 100, 100, 1, 100]), np.array([200.0, 200, 200, 200, 200, 1])
    result = comparison({"base": base, "other": other, "third": base})
    dropped = changed(result, "base", {5}, disturbed="steal", dropped=True)
    dropped = changed(dropped, "other", {6}, disturbed="generator starved", dropped=True)
    found = dropped.ratio("other", "base")
    assert (found.interval.rounds, found.value) == (4, pytest.approx(2))
    assert dropped.ratio("third", "base").interval.rounds == 5
    assert dropped.ratio("third", "base").value == pytest.approx(1)
    assert dropped.complete == 4
    assert dropped.dropped == 2
    assert dropped.dropped_why == {"steal": 1, "generator starved": 1}
    assert len(dropped.runs("base")) == len(dropped.runs("other")) == 5
    assert list(dropped.rounds["dropped"]).count(True) == 2


TWICE = dict.fromkeys(METRICS, 200.0)
INVALID = slice_of(TWICE, validity="invalid", reasons=["the server ended during the run"])
BUSY = slice_of(TWICE, made([{}] * 2_000, generator_cpu_ns=700 * MS))
BEHIND = slice_of(
    TWICE,
    made(
        [{"planned": START + at * MS, "done": START + 2 * at * MS} for at in range(1_000)] + [{}] * 1_000, rate=1_000.0
    ),
)


def failing(failed: int) -> Run:
    return slice_of(TWICE, made([{"error": 1, "status": 0}] * failed + [{}] * (2_000 - failed)))


@pytest.mark.parametrize(
    ("run", "slices", "metrics", "words"),
    [
        (INVALID, 1, METRICS, "1 of 8 slices of other are invalid: the server ended during the run"),
        (failing(161), 1, METRICS, "161 of 16,000 requests failed under other"),  # more than 1%
        (failing(160), 1, ("p95", "p99"), "160 of 16,000 requests failed under other"),
        (failing(80), 1, ("p99",), "80 of 16,000 requests failed under other"),
        (failing(16), 1, (), ""),
        (BUSY, 4, (), ""),
        (  # the server's CPU is its own
            *(BUSY, 5, ("throughput", "p50", "p95", "p99")),
            "the generator was busy for most of the time under other: it may be what was measured",
        ),
        (BEHIND, 4, (), ""),
        (
            *(BEHIND, 5, ("p50", "p95", "p99")),
            "other did not keep up with the rate: its response times depend on how long a slice lasted",
        ),
    ],
)
def test_what_speaks_against_a_contender_leaves_no_verdict_on_the_figures_that_it_touches(run, slices, metrics, words):
    result = comparison({"base": np.full(8, 100.0), "other": np.full(8, 200.0), "third": np.full(8, 200.0)})
    result = changed(result, "other", set(range(1, slices + 1)), run=run)
    for metric, more in METRICS.items():
        said = (words,) if metric in metrics else ()
        found = result.ratio("other", "base", metric)
        assert tuple(result.caveats("other", metric)) == found.caveats == said
        assert found.verdict == ("cannot tell" if said else "faster" if more > 0 else "slower")
        assert found.reason == (words if said else "the interval lies on one side")
        assert result.ratio("third", "base", metric).caveats == ()


def test_contenders_that_answer_differently_are_not_set_against_each_other():
    result = comparison({"base": np.full(8, 100.0), "other": np.full(8, 200.0), "third": np.full(8, 200.0)})
    moved = slice_of({"throughput": 200.0}, made([{"status": 302}] * 2_000))
    result = changed(result, "other", set(range(1, 9)), run=moved)
    words = "the answers are not alike: most have status 302 under other and 200 under base"
    assert result.ratio("other", "base").caveats == (words,)
    assert result.difference("other", "base").caveats == (words,)
    assert verdict(result, "third", "base") == "faster"


def test_disturbances_that_count_must_have_fallen_on_both_alike_and_are_told():
    result = twice_as_fast()
    alike = changed(result, "base", {1, 2}, disturbed="steal")
    assert (alike.complete, alike.dropped, alike.dropped_why, alike.disturbed) == (8, 0, {}, {"steal": 2})
    assert verdict(alike, "other", "base") == "faster"
    assert alike.ratio("other", "base").reason == (
        "the interval lies on one side; 2 of 16 slices were disturbed from outside and count, since so many were"
    )
    apart = changed(result, "base", {1, 2, 3}, disturbed="steal")
    assert apart.ratio("other", "base").caveats == (
        "what disturbed the slices did not fall on both alike: 0% of those of other, 38% of those of base",
    )
    assert verdict(changed(apart, "other", {5, 6, 7}, disturbed="steal"), "other", "base") == "faster"


@pytest.mark.parametrize(("stolen", "word"), [(0.3, "faster"), (0.6, "cannot tell"), (0.95, "cannot tell")])
def test_a_ratio_of_throughputs_holds_what_it_would_be_had_nobody_held_up_the_slower_one(stolen, word):
    taken = CoreUse(busy=0, idle=0, steal=int(stolen * 1e9) + validity.TICKS_NS)
    held = slice_of({"throughput": 100.0}, made([{}] * 2_000, users=1, cores_ns=taken, server_cpu_ns=0))
    free = slice_of(
        {"throughput": 200.0}, made([{}] * 2_000, users=1, cores_ns=replace(taken, steal=0), server_cpu_ns=0)
    )
    every = set(range(1, 9))
    result = changed(twice_as_fast(), "base", every, run=held, disturbed="steal")
    ratio = changed(result, "other", every, run=free).ratio("other", "base")
    assert ratio.verdict == word
    if stolen < 0.9:
        assert (ratio.low, ratio.high) == pytest.approx((2 * (1 - stolen), 2))
        assert f"others held up other by 0% and base by {stolen:.0%} at most" in ratio.reason
    else:
        assert "what disturbed the slices did not fall on both alike" in ratio.reason


def test_of_a_percentile_less_is_left_the_fewer_answers_lie_beyond_it():
    taken = CoreUse(busy=0, idle=0, steal=int(0.04e9) + validity.TICKS_NS)
    run = made(
        [{"done": START + (10 if n % 2 else 30) * MS} for n in range(100)], users=1, cores_ns=taken, server_cpu_ns=0
    )
    assert validity.kept(run, "throughput") == pytest.approx(0.96)
    assert validity.kept(run, "p50") == pytest.approx(1 - 0.04 * 20 / 20 / 0.5)
    assert validity.kept(run, "p99") == pytest.approx(1 - 0.04 * 20 / 30 / 0.01)
    assert math.isnan(validity.kept(run, "cpu_per_request"))
    assert math.isnan(validity.kept(made([{}], users=None), "throughput"))


def test_a_contender_without_a_slice_that_counts_is_a_doubt():
    gone = changed(twice_as_fast(), "other", set(range(1, 9)), disturbed="steal", dropped=True)
    assert gone.caveats("other") == ["no slice of other counts"]
    assert verdict(gone, "other", "base") == "cannot tell"
    assert gone.complete == 0


def of_answers(**counts: list[int]) -> Comparison:
    """Return a comparison whose contenders gave so many answers, round by round, and the slower the fewer."""
    slices = [
        Slice(number, position, label, made([{"done": START + 1_000 * MS // answers}] * answers))
        for position, (label, each) in enumerate(counts.items())
        for number, answers in enumerate(each, 1)
    ]
    return Comparison(tuple(slices), tuple(counts), None, COMPARED)


@pytest.mark.parametrize(("answers", "p95", "p99"), [(2_000, 1, 1), (1_999, 1, 2), (400, 1, 5), (399, 2, 6)])
@pytest.mark.some(2)
def test_as_many_rounds_are_joined_as_it_takes_for_enough_requests_beyond_a_tail(answers, p95, p99):
    result = of_answers(a=[answers] * 20, b=[2_000] * 20)
    for metric, joined in (("p50", 1), ("p95", p95), ("p99", p99)):
        assert result.joined(metric) == joined
        assert len(result.figures(metric)) == 20 // joined
        found = result.ratio("a", "b", metric)
        assert found.interval.known is (20 // joined >= 4)
        assert (f"of {joined} rounds together" in found.reason) is (joined > 1 and found.interval.known)


def test_a_figure_of_joined_rounds_is_the_percentile_of_all_their_answers():
    """Two quick rounds and two slow ones: the median of their percentiles would be something else."""
    result = of_answers(a=[300, 100] * 10, b=[400] * 20)
    assert result.joined("p95") == 2
    assert list(result.figures("p95")["a"]) == [10.0] * 10  # a quarter of the answers took 10 ms, the others 3.3
    assert list(result.figures("p95")["b"]) == [2.5] * 10


def test_what_a_tail_lacks_is_said_with_what_it_needs_in_every_derived_figure():
    result = of_answers(a=[300] * 6, b=[500] * 6)
    lacks = "{} needs {} answers in a slice, and {}: longer slices would have them".format
    for metric, words in (
        ("p95", lacks("p95", "400", "a gave 300")),
        ("p99", f"{lacks('p99', '2,000', 'a gave 300')}; {lacks('p99', '2,000', 'b gave 500')}"),
    ):
        found = result.ratio("a", "b", metric)
        assert (found.verdict, found.reason, found.interval.why) == ("cannot tell", words, words)
        assert result.difference("a", "b", metric).why == result.scatter("a", "b", metric).why == words
    assert "p99" not in result.ratio("a", "b", "p50").reason


def test_whether_a_tail_has_enough_is_decided_for_all_rounds_of_a_contender_so_that_slow_ones_stay_in():
    """The contender has two slow rounds, with fewer than 400 answers each: to leave these out would make it look
    quick."""
    result = of_answers(quick=[1_000] * 6, slowed=[1_000, 100, 1_000, 1_000, 200, 1_000])
    assert list(result.figures("p95")["slowed"]) == [1, 10, 1, 1, 5, 1]
    found = result.ratio("slowed", "quick", "p95")
    assert found.interval.rounds == 6
    assert found.value == pytest.approx(50 ** (1 / 6))
    mostly_slow = of_answers(quick=[1_000] * 6, slowed=[100, 100, 100, 100, 1_000, 1_000])
    assert list(mostly_slow.figures("p95")["slowed"]) == [10]  # nor are the two quick ones all that is left
    assert not mostly_slow.ratio("slowed", "quick", "p95").interval.known


# Figures that are derived from those of several contenders.


def cpu_lost(result: Comparison) -> Interval:
    return result.estimate(lambda cpu: cpu["other"] - cpu["base"])


DERIVED = {
    "ratio": lambda result: result.ratio("other", "base", "cpu_per_request").interval,
    "difference": lambda result: result.difference("other", "base", "cpu_per_request"),
    "scatter": lambda result: result.scatter("other", "base", "cpu_per_request"),
    "estimate": cpu_lost,
}


@pytest.mark.parametrize("derived", DERIVED.values(), ids=DERIVED)
def test_what_speaks_against_a_contender_or_the_control_speaks_against_every_figure_that_is_derived(derived):
    result = comparison(
        {"base": around(100.0), "other": around(200.0, spread=-0.01), "again": around(100.0)}, control="again"
    )
    assert derived(result).known
    assert derived(result).caveats == ()
    words = "1 of 8 slices of base are invalid: the server ended during the run"
    assert words in derived(changed(result, "base", {3}, run=INVALID)).caveats
    gone = changed(result, "other", set(range(1, 9)), disturbed="steal", dropped=True)
    assert derived(gone).caveats[0] == "no slice of other counts"
    off = comparison({"base": around(100.0), "other": around(200.0), "again": around(150.0)}, "again")
    assert derived(off).caveats == ("the A/A control found a winner where there is none: 1.5 (1.5 to 1.5)",)


def test_differences_and_estimates_are_figures_of_each_round_with_their_interval():
    result = comparison({"base": around(100.0), "other": around(300.0, spread=0.02)})
    apart = intervals.interval(around(300.0, spread=0.02) - around(100.0))
    assert cpu_lost(result) == result.difference("other", "base", "p50") == apart
    assert result.estimate(lambda p50: p50["other"], "p50") == intervals.interval(around(300.0, spread=0.02))


def test_scatter_is_how_far_ratios_differ_from_round_to_round_with_its_interval():
    logs = np.array([0.1, -0.1, 0.05, 0.0, 0.2, -0.15] * 2)
    result = comparison({"base": np.full(12, 100.0), "other": 100 * np.exp(logs)})
    found = result.scatter("other", "base")
    assert bounds(found) == pytest.approx(bounds(intervals.scatter(logs)))
    assert (found.value, found.rounds) == (pytest.approx(logs.std(ddof=1)), 12)


def test_the_course_of_a_ratio_is_its_interval_after_each_round():
    other = [110.0, 130.0, 120.0, np.nan, 121.0, 119.0, 122.0]
    result = comparison({"base": np.full(7, 100.0), "other": other})
    course = result.course("other", "base")
    assert list(course.index) == [4, 5, 6]
    assert tuple(course.loc[6]) == pytest.approx(bounds(result.ratio("other", "base").interval))
    assert tuple(course.loc[4]) == pytest.approx(bounds(intervals.ratio([110, 130, 120, 121], [100] * 4)))


def bounds(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def test_rounds_are_complete_for_each_contender_with_the_baseline_by_itself():
    result = comparison({"base": np.full(6, 100.0), "b": np.full(6, 100.0), "c": np.full(6, 100.0)})
    result = changed(result, "b", {1, 2}, disturbed="steal", dropped=True)
    result = changed(result, "c", {3, 4}, disturbed="steal", dropped=True)
    assert result.complete == 4  # and not the two in which all three count
    assert changed(result, "base", {5}, disturbed="steal", dropped=True).complete == 3


def test_the_resolution_is_what_the_control_made_of_no_difference():
    result = comparison({"base": np.full(6, 100.0), "other": np.full(6, 200.0), "again": np.full(6, 101.0)}, "again")
    assert result.labels == ("base", "other")
    assert result.resolution is not None
    assert result.resolution.value == pytest.approx(1.01)
    assert comparison({"a": np.full(6, 1.0), "b": np.full(6, 1.0)}).resolution is None


def test_a_control_that_found_a_winner_takes_every_verdict_in_that_figure_back():
    fair, off = np.full((6, len(METRICS)), 100.0), np.full((6, len(METRICS)), 100.0)
    off[:, list(METRICS).index("p50")] = 150
    result = comparison({"base": fair, "other": 2 * fair, "third": 4 * fair, "again": off}, "again")
    words = "the A/A control found a winner where there is none: 1.5 (1.5 to 1.5)"
    assert result.ratio("other", "base", "p50").caveats == (words,)
    assert verdict(result, "third", "other", "p50") == "cannot tell"
    assert verdict(result, "other", "base", "throughput") == "faster"
    assert result.ratio("again", "base", "p50").verdict == "slower"  # what is said of the control itself stays


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda result: result.ratio("c", "a"), "there is no contender 'c'; there are a, b"),
        (lambda result: result.runs("c"), "there is no contender 'c'"),
        (lambda result: result.caveats("c"), "there is no contender 'c'"),
        (lambda result: result.difference("a", "c"), "there is no contender 'c'"),
        (
            lambda result: result.ratio("a", "b", "latency"),
            "metric='latency' is not known; expected one of: throughput",
        ),
        (lambda result: result.figures("errors"), "metric='errors' is not known"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(ask, words):
    with pytest.raises(ConfigurationError, match=words):
        ask(comparison({"a": np.full(4, 1.0), "b": np.full(4, 1.0)}))


# The null test, simulated, and what it costs in power.


def call(result: Comparison) -> dict[str, str]:
    """Return the figures in which the second contender is called faster or slower than the first."""
    first, second = result.labels
    verdicts = {metric: verdict(result, second, first, metric) for metric in METRICS}
    return {metric: verdict for metric, verdict in verdicts.items() if verdict != "cannot tell"}


@pytest.mark.parametrize("apart", [0.0, ALIKE / 3])
@pytest.mark.some(1)
def test_of_a_hundred_simulated_comparisons_of_a_thing_with_itself_no_more_than_stated_call_a_winner(apart):
    """Five figures each, which go together, on a machine that drifts; without and with processes that differ for
    good."""
    chance = np.random.default_rng(11)
    called = [
        call(comparison(dict(zip(("a", "b"), simulated(chance, 8, 1.0, apart=apart), strict=True)))) for _ in range(100)
    ]
    assert sum(bool(figures) for figures in called) <= FALSE_ALARMS * 100


def test_a_true_difference_of_a_half_is_called_in_nearly_all_simulated_comparisons_and_never_the_wrong_way():
    chance = np.random.default_rng(12)
    verdicts = Counter(
        verdict(comparison(dict(zip(("b", "a"), simulated(chance, 8, 1.5), strict=True))), "b", "a") for _ in range(50)
    )
    assert verdicts["faster"] >= 40
    assert verdicts["slower"] == 0


# The course of the rounds, with slices that take no time.


@pytest.fixture
def address() -> Iterator[str]:
    with tiny_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as tiny:
        yield tiny.url


class Slices:
    """Takes the place of `measure_slice`: gives runs made by hand, and keeps what it was asked for."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.asked: list[tuple[str, str, float]] = []
        self.loads: list[Any] = []
        self.takes_s = takes_s

    def __call__(self, target: Any, load: Any, settings: Any, pool: Any, tick: Any) -> Run:
        self.asked.append((target.path, str(load), settings.seconds))
        self.loads.append(load)
        time.sleep(self.takes_s)
        tick()
        return slice_of({"throughput": 100.0})


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> Slices:
    slices = Slices()
    monkeypatch.setattr(compare, "measure_slice", slices)
    return slices


def order(result: Comparison) -> list[tuple[str, ...]]:
    table = result.rounds.sort_values(["round", "position"])
    return [tuple(part["contender"]) for _, part in table.groupby("round")]


def test_every_contender_is_measured_once_a_round_in_an_order_that_the_seed_decides(slices, address):
    contenders = dict.fromkeys("abcd", address)
    one = lab.compare(contenders, rounds=12, seed=3)
    orders = order(one)
    assert len(orders) == 12
    assert all(sorted(each) == list("abcd") for each in orders)
    assert len(set(orders)) > 4
    assert order(lab.compare(contenders, rounds=12, seed=3)) == orders
    assert order(lab.compare(contenders, rounds=12, seed=4)) != orders
    unseeded = lab.compare(contenders, rounds=12)
    assert order(lab.compare(contenders, rounds=12, seed=unseeded.about.seed)) == order(unseeded)


def test_over_many_rounds_every_contender_has_every_position_equally_often(slices, address):
    result = lab.compare(dict.fromkeys("abc", address), rounds=90, seed=1)
    counts = result.rounds.groupby(["contender", "position"]).size()
    assert counts.min() > 15  # 30 on average, 4.5 the standard deviation
    assert counts.sum() == 270


def test_a_ramp_comes_before_the_first_round_and_is_thrown_away(slices, address):
    result = lab.compare({"a": address, "b": address}, {"a": "/a", "b": "/b"}, rounds=2, seconds=1.0)
    assert [asked[0] for asked in slices.asked[:2]] == ["/a", "/b"]
    assert {asked[2] for asked in slices.asked[:2]} == {compare.RAMP_S}
    assert {asked[2] for asked in slices.asked[2:]} == {1.0}
    assert len(result.slices) == 4 == len(slices.asked) - 2


def test_a_load_of_a_fixed_number_is_run_once_before_the_first_round_whole(slices, address):
    result = lab.compare({"a": address, "b": address}, "/", lab.closed(2, each=5), rounds=2, seconds=1.0)
    assert slices.asked == [("/", "2 users, 5 requests each", 1.0)] * 6
    assert len(result.slices) == 4


def test_chance_decides_anew_on_the_arrivals_of_each_round_for_all_contenders_alike(slices, address):
    load = lab.open(50, arrivals="poisson", seed=7)
    lab.compare({"a": address, "b": address, "c": address}, "/", load, rounds=4)
    seeds = [load.seed for load in slices.loads[3:]]
    assert [set(seeds[first : first + 3]) for first in range(0, 12, 3)] == [{8}, {9}, {10}, {11}]
    assert {(load.rate, load.arrivals) for load in slices.loads} == {(50, "poisson")}


def test_paths_and_loads_go_by_label_and_the_control_has_those_of_the_baseline(slices, address):
    loads = {"a": lab.closed(2), "b": lab.open(50)}
    result = lab.compare(
        {"a": address, "b": address}, {"a": "/a", "b": "/b"}, loads, rounds=2, seconds=0.1, control=True
    )
    assert result.control == "a again"
    assert result.about.paths == {"a": "/a", "b": "/b", "a again": "/a"}
    assert result.about.loads == {"a": "2 users", "b": "50 requests/s", "a again": "2 users"}
    assert Counter(slices.asked) == {("/a", "2 users", 0.1): 6, ("/b", "50 requests/s", 0.1): 3}
    assert sorted(order(result)[0]) == ["a", "a again", "b"]


def gives(monkeypatch: pytest.MonkeyPatch, figures: Iterable[float], seconds: list[float] | None = None) -> None:
    """Have contenders on /b answer so many requests per second, round by round, and all others 100."""
    of_b = iter(figures)

    def take(target: Any, load: Any, settings: Any, *_: Any) -> Run:
        if seconds is not None:
            seconds.append(settings.seconds)
        return slice_of({"throughput": next(of_b) if target.path == "/b" else 100.0})

    monkeypatch.setattr(compare, "measure_slice", take)


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [([200.0, 210.0], "faster"), ([110.0, 112.0, 114.0, 116.0], "faster"), ([100.0, 100.1], "cannot tell")],
)
def test_it_stops_as_soon_as_each_contender_is_told_from_the_baseline_or_is_like_it(
    monkeypatch, address, figures, verdict
):
    gives(monkeypatch, itertools.cycle(figures))
    result = lab.compare({"a": address, "b": address}, {"a": "/a", "b": "/b"})
    assert result.about.stopped == ANSWERED
    assert result.ratio("b", "a").verdict == verdict
    *before, last = result.course("b", "a").itertuples()
    outside = lambda row: row.low > 1 + ALIKE  # noqa: E731
    assert not any(map(outside, before))
    assert outside(last) == (verdict == "faster")
    assert 4 <= result.complete <= 8
    assert (result.about.asked, result.about.wanted, result.about.budget) == (
        ("throughput against the first",),
        None,
        30,
    )


def test_what_is_asked_can_be_other_metrics_claims_and_narrow_intervals(monkeypatch, address):
    contenders, paths = {"sync": address, "asgi": address}, {"sync": "/a", "asgi": "/b"}
    near = itertools.cycle([90.0, 92.0, 91.0])
    gives(monkeypatch, near)
    wins = lab.claim("sync-wins-static")
    result = lab.compare(contenders, paths, ask=["p50", wins], width=0.02)
    assert result.about.asked == ("p50 against the first", wins.words, "intervals no wider than 2%")
    assert wins.answered(result)
    assert result.ratio("asgi", "sync").interval.width <= 0.02
    assert result.about.stopped == ANSWERED
    gives(monkeypatch, near)
    assert lab.compare(contenders, paths, ask=wins).complete < result.complete
    gives(monkeypatch, near)
    assert lab.compare(contenders, paths, rounds=7).complete == 7  # nothing is asked


def test_a_question_that_stays_open_ends_with_the_budget_and_takes_what_others_left_over(monkeypatch, address):
    contenders, paths = {"a": address, "b": address}, {"a": "/a", "b": "/b"}
    monkeypatch.setattr(budgets, "_left_over", 0.0)
    gives(monkeypatch, itertools.cycle([80.0, 120.0]))
    open_still = lab.compare(contenders, paths, budget=0.1)
    assert open_still.about.stopped == "another round would not fit into the budget of 0.1 s"
    gives(monkeypatch, itertools.cycle([200.0, 210.0]))
    assert lab.compare(contenders, paths, budget=Budget(0.5, shared=True)).about.borrowed == 0
    left = budgets.left_over()
    assert 0 < left < 0.5
    gives(monkeypatch, itertools.cycle([80.0, 120.0]))
    longer = lab.compare(contenders, paths, budget=Budget(0.1, shared=True))
    assert 0 < longer.about.borrowed <= min(left, 0.1)


def test_a_machine_that_is_always_disturbed_is_judged_as_it_is(monkeypatch, address):
    disturbing(monkeypatch, itertools.cycle(["steal", "", "steal"]))
    gives(monkeypatch, itertools.cycle([200.0, 210.0]))
    result = lab.compare({"a": address, "b": address}, {"a": "/a", "b": "/b"})
    assert (result.about.stopped, result.dropped) == (ANSWERED, 0)
    assert 4 <= result.complete <= 12


def test_slices_become_longer_where_the_noise_is_within_them(monkeypatch, address):
    seconds: list[float] = []
    gives(monkeypatch, itertools.cycle([80.0, 120.0, 95.0]), seconds)
    monkeypatch.setattr(compare, "best_seconds", lambda result, cost_s: 3 * result.about.seconds)
    lab.compare({"a": address, "b": address}, {"a": "/a", "b": "/b"}, budget=2.0, seconds=0.1)
    assert seconds[: 2 + 2 * MIN_ROUNDS] == [0.1] * (2 + 2 * MIN_ROUNDS)
    assert set(seconds[2 + 2 * MIN_ROUNDS :]) == {3 * 0.1}
    del seconds[:]
    lab.compare({"a": address, "b": address}, {"a": "/a", "b": "/b"}, rounds=7, seconds=0.1)
    assert set(seconds) == {0.1}  # nothing is asked


@pytest.mark.parametrize(("within", "between", "longer"), [(0.1, 0.001, 3.2), (0.001, 0.1, 1), (0.04, 0.02, 2)])
def test_the_best_length_of_a_slice_weighs_the_noise_within_slices_against_that_between_them(within, between, longer):
    """The time for a given precision is as (b + w / L) (L + cost): least at √(w · cost / b)."""
    chance = np.random.default_rng(4)
    rounds, cost_s = 2_000, 1.0
    halves = chance.normal(0, math.sqrt(2) * within, size=(rounds, 2))
    logs = halves.mean(1) + chance.normal(0, between, rounds)
    result = comparison({"a": np.full(rounds, 100.0), "b": 100 * np.exp(logs)})
    parts = [
        replace(part, run=SimpleNamespace(summary=part.run.summary, halves=_halves(part, halves)))
        for part in result.slices
    ]
    assert best_seconds(replace(result, slices=tuple(parts)), cost_s) == pytest.approx(longer, rel=0.1)


def _halves(part: Slice, halves: np.ndarray) -> tuple[float, float]:
    if part.label == "a":
        return 50.0, 50.0
    first, second = 50 * np.exp(halves[part.round - 1])
    return float(first), float(second)


@pytest.mark.patient
def test_it_stops_before_a_round_that_would_exceed_the_budget(monkeypatch, address):
    monkeypatch.setattr(compare, "measure_slice", Slices(takes_s=0.05))
    before = time.monotonic()
    result = lab.compare({"a": address, "b": address}, rounds=100, budget=1.0)
    assert time.monotonic() - before < 2
    assert 1 <= result.complete <= 9
    assert result.about.stopped == "another round would not fit into the budget of 1 s"
    assert lab.compare({"a": address, "b": address}, rounds=3, budget=0.001).complete == 1


def disturbing(monkeypatch: pytest.MonkeyPatch, evidence: Iterator[str]) -> None:
    monkeypatch.setattr(validity, "outside", lambda run: next(evidence))


def test_rounds_with_a_dropped_slice_are_made_up_for_and_counted(monkeypatch, slices, address):
    disturbing(monkeypatch, itertools.chain(["", "steal", "", "", "generator starved", ""], itertools.repeat("")))
    result = lab.compare({"a": address, "b": address}, rounds=6)
    assert result.about.stopped == "6 rounds were wanted"
    assert len(result.slices) == 2 * 8
    assert result.complete == 6
    assert result.dropped == 2
    assert result.dropped_why == {"steal": 1, "generator starved": 1}
    assert result.ratio("a", "b").interval.rounds == 6


def test_no_more_than_half_as_many_rounds_again_are_spent_on_making_up(monkeypatch, slices, address):
    disturbing(monkeypatch, itertools.cycle(["", "", "", "", "steal", ""]))
    result = lab.compare({"a": address, "b": address}, rounds=8)
    assert (result.complete, len(result.slices)) == (8, 2 * 11)
    disturbing(monkeypatch, itertools.cycle(["", "", "", "steal"]))
    result = lab.compare({"a": address, "b": address}, rounds=8)
    assert (result.complete, len(result.slices), result.dropped) == (6, 2 * 12, 6)
    assert result.about.stopped == "12 rounds were tried, and something from outside disturbed 6 of them"


def test_where_most_rounds_are_disturbed_all_of_them_count_and_that_is_said(monkeypatch, slices, address):
    disturbing(monkeypatch, itertools.cycle(["steal", "", "steal"]))
    result = lab.compare({"a": address, "b": address}, rounds=6)
    assert result.dropped == 0
    assert result.complete == 6
    assert result.disturbed == {"steal": 8}
    assert "something from outside disturbed 6 of them" in result.about.stopped


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"contenders": {"a": "X"}}, "takes 2 to 12 contenders, not 1"),
        ({"contenders": {}, "control": True}, "takes 1 to 12 contenders, not 0"),
        ({"contenders": {str(number): "X" for number in range(13)}}, "not 13"),
        ({"contenders": ["X", "X"]}, "a mapping of labels to contenders"),
        ({"contenders": {"a": "X", "b": 8000}}, "contender 'b': expected a configuration, a server of serve"),
        ({"contenders": {"a": "X", "a again": "X"}, "control": True}, "choose another label"),
        ({"path": {"a": "/"}}, "path names a; the contenders are a, b"),
        ({"path": "page"}, "begins with a slash"),
        ({"load": {"a": lab.closed(1), "c": lab.closed(1)}}, "load names a, c"),
        ({"load": lab.closed([1, 2])}, "takes one load"),
        ({"rounds": 0}, "from 1 to 500, and at least 4 for a verdict"),
        ({"ask": "latency"}, "ask='latency' is not known; expected one of: throughput"),
        ({"ask": 5}, "ask=5: expected throughput, p50, p95, p99, cpu_per_request, a claim, or several of these"),
        ({"budget": 0}, "budget=0: expected seconds above 0"),
        ({"width": -0.1}, "width=-0.1"),
        ({"seed": "7"}, "seed='7': expected a whole number"),
        ({"seconds": 0}, "from 0.01 to 600"),
        ({"expect": ""}, "a text that each answer holds"),
    ],
)
def test_values_that_cannot_work_are_refused_before_anything_is_started(change, words, slices, address):
    arguments: dict[str, Any] = {"contenders": {"a": "X", "b": "X"}} | change
    contenders = arguments.pop("contenders")
    if isinstance(contenders, dict):
        contenders = {label: address if target == "X" else target for label, target in contenders.items()}
    with pytest.raises(ConfigurationError, match=words):
        lab.compare(contenders, **arguments)
    assert slices.asked == []


def test_another_machine_is_refused_unless_somebody_says_so():
    with pytest.raises(RemoteTargetError, match="remote=True"):
        lab.compare({"here": "http://127.0.0.1:9", "there": "http://192.0.2.1"})


# With real servers.


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no slice be dropped, where a test counts slices."""
    monkeypatch.setattr(validity, "outside", lambda run: "")


@pytest.mark.measuring
def test_a_contender_that_is_slower_by_three_milliseconds_in_ten_is_called_slower_each_time():
    with known_server("delay", 10) as quick, known_server("delay", 13) as late:
        for _ in range(2):
            result = lab.compare(
                {"quick": quick.url, "late": late.url}, "/", lab.closed(4), rounds=5, seconds=0.15, warmup=0.05
            )
            assert verdict(result, "late", "quick") == "slower"
            assert verdict(result, "late", "quick", "p50") == "slower"
            assert verdict(result, "quick", "late", "p50") == "faster"
            assert result.ratio("late", "quick", "p50").low > 1.15


def test_configurations_are_served_for_the_time_of_the_call_and_the_control_from_a_server_of_its_own(undisturbed):
    result = lab.compare({"a": BARE}, "/", lab.closed(2), rounds=1, seconds=0.1, control=True)
    assert left_after(2.0) == []
    one, again = (result.runs(label)[0] for label in ("a", "a again"))
    assert one.about.pids != again.about.pids
    assert one.about.configuration == again.about.configuration
    assert result.complete == 1


def test_servers_that_were_running_before_go_on_running(undisturbed):
    with lab.serve(BARE) as server:
        result = lab.compare({"mine": server, "bare": BARE}, "/", lab.closed(1, each=5), rounds=2)
        assert server.alive
        assert {tuple(run.about.pids) for run in result.runs("mine")} == {server.pids}
    assert result.complete == 2


def test_requests_go_where_they_should_and_all_of_them_are_in_the_slices(undisturbed):
    with known_server("delay", 1) as one, known_server("delay", 1) as other:
        loads = {"one": lab.closed(2, each=5), "other": lab.closed(1, each=7)}
        result = lab.compare({"one": one.url, "other": other.url}, "/", loads, rounds=3)
    assert [len(run.samples) for run in result.runs("one")] == [10, 10, 10]
    assert [len(run.samples) for run in result.runs("other")] == [7, 7, 7]
    assert (one.requests, other.requests) == (40, 28)  # with those of the warm-up


def kill_under_load(server: Any, after_s: float) -> None:
    """Kill the worker while it answers: between two of its slices, nobody would notice within a run."""
    time.sleep(after_s)
    while True:
        before = sum(server.counts.values())
        time.sleep(0.005)
        if sum(server.counts.values()) > before + 5:
            os.kill(server.pids[0], signal.SIGKILL)
            return


def test_a_contender_that_dies_on_the_way_is_doubted_and_does_not_hold_up_the_rest():
    with lab.serve(lab.ASGI, application="bare") as doomed, lab.serve(BARE) as fine:
        threading.Thread(target=kill_under_load, args=(doomed, 1.0)).start()
        before = time.monotonic()
        result = lab.compare({"fine": fine, "doomed": doomed}, "/", lab.closed(2), rounds=60, seconds=0.2, warmup=0.05)
        assert time.monotonic() - before < 30
        with pytest.raises(ServerGoneError, match="killed by signal 9"):
            lab.compare({"fine": fine, "doomed": doomed})
    assert result.about.stopped == "the server of doomed has ended"
    assert any(
        "of doomed are invalid: the server ended during the run" in caveat for caveat in result.caveats("doomed")
    )
    assert verdict(result, "doomed", "fine") == "cannot tell"
    assert result.ratio("fine", "doomed").caveats
    assert all(len(run.samples) == run.about.started for run in (*result.runs("doomed"), *result.runs("fine")))


@pytest.mark.patient
def test_an_interrupt_ends_a_comparison_and_leaves_nothing_within_two_seconds():
    code = (
        "import requestlab as lab, time\n"
        "print('begins', flush=True)\n"
        "try:\n"
        "    lab.compare({'sync': lab.SYNC, 'asgi': lab.ASGI}, '/sync/page/', lab.closed(10), rounds=100)\n"
        "except KeyboardInterrupt:\n"
        "    print(time.monotonic(), flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert seconds_to_interrupt(code, after_s=4.5, environment=environment) < 2
    assert left_after(2.0) == []


@pytest.mark.measuring
def test_of_twenty_real_comparisons_of_a_thing_with_itself_no_more_than_stated_call_a_winner():
    """Five pairs of processes, so that what makes two processes differ for good has its part in it; and each comparison
    stops as soon as it calls one, or a second is over."""
    called = []
    for _ in range(5):
        with ExitStack() as stack:
            pair = {label: stack.enter_context(lab.serve(BARE)) for label in ("one", "same")}
            for _ in range(4):
                result = lab.compare(pair, "/", lab.closed(4), budget=1.0, seconds=0.04, warmup=0.01)
                called.append({metric: str(result.ratio("same", "one", metric)) for metric in call(result)})
    assert len(called) == 20
    assert sum(bool(figures) for figures in called) <= FALSE_ALARMS * 20, called


def test_the_whole_rounds_of_a_comparison_that_was_interrupted_are_kept(served, monkeypatch):
    contenders = {"one": served(lab.NULL), "other": served(lab.NULL, name="other")}
    slices = itertools.count()

    def measured(*arguments, measure=compare.measure_slice):
        if next(slices) == 2 + 2 * 5 + 1:  # two to warm up, five rounds, and one of the sixth
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(compare, "measure_slice", measured)
    monkeypatch.setattr(validity, "outside", lambda run: "")
    monkeypatch.setattr(compare, "_last_interrupted", [])
    with pytest.raises(LabError, match="no comparison was interrupted"):
        lab.interrupted()
    with pytest.raises(KeyboardInterrupt, match=r"5 rounds of the comparison are kept: lab\.interrupted\(\)") as caught:
        lab.compare(contenders, "/", rounds=20, seconds=0.02, warmup=0)
    assert caught.value._render_traceback_() == [f"Interrupted: {caught.value}"]
    kept = lab.interrupted()
    assert [part.round for part in kept.slices] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert kept.about.stopped == "somebody interrupted it"
    assert kept.ratio("other", "one").interval.rounds == kept.complete


def test_a_comparison_that_is_interrupted_before_a_whole_round_keeps_none(served, monkeypatch):
    monkeypatch.setattr(compare, "measure_slice", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="no round of the comparison was whole"):
        lab.compare({"one": served(lab.NULL), "other": served(lab.NULL, name="other")}, "/", rounds=4)
