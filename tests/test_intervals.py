"""The arithmetic of verdicts: against scipy, against what must hold for all figures, and against simulated machines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from scipy import stats

from requestlab.comparison import intervals
from requestlab.comparison.intervals import CONFIDENCE, FALSE_ALARMS, MIN_ROUNDS, Interval, interval, ratio
from tests.made_runs import simulated

FIGURES = st.floats(min_value=1e-3, max_value=1e6)
ROUNDS = st.lists(st.tuples(FIGURES, FIGURES), min_size=MIN_ROUNDS, max_size=20)


def split(rounds):
    return [over for over, _ in rounds], [under for _, under in rounds]


def bounds(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


# Known values.


def test_an_interval_is_students_t_over_the_rounds():
    values = [11.2, 9.8, 10.5, 12.0, 10.1, 9.9]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.99)
    found = interval(values)
    assert bounds(found) == pytest.approx((np.mean(values), expected.low, expected.high))
    assert (found.rounds, found.confidence, found.why) == (6, CONFIDENCE, "")


def test_a_ratio_is_the_geometric_mean_of_the_rounds_ratios_with_the_interval_of_their_logarithms():
    over, under = [120.0, 100, 130, 90, 111], [100.0, 110, 100, 95, 99]
    logs = np.log(np.array(over) / np.array(under))
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.99)
    found = ratio(over, under)
    assert found.value == pytest.approx(stats.gmean(np.array(over) / np.array(under)))
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))


def test_with_a_baseline_an_interval_is_that_of_the_ratio_and_rounds_without_one_of_the_two_do_not_count():
    over, under = [20.0, 30.0, 10.0, 41.0, math.nan, 7.0], [2.0, 2.0, 1.0, 4.0, 1.0, math.nan]
    assert interval(over, baseline=under) == ratio(over, under)
    assert interval(over, baseline=under).rounds == 4


def test_the_width_of_a_ratio_is_how_far_its_bounds_lie_apart_and_none_where_rounds_agree():
    found = ratio([3.0] * 5, [2.0] * 5)
    assert bounds(found) == pytest.approx((1.5, 1.5, 1.5))
    assert found.width == pytest.approx(0)
    assert Interval(1.0, 0.98, 1.029, 8).width == pytest.approx(0.05)
    assert Interval(math.nan, math.nan, math.nan, 0).width == math.inf


@pytest.mark.parametrize("count", range(MIN_ROUNDS))
def test_too_few_rounds_give_no_interval_and_say_so(count):
    found = ratio([2.0] * count, [1.0] * count)
    assert not found.known
    assert found.rounds == count
    assert found.value == pytest.approx(2) if count else math.isnan(found.value)
    assert found.why == (f"{count} rounds have a figure, and an interval needs 4" if count else "no round has a figure")
    assert str(found) == f"unknown ({found.why})"


def test_an_interval_in_words_has_value_and_bounds():
    assert str(Interval(1.2345, 1.1, 1.4, 8)) == "1.23 (1.1 to 1.4)"


# What must hold for all figures.


@given(ROUNDS)
def test_to_swap_two_contenders_inverts_the_ratio(rounds):
    over, under = split(rounds)
    there, back = ratio(over, under), ratio(under, over)
    assert (there.value, there.low, there.high) == pytest.approx((1 / back.value, 1 / back.high, 1 / back.low))


@given(ROUNDS, FIGURES, FIGURES)
def test_another_unit_for_one_of_the_two_scales_the_ratio_and_one_for_both_changes_nothing(rounds, factor, other):
    over, under = split(rounds)
    plain = ratio(over, under)
    assume(plain.low > 1e-100 and plain.high < 1e100)
    scaled = ratio([factor * value for value in over], [other * value for value in under])
    assert bounds(scaled) == pytest.approx([factor / other * value for value in bounds(plain)], rel=1e-6)


@given(ROUNDS, st.lists(st.sampled_from([(math.nan, 1.0), (1.0, math.nan), (0.0, 1.0), (1.0, 0.0)])), st.randoms())
def test_rounds_in_which_one_has_no_figure_do_not_count(rounds, empty, chance):
    mixed = [*rounds, *empty]
    chance.shuffle(mixed)
    found = ratio(*split(mixed))
    assert found.rounds == len(rounds)
    assert bounds(found) == pytest.approx(bounds(ratio(*split(rounds))), rel=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=MIN_ROUNDS, max_size=20), st.floats(-1e6, 1e6))
def test_a_difference_moves_with_its_figures(values, by):
    plain, moved = interval(values), interval([value + by for value in values])
    assert bounds(moved) == pytest.approx([value + by for value in bounds(plain)], abs=1e-3)


# Against simulated machines.


@pytest.mark.parametrize("rounds", [5, 8, 20])
@pytest.mark.parametrize("truth", [1.0, 1.3])
def test_intervals_hold_the_truth_as_often_as_they_promise(rounds, truth):
    """Of 3,000 comparisons 99 % is 2,970 +- 5.4 (one standard deviation); three of them less is allowed."""
    chance = np.random.default_rng(20 * rounds)
    held = 0
    for _ in range(3_000):
        over, under = simulated(chance, rounds, truth)
        found = ratio(over[:, 0], under[:, 0])
        held += found.low <= truth <= found.high
    assert held >= 2_970 - 17


def test_pairs_within_a_round_bear_phases_that_separate_means_do_not():
    """The same slices, as if they were not paired: the phases of the machine make the interval many times as wide."""
    chance = np.random.default_rng(1)
    paired, apart = [], []
    for _ in range(200):
        over, under = (np.log(figures[:, 0]) for figures in simulated(chance, 8, 1.0))
        paired.append(np.std(over - under, ddof=1))
        apart.append(math.hypot(np.std(over, ddof=1), np.std(under, ddof=1)))
    assert np.median(apart) > 2 * np.median(paired)


def test_of_a_thousand_simulated_comparisons_of_a_thing_with_itself_few_find_a_difference_in_any_figure():
    """Before differences within `comparison.ALIKE` are left out: by Bonferroni's inequality no more than 5 %."""
    chance = np.random.default_rng(7)
    found = 0
    for _ in range(1_000):
        over, under = simulated(chance, 8, 1.0)
        each = [ratio(over[:, figure], under[:, figure]) for figure in range(5)]
        found += any(not one.low <= 1 <= one.high for one in each)
    assert found <= FALSE_ALARMS * 1_000
    assert found > 0  # or the simulation would have nothing to say


def test_the_stated_confidence_and_the_stated_share_of_false_alarms_belong_together():
    figures = 5
    assert pytest.approx(1 - figures * (1 - CONFIDENCE)) == 1 - FALSE_ALARMS
    assert intervals.MIN_ROUNDS > 2


@pytest.mark.parametrize("freedom", [1, 3, 4, 7, 19, 499])
@pytest.mark.parametrize("share", [0.005, 0.05, 0.5, 0.975, 0.995])
def test_quantiles_are_those_of_scipy_stats(share, freedom):
    assert math.isclose(intervals.students_t(share, freedom), stats.t.ppf(share, freedom), rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(intervals.chi_squared(share, freedom), stats.chi2.ppf(share, freedom), rel_tol=1e-9)
