"""The arithmetic of verdicts: against scipy, against what must hold for all figures, and against simulated machines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from scipy import stats

from requestlab.comparison import intervals
from requestlab.comparison.intervals import (
    CONFIDENCE,
    FALSE_ALARMS,
    MIN_ROUNDS,
    MIXTURE,
    Interval,
    interval,
    ratio,
    reach,
    rounds_for,
    scatter,
)
from tests.made_runs import simulated

FIGURES = st.floats(min_value=1e-3, max_value=1e6)
ROUNDS = st.lists(st.tuples(FIGURES, FIGURES), min_size=MIN_ROUNDS, max_size=20)


def split(rounds):
    return [over for over, _ in rounds], [under for _, under in rounds]


def bounds(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


# Known values.


def martingale(values, mean: float) -> float:
    """How much a sequence of figures speaks against that mean: the formula of `intervals`, word for word."""
    apart, n, c2 = np.asarray(values) - mean, len(values), MIXTURE
    total, squares = apart.sum(), (apart**2).sum()
    return float(math.sqrt(c2 / (n + c2)) * ((n + c2) * squares / ((n + c2) * squares - total**2)) ** (n / 2))


@pytest.mark.parametrize("rounds", [4, 5, 8, 30])
def test_an_interval_ends_where_the_martingale_reaches_one_hundred(rounds):
    values = np.random.default_rng(rounds).normal(10, 1, rounds)
    found = interval(values)
    assert found.value == pytest.approx(np.mean(values))
    assert martingale(values, found.low) == pytest.approx(1 / (1 - CONFIDENCE))
    assert martingale(values, found.high) == pytest.approx(1 / (1 - CONFIDENCE))
    assert (found.rounds, found.confidence, found.why, found.dependence) == (rounds, CONFIDENCE, "", 0)


def test_how_many_rounds_it_takes_is_the_first_number_after_which_an_interval_reaches_no_further():
    for half, deviation in ((0.1, 0.02), (0.05, 0.05), (0.01, 0.02)):
        needed = rounds_for(half, deviation, 500)
        assert reach(needed) * deviation <= half < reach(needed - 1) * deviation
    assert rounds_for(0.001, 0.1, 500) is None
    assert rounds_for(-0.01, 0.1, 500) is None
    assert reach(MIN_ROUNDS - 1) == math.inf


def test_a_ratio_is_the_geometric_mean_of_the_rounds_ratios_with_the_interval_of_their_logarithms():
    over, under = [120.0, 100, 130, 90, 111], [100.0, 110, 100, 95, 99]
    logs = np.log(np.array(over) / np.array(under))
    found, expected = ratio(over, under), interval(logs)
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
    rounds = {0: "no round has a figure", 1: "1 round has a figure, and an interval needs 4"}
    assert found.why == rounds.get(count, f"{count} rounds have a figure, and an interval needs 4")
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
    mixed = list(rounds)
    for one in empty:
        mixed.insert(chance.randint(0, len(mixed)), one)
    found = ratio(*split(mixed))
    assert found.rounds == len(rounds)
    assert bounds(found) == pytest.approx(bounds(ratio(*split(rounds))), rel=1e-6)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=MIN_ROUNDS, max_size=20), st.integers(-(10**6), 10**6))
def test_a_difference_moves_with_its_figures(values, by):
    plain, moved = interval(values), interval([value + by for value in values])
    assert bounds(moved) == pytest.approx([value + by for value in bounds(plain)], abs=1e-3)


# Against simulated machines.


def share_that_misses(rounds: np.ndarray) -> float:
    """Return the share of sequences, a row each, of which an interval after some round does not hold 0."""
    counts = np.arange(1, rounds.shape[1] + 1)
    means = rounds.cumsum(1) / counts
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.sqrt(np.clip((rounds**2).cumsum(1) - counts * means**2, 0, None) / (counts - 1))
        missed = np.abs(means) > deviations * [reach(int(count)) for count in counts]
    return float(missed[:, MIN_ROUNDS - 1 :].any(1).mean())


@pytest.mark.parametrize("tails", ["normal", "t with 3 degrees of freedom", "t with 2 degrees of freedom"])
def test_whoever_looks_after_each_of_a_hundred_rounds_is_misled_in_one_of_a_hundred_cases_at_most(tails):
    chance = np.random.default_rng(3)
    freedom = {"normal": 1e6}.get(tails) or int(tails.split()[2])
    assert share_that_misses(chance.standard_t(freedom, size=(10_000, 100))) <= 1 - CONFIDENCE


def test_the_same_look_at_students_t_misleads_ten_times_as_often(monkeypatch):
    chance = np.random.default_rng(3)
    ours = share_that_misses(rounds := chance.normal(size=(2_000, 100)))
    monkeypatch.setitem(globals(), "reach", lambda n: stats.t.ppf(0.995, n - 1) / n**0.5 if n > 1 else math.inf)
    assert share_that_misses(rounds) > max(10 * ours, 0.05)


def test_a_clear_case_takes_five_rounds():
    """Rounds that differ by 5% from each other, and things that differ by a fifth."""
    chance = np.random.default_rng(5)
    decided = [
        next(n for n in range(MIN_ROUNDS, 50) if interval(logs[:n]).low > math.log1p(0.03))
        for logs in chance.normal(math.log(1.2), 0.05, size=(500, 50))
    ]
    assert np.median(decided) <= 6
    assert np.percentile(decided, 95) <= 9


@pytest.mark.parametrize("truth", [1.0, 1.3])
def test_intervals_hold_the_truth_at_all_rounds_at_once_on_a_machine_that_drifts(truth):
    """Of 1,000 comparisons 99% is 990 +- 3.1 (one standard deviation); three of them less is allowed."""
    chance = np.random.default_rng(20)
    held = 0
    for _ in range(1_000):
        over, under = (figures[:, 0] for figures in simulated(chance, 20, truth))
        looks = [ratio(over[:n], under[:n]) for n in range(MIN_ROUNDS, 21)]
        held += all(one.low <= truth <= one.high for one in looks)
    assert held >= 990 - 10


def test_rounds_that_follow_each_other_make_the_interval_wider_and_are_named():
    chance = np.random.default_rng(8)
    steps = chance.normal(size=60).cumsum()
    found = interval(steps)
    assert 0.5 < found.dependence <= 0.9
    shuffled = interval(chance.permutation(steps))
    assert shuffled.dependence == 0
    wider = (found.high - found.low) / (shuffled.high - shuffled.low)
    assert wider == pytest.approx(math.sqrt((1 + found.dependence) / (1 - found.dependence)))


def test_independent_rounds_are_taken_for_dependent_ones_in_one_of_a_hundred_cases():
    chance = np.random.default_rng(9)
    named = [interval(chance.standard_t(3, size=n)).dependence > 0 for n in (6, 12, 40) for _ in range(1_000)]
    assert 0.001 < np.mean(named) < 0.02


@pytest.mark.parametrize("rounds", [12, 30])
def test_a_scatter_ends_where_its_martingale_does_and_holds_at_all_rounds_at_once(rounds):
    chance = np.random.default_rng(rounds)
    found = scatter(chance.normal(0, 0.02, rounds))
    assert found.low < found.value < found.high
    missed = 0
    for values in chance.normal(size=(500, rounds)):
        looks = [scatter(values[:n]) for n in range(MIN_ROUNDS, rounds + 1)]
        missed += not all(one.low <= 1 <= one.high for one in looks)
    assert missed <= 0.01 * 500 + 7


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
    """Before differences within `comparison.ALIKE` are left out: by Bonferroni's inequality no more than 5%."""
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
    assert math.isclose(intervals.chi_squared(share, freedom), stats.chi2.ppf(share, freedom), rel_tol=1e-9)
