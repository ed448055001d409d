"""What the figure of awaited queries says: in its title, and by its bars."""

from __future__ import annotations

import dataclasses

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots.queries import queries
from tests.made_trace import Notes, inside
from tests.pictures import assert_legible, bars_of, made, said

LOOP, THREAD, OTHER = 70, 71, 72
ONE_AFTER_THE_OTHER = [(1, 2, 50, THREAD), (1, 51, 100, THREAD)]
AT_THE_SAME_TIME = [(1, 2, 50, THREAD), (1, 3, 52, OTHER)]


def run(calls, probe=True):
    """A run of one request whose view makes these calls: when each is made, begins and ends, in ms, and its thread."""
    notes = Notes()
    request = notes.row("request", begin=0, end=110, request=1, parent=0, name="GET /async/rows/", thread=LOOP)
    view = notes.row("view", begin=0.5, end=105, request=1, parent=request, name="rows", thread=LOOP)
    for begin, running, done, thread in calls:
        times = {"begin": begin, "running": running, "done": done, "end": done + 0.5}
        notes.row("to_thread", **times, request=1, parent=view, name="other\tQuerySet.get", thread=LOOP, ran_on=thread)
    found = made(lab.ASYNC, [{"number": 0}], path="/async/rows/", probe=probe)
    return dataclasses.replace(found, trace=inside(notes)) if probe else found


def test_the_title_says_how_the_queries_ran_and_on_how_many_threads():
    alone = queries(run(ONE_AFTER_THE_OTHER))
    assert alone.alt == "Two awaited queries ran one after the other on one thread."
    both = queries({"gather": run(ONE_AFTER_THE_OTHER), "threads": run(AT_THE_SAME_TIME)})
    assert both.alt == "Two awaited queries ran one after the other (gather), at the same time (threads)."


def test_a_bar_is_hatched_while_the_query_waits_for_its_thread_and_solid_while_it_runs():
    first, running, second, later = queries(run(ONE_AFTER_THE_OTHER)).figure.axes[0].patches
    assert [bool(one.get_hatch()) for one in (first, running, second, later)] == [True, False, True, False]
    assert bars_of(second) == [(1, 51)]
    assert bars_of(later) == [(51, 100)]


def test_threads_are_numbered_and_the_prediction_is_drawn():
    picture = queries(run(AT_THE_SAME_TIME), predicted=60)
    words = said(picture)
    assert "thread 1" in words
    assert "thread 2" in words
    assert "your prediction: 60 ms" in words
    assert_legible(picture)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (5, "takes runs of measure"),
        (run([]), "awaited any call on a thread"),
        (run(ONE_AFTER_THE_OTHER, probe=False), "does not know what happened inside"),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs, words):
    with pytest.raises(ConfigurationError, match=words):
        queries(runs)
