from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from requestlab.comparison.call_costs import CallCosts, ThreadsUsed, call_costs as measured
from requestlab.errors import ConfigurationError
from requestlab.plots.call_costs import MAIN, call_costs, finding
from tests.made_runs import COSTED
from tests.pictures import assert_legible, said, words_of

COSTS = {
    "call": (0.02, "nothing(), a plain call"),
    "await": (0.06, "await nothing(), a coroutine"),
    "to_thread": (35.0, "asyncio.to_thread(nothing), the pool's threads there"),
    "sync_to_async warm": (40.0, "sync_to_async(nothing) in a ThreadSensitiveContext, its thread there"),
    "sync_to_async cold": (
        200.0,
        "a ThreadSensitiveContext entered, sync_to_async(nothing) called once, the context left",
    ),
    "async_to_sync cold": (210.0, "async_to_sync(nothing) in plain sync code: a new loop in a new thread, each time"),
}


def found(names=tuple(COSTS), *, rounds=8, means=None, disturbed=None, busy_threads=0, caveats=(), factor=1.0):
    """CallCosts of hand-made rounds: the costs above, 5% more in every other round and as much less in the others."""
    shake = 1.05 ** (-1.0) ** np.add.outer(np.arange(rounds), np.arange(len(names)))
    index = pd.RangeIndex(1, rounds + 1, name="round")
    medians = pd.DataFrame(shake * [COSTS[name][0] * factor for name in names], columns=list(names), index=index)
    dearer = medians * [(means or {}).get(name, 1.1) for name in names]
    about = replace(
        COSTED,
        what={name: COSTS[name][1] for name in names},
        wanted=rounds,
        busy_threads=busy_threads,
        disturbed=disturbed or {},
        caveats=tuple(caveats),
    )
    return CallCosts(medians, dearer, {"thread_sensitive=True": ThreadsUsed(100, 1)}, about)


def points(picture, **wanted):
    """The places on the axis of what is drawn by such lines or markers."""
    lines = picture.figure.axes[0].lines
    chosen = [line for line in lines if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())]
    return [list(line.get_xdata()) for line in chosen]


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        (
            found(),
            "sync_to_async costs 40 µs, as much as 2,000 plain calls; cold 200 µs",
        ),
        (found(busy_threads=1), "sync_to_async costs 40 µs beside 1 thread that computes, as much as"),
        (found(busy_threads=3), "sync_to_async costs 40 µs beside 3 threads that compute, as much as"),
        (found(factor=100), "sync_to_async costs 4.0 ms, as much as 2,000 plain calls; cold 20 ms"),
        (found(["await", "to_thread"]), "One call costs from 0.06 µs (await) to 35 µs (to_thread)"),
    ],
)
def test_the_title_says_what_a_crossing_costs_warm_and_cold_and_how_many_plain_calls_that_is(costs, words):
    assert " ".join(finding(costs).split()).startswith(words)


def test_all_that_is_written():
    costs = found(
        ["call", "to_thread"], means={"to_thread": 10}, disturbed={2: "other processes (50%)"}, caveats=["it rained"]
    )
    picture = call_costs(costs, all=True)
    assert [" ".join(text.split()) for text in words_of(picture)] == [
        "tens of µs, in a request",
        "a few hundred µs, no loop yet",
        "1 ms, until 6.0",
        "what Django's documentation says of a crossing:",
        "call",
        "nothing(), a plain call",
        "0.02 µs (0.018 to 0.023)",
        "to_thread",
        "asyncio.to_thread(nothing), the pool's threads",
        "there",
        "35 µs (31 to 39)",
        "1,730 × call, mean 348 µs",
        "µs for one call of a function that does nothing (logarithmic)",
        "One call costs from 0.02 µs (call) to 35 µs (to_thread)",
        "Faint dots: the median of each of 8 rounds, hollow where something else took time of the cores (1 of them). "
        "Dot and line: the cost, its 99% interval. "
        "Diamond: the mean over all calls, where it is far from the median, since a few calls wait long. "
        "Doubtful: it rained.",
        "a processor, 2 cores · Linux 6.1 · Python 3.13.0 · Django 6.0 · asgiref 3.13 "
        "on core 0 · event loop: asyncio._UnixSelectorEventLoop · no other threads of the process computed meanwhile",
    ]
    assert picture.details == (
        ("rounds", "8 of 8 rounds in 1 s, seed 0"),
        ("round 2", "disturbed by other processes (50%)"),
    )


def test_costs_and_intervals_are_where_they_belong_and_every_round_is_drawn_faintly():
    costs = found(means={"to_thread": 10}, disturbed={2: "other processes (50%)", 5: "other processes (30%)"})
    picture, table, disturbed = call_costs(costs, all=True), costs.rounds, costs.rounds.index.isin([2, 5])
    found_costs = [costs.cost(name) for name in COSTS]
    assert points(picture, markersize=6.5) == [[pytest.approx(one.value)] for one in found_costs]
    assert points(picture, linewidth=3.2) == [[one.low, one.high] for one in found_costs]
    for hollow, edge in ((disturbed, 0.7), (~disturbed, 0.0)):
        drawn = points(picture, markersize=3.2, markeredgewidth=edge)
        assert drawn == [table[name][hollow].tolist() for name in COSTS]
    assert points(picture, marker="D") == [[pytest.approx(costs.cost("to_thread", "mean").value)]]
    assert picture.figure.axes[0].get_xscale() == "log"


def test_four_rows_are_drawn_and_others_where_all_are_asked_for_or_one_was_predicted():
    names = set(COSTS)
    rows = [
        names & set(words_of(picture))
        for picture in (call_costs(found()), call_costs(found(), predicted={"await": 1}), call_costs(found(), all=True))
    ]
    assert rows == [set(MAIN), {*MAIN, "await"}, names]
    assert "await" in words_of(call_costs(found(["await", "to_thread"])))


def test_what_is_not_there_is_not_explained():
    text = said(call_costs(found(busy_threads=1)))
    assert not [word for word in ("hollow", "Diamond", "Doubtful") if word in text]
    assert "1 other thread of the process" in text


def test_too_few_rounds_have_no_interval():
    picture = call_costs(found(rounds=2))
    assert points(picture, linewidth=3.2) == []
    assert not any(re.search(r"\d to \d", text) for text in words_of(picture))


@pytest.mark.parametrize(
    ("predicted", "words"),
    [
        (1000, ["your prediction: 1,000 µs"]),
        (
            {"sync_to_async warm": 1_000_000, "await": 0.5, "call": None},
            ["your prediction: 0.5 µs", "your prediction: 1,000,000 µs"],
        ),
    ],
)
def test_one_prediction_goes_through_all_rows_and_one_by_name_stands_in_its_row(predicted, words):
    picture = call_costs(found(), predicted=predicted)
    assert [text for text in words_of(picture) if "prediction" in text] == words
    guesses = [predicted] if predicted == 1000 else [0.5, 1_000_000]
    assert points(picture, linewidth=1.3, color="#222222") == [[guess, guess] for guess in guesses]
    low, high = picture.figure.axes[0].get_xlim()
    assert low < 0.02
    assert high > max(1000, *guesses)


@pytest.mark.parametrize(
    ("factor", "predicted"), [(1, 50), (30, {"call": 1, "sync_to_async cold": 900, "async_to_sync cold": 5000})]
)
def test_nothing_overlaps_or_is_cut_off(factor, predicted):
    costs = found(factor=factor, means={"to_thread": 30, "call": 3}, caveats=["it rained"])
    assert_legible(call_costs(costs, predicted=predicted))


@pytest.mark.parametrize(
    ("given", "predicted", "words"),
    [
        (None, None, "draws what lab.call_costs"),
        (found(), {"thred": 3}, "the call costs are call, await"),
        (found(), "much", "a cost in µs"),
        (found(), {"call": -1}, "a cost in µs"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(given, predicted, words):
    with pytest.raises(ConfigurationError, match=words):
        call_costs(given, predicted=predicted)


def test_measured_costs_are_drawn():
    picture = call_costs(measured(rounds=3, seconds=1), predicted={"sync_to_async warm": 1000})
    assert picture.alt.startswith("sync_to_async costs")
