from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Polygon

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.measurement.lag import HeldUp, LagFinding, Loop, finding
from requestlab.plots import style
from requestlab.plots.lag import LOWEST_MS, MAX_ROWS, lag
from requestlab.worker.heartbeat import EVERY_NS
from requestlab.worker.schema import IN_CALL, OWN
from tests.made_runs import MS, START
from tests.made_trace import Notes, inside
from tests.pictures import assert_legible, bars_of, made, said, words_of

EVERY_MS = EVERY_NS / MS
FLOOR_MS = 0.08
LASTS_MS = 1000

CALL = ("blocking call", "labapp/async_views.py:41 block")
CODE = ("blocking code", "labapp/work.py:16 burn_cpu")
HOG = ("GIL held elsewhere", "")
SYSTEM = ("not scheduled", "")


def measured(*stalls, configuration=lab.ASYNC, ends_ms=LASTS_MS + 40, lost=0, **more):
    """A run of one second whose heartbeat was held up by these: (begin and length in ms, (cause, place)).

    `more` are keyword arguments of `made`; `workers` of them is instead a list with such stalls for each worker.
    """
    workers = more.pop("workers", [stalls])
    noted = [_beat(Notes(pid), held_up, ends_ms) for pid, held_up in enumerate(workers, start=7)]
    pids = [7 + number % len(workers) for number in range(99)]
    requests = [{"on_loop": 1, "number": 0, "planned": 10 * i, "pid": pid} for i, pid in enumerate(pids)]
    run = made(configuration, requests, users=5, each=None, path="/async/block/", **more)
    return dataclasses.replace(run, trace=dataclasses.replace(inside(*noted), lost=lost))


def _beat(notes, held_up, ends_ms):
    """Write the ticks as the probe does: those that were due meanwhile all run at the end of a stall."""
    spent = {"own": 0.0, "others": 0.0, "delayed": 0.0}
    stalls, due, before = sorted(held_up), -200.0, -200.0
    while due < ends_ms:
        ran = due + FLOOR_MS
        if stalls and stalls[0][0] < ran:
            begin, length, (cause, place) = stalls.pop(0)
            ran = max(ran, begin + length)
            grows = {"blocking code": "own", "GIL held elsewhere": "others", "not scheduled": "delayed"}.get(cause)
            if grows:
                spent[grows] += ran - before
            if place:
                value = IN_CALL if cause == "blocking call" else OWN
                for at in (due + (ran - due) * part for part in (0.1, 0.5, 0.9)):
                    cpu = spent["own"] - (ran - at) * (grows == "own")
                    notes.row("stack", due, at, request=0, name=place, running=cpu, value=value)
        before = ran
        while due <= ran:
            clocks = {"running": spent["own"], "done": spent["own"] + spent["others"]}
            notes.row("tick", due, ran, request=0, value=round(spent["delayed"] * MS), **clocks)
            due += EVERY_MS
    return notes


def towers(axes):
    """What is shaded for blocks: begin, end and height of each."""
    corners = [patch.get_xy() for patch in axes.patches if type(patch) is Polygon]
    return [tuple(map(float, (xy[:, 0].min(), xy[:, 0].max(), xy[:, 1].max()))) for xy in corners]


def level_lines(axes):
    level = [line for line in axes.lines if len(line.get_ydata()) == 2 and len(set(line.get_ydata())) == 1]
    return {round(float(line.get_ydata()[0]), 3): line for line in level}


def dots(axes):
    (line,) = [line for line in axes.lines if line.get_marker() == "."]
    return line.get_xdata(), line.get_ydata()


# The finding

SIX_MS = [(i * 10 + 5, 6, HOG) for i in range(95)]
FIFTY_MS = [(i * 62 + 5, 50, CODE) for i in range(15)]


@pytest.mark.parametrize(
    ("stalls", "reached", "much", "causes"),
    [
        ([], (False, False), False, []),
        ([(400, 7, CODE)], (False, False), False, ["blocking code"]),
        ([(400, 150, CALL)], (False, True), True, ["blocking call"]),
        (FIFTY_MS, (True, False), True, ["blocking code"]),  # many short blocks are a problem by their median
        (SIX_MS, (False, False), True, ["GIL held elsewhere"]),
        ([(400, 300, CALL), (100, 5, SYSTEM)], (False, True), True, ["blocking call"]),  # trifles do not matter
        ([(400, 300, CALL), (100, 80, CODE)], (False, True), True, ["blocking call", "blocking code"]),
    ],
)
def test_the_finding(stalls, reached, much, causes):
    found = finding(measured(*stalls), "async")
    assert found.worst.too_late == reached
    assert (found.troubled, found.much) == (any(reached), much)
    assert [culprit.cause for culprit in found.weighty] == causes


@pytest.mark.parametrize(
    ("stalls", "title", "advised"),
    [
        (
            [],
            "The event loop was never held up.",
            "Nothing to do: no limit is reached.",
        ),
        (
            [(400, 7, CODE)],
            "Code that computed in burn_cpu held the event loop for 8.9 ms: no problem.",
            "Nothing to do",
        ),
        (
            [(400, 301, CODE), (100, 80, CALL)],
            "Code that computed in burn_cpu held the event loop for 303 ms.",
            "compute in another process",
        ),
        (
            FIFTY_MS,
            "Code that computed in burn_cpu held the event loop for 76% of the time.",
            "compute in another process",
        ),
        (
            SIX_MS,
            "The event loop waited for the GIL for 56% of the time.",
            "% of the time something held up the loop. What to do: leave",
        ),
        ([(400, 150, SYSTEM)], "The event loop waited for a core for 152 ms.", "quieter machine"),
    ],
)
def test_each_cause_has_its_words_and_its_advice(stalls, title, advised):
    picture = lag(measured(*stalls))
    assert picture.alt == title
    assert advised in said(picture)


def test_of_several_runs_the_title_says_in_which_the_loop_was_too_late():
    late, well = measured((400, 150, CALL)), measured()
    assert lag({"sleeps": late, "awaits": well}).alt == "The event loop was too late with sleeps, not with awaits."
    assert lag({"a": late, "b": late}).alt == "The event loop was too late in all 2 runs."
    assert lag({"a": well, "b": well}).alt == "The event loop was never too late in 2 runs."


def test_of_several_runs_each_has_a_bar_with_its_culprit_beside_it():
    picture = lag({"sleeps": measured((400, 150, CALL)), "awaits": measured()}, predicted={"awaits": 120})
    bars = [bars for bars in picture.figure.axes[0].findobj(PathPatch) if type(bars) is PathPatch]
    assert [end for _, end in bars_of(*bars)] == [pytest.approx(150, abs=EVERY_MS), pytest.approx(FLOOR_MS)]
    assert {
        "▲ sleeps (suspect): 150 ms",
        "A blocking call in block (labapp/async_views.py:41)",
        "Nothing held it up",
        "your prediction: 120 ms",
        "limit: 100 ms",
    } <= set(words_of(picture))
    assert "What to do under sleeps: await" in said(picture)
    assert picture.figure.axes[0].get_xlim()[1] > 120


def test_a_picture_in_words():
    picture = lag(measured((200, 120, CALL), (400, 301, CALL)), predicted=300)
    words, explained = " | ".join(words_of(picture)).replace("\n", " ").split(" | A dot is ")
    assert words == (
        "▲ async (suspect) | /async/block/, 5 users | A problem: maximum 301 ms (limit 100 ms); held up for 42% of the time | "
        "block (labapp/async_views.py:41) blocking call: twice, up to 302 ms | ms since the first request was planned | "
        "how late, in ms (log.) | 0.1 | 1 | 10 | 100 | p50 0.08 ms | p99 291 ms | max 301 ms | idle floor: 0.08 ms | "
        "limit of the median: 10 ms | limit of the maximum: 100 ms | your prediction: 300 ms | "
        "for so much of the time, a callback would have waited no longer | 50% | 99% | "
        "A blocking call in block held the event loop for up to 302 ms | "
        "What to do: await the call's async twin (asyncio.sleep for time.sleep, an async client), or hand it to a thread with "
        "sync_to_async."
    )
    assert "a median of 10 ms, so that again and again nobody is served" in explained


# What is drawn


def test_every_tick_is_drawn_where_it_was_due_as_late_as_it_ran():
    axes, _ = lag(measured((400, 50, CALL))).figure.axes
    time, late = dots(axes)
    assert np.diff(time).tolist() == [pytest.approx(EVERY_MS)] * (len(time) - 1)
    assert late[(time < 398) | (time > 452)] == pytest.approx(FLOOR_MS)
    assert late.max() == pytest.approx(50)
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert low < FLOOR_MS < late.max() < high


@pytest.mark.parametrize(("cause", "hatched"), [(CALL, True), (CODE, False)])
def test_a_block_is_shaded_as_long_and_high_as_it_was_and_hatched_where_it_waited(cause, hatched):
    axes, _ = lag(measured((400, 300, cause))).figure.axes
    assert towers(axes) == [
        (pytest.approx(400, abs=EVERY_MS), pytest.approx(700, abs=0.1), pytest.approx(300, abs=EVERY_MS))
    ]
    [tower] = [patch for patch in axes.patches if type(patch) is Polygon]
    assert bool(tower.get_hatch()) is hatched
    assert style.EVENT_LOOP.lower() in {to_hex(tower.get_facecolor()), to_hex(tower.get_edgecolor())}


def test_culprits_are_named_beside_their_longest_blocks():
    axes, _ = lag(measured((100, 40, CODE), (300, 90, CODE), (600, 200, CALL))).figure.axes
    assert [text.get_text() for text in axes.texts][-2:] == [
        "block (labapp/async_views.py:41)\nblocking call: 201 ms",
        "burn_cpu (labapp/work.py:16)\nblocking code: twice, up to 92 ms",
    ]
    tips = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "v")
    assert tips == [pytest.approx(300, abs=EVERY_MS), pytest.approx(600, abs=EVERY_MS)]


def test_limits_floor_and_prediction_are_lines_in_both_panels():
    for axes in lag(measured(), predicted=300).figure.axes:
        levels = level_lines(axes)
        assert {10.0, 100.0, FLOOR_MS, 300.0} <= set(levels)
        assert levels[300.0].get_color() == style.INK
        assert axes.get_ylim()[1] > 300
    assert not any("prediction" in text for text in words_of(lag(measured())))


def test_a_prediction_of_nothing_is_drawn_at_the_bottom():
    picture = lag(measured(), predicted=0)
    assert LOWEST_MS in level_lines(picture.figure.axes[0])
    assert "your prediction: 0 ms" in words_of(picture)


def test_the_sorted_lateness_gives_missed_ticks_their_weight():
    run = measured((300, 400, CALL))
    _, axes = lag(run).figure.axes
    curve = next(line for line in axes.lines if line.get_drawstyle() == "steps-pre")
    share, late = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert (share[0], share[-1]) == (0, pytest.approx(100))
    assert float(share[late < 1].max()) == pytest.approx(60, abs=1)
    marked = [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "^"]
    [loop] = finding(run, "async").loops
    assert marked == [loop.percentile(50), loop.percentile(99), loop.max_ms]


def test_each_worker_has_a_row_and_a_verdict_of_its_own():
    picture = lag(
        measured(workers=[[(300, 200, CALL)], [], [(500, 30, CODE)]], configuration=lab.ASYNC.replace(workers=3))
    )
    assert picture.alt.startswith("A blocking call in block held 1 of 3 event loops for 20")
    assert len(picture.figure.axes) == 6
    assert "Worker 1: a problem: maximum 2" in said(picture)
    assert "Worker 2: no problem: median 0.08 ms (limit 10 ms), maximum 0.08 ms (limit 100 ms)" in said(picture)
    assert len({axes.get_ylim() for axes in picture.figure.axes}) == 1
    alike = measured(workers=[[(300, 200, CALL)]] * 2, configuration=lab.ASYNC.replace(workers=2))
    assert lag(alike).alt.startswith("A blocking call in block held all 2 event loops for up to 20")


def test_of_too_many_workers_the_latest_are_drawn_and_the_others_counted():
    workers = [[(300, 10 * number, CALL)] if number else [] for number in range(MAX_ROWS + 2)]
    picture = lag(measured(workers=workers, configuration=lab.ASYNC.replace(workers=len(workers)), lost=1234))
    assert len(picture.figure.axes) == 2 * MAX_ROWS
    assert "2 more event loops that were less late are not drawn" in said(picture)
    assert ["Worker 1:" in said(picture), f"Worker {MAX_ROWS + 2}:" in said(picture)] == [False, True]
    assert "1,234 rows of the probe were lost" in said(picture)
    both = lag({name: run for name in ("one", "other") for run in [measured(workers=workers, configuration=lab.ASYNC)]})
    assert "in worker 8 of 8" in said(both)


def test_of_thousands_of_ticks_no_peak_is_lost():
    run = measured((4321, 37, CALL), ends_ms=20_000)
    picture = lag(dataclasses.replace(run, about=replace(run.about, end=START + 20_000 * MS)))
    time, late = dots(picture.figure.axes[0])
    assert len(time) < 5000
    assert max(late) == pytest.approx(37, abs=EVERY_MS)


def test_a_loop_that_never_came_back_was_at_least_so_late_unless_its_worker_ended():
    run = measured(ends_ms=600)
    [loop] = finding(run, "async").loops
    assert loop.pending.sum() == pytest.approx(200, abs=2)
    assert loop.max_ms == pytest.approx(400, abs=10)
    picture = lag(run)
    assert "A problem: maximum over " in said(picture)
    assert any(line.get_marker() == "^" for line in picture.figure.axes[0].lines)
    [loop] = finding(dataclasses.replace(run, about=replace(run.about, worker_ended=True)), "async").loops
    assert (loop.pending.any(), loop.max_ms) == (False, pytest.approx(FLOOR_MS))


# Arithmetic


def test_a_callback_due_at_a_random_moment_waits_half_of_a_block():
    [loop] = finding(measured((300, 400, CALL)), "async").loops
    inside = (loop.time_ms >= 300) & (loop.time_ms < 700)
    assert loop.late_ms[inside].mean() == pytest.approx(200, abs=EVERY_MS)
    assert loop.held_up == pytest.approx(0.4, abs=0.01)


def block(ms, cause="blocking code", where="a.py:1", function="f", view=""):
    return HeldUp(0.0, ms, ms, cause, where, function, view)


def loop_of(*blocks):
    return Loop("worker 1", np.array([0.0]), np.array([0.0]), np.array([False]), 0.0, blocks)


def test_one_long_block_weighs_more_than_many_short_ones():
    found = LagFinding("", [loop_of(block(100), *(block(5, where="b.py:2") for _ in range(99)))]).culprits
    assert [len(one.blocks) for one in found] == [1, 99]


def test_lines_of_one_function_are_one_culprit_and_the_system_is_one_wherever_it_struck():
    blocks = [block(5, where="a.py:1"), block(9, where="a.py:2"), block(3, where="a.py:2", function="g")]
    struck = [block(2, "not scheduled", f"{name}.py:1", name) for name in "xyz"]
    assert [len(one.blocks) for one in LagFinding("", [loop_of(*blocks, *struck)]).culprits] == [2, 3, 1]


def test_blocks_whose_line_nobody_saw_join_those_in_the_same_view():
    seen = [block(5, where="work.py:1", function="burn", view="app.one"), block(5, where="a.py:1", function="two")]
    unseen = [block(9, where="", function="one", view="app.one"), block(3, where="", function="two", view="app.two")]
    other = block(1, where="", function="three", view="app.three")
    found = LagFinding("", [loop_of(*unseen, other, *seen)]).culprits
    assert [(culprit.longest.ms, culprit.seen.where) for culprit in found] == [(9, "work.py:1"), (5, "a.py:1"), (1, "")]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(3, 200)), max_size=6))
def test_whatever_held_the_loop_up_the_figure_can_be_told(stalls):
    [loop] = finding(measured(*((begin, length, CALL) for begin, length in stalls)), "async").loops
    assert loop.percentile(50) <= loop.percentile(99) <= loop.max_ms
    assert 0 <= loop.held_up <= 1
    assert len(loop.time_ms) == pytest.approx(LASTS_MS / EVERY_MS, abs=2)


# Wrong use


def nobody_knows():
    run = made(lab.ASYNC, [{}])
    return dataclasses.replace(run, about=replace(run.about, configuration=None))


@pytest.mark.parametrize(
    ("runs", "how", "told"),
    [
        ([made(lab.SYNC, [{}])], {}, "no event loop that could be late: gunicorn-sync speaks WSGI; measure one"),
        ([made(lab.ASYNC, [{}], probe=False)], {}, r"no heartbeat ran on it; .*serve\(\.\.\., probe=True\)"),
        ([nobody_knows()], {}, "no heartbeat ran on it"),
        ([3], {}, r"lag\(\) takes runs"),
        ([measured()] * 9, {}, "at most 8 runs"),
        ([measured()], {"predicted": "much"}, "a lateness in ms"),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs, how, told):
    with pytest.raises(ConfigurationError, match=told):
        lag(*runs, **how)


# Legibility

MIXTURE = [(20, 200, CODE), (300, 90, CALL), (450, 60, HOG), (560, 50, SYSTEM), (900, 95, CALL)]
LONG = {"a name that is far too long " * 4: measured(*MIXTURE, lost=9), "x" * 60: measured((995, 300, CODE))}
THREE = {"sleeps": measured((400, 301, CALL)), "awaits": measured(), "computes": measured(*SIX_MS)}


@pytest.mark.parametrize(
    ("runs", "predicted"),
    [
        (measured(workers=[MIXTURE] * 8, configuration=lab.ASYNC.replace(workers=8)), 0.08),
        (THREE, 50),
        (LONG, None),
        (measured(ends_ms=500), None),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(runs, predicted):
    assert_legible(lag(runs, predicted=predicted))
