"""resolution(): what an A/A of one configuration says about the comparisons of today."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from requestlab.comparison import compare, resolution as resolving
from requestlab.comparison.comparison import ALIKE, Comparison
from requestlab.comparison.intervals import Interval, reach
from requestlab.comparison.resolution import Resolution, foretell, resolution
from requestlab.errors import ConfigurationError
from tests.made_runs import changed, comparison, slice_of

NOISY = (1000.0, 1020.0, 980.0, 1010.0)


def control_of(again: Sequence[float] = NOISY) -> Comparison:
    """Return an A/A whose baseline had a throughput of 1,000 in each round, and its control these."""
    return comparison({"null": [1000.0] * len(again), "null again": again}, "null again")


@pytest.mark.measuring
def test_a_real_one_takes_less_than_its_seconds_and_says_what_cannot_be_told(monkeypatch):
    monkeypatch.setenv("REQUESTLAB_QUICK", "1")
    found = resolution()
    assert found.control.known, found.why
    said = f"today differences under {math.ceil(100 * found.difference)}% cannot be told in 60 s"
    assert repr(found).startswith(said)
    assert found.difference >= ALIKE
    assert found.rounds >= 4
    assert found.noise > 0
    assert found.control.low < found.control.value < found.control.high


def test_the_difference_is_the_half_width_of_that_many_rounds_beyond_the_floor():
    found = foretell(control_of(), 60.0, 21)
    logs = np.log(np.array(NOISY) / 1000)
    bound = logs.std(ddof=1) * math.sqrt(3 / stats.chi2.ppf(0.1, 3))
    half = reach(21) * bound
    assert found.noise == pytest.approx(logs.std(ddof=1))
    assert found.difference == pytest.approx((1 + ALIKE) * math.exp(half) - 1)
    assert (found.rounds, found.differed, found.why) == (21, False, "")


def test_more_seconds_tell_smaller_differences_and_never_below_the_floor():
    control = control_of([1000.0, 1050.0, 950.0, 1010.0])
    found = [foretell(control, 60.0, rounds).difference for rounds in (4, 8, 21, 500)]
    assert found == sorted(found, reverse=True)
    assert found[-1] > ALIKE


def test_an_a_a_that_was_off_by_more_than_the_floor_takes_its_place():
    found = foretell(control_of([1200.0, 1201.0, 1199.0, 1200.0]), 60.0, 21)
    assert found.differed
    assert found.difference > 0.2


def test_where_slices_were_dropped_fewer_rounds_are_foretold():
    control = control_of()
    for label in control.all_labels:
        control = changed(control, label, {3, 4}, disturbed="steal", dropped=True)
    found = foretell(control, 60.0, 21)
    assert found.rounds == 10
    assert math.isnan(found.difference)
    assert repr(found) == (
        "today nothing can be said about differences that can be told in 60 s: 2 of 4 rounds of the A/A count, the others "
        "were disturbed from outside: steal (4)"
    )


def test_doubts_about_the_a_a_leave_nothing_to_say():
    invalid = slice_of({"throughput": 1000.0}, validity="invalid", reasons=["it was late"])
    found = foretell(changed(control_of(), "null again", {2}, run=invalid), 60.0, 21)
    assert math.isnan(found.difference)
    assert found.why == "1 of 4 slices of null again are invalid: it was late"


def test_it_says_whole_percents_rounded_up():
    found = Resolution(60.0, 0.0501, Interval(1.0, 0.99, 1.01, 8), False, 0.02, 21)
    assert repr(found) == "today differences under 6% cannot be told in 60 s"
    takes = {0.03: None, 0.05: 95.2, 0.1: 20.0, 0.3: 12.0}
    assert repr(replace(found, takes=takes)).endswith(
        "in 60 s; 5% in 95 s, 10% in 20 s and 30% in 12 s; 3% not in 500 rounds"
    )


def test_how_long_a_difference_takes_is_the_time_of_the_rounds_after_which_it_would_be_called():
    found = foretell(control_of(), 60.0, 21)
    assert found.takes[0.03] is None  # two equal processes may differ by as much
    took = [found.takes[share] for share in (0.05, 0.1, 0.3)]
    assert took == sorted(took, reverse=True)
    rounds = round((took[1] - resolving.RAMPS_S) / resolving.ROUND_S)
    assert took[1] == pytest.approx(resolving.RAMPS_S + rounds * resolving.ROUND_S)
    assert foretell(control_of(), took[1], rounds).difference <= 0.1 < foretell(control_of(), 1, rounds - 1).difference


@pytest.mark.parametrize("seconds", [11.9, math.nan, 1e9, "60"])
def test_seconds_in_which_there_is_no_comparison_are_refused_before_anything_is_measured(seconds):
    with pytest.raises(ConfigurationError, match="expected seconds from 12 to 3,600, enough for 4 rounds"):
        resolution(seconds)


def test_its_rounds_are_those_of_compare_with_its_defaults():
    assert [resolving._rounds_in(seconds) for seconds in (12, 60.0)] == [4, 21]
    assert compare.SLICE_S == resolving.DEFAULT_SLICE_S
