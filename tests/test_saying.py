"""Sentences that the measurement chooses, and predictions beside what was found."""

from __future__ import annotations

import subprocess
import sys

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.notebooks.asking import ASK_VARIABLE
from requestlab.plots import guesses
from requestlab.plots.ecdf import ecdf
from requestlab.system.files import LEDGER_VARIABLE
from tests.made_runs import closed_loop, comparison

ROUNDS = [100.0, 101.0, 99.0, 100.0, 100.5, 99.5]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (3, "It answers 3.00 times as many."),
        (0.5, "It answers fewer: 0.500."),
        (1.0, "Hard to say: they are within 3%"),
    ],
)
def test_a_sentence_is_chosen_by_a_ratio_and_has_its_figures(times, said):
    result = comparison({"sync": ROUNDS, "asgi": [times * one for one in ROUNDS]})
    found = lab.say(
        result.ratio("asgi", "sync"),
        yes="It answers {value} times as many.",
        no="It answers fewer: {value}.",
        unsure="Hard to say.",
    )
    assert repr(found).startswith(said)
    assert found._repr_markdown_() == found.text


def test_a_sentence_is_chosen_by_what_is_true():
    run = closed_loop()
    assert [lab.say(one, "yes", "no").text for one in (True, False, run.seconds > 100)] == ["yes", "no", "no"]
    with pytest.raises(ConfigurationError, match="expected True, False, or a ratio"):
        lab.say(1, "yes", "no")


def test_predictions_are_kept_beside_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(guesses, "_made", {})
    assert repr(lab.guesses()) == guesses.NONE
    ecdf(closed_loop(each_ms=10))
    assert lab.guesses().all == ()
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path))
    run = closed_loop(each_ms=10)
    picture = ecdf(run, predicted=50)
    ecdf(run, predicted=40)  # a reader who changes it and runs the cell again
    [one] = lab.guesses().all
    assert (one.guess, one.found) == ("40", picture.alt)
    assert picture.alt in lab.guesses()._repr_html_()
    assert [one.guess for one in guesses.read(tmp_path).all] == ["50", "40"]
    assert guesses.read(tmp_path / "none").all == ()


ASKED = """
import IPython
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import requestlab
for cell in ("predicted_ms = None", "predicted_ms = 5", "predicted = {'a': None}", "my_answer = None", "other = None"):
    print(cell, shell.run_cell(cell).success)
"""


@pytest.mark.parametrize("asked", [True, False])
def test_where_it_is_wished_for_a_cell_whose_prediction_is_none_is_not_run(asked, monkeypatch):
    if asked:
        monkeypatch.setenv(ASK_VARIABLE, "1")
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=60)
    ran = [
        line.rpartition(" ")[2] == "True"
        for line in done.stdout.splitlines()
        if "None " in line or "= 5 " in line or "} " in line
    ]
    assert ran == [not asked, True, not asked, True, True]
    assert ("write your guess in place of None" in done.stdout + done.stderr) is asked
