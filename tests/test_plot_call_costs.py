from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from requestlab.comparison.call_costs import CallCosts, ThreadsUsed
from requestlab.comparison.call_costs import call_costs as measured
from requestlab.errors import ConfigurationError
from requestlab.plots import price_rows, style
from requestlab.plots.call_costs import call_costs as prices
from requestlab.plots.price_rows import about
from tests.made_runs import COSTED
from tests.test_plots import assert_legible, words_of

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
    """CallCosts of hand-made rounds: the costs above, a little more and less from round to round."""
    shake = np.exp(np.random.default_rng(7).normal(0, 0.03, (rounds, len(names))))
    index = pd.RangeIndex(1, rounds + 1, name="round")
    medians = pd.DataFrame(shake * [COSTS[name][0] * factor for name in names], columns=list(names), index=index)
    dearer = medians * [(means or {}).get(name, 1.1) for name in names]
    about = replace(
        COSTED,
        what={name: COSTS[name][1] for name in names},
        wanted=rounds,
        busy_threads=busy_threads,
        threads_started=dict.fromkeys(names, 0.0),
        disturbed=disturbed or {},
        caveats=tuple(caveats),
    )
    return CallCosts(medians, dearer, {"thread_sensitive=True": ThreadsUsed(100, 1)}, about)


def said(picture):
    return " ".join(" ".join(words_of(picture)).replace("\n", " ").split())


def points(picture, **wanted):
    """What is drawn by markers of that kind: the lines' places on the axis."""
    lines = picture.figure.axes[0].lines
    chosen = [line for line in lines if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())]
    return [list(line.get_xdata()) for line in chosen]


def test_the_title_says_what_a_crossing_costs_warm_and_cold_and_how_many_plain_calls_that_is():
    picture = prices(found())
    pattern = r"sync_to_async costs (39|40|41) µs, as much as 2,\d00 plain calls, and 20\d µs where its thread must be started\."
    assert re.fullmatch(pattern, picture.alt.replace("\N{NO-BREAK SPACE}", " "))
    assert picture.alt.rstrip(".").replace("\N{NO-BREAK SPACE}", " ") in said(picture)


def test_without_these_names_the_title_tells_the_cheapest_and_the_dearest():
    alt = prices(found(["await", "to_thread"])).alt.replace("\N{NO-BREAK SPACE}", " ")
    assert alt.startswith("One call costs from 0.06")
    assert alt.endswith("µs (to_thread).")


def test_threads_that_compute_beside_are_told():
    picture = prices(found(busy_threads=1))
    assert "beside 1 thread that computes" in picture.alt
    assert "1 other thread of the process computed meanwhile" in said(picture)
    assert "No other threads of the process computed meanwhile" in said(prices(found()))
    assert "beside 3 threads that compute," in prices(found(busy_threads=3)).alt


def test_each_way_is_a_row_with_its_price_and_how_many_of_the_first_that_is():
    text = said(prices(found()))
    for name, (_, what) in COSTS.items():
        assert name in text
        assert what in text
    table = found().table.set_index("name")
    row = table.loc["to_thread"]
    assert f"{row.p50_us:.0f} µs ({row.low_us:.0f} to {row.high_us:.0f})" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert f"{about(row.p50_us / table.loc['call'].p50_us)} × call" in text


def test_prices_and_intervals_are_where_they_belong_and_every_round_is_drawn_faintly():
    prices_found = found()
    picture = prices(prices_found)
    assert points(picture, color=style.INK, marker="o") == [
        [pytest.approx(cost)] for cost in prices_found.table["p50_us"]
    ]
    bounds = points(picture, color=style.INK, linewidth=2.4)
    assert bounds == prices_found.table[["low_us", "high_us"]].to_numpy().tolist()
    faint = [x for x in points(picture, color=style.THREAD, markeredgewidth=0.0) if x]
    assert faint == [prices_found.rounds[name].tolist() for name in COSTS]
    assert picture.figure.axes[0].get_xscale() == "log"


def test_disturbed_rounds_are_hollow_and_counted():
    picture = prices(found(disturbed={2: "other processes (50%)", 5: "other processes (30%)"}))
    hollow = [x for x in points(picture, color=style.THREAD, markeredgewidth=0.7) if x]
    assert [len(x) for x in hollow] == [2] * len(COSTS)
    assert "hollow where something else took time of the cores (2 of them)" in said(picture)
    assert "hollow" not in said(prices(found()))


def test_doubts_are_told():
    assert "Doubtful: it rained." in said(prices(found(caveats=["it rained"])))


def test_a_mean_far_from_the_median_is_a_diamond_with_its_figure():
    prices_found = found(means={"to_thread": 10})
    picture = prices(prices_found)
    mean = prices_found.price("to_thread", "mean").value
    assert points(picture, marker="D") == [[pytest.approx(mean)]]
    assert f"mean {mean:.0f}" in said(picture)
    assert "Diamond: the mean over all calls" in said(picture)
    assert "Diamond" not in said(prices(found()))


def test_what_the_documentation_says_is_shaded_and_labelled():
    text = said(prices(found()))
    for words in ("what Django's documentation says of a crossing:", "tens of µs, in a request", "1 ms, until 6.0"):
        assert words in text
    assert [(low, high) for _, low, high, _ in price_rows.CLAIMS] == [(10, 100), (100, 900)]
    low, high = prices(found(["call", "await"])).figure.axes[0].get_xlim()
    assert low < 0.02
    assert high > 1000


def test_one_prediction_goes_through_all_rows_and_one_by_name_stands_in_its_row():
    across = prices(found(), predicted=1000)
    assert words_of(across).count("your prediction: 1,000 µs") == 1
    assert [1000, 1000] in points(across, color=style.INK)
    by_name = prices(found(), predicted={"sync_to_async warm": 1000, "await": 0.5, "call": None})
    assert {"your prediction: 1,000 µs", "your prediction: 0.5 µs"} <= set(words_of(by_name))


def test_a_prediction_beyond_the_axis_widens_it():
    assert prices(found(), predicted=1_000_000).figure.axes[0].get_xlim()[1] > 1_000_000


def test_prices_above_a_millisecond_are_told_in_ms():
    text = said(prices(found(factor=100))).replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"sync_to_async costs (3\.9|4\.0|4\.1) ms", text)
    assert re.search(r"(19|20|21) ms \((19|20|21) to (19|20|21|22)\)", text)


@pytest.mark.parametrize(
    "predicted", [None, 0.5, 50, 1000, {"call": 1, "sync_to_async cold": 900, "async_to_sync cold": 5000}]
)
@pytest.mark.parametrize("factor", [1, 30])
def test_nothing_overlaps_or_is_cut_off(predicted, factor):
    assert_legible(
        prices(found(factor=factor, means={"to_thread": 30, "call": 3}, caveats=["it rained"]), predicted=predicted)
    )


def test_too_few_rounds_have_no_interval():
    picture = prices(found(rounds=2))
    assert points(picture, color=style.INK, linewidth=2.4) == []
    assert not any(re.search(r"\d to \d", text) for text in words_of(picture))
    assert_legible(picture)


@pytest.mark.parametrize(
    ("given", "predicted", "words"),
    [
        (None, None, "draws what lab.call_costs"),
        (found(), {"thred": 3}, "the prices are call, await"),
        (found(), "much", "a price in µs, a number, or None"),
        (found(), {"call": -1}, "a price in µs"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(given, predicted, words):
    with pytest.raises(ConfigurationError, match=words):
        prices(given, predicted=predicted)


def test_measured_prices_are_drawn():
    picture = prices(measured(rounds=3, seconds=1), predicted={"sync_to_async warm": 1000})
    assert "sync_to_async costs" in picture.alt
    assert_legible(picture)
