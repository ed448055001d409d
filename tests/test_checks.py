"""The checks of arguments: what they let pass, and what they say of the rest; and the host of child processes."""

import math
import time

import numpy as np
import pytest

from requestlab.errors import ConfigurationError, GeneratorError, LabError
from requestlab.system import checks
from requestlab.system.child import Child


def test_what_is_in_bounds_comes_back_as_a_plain_number():
    assert type(checks.whole("n", np.int64(3), 3, 4)) is int
    assert type(checks.number("n", np.float32(4), 3, 4)) is float
    assert checks.number("n", 3, 3) == 3
    assert checks.one_of("loop", "uvloop", {"asyncio": 1, "uvloop": 2}) == "uvloop"
    assert checks.truth("probe", False) is False
    assert checks.text("path", "/a", begins="/") == "/a"
    checks.known_names("predicted", ["a"], ["a", "b"], "run")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda: checks.whole("closed(users)", 0, 1, 5_000),
            "closed(users=0): expected a whole number from 1 to 5,000",
        ),
        (lambda: checks.whole("n", True, 1), "n=True: expected a whole number, at least 1"),
        (lambda: checks.whole("n", 1.0, 1, 2), "n=1.0: expected a whole number from 1 to 2"),
        (lambda: checks.whole("seed", "7", also="or None"), "seed='7': expected a whole number, or None"),
        (
            lambda: checks.number("seconds", math.nan, 0.01, 600, kind="seconds"),
            "seconds=nan: expected seconds from 0.01 to 600",
        ),
        (
            lambda: checks.number("rate", 0, most=20_000, above=0, also="or None"),
            "rate=0: expected a number above 0 and up to 20,000, or None",
        ),
        (lambda: checks.number("rate", math.inf, above=0), "rate=inf: expected a number above 0"),
        (lambda: checks.number("rate", 2, most=1), "rate=2: expected a number up to 1"),
        (lambda: checks.one_of("loop", ["a"], ("a", "b")), "loop=['a'] is not known; expected one of: a, b"),
        (lambda: checks.truth("probe", 1), "probe=1: expected True or False"),
        (lambda: checks.text("expect", ""), "expect='': expected a text that is not empty"),
        (lambda: checks.text("path", "a", "a path such as /a", begins="/"), "path='a': expected a path such as /a"),
        (
            lambda: checks.known_names("predicted", ["a", "c"], ["a", "b"], "run"),
            "predicted has no run called 'c'; the runs are a, b",
        ),
    ],
)
def test_what_cannot_work_is_said_with_what_was_expected(check, message):
    with pytest.raises(ConfigurationError) as raised:
        check()
    assert str(raised.value) == message


def test_no_number_is_too_large_to_be_refused():
    with pytest.raises(ConfigurationError, match="expected a number from 0 to 1"):
        checks.number("share", 10**400, 0, 1)


def test_a_child_that_fails_is_named_with_its_last_words():
    with (
        pytest.raises(GeneratorError, match=r"^the process of this test failed with status 1: .*No module named"),
        Child("tests.no_such_module", "the process of this test", GeneratorError) as child,
    ):
        child.ask(b"\n", time.monotonic() + 60, lambda: None)


def test_a_child_that_does_not_answer_in_time_is_ended():
    with (
        pytest.raises(LabError, match="the process of this test did not finish in time; is the machine overloaded"),
        Child("requestlab.load.generator", "the process of this test") as child,
    ):
        child.ask(b"", time.monotonic(), lambda: None)
    assert not child.alive
