from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.measurement.lag import Block, Loop, culprits, loops
from requestlab.plots import style
from requestlab.plots.inputs import gather
from requestlab.plots.lag import LOWEST_MS, MAX_ROWS, lag
from requestlab.trace.trace import COLUMNS, Trace
from requestlab.worker.heartbeat import EVERY_NS
from requestlab.worker.schema import IN_CALL, OWN, STACK, TICK
from tests.test_plots import MS, START, assert_legible, made, words_of

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
    rows, names = [], [""]
    for pid, held_up in enumerate(workers, start=7):
        _beat(pid, held_up, ends_ms, rows, names)
    pids = [7 + number % len(workers) for number in range(99)]
    requests = [{"on_loop": 1, "number": 0, "planned": 10 * i, "pid": pid} for i, pid in enumerate(pids)]
    run = made(configuration, requests, users=5, each=None, path="/async/block/", **more)
    table = np.array([[row[name] for name in COLUMNS] for row in rows], dtype=np.int64)
    return dataclasses.replace(run, trace=Trace(table.reshape(-1, len(COLUMNS)), tuple(names), lost))


def _beat(pid, held_up, ends_ms, rows, names):
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
                names.append(place)
                look = {"kind": STACK, "name": len(names) - 1, "value": IN_CALL if cause == "blocking call" else OWN}
                for at in (due + (ran - due) * part for part in (0.1, 0.9)):
                    cpu = spent["own"] - (ran - at) * (grows == "own")
                    rows.append(_row(pid, due, at, running=round(cpu * MS), **look))
        before = ran
        while due <= ran:
            cpu, process = round(spent["own"] * MS), round((spent["own"] + spent["others"]) * MS)
            rows.append(_row(pid, due, ran, kind=TICK, running=cpu, done=process, value=round(spent["delayed"] * MS)))
            due += EVERY_MS


def _row(pid, begin, end, **cells):
    times = {"begin": START + round(begin * MS), "end": START + round(end * MS)}
    return dict.fromkeys(COLUMNS, 0) | {"pid": pid, "thread": pid} | times | cells


def loops_of(run):
    [contender] = gather([run], "lag")
    return loops(run, contender.label)


def told(picture):
    return " ".join(words_of(picture)).replace("\n", " ")


def towers(axes):
    """What is shaded for blocks: begin, end and height of each."""
    corners = [patch.get_xy() for patch in axes.patches if type(patch) is Polygon]
    return [tuple(map(float, (xy[:, 0].min(), xy[:, 0].max(), xy[:, 1].max()))) for xy in corners]


def level_lines(axes):
    level = [line for line in axes.lines if len(line.get_ydata()) == 2 and len(set(line.get_ydata())) == 1]
    return {round(float(line.get_ydata()[0]), 3): line for line in level}


# The finding in words


def test_a_loop_that_was_never_held_up_has_no_problem():
    picture = lag(measured())
    assert picture.alt == "The event loop was never held up: no callback would have waited longer than 0.08 ms."
    said = told(picture)
    assert "Nothing to do" in said
    assert "No problem: median 0.08 ms (limit 10 ms), maximum 0.08 ms (limit 100 ms)" in said
    assert "Shaded" not in said


def test_the_title_names_how_often_how_long_and_who():
    picture = lag(measured((200, 120, CALL), (400, 301, CALL)))
    finding = "The event loop was blocked twice for up to 302 ms by a blocking call in block (labapp/async_views.py:41)"
    assert picture.alt == f"{finding}."
    assert finding in told(picture).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("cause", "found", "advised"),
    [
        (CALL, "blocked once for 151 ms by a blocking call in block (labapp/async_views.py:41)", "async twin"),
        (CODE, "blocked once for 15", "another process"),
        (HOG, "held up once for 15", "leave the loop's code alone"),
        (SYSTEM, "by the operating system, which gave it no core", "quieter machine"),
    ],
)
def test_each_cause_has_its_words_and_its_advice(cause, found, advised):
    picture = lag(measured((400, 150, cause)))
    assert found in picture.alt
    assert advised in told(picture)


def test_a_short_block_is_told_and_is_no_problem():
    picture = lag(measured((400, 7, CODE)))
    assert picture.alt.startswith("The event loop was blocked once for ")
    assert picture.alt.endswith("by burn_cpu (labapp/work.py:16): no problem.")


def test_trifles_are_not_in_the_title_but_other_culprits_of_weight_are():
    assert "otherwise" not in lag(measured((100, 5, SYSTEM), (400, 300, CALL))).alt
    assert "; once for 8" in lag(measured((100, 80, CODE), (400, 300, CALL))).alt


def test_many_short_blocks_are_a_problem_by_their_median():
    run = measured(*((i * 62 + 5, 50, CODE) for i in range(15)))
    assert loops_of(run)[0].too_late == (True, False)
    assert "A problem: median" in told(lag(run))


def test_a_loop_held_up_for_long_below_the_limits_is_not_called_healthy():
    said = told(lag(measured(*((i * 10 + 5, 6, HOG) for i in range(95)))))
    assert "Below the limits" in said
    assert "No problem" not in said
    assert "move the computation of the other thread" in said


def test_of_several_runs_the_title_has_the_longest_stop_of_each():
    picture = lag({"sleeps": measured((400, 150, CALL)), "awaits": measured()})
    assert picture.alt == (
        "How long the event loop was held up at most: 151 ms under sleeps (blocking call in block, labapp/async_views.py:41); "
        "never under awaits."
    )
    assert "What to do under sleeps" in told(picture)


def test_the_limits_are_stated_with_their_reason():
    said = told(lag(measured()))
    assert "Limits as in Clinic.js Doctor: a median of 10 ms, for" in said
    assert "a maximum of 100 ms, for" in said


# What is drawn


def test_every_tick_is_drawn_where_it_was_due_as_late_as_it_ran():
    axes, _ = lag(measured((400, 50, CALL))).figure.axes
    dots = next(line for line in axes.lines if line.get_marker() == ".")
    time, late = dots.get_xdata(), dots.get_ydata()
    assert np.diff(time).tolist() == [pytest.approx(EVERY_MS)] * (len(time) - 1)
    assert late[(time < 398) | (time > 452)].tolist() == pytest.approx(
        [FLOOR_MS] * int(((time < 398) | (time > 452)).sum())
    )
    assert late.max() == pytest.approx(50)
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert low < FLOOR_MS < late.max() < high


def test_a_block_is_shaded_from_begin_to_end_as_high_as_it_was_long():
    axes, _ = lag(measured((400, 300, CALL))).figure.axes
    [(begin, end, height)] = towers(axes)
    assert begin == pytest.approx(400, abs=EVERY_MS)
    assert end == pytest.approx(700, abs=0.1)
    assert height == pytest.approx(300, abs=EVERY_MS)


def test_the_culprit_is_named_beside_its_longest_block():
    picture = lag(measured((100, 40, CODE), (300, 90, CODE), (600, 200, CALL)))
    axes, _ = picture.figure.axes
    labels = [text.get_text() for text in axes.texts]
    assert any(text.startswith("block, labapp/async_views.py:41\nblocking call: 20") for text in labels)
    assert any(text.startswith("burn_cpu, labapp/work.py:16\nblocking code: twice, up to 9") for text in labels)
    tips = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "v")
    assert tips == [pytest.approx(300, abs=EVERY_MS), pytest.approx(600, abs=EVERY_MS)]


def test_what_waits_is_hatched_and_what_computes_is_solid():
    for cause, hatched in ((CALL, True), (CODE, False)):
        [tower] = [patch for patch in lag(measured((400, 100, cause))).figure.axes[0].patches if type(patch) is Polygon]
        assert bool(tower.get_hatch()) is hatched
        assert style.EVENT_LOOP.lower() in {to_hex(tower.get_facecolor()), to_hex(tower.get_edgecolor())}


def test_limits_and_floor_are_lines_with_words_in_both_panels():
    picture = lag(measured())
    for axes in picture.figure.axes:
        assert {10.0, 100.0, FLOOR_MS} <= set(level_lines(axes))
    said = words_of(picture)
    assert {"limit of the median: 10 ms", "limit of the maximum: 100 ms", "idle floor: 0.08 ms"} <= set(said)


def test_the_sorted_lateness_gives_missed_ticks_their_weight():
    run = measured((300, 400, CALL))
    _, axes = lag(run).figure.axes
    curve = next(line for line in axes.lines if line.get_drawstyle() == "steps-pre")
    share, late = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    assert share[0] == 0
    assert share[-1] == pytest.approx(100)
    assert float(share[late < 1].max()) == pytest.approx(60, abs=1)
    marked = [line for line in axes.lines if line.get_marker() == "^"]
    [loop] = loops_of(run)
    assert list(marked[0].get_ydata()) == [loop.percentile(50), loop.percentile(99), loop.max_ms]
    assert any(text.startswith("p99 ") and "max 400 ms" in text for text in words_of(lag(run)))


def test_each_worker_has_a_row_and_a_verdict_of_its_own():
    run = measured(workers=[[(300, 200, CALL)], [], [(500, 30, CODE)]], configuration=lab.ASYNC.replace(workers=3))
    picture = lag(run)
    assert picture.alt.startswith("1 of 3 event loops was blocked once for 20")
    assert len(picture.figure.axes) == 6
    said = told(picture)
    assert "Worker 1: a problem: maximum 2" in said
    assert "Worker 2: no problem" in said
    assert len({axes.get_ylim() for axes in picture.figure.axes}) == 1


def test_workers_that_were_all_held_up_by_one_thing_are_all():
    run = measured(workers=[[(300, 200, CALL)]] * 2, configuration=lab.ASYNC.replace(workers=2))
    assert lag(run).alt.startswith("All 2 event loops were blocked twice for up to 20")


def test_of_too_many_workers_the_latest_are_drawn_and_the_others_counted():
    workers = [[(300, 10 * number, CALL)] if number else [] for number in range(MAX_ROWS + 2)]
    picture = lag(measured(workers=workers, configuration=lab.ASYNC.replace(workers=len(workers))))
    said = told(picture)
    assert len(picture.figure.axes) == 2 * MAX_ROWS
    assert "2 more event loops that were less late are not drawn" in said
    assert "Worker 1:" not in said
    assert f"Worker {MAX_ROWS + 2}:" in said


def test_of_thousands_of_ticks_no_peak_is_lost():
    run = measured((4321, 37, CALL), ends_ms=20_000)
    about = replace(run.about, end=START + 20_000 * MS)
    picture = lag(dataclasses.replace(run, about=about))
    dots = next(line for line in picture.figure.axes[0].lines if line.get_marker() == ".")
    assert len(dots.get_xdata()) < 5000
    assert max(dots.get_ydata()) == pytest.approx(37, abs=EVERY_MS)


def test_a_prediction_is_drawn_and_named():
    picture = lag(measured((400, 50, CALL)), predicted=300)
    for axes in picture.figure.axes:
        assert level_lines(axes)[300.0].get_color() == style.INK
        assert axes.get_ylim()[1] > 300
    assert "your prediction: 300 ms" in words_of(picture)
    assert not any("prediction" in text for text in words_of(lag(measured())))


def test_a_prediction_by_label_is_drawn_where_it_belongs():
    picture = lag({"one": measured(), "other": measured()}, predicted={"other": 5})
    one, _, other, _ = picture.figure.axes
    assert (5.0 in level_lines(one), 5.0 in level_lines(other)) == (False, True)


def test_a_prediction_of_nothing_is_drawn_at_the_bottom():
    picture = lag(measured(), predicted=0)
    assert LOWEST_MS in level_lines(picture.figure.axes[0])
    assert "your prediction: 0 ms" in words_of(picture)


def test_runs_have_their_configurations_colour_and_marker():
    picture = lag(measured(), measured(configuration=lab.MIXED))
    _, first, _, second = picture.figure.axes
    for axes, face in ((first, style.looks([("async", "async")])[0]), (second, style.looks([("mixed", "mixed")])[0])):
        assert any(line.get_marker() == face.marker and line.get_color() == face.colour for line in axes.lines)


def test_rows_that_were_lost_are_told():
    assert "1,234 rows of the probe were lost" in told(lag(measured(lost=1234)))


def test_a_loop_that_never_came_back_was_at_least_so_late():
    picture = lag(measured(ends_ms=600))
    [loop] = loops_of(measured(ends_ms=600))
    assert loop.pending.sum() == pytest.approx(200, abs=2)
    assert loop.max_ms == pytest.approx(400, abs=10)
    assert "A problem: maximum over " in told(picture)
    assert any(isinstance(line, Line2D) and line.get_marker() == "^" for line in picture.figure.axes[0].lines)


def test_a_loop_whose_worker_ended_is_not_called_late_for_it():
    run = measured(ends_ms=600)
    [loop] = loops_of(dataclasses.replace(run, about=replace(run.about, worker_ended=True)))
    assert not loop.pending.any()
    assert loop.max_ms == pytest.approx(FLOOR_MS)


# Arithmetic


def test_a_callback_due_at_a_random_moment_waits_half_of_a_block():
    [loop] = loops_of(measured((300, 400, CALL)))
    inside = (loop.time_ms >= 300) & (loop.time_ms < 700)
    assert loop.late_ms[inside].mean() == pytest.approx(200, abs=EVERY_MS)
    assert loop.held_up == pytest.approx(0.4, abs=0.01)


def block(ms, cause="blocking code", where="a.py:1", function="f", view=""):
    return Block(0.0, ms, ms, cause, where, function, view)


def loop_of(*blocks):
    return Loop("worker 1", np.array([0.0]), np.array([0.0]), np.array([False]), 0.0, blocks)


def test_one_long_block_weighs_more_than_many_short_ones():
    found = culprits([loop_of(block(100), *(block(5, where="b.py:2") for _ in range(99)))])
    assert [len(one.blocks) for one in found] == [1, 99]


def test_lines_of_one_function_are_one_culprit_and_the_system_is_one_wherever_it_struck():
    blocks = [block(5, where="a.py:1"), block(9, where="a.py:2"), block(3, where="a.py:2", function="g")]
    struck = [block(2, "not scheduled", f"{name}.py:1", name) for name in "xyz"]
    assert [len(one.blocks) for one in culprits([loop_of(*blocks, *struck)])] == [2, 3, 1]


def test_blocks_whose_line_nobody_saw_join_those_in_the_same_view():
    seen = [block(5, where="work.py:1", function="burn", view="app.one"), block(5, where="a.py:1", function="two")]
    unseen = [block(9, where="", function="one", view="app.one"), block(3, where="", function="two", view="app.two")]
    other = block(1, where="", function="three", view="app.three")
    found = culprits([loop_of(*unseen, other, *seen)])
    assert [(culprit.longest.ms, culprit.seen.where) for culprit in found] == [(9, "work.py:1"), (5, "a.py:1"), (1, "")]


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(3, 200)), max_size=6))
def test_whatever_held_the_loop_up_the_figure_can_be_told(stalls):
    [loop] = loops_of(measured(*((begin, length, CALL) for begin, length in stalls)))
    assert loop.percentile(50) <= loop.percentile(99) <= loop.max_ms
    assert 0 <= loop.held_up <= 1
    assert len(loop.time_ms) == pytest.approx(LASTS_MS / EVERY_MS, abs=2)


# Wrong use


def test_a_run_under_wsgi_has_no_loop():
    with pytest.raises(
        ConfigurationError, match="no event loop that could be late: gunicorn-sync speaks WSGI; measure one"
    ):
        lag(made(lab.SYNC, [{"number": 0}]))


def test_a_run_without_the_probe_is_told_what_to_do():
    with pytest.raises(ConfigurationError, match=r"no heartbeat ran on it; .*serve\(\.\.\., probe=True\)"):
        lag(made(lab.ASYNC, [{"number": 0}], probe=False))
    run = made(lab.ASYNC, [{"number": 0}])
    with pytest.raises(ConfigurationError, match="no heartbeat"):
        lag(dataclasses.replace(run, about=replace(run.about, configuration=None)))


def test_what_is_no_run_is_refused():
    with pytest.raises(ConfigurationError, match=r"lag\(\) takes runs"):
        lag(3)
    with pytest.raises(ConfigurationError, match="at most 3 runs"):
        lag(*[measured()] * 4)
    with pytest.raises(ConfigurationError, match="a lateness in ms"):
        lag(measured(), predicted="much")


# Legibility


def busy_pictures():
    four = [[(300, 301, CALL), (700, 299, CALL)], [(i * 100, 52, CODE) for i in range(9)], [(500, 12, SYSTEM)], []]
    mixture = [(20, 200, CODE), (300, 90, CALL), (450, 60, HOG), (560, 50, SYSTEM), (900, 95, CALL)]
    hog = [(i * 7 + 5, 6, HOG) for i in range(140)]
    yield lag(measured(*mixture), predicted=90)
    yield lag(measured(workers=four, configuration=lab.ASYNC.replace(workers=4)), predicted=12)
    yield lag({"sleeps": measured((400, 301, CALL)), "awaits": measured(), "computes": measured(*hog)}, predicted=50)
    yield lag(measured(workers=[mixture] * 8, configuration=lab.ASYNC.replace(workers=8)), predicted=0.08)
    yield lag({"a name that is far too long " * 4: measured(*mixture, lost=9), "x" * 60: measured((995, 300, CODE))})
    yield lag(measured(ends_ms=500))


@pytest.mark.parametrize("number", range(6))
def test_no_text_is_cut_off_or_small_or_on_another(number):
    assert_legible(next(itertools.islice(busy_pictures(), number, None)))
