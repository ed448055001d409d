from __future__ import annotations

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots import medians
from tests.pictures import assert_legible, bars_of, compared, said, took, two, words_of

ONCE, IN_TURN = took(lab.ASYNC, [11, 12, 13]), took(lab.ASYNC.replace(middleware="startproject"), [105, 106, 150])
RUNS = {"async, at once": ONCE, "async, in turn": IN_TURN}


def times_of(**ms):
    return compared({label: (lab.SYNC, {"ms": each}) for label, each in ms.items()}, noise=0.01)


def test_the_title_has_the_shortest_and_the_longest_time_and_says_what_they_share_once():
    assert medians(RUNS).alt == "Median response time: 12 ms under async, at once, 106 ms under async, in turn."
    slower = RUNS | {"sync": took(lab.SYNC, [300])}
    assert medians(slower).alt == "Median response time: 12 ms under async, at once, 300 ms under sync."
    assert medians(ONCE).alt == "async: 12 ms."
    long = {f"a label that is of {count} words or so": run for count, run in (("seven", ONCE), ("eight", IN_TURN))}
    assert medians(long).alt == "Median response time: from 12 ms to 106 ms."


def test_where_some_are_short_and_all_others_far_longer_the_title_says_so():
    two_ways = {
        "sync, at once": took(lab.SYNC, [11]),
        "sync, in turn": took(lab.SYNC, [106]),
        "async, at once": took(lab.ASYNC, [12]),
        "async, in turn": took(lab.ASYNC, [105]),
    }
    title = "11 ms under “sync, at once” and “async, at once”; others at least 105 ms."
    assert medians(two_ways).alt == title


def test_contenders_that_cannot_be_told_apart_are_said_to_be_so():
    assert medians(times_of(a=10, b=10)).alt.endswith("; cannot tell which is faster.")
    assert "cannot tell" not in medians(times_of(a=10, b=20)).alt


def test_each_bar_is_as_long_as_its_number_says():
    picture = medians(RUNS)
    assert bars_of(*picture.figure.axes[0].patches) == [(0, 12), (0, 106)]
    assert {"12 ms", "106 ms", "▲ async, at once"} <= set(words_of(picture))
    assert "interval" not in said(picture)


def test_a_comparison_has_its_rounds_and_intervals():
    picture = medians(times_of(a=10, b=20))
    lines = picture.figure.axes[0].lines
    assert [len(line.get_xdata()) for line in lines if line.get_alpha() == 0.35] == [8, 8]
    assert sum(line.get_linewidth() > 3 for line in lines) == 2
    assert "the 99% interval over them" in said(picture)
    assert dict(picture.details)["rounds"].startswith("8")


def test_another_time_can_be_drawn():
    picture = medians(two(noise=0.001), metric="cpu_per_request")
    assert picture.alt == "CPU time per request: 1.0 ms under sync, 1.3 ms under async."
    assert "CPU time per request in ms" in words_of(picture)


def test_a_prediction_stands_at_its_bar():
    picture = medians(RUNS, predicted={"async, in turn": 400})
    assert said(picture).count("your prediction: 400 ms") == 1
    assert picture.figure.axes[0].get_xlim()[1] > 400


@pytest.mark.parametrize(
    "given", [RUNS, {"a name that is far too long " * 4: ONCE, "x" * 80: IN_TURN}, two(noise=0.5, rounds=4)]
)
def test_no_text_is_cut_off_or_small_or_on_another(given):
    assert_legible(medians(given, predicted=50))


@pytest.mark.parametrize(
    ("given", "arguments", "words"),
    [
        (None, {}, "takes runs of measure"),
        (RUNS, {"metric": "throughput"}, "expected one of: p50, p95, p99, cpu_per_request"),
        (RUNS, {"predicted": "much"}, "a time in ms"),
        (RUNS, {"metric": "p99"}, "there is no p99 of async, at once"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(given, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        medians(given, **arguments)
