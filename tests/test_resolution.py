"""resolution(): what an A/A of one configuration says about the comparisons of today."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from requestlab.comparison import compare, comparison, resolution as resolving
from requestlab.comparison.comparison import ALIKE, Comparison
from requestlab.comparison.intervals import CONFIDENCE
from requestlab.comparison.resolution import Resolution, foretell, resolution
from requestlab.errors import ConfigurationError
from requestlab.load.loads import closed
from requestlab.measurement.run import Run


@pytest.fixture(scope="module")
def short() -> Comparison:
    """Four rounds of a real A/A."""
    return compare.compare(
        {"null": resolving.SYNC}, "/sync/page/", closed(2), rounds=4, control=True, seconds=0.05, warmup=0.0
    )


def with_figures(monkeypatch: pytest.MonkeyPatch, short: Comparison, again: list[float]) -> Comparison:
    """Give the rounds of the baseline a throughput of 1,000 each, and the control's what the test says."""
    given = iter(again)
    slices = []
    whole = [part for part in short.slices if part.round <= len(again)]  # a dropped slice may have brought one more
    for part in sorted(whole, key=lambda part: part.round):
        run = Run(part.run.samples, part.run.thread_samples, part.run.about)
        throughput = 1000.0 if part.label == "null" else next(given)
        vars(run)["summary"] = part.run.summary | {"throughput": throughput}
        slices.append(dataclasses.replace(part, run=run, disturbed="", dropped=False))
    monkeypatch.setattr(comparison, "_caveats_of_one", lambda label, runs, metric: iter(()))
    return dataclasses.replace(short, slices=tuple(slices))


def test_a_real_one_takes_less_than_its_seconds_and_says_what_cannot_be_told():
    found = resolution()
    assert repr(found).startswith(
        f"today differences under {math.ceil(100 * found.difference)} % cannot be told in 60 s"
    )
    assert found.difference >= ALIKE
    assert found.rounds >= 4
    assert found.noise > 0
    assert found.control.low < found.control.value < found.control.high


def test_the_difference_is_the_half_width_of_that_many_rounds_beyond_the_floor(monkeypatch, short):
    again = [1000.0, 1020.0, 980.0, 1010.0]
    found = foretell(with_figures(monkeypatch, short, again), 60.0, 21)
    logs = np.log(np.array(again) / 1000)
    bound = logs.std(ddof=1) * math.sqrt(3 / stats.chi2.ppf(0.1, 3))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, 20) * bound / math.sqrt(21)
    assert found.noise == pytest.approx(logs.std(ddof=1))
    assert found.difference == pytest.approx((1 + ALIKE) * math.exp(half) - 1)
    assert (found.rounds, found.differed, found.why) == (21, False, "")


def test_more_seconds_tell_smaller_differences_and_never_below_the_floor(monkeypatch, short):
    control = with_figures(monkeypatch, short, [1000.0, 1050.0, 950.0, 1010.0])
    found = [foretell(control, 60.0, rounds).difference for rounds in (4, 8, 21, 500)]
    assert found == sorted(found, reverse=True)
    assert found[-1] > ALIKE


def test_an_a_a_that_was_off_by_more_than_the_floor_takes_its_place(monkeypatch, short):
    found = foretell(with_figures(monkeypatch, short, [1200.0, 1201.0, 1199.0, 1200.0]), 60.0, 21)
    assert found.differed
    assert found.difference > 0.2


def test_where_slices_were_dropped_fewer_rounds_are_foretold(monkeypatch, short):
    control = with_figures(monkeypatch, short, [1000.0, 1020.0, 980.0, 1010.0])
    half = tuple(dataclasses.replace(part, disturbed="steal", dropped=part.round > 2) for part in control.slices)
    found = foretell(dataclasses.replace(control, slices=half), 60.0, 21)
    assert found.rounds == 10
    assert math.isnan(found.difference)
    assert repr(found) == (
        "today nothing can be said about differences that can be told in 60 s: 2 of 4 rounds of the A/A count, the others "
        "were disturbed from outside: steal (4)"
    )


def test_doubts_about_the_a_a_leave_nothing_to_say(monkeypatch, short):
    control = with_figures(monkeypatch, short, [1000.0, 1020.0, 980.0, 1010.0])
    monkeypatch.setattr(comparison, "_caveats_of_one", lambda label, runs, metric: iter([f"{label} was late"]))
    found = foretell(control, 60.0, 21)
    assert math.isnan(found.difference)
    assert found.why == "null was late; null again was late"


def test_it_says_whole_percents_rounded_up(short):
    interval = short.ratio("null again", "null").interval
    assert repr(Resolution(60.0, 0.0501, interval, False, 0.02, 21)) == (
        "today differences under 6 % cannot be told in 60 s"
    )


@pytest.mark.parametrize("seconds", [0, 11.9, -60, math.nan, math.inf, 1e9, "60", None, True])
def test_seconds_in_which_there_is_no_comparison_are_refused_before_anything_is_measured(seconds):
    with pytest.raises(ConfigurationError, match="expected seconds from 12 to 3,600, enough for 4 rounds"):
        resolution(seconds)


def test_the_shortest_allowed_time_holds_the_fewest_rounds():
    assert resolving._rounds_in(12) == 4
    assert resolving._rounds_in(60.0) == 21


def test_its_rounds_are_those_of_compare_with_its_defaults():
    defaults = compare.compare.__kwdefaults__
    assert defaults["seconds"] == resolving.DEFAULT_SLICE_S
