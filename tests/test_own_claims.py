"""Claims of the reader's own: judged, kept, read by somebody else, and never mistaken for the lab's."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import requestlab as lab
from requestlab.claims import ledger, statement
from requestlab.claims.ledger import LEDGER_VARIABLE, contradictions, read, read_all
from requestlab.claims.statement import CANNOT_TELL, NEITHER, REFUTED, SUPPORTED, statements
from requestlab.comparison.intervals import Interval
from requestlab.errors import ConfigurationError
from requestlab.system.quick import QUICK_VARIABLE
from tests.made_runs import comparison

SENTENCE = "There are two event loops."


@pytest.fixture(autouse=True)
def _nothing_known_yet(monkeypatch):
    monkeypatch.setattr(ledger, "_given", [])
    monkeypatch.setattr(statement, "_own", {})
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
    monkeypatch.delenv(QUICK_VARIABLE, raising=False)


def loops(**more):
    return lab.claim("Loops", SENTENCE, of="event loops", **({"supported": (2, 2)} | more))


@pytest.mark.parametrize(
    ("more", "evidence", "verdict"),
    [
        ({}, 2, SUPPORTED),
        ({}, 3, REFUTED),
        ({"refuted": (4, math.inf)}, 3, NEITHER),
        ({"refuted": (4, math.inf)}, 5, REFUTED),
        ({"supported": (1, math.inf)}, math.nan, CANNOT_TELL),
        ({"what": "value", "supported": (1, 2)}, Interval(1.5, 1.2, 1.8, 8), SUPPORTED),
        ({"what": "value", "supported": (1, 2)}, Interval(1.9, 1.5, 2.3, 8), CANNOT_TELL),
        ({"what": "difference", "supported": (1, 2), "unit": "ms"}, Interval(3, 2.5, 3.5, 8), REFUTED),
    ],
)
def test_a_claim_of_ones_own_is_judged_by_its_rule_and_found_by_its_name(more, evidence, verdict):
    made = loops(**more)
    assert lab.claim("LOOPS") == made
    assert made.judge(evidence).verdict == verdict
    assert lab.claim("loops") == made
    assert lab.claim("loops").judge(evidence).claim.sentence == SENTENCE
    assert SENTENCE in repr(lab.ledger().verdict("Loops"))
    assert "the reader" in repr(lab.ledger().verdict("Loops"))
    assert [one.id for one in lab.ledger().claims[len(statements()) :]] == ["Loops"]


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, SUPPORTED), (0.7, REFUTED), (1.01, CANNOT_TELL)])
def test_with_a_metric_a_comparison_of_its_contenders_decides_it(factor, verdict):
    made = lab.claim("mine", "B is faster.", metric="throughput", over="b", under="a", supported=(1, math.inf))
    result = comparison({"a": np.full(8, 100.0), "b": np.full(8, 100.0 * factor)})
    assert made.judge(result).verdict == made.judge(result.ratio("b", "a")).verdict == verdict
    assert made.answered(result) == (verdict != CANNOT_TELL)
    with pytest.raises(ConfigurationError, match="this comparison is of a, c"):
        made.judge(comparison({"a": np.full(8, 100.0), "c": np.full(8, 1.0)}))


JUDGE = """
import math, requestlab as lab
made = lab.claim("mine", "It is “large”.", of="size", supported=(3, math.inf), refuted=(-math.inf, 1),
                 source="me", url="https://example.org/", unit="MB")
print(made.judge(5).verdict, made.judge(0).verdict)
"""


def test_verdicts_of_another_process_are_read_back_with_sentence_source_and_rule(tmp_path, monkeypatch):
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / "led"))
    assert subprocess.check_output([sys.executable, "-c", JUDGE], text=True).split() == [SUPPORTED, REFUTED]
    (kept,) = read(tmp_path / "led")
    with pytest.raises(ConfigurationError, match="there is no claim 'mine'"):
        lab.claim("mine")  # reading it does not make it one of this process
    first, second = kept.verdicts
    assert (first.verdict, second.verdict) == (SUPPORTED, REFUTED)
    made = first.claim
    assert (made.sentence, made.source, made.url) == ("It is “large”.", "me", "https://example.org/")
    assert (made.rule.supported.low, made.rule.supported.high) == (3, math.inf)
    assert (made.rule.refuted.low, made.rule.refuted.high) == (-math.inf, 1)
    assert kept.word("mine") == f"{REFUTED} (earlier: {SUPPORTED})"
    assert [one.id for one in kept.claims[len(statements()) :]] == ["mine"]
    assert "It is “large”." in kept.html()
    (found,) = contradictions([kept])
    assert str(found) == "mine: supported in led; refuted in led"


def test_reports_that_say_the_opposite_of_a_claim_of_ones_own_contradict_each_other(tmp_path, monkeypatch):
    for folder, loops_seen in (("one", 2), ("two", 1), ("three", 2)):
        monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / folder))
        loops().judge(loops_seen)
    found = read_all([tmp_path / folder for folder in ("one", "two", "three")])
    (contradiction,) = contradictions(found)
    assert (contradiction.supported, contradiction.refuted) == (("one", "three"), ("two",))
    assert contradictions([found[0], found[2]]) == []
    other = replace(found[1].verdicts[0], machine=replace(found[1].machine, python="3.0"))
    assert contradictions([found[0], replace(found[1], verdicts=(other,))]) == []


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (("sync-wins-static", "Mine."), {"supported": (1, 2)}, "a claim 'sync-wins-static' of the lab's already; give"),
        (("Sync-Wins-Static", "Mine."), {"supported": (1, 2)}, "of the lab's already"),
        (("Q3", "Mine."), {"supported": (1, 2)}, "of the lab's already"),
        (("", "Mine."), {"supported": (1, 2)}, r"claim\(''\): expected a name"),
        (("mine", "Mine."), {}, r"claim\('mine'\): expected a name, and supported=\(from, to\)"),
        (("mine", "Mine."), {"supported": (2, 1)}, r"\(2, 1\) is no pair \(from, to\) of numbers"),
        (("mine", "Mine."), {"supported": 1}, "1 is no pair"),
        (("mine", "Mine."), {"supported": (1, 2), "refuted": ("a", "b")}, r"\('a', 'b'\) is no pair"),
        (("mine", "Mine."), {"supported": (1, 2), "what": "guess"}, "count, value, difference, ratio"),
        (("mine", "Mine."), {"supported": (1, 2), "metric": "speed"}, "throughput"),
        (("mine", "Mine."), {"supported": (1, 2), "metric": "p50"}, "wants two contenders by their labels, over= and"),
        (("mine",), {}, "there is no claim 'mine'"),
    ],
)
def test_a_claim_that_cannot_be_is_refused_in_a_sentence_and_not_kept(arguments, more, words):
    with pytest.raises(ConfigurationError, match=words):
        lab.claim(*arguments, **more)
    assert statement._own == {}
