"""Budgets: what may be spent, what is left over, and who gets it."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time

import pytest

from requestlab.errors import ConfigurationError
from requestlab.system import budget as budgets
from requestlab.system.budget import MAX_BORROWED, SPARE_VARIABLE, Budget, Spending, budget, left_over, until
from requestlab.system.quick import QUICK_VARIABLE, TRIAL, TRIAL_ROUNDS


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test turns on, and nothing left over yet."""
    now = [100.0]
    monkeypatch.setattr(budgets, "_left_over", 0.0)
    monkeypatch.delenv(SPARE_VARIABLE, raising=False)
    monkeypatch.delenv(QUICK_VARIABLE, raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_of_a_budget_a_lesson_has_a_quarter_in_quick_mode_and_nothing_to_share_in_a_trial(monkeypatch):
    assert budget(20) == Budget(20.0, shared=True)
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    assert budget(20) == Budget(5.0, shared=True)
    monkeypatch.setenv(QUICK_VARIABLE, TRIAL)
    assert budget(20) == Budget(1.0, shared=False)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, 1e6, "20", None])
def test_seconds_that_are_no_budget_are_refused(seconds):
    with pytest.raises(ConfigurationError, match="expected seconds above 0 and up to 3,600"):
        budget(seconds)


def test_what_is_not_needed_is_left_over_and_goes_to_who_still_needs_it(clock):
    with Spending(Budget(10.0, shared=True)) as clear:
        clock[0] += 4
        assert clear.allows(6)
        assert not clear.allows(6.1)
    assert left_over() == 6
    with Spending(Budget(3.0, shared=True)) as still_open:
        clock[0] += 3
        assert still_open.allows(2)
        assert (still_open.borrowed, left_over()) == (2, 4)
        clock[0] += 3
        assert not still_open.allows(1)  # it has had as much again as its own, and owes one second
    assert left_over() == 3


def test_nobody_borrows_more_than_so_many_times_its_own(clock):
    with Spending(Budget(100.0, shared=True)):
        pass
    with Spending(Budget(1.0, shared=True)) as greedy:
        assert greedy.allows(1 + MAX_BORROWED)
        assert not greedy.allows(1.1 + MAX_BORROWED)


def test_who_does_not_share_neither_gives_nor_takes(clock):
    with Spending(Budget(10.0)) as own:
        assert not own.allows(10.1)
    assert left_over() == 0


def test_lessons_of_a_report_share_through_a_file(clock, monkeypatch, tmp_path):
    monkeypatch.setenv(SPARE_VARIABLE, str(tmp_path / "spare"))
    assert left_over() == 0
    with Spending(Budget(10.0, shared=True)):
        clock[0] += 4
    code = "from requestlab.system.budget import left_over; print(left_over())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) == left_over() == 6
    (tmp_path / "spare").write_text("nonsense")
    assert left_over() == 0


def test_rounds_go_on_until_the_question_is_answered_or_the_budget_is_spent(clock, monkeypatch):
    def rounds(answered_after: float, seconds: float | Budget) -> int:
        done: list[int] = []
        for number in until(lambda: len(done) >= answered_after, seconds):
            done.append(number)
            clock[0] += 2
        assert done == list(range(1, len(done) + 1))
        return len(done)

    assert rounds(3, 100.0) == 3
    assert rounds(math.inf, 9.0) == 4
    assert rounds(math.inf, 0.5) == 1  # one at least
    assert rounds(3, Budget(10.0, shared=True)) == 3
    assert left_over() == 4
    assert rounds(math.inf, Budget(2.0, shared=True)) == 2
    monkeypatch.setenv(QUICK_VARIABLE, TRIAL)
    assert rounds(math.inf, 100.0) == TRIAL_ROUNDS


def test_who_breaks_off_leaves_over_the_rest(clock):
    for number in itertools.islice(until(lambda: False, Budget(10.0, shared=True)), 1):
        clock[0] += 3
        assert number == 1
    assert left_over() == 7
