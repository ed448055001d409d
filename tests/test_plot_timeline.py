from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from matplotlib.collections import LineCollection
from matplotlib.patches import PathPatch
from matplotlib.text import Text

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.load.plan import COLUMNS
from requestlab.measurement import timeline as scenes
from requestlab.measurement.timeline import LateLoop, named, scene
from requestlab.plots.timeline import STATES, explanation, left_out, timeline
from requestlab.trace.activity import (
    ON_LOOP,
    QUEUED,
    UNTRACED,
    VIEW_ON_LOOP,
    VIEW_ON_THREAD,
    WAITS,
    painted,
)
from tests.made_trace import Notes, mixed_request, run_inside
from tests.pictures import bars_of, drawn_texts, words_of

WORKERS = lab.ASYNC.replace(workers=2)


def one_mixed(**about):
    notes = Notes()
    mixed_request(notes)
    return run_inside(lab.ASGI, [{"sent": 0.5, "done": 6, "thread": 100}], notes, **about)


def many_mixed(number, users=None, apart=0.0):
    notes = Notes()
    rows = []
    for i in range(number):
        mixed_request(notes, request=i + 1, at=1 + apart * i, thread=100 + i % (users or number))
        rows.append({"planned": apart * i, "done": 6 + apart * i, "number": i + 1})
    return run_inside(lab.ASGI, rows, notes)


def one_after_another(number):
    notes = Notes()
    for i in range(number):
        whole = notes.row("request", 10 * i + 1, 10 * i + 9, request=i + 1)
        notes.row("view", 10 * i + 2, 10 * i + 8, request=i + 1, parent=whole, name="shop.views.page")
    rows = [{"done": 10 * i + 9.5, "number": i + 1} for i in range(number)]
    return run_inside(lab.SYNC, rows, notes)


def one_async(ticks=()):
    notes = Notes()
    whole = notes.row("request", 1, 30)
    view = notes.row("view", 2, 28, parent=whole, name="shop.views.nap")
    for begin, end, parent in ((1, 4, whole), (2, 3, view), (25, 30, whole), (26, 28, view)):
        notes.row("step", begin, end, parent=parent)
    for due, ran in ticks:
        notes.tick(due, ran)
    return run_inside(lab.ASYNC, [{"done": 31, "on_loop": 1}], notes)


def told(bars):
    rows = zip(bars.begin, bars.end, bars.state, strict=True)
    return ", ".join(f"{begin:.4g}-{end:.4g} {STATES[state].name}" for begin, end, state in rows)


def texts(picture, start):
    """What is written in a figure that begins so, on one line."""
    return [text.replace("\n", " ") for text in words_of(picture) if text.startswith(start)]


def shapes(picture, state, of_others=False):
    """The boxes of a state in the panel, as (from, to), the small ones made wide enough to be seen."""
    name = STATES[state].name + " of others" * of_others
    return bars_of(*(patch for patch in picture.figure.axes[0].findobj(PathPatch) if patch.get_gid() == name))


def longest(picture, state, of_others=False):
    return max((end - begin for begin, end in shapes(picture, state, of_others)), default=0)


def title_of(run, **how):
    """The title of the figure, without drawing it."""
    return f"{scenes.of_timeline(scene(run, **how), run.label)}."


# What a request and a thread were at


def test_a_request_under_mixed_runs_waits_and_runs_elsewhere_in_turn():
    drawn = scene(one_mixed())
    (client,), (loop, thread) = drawn.clients, drawn.tracks
    assert told(client.bars) == (
        "0.5-1 queued, 1-1.5 on the loop, 1.5-1.6 waits, 1.6-1.9 on a thread, 1.9-2 waits, 2-2.5 on the loop, "
        "2.5-2.6 waits, 2.6-3.6 view on a thread, 3.6-3.7 waits, 3.7-5 on the loop, 5-6 queued"
    )
    assert (loop.name, loop.on_loop, thread.name, thread.on_loop) == ("event loop", True, "thread 1", False)
    assert told(loop.bars) == "1-1.5 on the loop, 2-2.5 on the loop, 3.7-5 on the loop"
    assert told(thread.bars) == (
        "1.5-1.6 waits, 1.6-1.9 on a thread, 1.9-2 waits, 2.5-2.6 waits, 2.6-3.6 view on a thread, 3.6-3.7 waits"
    )


def test_an_async_view_runs_in_slices_and_pauses_between():
    drawn = scene(one_async())
    (client,), (loop,) = drawn.clients, drawn.tracks
    assert told(loop.bars) == (
        "1-2 on the loop, 2-3 view on the loop, 3-4 on the loop, 25-26 on the loop, 26-28 view on the loop, 28-30 on the loop"
    )
    assert "4-25 paused" in told(client.bars)


def test_a_thread_waits_while_the_loop_runs_what_it_asked_for():
    notes = Notes()
    whole = notes.row("request", 1, 20)
    crossing = notes.row(
        "to_loop", 2, 12, running=3, done=11, ran_on=50, parent=whole, name="view\tview shop.views.nap"
    )
    notes.row("view", 4, 10, parent=crossing, name="shop.views.nap", thread=50)
    notes.row("step", 4, 5, parent=3, thread=50)
    loop, thread = scene(run_inside(lab.SYNC, [{"done": 21}], notes)).tracks
    assert told(loop.bars) == "3-4 on the loop, 4-5 view on the loop, 10-11 on the loop"
    assert told(thread.bars) == "1-2 on a thread, 2-12 waits, 12-20 on a thread"


def test_a_thread_that_waits_for_the_loop_may_run_something_else_meanwhile():
    notes = Notes()
    notes.tick(0, 0)
    first = notes.hop("middleware\tOld", 1, 100, parent=0, there=0.5, ran=10)
    back = notes.row("to_loop", 2, 11, running=3, done=10, ran_on=7, thread=100, parent=first, name="other\tinner")
    notes.hop("view\tview shop.views.page", 4, 100, parent=back, there=0.5, ran=2)
    loop, thread = scene(run_inside(lab.ASGI, [{"done": 13}], notes)).tracks
    assert told(loop.bars) == "3-4 on the loop, 7-10 on the loop"
    assert told(thread.bars) == (
        "1-1.5 waits, 1.5-2 on a thread, 2-4.5 waits, 4.5-6.5 on a thread, 6.5-11 waits, 11-11.5 on a thread, 11.5-12 waits"
    )


def test_a_request_that_waits_for_a_thread_does_not_hide_who_runs_on_it():
    notes = Notes()
    notes.hop("view\tone", 1, 100, request=1, parent=0, ran=10)
    notes.hop("view\ttwo", 2, 100, request=2, parent=0, there=9.5, ran=3)
    thread = scene(run_inside(lab.ASGI, [{"done": 30}, {"number": 2, "done": 30}], notes)).threads[0]
    assert "1.1-11.1 on a thread" in told(thread.bars)
    assert "11.5-14.5 on a thread" in told(thread.bars)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10), st.integers(0, 7)), max_size=30))
def test_of_what_is_painted_the_last_is_seen(stretches):
    begin, length, state = np.array(stretches, dtype=np.int64).reshape(-1, 3).T
    seen = painted(begin.astype(float), (begin + length).astype(float), state, np.arange(len(begin)))
    assert (seen.begin < seen.end).all()
    assert (seen.begin[1:] >= seen.end[:-1]).all()
    for moment in np.arange(0.5, 41):
        over = [i for i in range(len(begin)) if begin[i] <= moment < begin[i] + length[i]]
        here = np.flatnonzero((seen.begin <= moment) & (moment < seen.end))
        assert seen.owner[here].tolist() == over[-1:]
        assert seen.state[here].tolist() == [state[i] for i in over[-1:]]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 20), st.booleans()), max_size=25))
def test_whatever_was_written_down_can_be_laid_out(rows):
    notes = Notes()
    kinds = ("request", "middleware", "view", "step", "to_thread", "to_loop", "tick")
    for number, (request, kind, begin, ended) in enumerate(rows):
        cells = {"request": request, "parent": number, "ran_on": 100 * (kind % 2), "name": "a\tb"}
        times = {"running": begin + 1, "done": begin + 2} if kind < 8 else {}
        notes.row(kinds[kind % 7], begin, begin + 3 if ended else None, **cells, **times)
    notes.tick(0, 1)
    run = run_inside(lab.ASGI, [{"number": number} for number in (1, 2, 3)], notes)
    drawn = scene(run)
    assert len(drawn.clients) == 3
    for track in drawn.tracks:
        assert (track.bars.begin[1:] >= track.bars.end[:-1]).all()
    assert all(drawn.begin <= piece.at <= drawn.end for piece in scene(run, requests=1).pieces)


# Edges


def test_what_never_ended_is_drawn_as_far_as_the_record_goes_and_marked():
    notes = Notes()
    whole = notes.row("request", 1)
    notes.row("view", 2, parent=whole, name="shop.views.page")
    other = Notes(pid=8)
    other.row("request", 1, 40)
    lost = {"pid": 0, "thread": 0, "on_loop": -1, "number": 0, "status": 0, "error": 2, "done": 50}
    run = run_inside(lab.SYNC.replace(workers=2), [lost, {"pid": 8, "done": 41}], notes, other)
    assert [track.ended for track in scene(run).tracks] == [2, None]
    assert explanation(scene(run)).endswith(
        "✕ in a lane: the record breaks off within something that never ended, as when a worker is killed. "
        "✕ at the end of a request: it failed."
    )
    assert "(1 of 2 requests failed)" in timeline(run).alt


def test_a_crossing_whose_worker_was_killed_has_no_way_back():
    notes = Notes()
    whole = notes.row("request", 1)
    notes.row("to_thread", 2, parent=whole, running=3, ran_on=100, name="view\tview shop.views.page")
    notes.row("to_thread", 4, parent=whole, name="view\tview shop.views.page")
    notes.tick(20, 21)
    run = run_inside(lab.ASGI, [{"done": 30}], notes)
    assert told(scene(run).threads[0].bars) == "2-3 waits, 3-21 on a thread"
    assert words_of(timeline(run)).count("view page") >= 2  # no price without an end


def test_untraced_requests_are_plain_and_counted():
    notes = Notes()
    mixed_request(notes)
    run = run_inside(lab.ASGI, [{"done": 6}, {"number": 2, "done": 7}, {"number": 0, "done": 8}], notes)
    assert [set(client.bars.state) & {UNTRACED} for client in scene(run).clients] == [set(), {UNTRACED}, {UNTRACED}]
    assert "2 requests without a trace (not sampled, or no answer): plain grey" in left_out(scene(run))
    only = run_inside(lab.ASGI, [{"number": 5}], notes)
    assert title_of(only) == "No trace of 1 request under asgi."


def test_where_requests_left_no_trace_nothing_is_called_idle():
    notes = Notes()
    mixed_request(notes)
    notes.tick(6, 20)
    run = run_inside(lab.ASGI, [{"done": 6}, {"number": 2, "done": 40}], notes)
    picture = timeline(run)
    assert not {"idle", "not in Django"} & set(words_of(picture))
    assert texts(picture, "Late: the loop's heartbeat was overdue by more than 2 ms. Some requests left no trace")
    assert picture.alt.startswith("One request under asgi crossed twice")
    lost = dataclasses.replace(one_async(), trace=dataclasses.replace(one_async().trace, lost=5))
    assert ["idle" in words_of(timeline(each)) for each in (one_async(), lost)] == [True, False]


def test_requests_of_two_workers_with_one_number_are_told_apart_and_an_idle_worker_has_a_lane():
    first, second, third = Notes(7), Notes(8), Notes(9)
    mixed_request(first, at=1)
    mixed_request(second, at=11)
    third.tick(1, 1)
    run = run_inside(WORKERS, [{"done": 6}, {"pid": 8, "done": 16}], first, second, third)
    drawn = scene(run)
    assert [client.bars.begin[1] for client in drawn.clients] == pytest.approx([1, 11])
    assert [(track.worker, track.name) for track in drawn.tracks if len(track.bars)] == [
        (worker, name) for worker in (1, 2) for name in ("event loop", "thread 1")
    ]
    assert [(track.worker, track.name) for track in drawn.tracks if not len(track.bars)] == [(3, "event loop")]
    picture = timeline(run)
    assert {"worker 1", "worker 2", "worker 3", "event loop", "thread 1"} <= set(words_of(picture))
    assert "2 event loops and 2 threads" in picture.alt


def test_a_request_that_was_never_sent_is_only_planned():
    notes = Notes()
    mixed_request(notes)
    rows = [{"done": 6}, {"planned": 1, "number": 0, "pid": 0, "on_loop": -1, "status": 0, "error": 1, "done": 4}]
    run = run_inside(lab.ASGI, rows, notes)
    run.samples[1, COLUMNS.index("sent")] = 0
    unsent = scene(run).clients[1]
    assert (unsent.planned, unsent.sent, unsent.done, len(unsent.bars)) == (1, 4, 4, 0)
    timeline(run)


# The loop's lateness


@pytest.mark.parametrize(
    ("ticks", "late", "late_ms"),
    [
        ([(1, 1.1), (2, 24), (4, 24), (6, 24), (26, 27)], [[2, 24]], [22]),
        ([(2, 14), (12, 23)], [[2, 23]], [12]),  # one after another: one stretch, as late as the latest of them
        ([(1, 1), (10, None), (30, None)], [[10, 30]], [20]),  # a tick that never ran: to the end of the record
        ([], [], []),
    ],
)
def test_ticks_that_were_overdue_are_one_stretch_and_its_length_is_written(ticks, late, late_ms):
    run = one_async(ticks)
    (loop,) = scene(run).tracks
    assert (loop.late.tolist(), loop.late_ms.tolist()) == (late, late_ms)
    assert texts(timeline(run), "late by") == [f"late by {ms} ms" for ms in late_ms]
    assert ("the loop is late" in words_of(timeline(run))) == bool(late_ms)


def test_idle_is_written_only_where_the_loop_was_neither_busy_nor_late():
    (loop,) = scene(one_async([(3.5, 25.5)])).tracks
    assert loop.blank(0, 31, late=True) == (4, 25)
    assert loop.blank(0, 31, late=False) in ((0, 1), (30, 31))
    assert scene(one_async()).tracks[0].blank(0, 31, late=False) == (4, 25)
    assert "not in Django" in words_of(timeline(one_async([(3.5, 25.5)])))
    assert "idle" in words_of(timeline(one_async()))


# The finding


def two_late(until):
    """Two requests that hop twice each, beside a loop whose tick that was due after 1 ms ran so late."""
    notes = Notes()
    for number in (1, 2):
        mixed_request(notes, number, thread=100 + number)
    notes.tick(1, until)
    return run_inside(lab.ASGI, [{"done": 6}, {"number": 2, "done": 6}], notes)


CROSSED = "crossed twice between event loop and thread."


def many_async(number, until):
    """Requests whose views run for a quarter of a ms on one event loop, await something, and run again."""
    notes = Notes()
    for i in range(number):
        whole = notes.row("request", 1, until, request=i + 1)
        view = notes.row("view", 1, until, request=i + 1, parent=whole, name="shop.views.nap")
        for begin in (1 + i / 2, until - 2 + i / 2):
            notes.row("step", begin, begin + 0.5, request=i + 1, parent=view)
    return run_inside(lab.ASYNC, [{"number": i + 1, "done": until, "on_loop": 1} for i in range(number)], notes)


def two_queries(more_threads):
    """A request whose view awaits two queries at once: on one thread, the second has to wait."""
    notes = Notes()
    whole = notes.row("request", 1, 30)
    view = notes.row("view", 2, 28, parent=whole, name="shop.views.rows")
    notes.row("step", 2, 3, parent=view)
    notes.hop("other\tQuerySet.get", 3, 100, parent=view, ran=10)
    notes.hop("other\tQuerySet.get", 3, 100 + more_threads, parent=view, there=0.1 if more_threads else 10.5, ran=10)
    return run_inside(lab.ASYNC, [{"done": 31, "on_loop": 1}], notes)


TWENTY = many_mixed(20, users=1, apart=5)


@pytest.mark.parametrize(
    ("run", "how", "title"),
    [
        (one_mixed(), {}, f"One request under asgi {CROSSED}"),
        (one_async(), {}, "One request under async stayed on the event loop."),
        (one_after_another(1), {}, "One request under sync stayed on one thread."),
        (one_after_another(3), {}, "3 requests under sync took turns on one thread."),
        (two_late(4), {}, "2 requests under asgi crossed 4 times between event loop and 2 threads."),
        (two_late(13), {}, "2 requests under asgi crossed 4 times between event loop and 2 threads."),
        (
            TWENTY,
            {"requests": 3},
            "The first 3 of 20 requests under asgi crossed 6 times between event loop and thread.",
        ),
        (many_async(3, 50), {}, "3 views under async took turns on the event loop, idle nearly all the time."),
        (many_async(3, 9), {}, "3 views under async took turns on the event loop, idle most of the time."),
        (many_async(3, 5), {}, "3 views under async took turns on the event loop."),
        (
            many_async(3, 50),
            {"requests": 2},
            "The first 2 of 3 views under async took turns on the event loop, idle nearly all the time.",
        ),
        (two_queries(0), {}, "2 awaited queries under async ran one after the other on one thread."),
        (two_queries(1), {}, "2 awaited queries under async ran at the same time on 2 threads."),
        (TWENTY, {"requests": slice(5, 6)}, f"One request under asgi {CROSSED}"),
        (TWENTY, {"span_ms": (1e5, 2e5)}, "No request under asgi in this stretch of time."),
    ],
)
def test_the_title(run, how, title):
    assert title_of(run, **how) == title


def test_a_picture_in_words():
    assert " | ".join(words_of(timeline(one_mixed()))).replace("\n", " ") == (
        "■ asgi | /, 1 user · capacity: no limit of its own | the view ran for 1.0 of 6.0 ms | its view | the client: 1 request | Django | idle | view page | "
        "event loop | thread 1 | SessionMiddleware.process_request  +200\N{NO-BREAK SPACE}µs | view page  +200\N{NO-BREAK SPACE}µs | "
        "ms since the first request was planned | view | Django and middleware | waits for a thread or the loop | "
        "on its way, or queued | "
        "One request under asgi crossed twice between event loop and thread | "
        "+: the crossing, there and back, with any wait in line. Blank: nothing of Django ran; the server's own work is not recorded. "
        "On a thread, a sleeping view looks like one that computes. | "
        "a processor, 2 cores · Linux 6.1 · Python 3.13.0 · Django 6.0 · asgiref 3.13 · uvicorn 0.54 on asyncio"
    )


# Late loops


def blocked(visitors=4, name="shop.views.block", begin=10, end=60, slices=1, other=100, rows=()):
    """One loop that runs a view from begin to end, in slices, for a load beside; visitors come every 10 ms from 5
    on."""
    notes, step = Notes(), (end - begin) / slices
    for i in range(slices):
        at = begin + i * step
        whole = notes.row("request", at, at + step, request=other + i)
        view = notes.row("view", at, at + step, request=other + i, parent=whole, name=name)
        notes.row("step", at, at + step, request=other + i, parent=view)
    for due in range(2, 100, 2):
        computed = (end - begin) * (slices > 1) * (due > begin)
        ran = max(due, end) if due > begin else due
        notes.row("tick", due, ran, request=0, running=computed, done=computed)
    visits = []
    for i in range(visitors):
        came = 5 + 10 * i
        at = came + 1 if came < begin else end + 1 + i
        whole = notes.row("request", at, at + 0.8, request=i + 1)
        view = notes.row("view", at + 0.1, at + 0.7, request=i + 1, parent=whole, name="shop.views.nap")
        notes.row("step", at + 0.1, at + 0.7, request=i + 1, parent=view)
        visits.append({"planned": came, "done": at + 1, "number": i + 1, "on_loop": 1})
    asked = [{"planned": begin - 1, "done": end + 1, "number": other + i, "on_loop": 1} for i in range(slices)]
    load = {"/async/block/?ms=50": "2 requests/s"}
    run = run_inside(lab.ASYNC, [*visits, *rows], notes, beside=load)
    return dataclasses.replace(run, beside={"/async/block/?ms=50": run_inside(lab.ASYNC, asked)})


def test_the_title_leads_with_a_late_loop_the_view_it_was_busy_with_and_who_waited_for_it():
    assert scene(blocked()).stuck == LateLoop(48, "busy with the view block", 3, False)
    waited = "requests under async waited for the event loop, busy with the view block."
    assert title_of(blocked(end=160)) == f"3 of 4 {waited}"
    assert title_of(blocked(end=160), requests=3) == f"2 of these 3 {waited}"
    assert title_of(blocked(end=160), requests=slice(1, 3)) == f"These 2 {waited}"


def test_where_a_loop_is_a_little_late_the_title_tells_what_the_requests_did():
    assert title_of(blocked()).startswith("4 views under async took turns on the event loop")


def test_a_view_is_named_where_it_ran_for_most_of_the_late_stretch_in_however_many_requests():
    assert scene(blocked(name="shop.views.burn", slices=10)).stuck == LateLoop(48, "busy with the view burn", 3, False)
    notes = Notes()
    whole = notes.row("request", 5, 60)
    view = notes.row("view", 6, 12, parent=whole, name="shop.views.page")
    notes.row("step", 6, 12, parent=view)
    notes.row("request", 70, 71, request=2)
    notes.tick(4, 4)
    notes.tick(6, 60)
    run = run_inside(lab.ASYNC, [{"planned": 4, "done": 61}, {"planned": 20, "done": 72, "number": 2}], notes)
    assert scene(run).stuck == LateLoop(54, "", 1, False)


def test_who_awaited_something_to_the_end_of_the_late_stretch_may_have_waited_for_the_loop():
    notes = Notes()
    whole = notes.row("request", 5, 70)
    for begin, end in ((5, 6), (69, 70)):
        notes.row("step", begin, end, parent=whole)
    notes.row("request", 66, 67, request=2)
    notes.tick(4, 4)
    notes.tick(8, 65)
    run = run_inside(lab.ASYNC, [{"planned": 4, "done": 71}, {"planned": 20, "done": 68, "number": 2}], notes)
    assert scene(run).stuck == LateLoop(57, "", 1, True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "FINDING_MS", 50.0)
        assert title_of(run) == "At least 1 of 2 requests under async waited for the event loop, late by up to 57 ms."


def test_who_goes_on_while_the_heartbeat_is_overdue_had_waited_for_its_turn():
    notes = Notes()
    for request in (1, 2, 3):
        whole = notes.row("request", 1, 50, request=request)
        notes.row("step", request, request + 0.5, request=request, parent=whole)
        notes.row("step", 10 * request, 10 * request + 9, request=request, parent=whole)
    notes.tick(4, 4)
    notes.tick(6, 145)
    rows = [{"done": 151, "number": request} for request in (1, 2, 3)]
    assert title_of(run_inside(lab.ASYNC, rows, notes)) == (
        "All 3 requests under async waited for the event loop, late by up to 139 ms."
    )


def test_of_several_loops_the_title_says_that_one_was_late():
    first, second = Notes(7), Notes(8)
    for notes in (first, second):
        notes.row("request", 141, 142)
        notes.tick(4, 4)
    first.tick(10, 140)
    run = run_inside(WORKERS, [{"planned": 15, "done": 143}, {"planned": 15, "pid": 8, "done": 143}], first, second)
    assert title_of(run) == (
        "1 of 2 requests under async, workers=2 waited for one of 2 event loops, late by up to 130 ms."
    )


# Loads beside


def test_what_ran_for_the_load_beside_is_solid_and_its_view_is_named():
    picture = timeline(blocked(), requests=2)
    assert longest(picture, VIEW_ON_LOOP) == pytest.approx(50)
    assert longest(picture, VIEW_ON_LOOP, of_others=True) < 1
    assert "view block" in words_of(picture)
    assert texts(picture, "drawn: 2 of the run's 4 requests; what ran for its other requests is pale")
    (asked,) = texts(picture, "/, 1 user")
    assert "beside /async/block/?ms=50, 2 requests/s · capacity: " in asked


@pytest.mark.parametrize("figure", [lab.plots.ecdf, lab.plots.lag])
def test_other_figures_say_so_too(figure):
    assert "beside /async/block/?ms=50, 2 requests/s" in " ".join(words_of(figure(blocked())))


def test_a_long_stretch_of_another_request_of_the_run_is_named_and_pale():
    run = blocked(rows=[{"planned": 9, "done": 61, "number": 100, "on_loop": 1}])
    picture = timeline(dataclasses.replace(run, beside={}), requests=slice(2, 4))
    (name,) = (text for text in picture.figure.findobj(Text) if text.get_text() == "view block")
    assert name.get_color() != "white"
    assert longest(picture, VIEW_ON_LOOP, of_others=True) > 40
    assert longest(picture, VIEW_ON_LOOP) < 1
    assert texts(picture, "drawn: 2 of the run's 5 requests; what ran for others is pale")


def test_a_thread_that_the_load_beside_was_on_has_a_lane():
    notes = Notes()
    for i in range(scenes.MAX_THREADS + 20):
        mixed_request(notes, request=i + 1, at=1 + i, thread=100 + i)
    visits = [{"planned": i, "done": 6 + i, "number": i + 1} for i in range(scenes.MAX_THREADS + 20)]
    run = run_inside(lab.ASGI, [one for one in visits if one["number"] != 38], notes)
    other = run_inside(lab.ASGI, [one for one in visits if one["number"] == 38])
    for shown in ({"requests": 5}, {}):
        drawn = scene(dataclasses.replace(run, beside={"/sync/burn/": other}), span_ms=(0, 100), **shown)
        assert (7, 137) in [track.key for track in drawn.threads]
        assert len(drawn.threads) <= scenes.MAX_THREADS


# Names of the pieces


def test_the_pieces_of_one_request_are_named_with_what_the_hop_cost():
    first, view = scene(one_mixed()).pieces
    assert (first.name, first.view, view.name, view.view) == (
        "SessionMiddleware.process_request",
        False,
        "view page",
        True,
    )
    assert (first.at, view.at) == (pytest.approx(1.75), pytest.approx(3.1))  # the middle of what ran there
    assert (first.cost_us, view.cost_us) == (pytest.approx(200), pytest.approx(200))
    assert scene(many_mixed(2)).pieces == []


def test_a_layer_that_hands_on_to_the_loop_is_named_where_it_ran_first():
    notes = Notes()
    whole = notes.row("request", 0, 20)
    layer = notes.hop("middleware\tOld", 1, 100, parent=whole, there=0.5, ran=10)
    notes.row("to_loop", 2, 11, running=3, done=10, ran_on=7, thread=100, parent=layer, name="other\tinner")
    found = scene(run_inside(lab.ASGI, [{"done": 21}], notes)).pieces
    assert [(piece.at, piece.on_loop) for piece in found] == [(pytest.approx(1.75), False), (pytest.approx(6.5), True)]


def test_several_queries_that_a_request_awaits_are_numbered_in_the_order_in_which_they_ran():
    picture = timeline(two_queries(0))
    words = set(words_of(picture))
    assert {"query 1", "query 2"} <= words
    assert {word.split("  ")[0] for word in words if "QuerySet" in word} == {
        "query 1: QuerySet.get",
        "query 2: QuerySet.get",
    }


def names(run):
    return [(piece.name, piece.at) for piece in scene(run).pieces]


def test_a_view_goes_on_after_it_has_awaited_something_and_is_named_once_where_that_is_often():
    assert names(one_async()) == [("view nap", 2.5), ("view nap goes on", 27)]
    notes = Notes()
    whole = notes.row("request", 0, 20)
    view = notes.row("view", 1, 19, parent=whole, name="shop.views.hop")
    for begin in range(1, 19, 3):
        notes.row("step", begin, begin + 1, parent=view)
    assert names(run_inside(lab.ASYNC, [{"done": 21}], notes)) == [("view hop", 1.5)]


def test_where_nothing_crosses_layers_are_named_before_what_is_inside_them():
    notes = Notes()
    whole = notes.row("request", 1, 9)
    layer = notes.row("middleware", 2, 8, parent=whole, name="SessionMiddleware")
    notes.row("view", 4, 6, parent=layer, name="shop.views.page")
    assert names(run_inside(lab.SYNC, [{}], notes)) == [("SessionMiddleware", 3), ("view page", 5)]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("view labapp.sync_views.page", "view page"),
        ("SessionMiddleware.process_request", "SessionMiddleware.process_request"),
        ("project.middleware.audit.Audit.process_view", "Audit.process_view"),
        ("request_started signal", "request_started signal"),
        ("x" * 80, "x" * 47 + "…"),
    ],
)
def test_names_lose_their_module(name, short):
    assert named(name) == short


def test_no_name_leaves_the_paper():
    notes = Notes()
    for i in range(12):
        name = f"middleware\t{'A' * 30}{i}Middleware.process_request"
        notes.hop(name, 1 + 0.01 * i, 100, there=0.001, ran=0.001, parent=0)
    notes.row("request", 0, 99)
    slanted = [
        box for text, box in drawn_texts(timeline(run_inside(lab.ASGI, [{"done": 100}], notes))) if text.get_rotation()
    ]
    assert len(slanted) == 12
    assert min(box.x0 for box in slanted) >= 0


# What is drawn


def test_what_ran_and_what_waited_is_drawn_where_it_was():
    picture = timeline(one_mixed())
    assert shapes(picture, VIEW_ON_THREAD) == [pytest.approx((2.6, 3.6))] * 2  # the client's row, the thread's
    assert len(shapes(picture, WAITS)) == 8
    assert shapes(picture, ON_LOOP)[-1] == pytest.approx((3.7, 5.0))
    hatched = [patch.get_gid() for patch in picture.figure.axes[0].findobj(PathPatch) if patch.get_hatch()]
    assert set(hatched) == {STATES[QUEUED].name, STATES[WAITS].name}


@pytest.mark.parametrize(("requests", "lines"), [(1, 4), (3, 12), (30, 0)])
def test_a_line_leads_there_and_one_back_for_each_hop_of_a_few_requests(requests, lines):
    found = [one for one in timeline(many_mixed(requests)).figure.axes[0].collections if one.get_zorder() == 1.5]
    assert sum(len(one.get_segments()) for one in found if isinstance(one, LineCollection)) == lines


def test_what_ran_for_other_requests_is_pale_and_their_threads_have_no_lane():
    picture = timeline(many_mixed(20, users=1, apart=1), requests=slice(5, 6))
    for state, of_others in ((VIEW_ON_THREAD, False), (VIEW_ON_THREAD, True), (ON_LOOP, True)):
        assert shapes(picture, state, of_others)
    assert (len(scene(many_mixed(8)).threads), len(scene(many_mixed(8), requests=2).threads)) == (8, 2)


@pytest.mark.parametrize("number", [1, 30, 300])
def test_as_many_requests_as_there_are_fit_on_a_page(number):
    assert 3 < timeline(many_mixed(number, apart=0.2)).figure.get_figheight() < 10


def test_what_is_left_out_is_counted():
    run = many_mixed(300)
    drawn = scene(run)
    assert (len(drawn.clients), drawn.hidden_requests) == (scenes.MAX_ROWS, 150)
    assert (len(drawn.threads), drawn.hidden_threads) == (scenes.MAX_THREADS, 240)
    assert left_out(drawn) == ["and 150 more requests and 240 more threads, not drawn for want of room"]
    assert "crossed 600 times between event loop and 300 threads" in title_of(run)


def test_of_a_long_run_the_first_requests_are_drawn():
    drawn = scene(many_mixed(scenes.MAX_REQUESTS + 1, users=2, apart=3))
    assert drawn.chosen == scenes.A_FEW
    assert drawn.end < 3 * scenes.A_FEW + 10
    assert scene(many_mixed(scenes.MAX_REQUESTS, users=2, apart=3)).chosen == scenes.MAX_REQUESTS


def test_a_window_shows_the_requests_that_were_under_way_in_it():
    run = many_mixed(20, users=1, apart=5)  # each from 5 i to 5 i + 6
    drawn = scene(run, span_ms=(52, 54))
    assert (drawn.begin, drawn.end) == (52, 54)
    assert [client.planned for client in drawn.clients] == [50]
    assert all((track.bars.begin >= 52).all() and (track.bars.end <= 54).all() for track in drawn.tracks)
    assert scene(run, span_ms=(0, 12)).chosen == 3
    later = scene(run, requests=slice(10, 12), span_ms=(50, 57))
    assert (later.begin, later.end, later.chosen) == (50, 57, 2)
    # a request that reached the application after the window was traced nonetheless
    assert scene(run, span_ms=(50, 50.5)).untraced == 0


NO_COUNTS = [0, -1, True, 2.5, "3", slice("a", "b"), slice(1000, 1001)]
NO_SPANS = [12, True, "50", (5, 5), (3, 1), (1, 2, 3), (1, None), float("nan"), float("inf")]


@pytest.mark.parametrize(("name", "wrong"), [("requests", x) for x in NO_COUNTS] + [("span_ms", x) for x in NO_SPANS])
def test_requests_and_windows_that_cannot_be_are_refused(name, wrong):
    with pytest.raises(ConfigurationError, match=f"{name}="):
        timeline(one_mixed(), **{name: wrong})


def test_a_run_without_the_probe_says_how_to_get_one():
    with pytest.raises(ConfigurationError, match=r"serve\(\.\.\., probe=True\)"):
        timeline(run_inside(lab.SYNC, [{}]))


def test_a_run_without_requests_draws_its_idle_loop():
    notes = Notes()
    notes.tick(1, 1)
    assert title_of(run_inside(lab.ASYNC, [], notes)) == "No request under async in this stretch of time."


# A real server


def test_a_real_request_under_mixed_hops_and_each_hop_is_named(served):
    run = lab.measure(served(lab.ASGI, probe=True), "/sync/page/", lab.closed(1, each=1))
    drawn = scene(run)
    assert (len(drawn.loops), drawn.untraced) == (1, 0)
    said = [piece.name for piece in drawn.pieces]
    assert "SessionMiddleware.process_request" in said
    assert said.count("view page") == 1
    assert len(said) == len(drawn.hops)
    assert "between event loop and thread" in timeline(run).alt
