from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.measurement.threads import MAX_BARS, MAX_ROWS, lanes
from requestlab.plots import style, threads
from requestlab.trace.activity import stacked
from tests.made_runs import MS, START
from tests.made_trace import Notes, run_inside
from tests.pictures import (
    LOST,
    a_thread_each,
    assert_legible,
    bars_of,
    close_runs,
    failing,
    made,
    on_one_loop,
    one_after_another,
    words_of,
)


def by_thread(configuration, *keys, **kwargs):
    """A run of one request for each (pid, thread, whether that has an event loop)."""
    rows = [{"pid": pid, "thread": thread, "on_loop": int(looping)} for pid, thread, looping in keys]
    return made(configuration, rows, **kwargs)


def in_line(number):
    """Requests that one thread runs in turn, traced."""
    notes = Notes()
    for i in range(number):
        whole = notes.row("request", 10 * i + 1, 10 * i + 9, request=i + 1)
        notes.row("view", 10 * i + 1, 10 * i + 9, request=i + 1, parent=whole, name="shop.views.page")
    return run_inside(lab.SYNC, [{"done": 10 * i + 9.5, "number": i + 1} for i in range(number)], notes)


def awaiting(number):
    """Requests whose views await something on one event loop, traced."""
    notes = Notes()
    for i in range(number):
        whole = notes.row("request", 1, 9, request=i + 1)
        view = notes.row("view", 1, 9, request=i + 1, parent=whole, name="shop.views.nap")
        for begin in (1 + i / 4, 8 + i / 4):
            notes.row("step", begin, begin + 0.25, request=i + 1, parent=view)
    return run_inside(lab.ASYNC, [{"number": i + 1, "done": 9.5, "on_loop": 1} for i in range(number)], notes)


def lower_bars(picture):
    """The shapes in the panels of lanes."""
    return [bars for lower in panels(picture)[1] for bars in lower.findobj(PathPatch)]


def panels(picture):
    """The axes of threads alive, and those of the lanes."""
    axes = picture.figure.axes[:-1]  # the last is the key
    return axes[: len(axes) // 2], axes[len(axes) // 2 :]


@pytest.mark.parametrize(
    ("run", "title"),
    [
        (one_after_another(1), "1 request: 1 thread under sync."),
        (
            by_thread(lab.ASYNC.replace(workers=2), (7, 99, True), (8, 99, True)),
            "2 requests at once: 2 event loops under async, workers=2.",
        ),
        (
            by_thread(lab.ASGI, (7, 1, True), (7, 2, False), (7, 3, False)),
            "3 requests at once: 1 event loop and 2 threads under asgi.",
        ),
        (made(lab.SYNC, [{}, {"planned": 10}], users=2, each=None), "2 users at once: 1 thread under sync."),
        (by_thread(lab.ASGI, (7, 1, False), rate=200, each=None), "200 requests/s: 1 thread under asgi."),
    ],
)
def test_the_title_tells_what_was_asked_and_what_ran_it(run, title):
    assert threads(run).alt == title


def test_a_picture_in_words():
    picture = threads(one_after_another(60), on_one_loop(60), predicted=1, of="alive")
    assert " | ".join(words_of(picture)).replace("\n", " ") == (
        "● sync | /sync/wait/, 60 users | capacity: 1 request at once | threads alive | peak 1 | your prediction: 1 | "
        "▲ async | /async/wait/, 60 users | capacity: no limit of its own | threads alive | "
        "peak 61, only 1 of them ran requests | your prediction: 1 | "
        "1 thread ran 60 requests in 600 ms | thread 1 | ms since the first request was planned | "
        "1 event loop ran 60 requests in 10 ms | event loop | ms since the first request was planned | not traced | "
        "60 requests at once: 1 thread alive under sync, 61 under async | "
        "A bar is one request, from sent to answered, in the lane of the thread that ran it. "
        "Mind that the time axes differ. | a processor, 2 cores · Linux 6.1 · Python 3.13.0 · Django 6.0 · asgiref 3.13 · "
        "sync: gunicorn 27.0 (gunicorn-sync), no event loop · async: uvicorn 0.54 on asyncio"
    )


# Lanes


def test_there_is_a_lane_for_each_thread_in_order_of_first_use():
    rows = [
        {"sent": 3, "thread": 1},
        {"sent": 1, "thread": 2, "done": 99},
        {"sent": 2, "thread": 1},
        {"sent": 5, "thread": 3},
    ]
    found = lanes(made(lab.ASGI, rows))
    assert [(lane.name, lane.start_ms.tolist()) for lane in found] == [
        ("thread 1", [1.0]),  # not by its end, nor by its number in the operating system
        ("thread 2", [2.0, 3.0]),
        ("thread 3", [5.0]),
    ]


@given(st.lists(st.tuples(st.sampled_from([7, 8]), st.integers(1, 5)), min_size=1, max_size=40))
def test_as_many_lanes_as_threads_and_no_request_is_lost(served):
    found = lanes(made(lab.ASGI, [{"pid": pid, "thread": thread} for pid, thread in served]))
    assert len(found) == len(set(served))
    assert sum(len(lane.row) for lane in found) == len(served)
    assert [lane.worker for lane in found] == sorted(lane.worker for lane in found)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=40))
def test_bars_of_a_row_do_not_overlap_and_rows_are_as_few_as_can_be(spans):
    start, length = np.array(sorted(spans), dtype=float).T
    row = stacked(start, start + length)
    for one in set(row):
        mine = row == one
        assert (start[mine][1:] >= (start + length)[mine][:-1]).all()
    most_at_once = max(int(((start <= moment) & (moment < start + length)).sum()) for moment in start)
    assert row.max() + 1 == most_at_once


def test_requests_without_an_answer_have_a_lane_of_their_own():
    run = made(lab.SYNC, [{}, LOST, LOST])
    assert [(lane.name, len(lane.row)) for lane in lanes(run)] == [("thread 1", 1), ("no answer", 2)]
    picture = threads(run)
    assert "no answer" in words_of(picture)
    assert any("✕: it failed." in text for text in words_of(picture))


@pytest.mark.parametrize(
    ("run", "name", "colour"),
    [(in_line(3), "thread 1", style.THREAD), (awaiting(3), "event loop", style.EVENT_LOOP)],
)
def test_event_loops_are_named_and_coloured_unlike_threads(run, name, colour):
    picture = threads(run)
    assert name in words_of(picture)
    assert to_hex(colour) in {to_hex(bars.get_facecolor()) for bars in lower_bars(picture)}


def test_a_request_is_hatched_while_it_waits_in_line_and_solid_while_its_view_runs():
    hatched, solid = (
        bars_of(*(bar for bar in lower_bars(threads(in_line(3))) if bool(bar.get_hatch()) is is_so))
        for is_so in (True, False)
    )
    assert [begin for begin, _ in hatched if begin < 1] == [0, 0, 0]
    assert solid == [pytest.approx((1 + 10 * i, 9 + 10 * i), abs=0.2) for i in range(3)]


def test_a_view_that_awaits_keeps_nobody_and_is_pale():
    picture = threads(awaiting(3))
    assert "awaits something" in words_of(picture)
    pale = style.mixed(style.EVENT_LOOP, "white", 0.62)
    (bars,) = [bars for bars in lower_bars(picture) if to_hex(bars.get_facecolor()) == pale]
    assert sum(end - begin > 5 for begin, end in bars_of(bars)) == 3


def test_requests_that_were_not_traced_are_neither():
    assert "not traced" in words_of(threads(a_thread_each(3)))
    assert not any(bars.get_hatch() for bars in lower_bars(threads(a_thread_each(3))))


@pytest.mark.parametrize(
    ("alive", "said"),
    [
        ([(0, 7, 1), (2, 7, 3)], "peak 3: 2 ran requests,\n1 is the event loop"),
        ([(0, 7, 1), (2, 7, 3), (11, 7, 5)], "peak 5: 2 ran requests,\n1 is the event loop, 2 joined others"),
        ([(0, 7, 1), (2, 7, 5)], "peak 5: 2 ran requests,\n1 is the event loop, 2 more"),
    ],
)
def test_the_peak_says_who_they_were(alive, said):
    notes = Notes()
    notes.tick(0, 0)
    rows = [{"number": number, "thread": 100 + number, "done": 12} for number in (1, 2)]
    made_run = run_inside(lab.ASGI, rows, notes)
    counted = np.array([[START + round(ms * MS), pid, count, *[-1] * 5] for ms, pid, count in alive], dtype=np.int64)
    picture = threads(dataclasses.replace(made_run, process_samples=counted))
    assert said in words_of(picture)
    assert ("asgiref starts a thread" in " ".join(words_of(picture))) == ("joined" in said)


def test_what_is_left_out_is_counted():
    assert f"and {300 - MAX_ROWS} more threads, not drawn" in words_of(threads(a_thread_each(300)))
    assert f"and {300 - MAX_ROWS} more requests, not drawn" in words_of(threads(on_one_loop(300)))


def test_of_thousands_of_requests_the_beginning_is_drawn_and_that_is_said():
    rows = [{"planned": 2 * i, "done": 2 * i + 10, "user": i % 5} for i in range(3000)]
    picture = threads(made(lab.SYNC, rows, users=5, each=None, alive=[(0, 7, 1)]))
    (above,), (below,) = panels(picture)
    until = below.get_xlim()[1]
    assert sum(planned["planned"] < until for planned in rows) <= MAX_BARS
    assert f"drawn: the first {until:,.0f} ms (shaded above)" in words_of(picture)
    assert above.get_xlim()[1] > 6000


def test_runs_side_by_side_show_the_same_beginning():
    dense = made(lab.SYNC, [{"planned": i / 2} for i in range(3000)], users=5, each=None)
    sparse = made(lab.ASGI, [{"planned": 15 * i} for i in range(100)], users=5, each=None)
    _, (one, other) = panels(threads(dense, sparse))
    assert one.get_xlim() == other.get_xlim() == threads(dense).figure.axes[1].get_xlim()


def test_time_axes_are_one_unless_the_runs_are_too_unlike():
    alike = threads(one_after_another(3), a_thread_each(3))
    unlike = threads(one_after_another(60), a_thread_each(60))
    assert [len({axes.get_xlim() for some in panels(it) for axes in some}) for it in (alike, unlike)] == [1, 2]
    assert [any("time axes differ" in text for text in words_of(it)) for it in (alike, unlike)] == [False, True]


def test_the_peak_of_each_worker_is_labelled():
    two = made(lab.ASGI.replace(workers=2), [{"pid": 7}, {"pid": 8}], alive=[(0, 7, 3), (0, 8, 5)])
    assert {"worker 1: peak 3", "worker 2: peak 5", "worker 1", "worker 2"} <= set(words_of(threads(two)))


# Predictions


def prediction_lines(axes):
    level = [line for line in axes.lines if line.get_color() == style.INK and len(set(line.get_ydata())) == 1]
    return [float(line.get_ydata()[0]) for line in level]


def test_a_prediction_of_threads_that_ran_stands_beside_their_count_and_nowhere_else():
    picture = threads(one_after_another(60), a_thread_each(60), predicted=1)
    assert words_of(picture).count("your prediction: 1") == 2
    assert [prediction_lines(upper) for upper in panels(picture)[0]] == [[], []]


def test_a_prediction_of_threads_alive_is_drawn_where_it_belongs():
    for guess, lines in ((40, [[40.0], [40.0]]), ({"asgi": 40, "sync": None}, [[], [40.0]])):
        uppers, _ = panels(threads(one_after_another(3), a_thread_each(3), predicted=guess, of="alive"))
        assert [prediction_lines(upper) for upper in uppers] == lines
        assert uppers[0].get_ylim() == uppers[1].get_ylim()
        assert uppers[0].get_ylim()[1] > 40


# Wrong use


def test_more_columns_than_can_be_read_and_other_counts_are_refused():
    with pytest.raises(ConfigurationError, match="at most 4"):
        threads(*[one_after_another(3)] * 5)
    with pytest.raises(ConfigurationError, match="expected one of: ran, alive"):
        threads(a_thread_each(3), of="running")


def test_real_runs_show_who_ran_their_views(served):
    asked = {lab.SYNC: "/sync/wait/", lab.ASGI: "/sync/wait/", lab.ASYNC: "/async/wait/"}
    runs = [
        lab.measure(served(configuration, probe=True), f"{path}?ms=100", lab.closed(8, each=1))
        for configuration, path in asked.items()
    ]
    picture = threads(*runs, predicted=8)
    assert picture.alt == "8 requests at once: 1 thread under sync, 8 under asgi, 1 event loop under async."
    assert len(lanes(runs[1])) == 8


def test_threads_alive_are_drawn_only_as_long_as_they_were_counted():
    counted = [(-5, 7, 1), (5, 7, 3), (40, 7, 9), (60, 7, 1)]  # the last answer came after 10 ms
    short = made(lab.ASGI, [{"thread": 11}, {"thread": 12}], alive=counted)
    long = one_after_another(20)
    picture = threads(short, long)
    top = picture.figure.axes[0]
    line = next(line for line in top.get_lines() if len(line.get_xdata()) > 1)
    assert max(line.get_xdata()) == 60
    assert line.get_ydata()[-1] == 1
    assert "peak 3: 2 ran requests,\n1 more" in words_of(picture)  # and not what was seen after the last answer


# Legibility

LONG = {"a name that is far too long " * 6: one_after_another(3), "x" * 90: a_thread_each(3)}


@pytest.mark.parametrize(
    ("runs", "predicted", "of"),
    [
        (close_runs(), 50, "ran"),
        ((one_after_another(60), a_thread_each(60), on_one_loop(60)), 61, "alive"),
        ((failing(), a_thread_each(300)), 1, "ran"),
        ((LONG,), None, "ran"),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(runs, predicted, of):
    assert_legible(threads(*runs, predicted=predicted, of=of))
