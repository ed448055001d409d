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


WHOLE, NUMBER, TEXT = checks.whole, checks.number, checks.text


@pytest.mark.parametrize(
    ("check", "what", "value", "bounds", "message"),
    [
        (WHOLE, "closed(users)", 0, {"least": 1, "most": 5_000}, "(users=0): expected a whole number from 1 to 5,000"),
        (WHOLE, "n", True, {"least": 1}, "n=True: expected a whole number, at least 1"),
        (WHOLE, "n", 1.0, {"least": 1, "most": 2}, "n=1.0: expected a whole number from 1 to 2"),
        (WHOLE, "seed", "7", {"also": "or None"}, "seed='7': expected a whole number, or None"),
        (NUMBER, "s", math.nan, {"least": 0.01, "most": 600, "kind": "seconds"}, "expected seconds from 0.01 to 600"),
        (NUMBER, "r", 0, {"most": 2e4, "above": 0, "also": "or 1"}, "expected a number above 0 and up to 20,000, or 1"),
        (NUMBER, "rate", math.inf, {"above": 0}, "rate=inf: expected a number above 0"),
        (NUMBER, "rate", 2, {"most": 1}, "rate=2: expected a number up to 1"),
        (NUMBER, "share", 10**400, {"least": 0, "most": 1}, "expected a number from 0 to 1"),
        (TEXT, "expect", "", {}, "expect='': expected a text that is not empty"),
        (TEXT, "path", "a", {"expected": "a path such as /a", "begins": "/"}, "path='a': expected a path such as /a"),
        (checks.truth, "probe", 1, {}, "probe=1: expected True or False"),
        (checks.one_of, "loop", ["a"], {"allowed": "ab"}, "loop=['a'] is not known; expected one of: a, b"),
        (
            checks.known_names,
            "predicted",
            ["a", "c"],
            {"known": ["a", "b"], "noun": "run"},
            "predicted has no run called 'c'; the runs are a, b",
        ),
    ],
)
def test_what_cannot_work_is_said_with_what_was_expected(check, what, value, bounds, message):
    with pytest.raises(ConfigurationError) as raised:
        check(what, value, **bounds)
    assert str(raised.value).endswith(message)


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
