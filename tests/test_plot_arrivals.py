from __future__ import annotations

import numpy as np
import pytest
from matplotlib.lines import Line2D

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots import style
from requestlab.plots.arrivals import FEW, MAX_RUNS, arrivals
from tests.pictures import LOST, assert_legible, made, one_after_another, said, took, words_of


def queued(configuration=lab.SYNC, number=20, until=2000.0, **more):
    """Requests that come every 90 ms and are all answered at one moment, and then some that are answered at once."""
    rows = [{"planned": 90 * i, "done": until + i} for i in range(number)]
    rows += [{"planned": until + 90 * i, "done": until + 90 * i + 5} for i in range(5)]
    return made(configuration, rows, rate=11, each=None, **more)


def prompt(configuration=lab.ASGI, ms=9):
    return made(configuration, [{"planned": 90 * i, "done": 90 * i + ms} for i in range(25)], rate=11, each=None)


def dots(axes):
    """Arrival and response time of the requests that were answered, and of those that failed."""
    marked = {marker: [line for line in axes.lines if line.get_marker() == marker] for marker in (".", "x")}
    return [next(np.array(line.get_xydata()).tolist() for line in lines) for lines in marked.values()]


# The finding


@pytest.mark.parametrize(
    ("runs", "title"),
    [
        ([queued()], "Visitors waited up to 2.0 s under sync, in one queue."),
        ([prompt(), queued()], "Visitors waited up to 2.0 s under sync, in one queue; up to 9.0 ms under asgi."),
        ([prompt(), prompt(lab.ASYNC, ms=7)], "Visitors waited up to 9.0 ms under asgi and async."),
        (
            [{"alone": prompt(), "beside": queued()}],
            "Visitors waited up to 2.0 s (beside), in one queue; up to 9.0 ms (alone).",
        ),
        (
            [{"sync": queued(), "threads": queued(lab.THREADS), "asgi": prompt()}],
            "Visitors waited up to 2.0 s under sync and threads, each in one queue; up to 9.0 ms under asgi.",
        ),
        (
            [{"open": queued(), "closed": made(lab.SYNC, [{"done": 1900}] + 99 * [{"done": 5}])}],
            "12 of 25 requests waited over 1.0 s (open) and 1 of 100 (closed).",
        ),
        ([made(lab.SYNC, [LOST, LOST])], "No request was answered."),
        ([made(lab.SYNC, [])], "No request was answered."),
    ],
)
def test_the_title_tells_the_longest_wait_and_whether_it_was_in_line(runs, title):
    assert arrivals(*runs).alt == title


@pytest.mark.parametrize(
    "run",
    [
        queued(number=FEW - 1),  # too few to be called a queue
        one_after_another(20),  # all came at once and each was answered at its own time
        took(lab.SYNC, np.linspace(5, 50, 50)),
        prompt(),
    ],
)
def test_what_is_no_queue_is_not_called_one(run):
    assert "moment" not in arrivals(run).alt
    assert not any(line.get_marker() == "^" for line in arrivals(run).figure.findobj(Line2D))


# What is drawn


def test_each_request_is_a_dot_where_it_arrived_as_high_as_it_took():
    run = made(
        lab.SYNC, [{"done": 4}, {"planned": 10, "sent": 30, "done": 35}, {"planned": 20, "done": 22, "status": 500}]
    )
    answered, failed = dots(arrivals(run).figure.axes[0])
    assert answered == [[0, 4], [10, 25]]  # from planned, not from sent
    assert failed == [[20, 2]]


def test_a_queue_is_a_line_that_falls_to_the_moment_of_the_answers():
    axes = arrivals(queued()).figure.axes[0]
    assert [tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "^"] == [(2000,)]
    assert "all of these waited until about 2,000 ms" in words_of(arrivals(queued()))


def test_all_on_the_line_are_counted_also_those_who_came_right_before_its_end():
    assert "20 of 25 requests waited until one moment" in words_of(arrivals(queued()))


def test_all_panels_have_the_same_axes_and_hold_the_predictions():
    picture = arrivals(queued(), prompt(), predicted={"asgi": 5000})
    one, other = picture.figure.axes
    assert (one.get_xlim(), one.get_ylim()) == (other.get_xlim(), other.get_ylim())
    assert one.get_ylim()[1] > 5000
    level = [
        [line.get_ydata()[0] for line in axes.lines if line.get_color() == style.INK and line.get_marker() == "None"]
        for axes in (one, other)
    ]
    assert (5000 in level[0], 5000 in level[1]) == (False, True)
    assert "your prediction: 5,000 ms" in words_of(picture)


def test_a_prediction_is_kept_for_the_table_of_guesses():
    picture = arrivals(queued(), predicted=700)
    assert any(one.guess == "700" and one.found == picture.alt for one in lab.guesses().all)


def test_wrong_use_is_refused():
    with pytest.raises(ConfigurationError, match=f"at most {MAX_RUNS}"):
        arrivals(*[prompt()] * (MAX_RUNS + 1))
    with pytest.raises(ConfigurationError, match="a response time in ms"):
        arrivals(prompt(), predicted="long")


@pytest.mark.parametrize(
    ("runs", "predicted"),
    [
        ([queued(), prompt()], 500),
        ([{"a name that is far too long " * 5: queued(), "x" * 60: made(lab.SYNC, [{}, LOST])}], None),
        ([made(lab.SYNC, [])], 3),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(runs, predicted):
    assert_legible(arrivals(*runs, predicted=predicted))


def test_real_visitors_stand_in_line_behind_a_silent_client(served):
    run = lab.measure(
        served(lab.SYNC), "/sync/wait/?ms=1", lab.open(rate=40), seconds=1, warmup=0, beside={"/": lab.silent()}
    )
    assert arrivals(run).alt.startswith("Visitors waited up to ")
    assert "40 requests/s" in said(arrivals(run))
