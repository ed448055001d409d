from __future__ import annotations

import dataclasses
import itertools

import pytest
from matplotlib.colors import to_rgba

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots import style
from requestlab.plots.crossings import COLOURS, MAX_ROWS, crossings, tally
from requestlab.plots.inputs import gather
from requestlab.trace.requests import steps, waiting_us
from tests.made_trace import Notes, inside
from tests.pictures import assert_legible, bars_of, drawn_texts, made, said, words_of

LOOP, THREAD = 70, 71


class Worker(Notes):
    """Writes down spans with times in µs from the beginning of a request; each begins 10 ms after the one before."""

    requests = 0

    def request(self, took=2000, name="GET /sync/page/", thread=LOOP, end=True):
        self.requests += 1
        return self.span("request", name, 0, 0, took if end else None, thread)

    def crossing(self, name, parent, begin, there=40, inside=10, back=30, kind="to_thread", ended=True):
        """A crossing with its origin and a tab before its name."""
        thread, ran_on = (LOOP, THREAD) if kind == "to_thread" else (THREAD, LOOP)
        running, done = begin + there, begin + there + inside
        end = done + back if ended else None
        return self.span(kind, name, parent, begin, end, thread, ran_on=ran_on, running=running, done=done)

    def span(self, kind, name, parent, begin, end, thread=LOOP, *, ran_on=0, **times):
        us = {"begin": begin, "end": end} | times
        ms = {what: None if at is None else 10 * self.requests + at / 1000 for what, at in us.items()}
        return self.row(kind, **ms, request=self.requests, parent=parent, name=name, thread=thread, ran_on=ran_on)


def run_of(*workers, configuration=lab.ASGI, lost=0, answers=None, **about):
    answers = [{"number": 0} | answer for answer in answers or [{}]]
    run = made(configuration, answers, path="/sync/page/", **about)
    return dataclasses.replace(run, trace=dataclasses.replace(inside(*workers), lost=lost))


def page(worker, took=2000, more=0):
    """One request of a signal, a layer of middleware that crosses twice, a sync view, and `more` calls that the view
    makes."""
    request = worker.request(took)
    worker.crossing("signal\trequest_started signal", request, 20)
    layer = worker.span("middleware", "SessionMiddleware", request, 150, 1400)
    worker.crossing("middleware\tSessionMiddleware.process_request", layer, 160)
    view = worker.crossing("view\tview labapp.sync_views.page", layer, 300, there=50, inside=400, back=60)
    inner = worker.span("view", "labapp.sync_views.page", view, 350, 750, thread=THREAD)
    for number in range(more):
        worker.crossing("other\tlabapp.work.hop", inner, 400 + 10 * number, 2, 3, 2, kind="to_loop")
    worker.crossing("middleware\tSessionMiddleware.process_response", layer, 900)
    worker.crossing("close\tresponse.close", request, 1500)
    return request


def pages(*times, **kwargs):
    worker = Worker()
    for took in times or (2000,):
        page(worker, took, **kwargs)
    return worker


def plain(worker):
    """One request under WSGI."""
    request = worker.request(900, thread=THREAD)
    layer = worker.span("middleware", "SessionMiddleware", request, 100, 800, thread=THREAD)
    worker.span("view", "labapp.sync_views.page", layer, 200, 700, thread=THREAD)
    return worker


def seen_in(run):
    return tally(gather([run], "crossings")[0]).seen


def rows_of(run, request=None):
    return steps(run.trace, request or seen_in(run).typical(), run.event_loops)


def crossing_once(name, took=2000, **kwargs):
    """A run of one request with one crossing of that name."""
    worker = Worker()
    worker.crossing(name, worker.request(took), 20, **kwargs)
    return run_of(worker)


def bars(axes, **wanted):
    """Begin and end of each bar of that look."""
    looks = [all(getattr(patch, f"get_{name}")() == value for name, value in wanted.items()) for patch in axes.patches]
    return bars_of(*itertools.compress(axes.patches, looks))


# The finding


WRITTEN = """
■ asgi | /sync/page/, 1 users; 1 request traced; one cell below is one crossing | your prediction: 1
1 signal | 2 middleware | 1 view | 1 close | 5 crossings per request | 70 µs each, in the median
the only request
2.0 ms in the application; 5 crossings cost 390 µs, 20% of its time; the view's own code ran for 400 µs, 20%
request GET /sync/page/ | request_started signal | 40 + 30 | = 70 | SessionMiddleware
SessionMiddleware.process_request | 40 + 30 | = 70 | view labapp.sync_views.page | 50 + 60 | = 110
SessionMiddleware.process_response | 40 + 30 | = 70 | response.close | 40 + 30 | = 70 | there + back | = cost, µs
µs since the request reached the application | runs on a thread | runs on the event loop | waits for a thread
waits for the event loop | waits for what is inside it
5 crossings in a request under asgi, 2 for middleware; together 20% of its time
A crossing is a call of sync_to_async or async_to_sync: from the event loop to a thread and back, or the other way round. \
Its cost: there, from the call until the function begins on the other side; and back, from its end until the caller goes on.
a processor, 2 cores · Linux 6.1 · Python 3.13.0 · Django 6.0 · asgiref 3.13 · uvicorn 0.54 on asyncio
"""


def test_all_that_is_written_of_one_run():
    picture = crossings(run_of(pages()), predicted=1)
    written = [" ".join(text.split()) for text in words_of(picture)]
    assert written == WRITTEN.strip().replace("\n", " | ").split(" | ")
    assert " ".join(picture.alt.split()).removesuffix(".") in written


def test_the_middleware_of_another_stack_is_told_otherwise():
    worker = Worker()
    outer = worker.crossing("middleware\tsync_layer", worker.request(), 10, inside=900)
    layer = worker.span("middleware", "sync_layer", outer, 60, 940, thread=THREAD)
    worker.crossing("middleware\tasync_layer", layer, 100, inside=400, kind="to_loop")
    picture = crossings(run_of(worker, configuration=lab.ASGI.replace(middleware="sync,async")))
    assert "2 crossings in a request under asgi, middleware=sync,async; together " in said(picture)


def test_a_run_without_a_crossing_says_so_and_shows_its_layers():
    picture = crossings(run_of(plain(Worker()), configuration=lab.SYNC), predicted=2)
    assert picture.alt == "No crossing: one thread runs the whole request under sync."
    text = words_of(picture)
    assert {"no crossing", "SessionMiddleware", "view labapp.sync_views.page", "your prediction: 2"} <= set(text)
    assert not any("cost" in one for one in text)


def test_several_runs_are_compared_by_their_counts():
    picture = crossings({"all": run_of(pages()), "busy": run_of(pages(more=6)), "wsgi": run_of(plain(Worker()))})
    assert picture.alt == "busy: a request crosses 11 times; wsgi: never."
    assert "µs" not in said(picture)  # costs beside counts would be compared, and are of other requests
    assert (
        crossings({"one": run_of(pages()), "two": run_of(pages())}).alt == "Each request crosses 5 times, under all 2."
    )
    assert {"5 crossings per request", "11 crossings per request", "no crossing", "6 other"} <= set(words_of(picture))
    assert {axes.get_xlim() for axes in picture.figure.axes} == {picture.figure.axes[0].get_xlim()}


# Counts


def test_there_is_a_cell_for_each_crossing_in_the_colour_of_its_origin():
    axes = crossings(run_of(pages())).figure.axes[0]
    found = [bars(axes, facecolor=to_rgba(colour), linewidth=1.2) for colour in COLOURS.values()]
    assert found == [[(0, 1)], [(1, 2), (2, 3)], [(3, 4)], [(4, 5)], []]
    assert len(set(COLOURS.values()) | {style.THREAD, style.EVENT_LOOP}) == len(COLOURS) + 2


def test_counts_that_differ_among_requests_are_told_from_fewest_to_most():
    worker = pages(2000, 2000)
    page(worker, more=2)
    picture = crossings(run_of(worker))
    assert "5 to 7 crossings in a request under asgi; together " in said(picture)
    assert {"5 to 7 crossings per request", "most often 5; 70\N{NO-BREAK SPACE}µs each, in the median"} <= set(
        words_of(picture)
    )
    assert "the median of 2 of them that cross so often" in said(picture)
    assert [5, 7] in [list(line.get_xdata()) for line in picture.figure.axes[0].lines]


def test_requests_that_have_not_ended_and_by_what_the_clients_know_failed_ones_and_the_warm_up_are_left_out():
    worker = Worker()
    for more in (9, 0, 5):  # the warm-up's, an answer, a failure
        page(worker, more=more)
    worker.crossing("signal\trequest_started signal", worker.request(end=False), 20, ended=False)
    assert seen_in(run_of(worker)).range == (5, 14)
    assert seen_in(run_of(worker, answers=[{"number": 2}, {"number": 3, "status": 500}])).range == (5, 5)


def test_requests_of_two_workers_are_not_mixed_up():
    one, other = pages(), Worker(8)
    page(other, more=3)
    run = run_of(one, other)
    assert seen_in(run).range == (5, 8)
    assert len(rows_of(run, (8, 1))) == len(rows_of(run, (7, 1))) + 3


# Rows


def test_rows_are_in_order_of_beginning_and_indented_by_what_is_around_them():
    rows = rows_of(run_of(pages()))
    assert [(row.depth, row.label) for row in rows] == [
        (0, "request GET /sync/page/"),
        (1, "request_started signal"),
        (1, "SessionMiddleware"),
        (2, "SessionMiddleware.process_request"),
        (2, "view labapp.sync_views.page"),
        (2, "SessionMiddleware.process_response"),
        (1, "response.close"),
    ]
    places = {text.get_text(): box.x0 for text, box in drawn_texts(crossings(run_of(pages())))}
    assert places["request GET /sync/page/"] < places["SessionMiddleware"] < places["SessionMiddleware.process_request"]


def test_a_crossing_and_the_view_that_it_leads_into_are_one_row_with_what_that_calls_inside():
    rows = {row.label: row for row in rows_of(run_of(pages(more=2)))}
    view = rows["view labapp.sync_views.page"]
    assert (view.crossing, view.inside, view.on_loop) == (True, "view", False)
    assert view.own_us == pytest.approx(400 - 2 * 7)  # less the two calls within
    assert rows["labapp.work.hop"].depth == view.depth + 1


def test_a_bar_waits_hatched_for_the_thread_runs_solid_and_waits_hatched_for_the_loop():
    axes = crossings(run_of(pages())).figure.axes[1]
    assert (300, 350) in bars(axes, hatch="////////", edgecolor=to_rgba(style.THREAD))
    assert (350, 750) in bars(axes, hatch=None, facecolor=to_rgba(style.THREAD))
    assert (750, 810) in bars(axes, hatch="////////", edgecolor=to_rgba(style.EVENT_LOOP))


def test_async_code_is_solid_in_its_steps_or_those_of_the_request_around_it_outside_of_what_is_inside():
    worker = Worker()
    request = worker.request(1000)
    worker.span("step", "", request, 0, 200)
    layer = worker.span("middleware", "Layer", request, 50, 900)
    worker.crossing("middleware\tLayer.process_request", layer, 120)
    view = worker.span("view", "labapp.async_views.page", layer, 300, 800)
    for begin, end in ((310, 350), (600, 700)):
        worker.span("step", "", view, begin, end)
    rows = {row.kind: row for row in rows_of(run_of(worker))}
    assert rows["request"].solid_us.tolist() == [[0, 50]]
    assert rows["middleware"].solid_us.tolist() == [[50, 120]]
    assert rows["view"].solid_us.tolist() == [[310, 350], [600, 700]]
    assert rows["view"].on_loop
    assert "the view's own code ran for 140 µs, 14%" in said(crossings(run_of(worker)))


def test_many_crossings_alike_in_a_row_are_one_row():
    rows = rows_of(run_of(pages(more=12)))
    assert rows[-3].label == "labapp.work.hop ×12"
    assert rows[-3].there_us + rows[-3].back_us == pytest.approx(12 * 4)
    assert [row.label for row in rows_of(run_of(pages(more=2)))].count("labapp.work.hop") == 2


def test_crossings_at_the_same_time_take_their_share_once():
    worker = Worker()
    request = worker.request(1000)
    for name in ("a", "b"):
        worker.crossing(f"other\t{name}", request, 100, there=100, inside=100, back=100)
    assert waiting_us(rows_of(run_of(worker))) == pytest.approx(200)


def test_the_share_of_time_in_the_title_is_the_median_over_requests():
    text = said(crossings(run_of(pages(1950, 3900, 3900))))
    assert "together 10% of its time" in text
    assert "5 crossings cost 390 µs, 10% of its time" in text


def test_the_request_of_median_time_is_drawn():
    assert "3.0 ms in the application" in said(crossings(run_of(pages(5000, 2000, 3000))))


# What is hard to draw


def test_rows_that_are_too_many_are_counted():
    worker = Worker()
    request = worker.request(9000)
    for number in range(MAX_ROWS + 5):
        worker.crossing(f"other\tcall {number}", request, 100 * number)
    assert "and 6 more rows, not drawn" in words_of(crossings(run_of(worker)))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (crossing_once("other\tlabapp.work.stuck", ended=False), "not ended"),
        (crossing_once("middleware\tsome.project.middleware.Layer.process_request"), "Layer.process_request"),
        (crossing_once("other\tcall", 50_000), "ms since the request reached the application"),
        (run_of(pages(), lost=12), "The probe had no room left for 12 rows, the oldest ones."),
    ],
    ids=["never came back", "modules before a class are left out", "long requests are drawn in ms", "rows were lost"],
)
def test_what_is_unusual_is_told(run, words):
    assert words in said(crossings(run))
    assert words not in said(crossings(run_of(pages())))


def test_costs_of_many_digits_keep_off_the_bars():
    run = crossing_once("signal\trequest_started signal", 300_000, there=123_456, back=98_765)
    picture = crossings(run)
    right = picture.figure.axes[1].get_position().x1
    placed = {text.get_text(): box for text, box in drawn_texts(picture)}
    assert placed["123,456 + 98,765"].x0 > right
    assert placed["= 222,221"].x1 < 1


def test_a_name_that_is_too_long_loses_its_beginning():
    picture = crossings(crossing_once(f"other\t{'a_very_long_package.' * 5}function"))
    assert any(text.startswith("…") and text.endswith("function") for text in words_of(picture))


@pytest.mark.parametrize("more", [0, 300])
def test_nothing_overlaps_or_is_cut_off(more):
    assert_legible(crossings(run_of(pages(2000, 2100, more=more)), predicted=4))
    worker = pages(2000, 2000, more=more)
    page(worker, more=more + 3)
    runs = {"a run": run_of(worker), "wsgi": run_of(plain(Worker()))}
    assert_legible(crossings(runs, predicted={"a run": 99, "wsgi": 0}))


# What the reader asks for


def test_a_prediction_is_drawn_where_as_many_cells_would_end():
    picture = crossings(run_of(pages()), predicted=1)
    assert [1.0, 1.0] in [list(line.get_xdata()) for line in picture.figure.axes[0].lines]
    several = crossings({"a": run_of(pages()), "b": run_of(pages())}, predicted={"b": 30})
    assert words_of(several).count("your prediction: 30") == 1
    assert several.figure.axes[0].get_xlim()[1] >= 30


@pytest.mark.parametrize(
    ("runs", "change", "words"),
    [
        (
            made(lab.ASGI, [{"number": 0}], probe=False),
            {},
            r"does not know what happened inside.*serve\(\.\.\., probe=True\)",
        ),
        (run_of(pages()), {"predicted": "much"}, "a number of crossings per request"),
        (run_of(pages()), {"predicted": {"nobody": 3}}, "the runs are asgi"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(runs, change, words):
    with pytest.raises(ConfigurationError, match=words):
        crossings(runs, **change)


# Real servers


def test_under_mixed_each_hop_is_a_row_and_names_the_middleware_that_caused_it(served):
    run = lab.measure(served(lab.ASGI, probe=True), "/sync/page/", lab.closed(1, each=5), seconds=1)
    words = set(words_of(crossings(run)))
    caused = {"request_started signal", "SessionMiddleware.process_request", "view labapp.sync_views.page"}
    assert caused | {"response.close"} <= words
    number = len(run.crossings) / run.crossings["request"].nunique()
    assert f"{number:.0f} crossings per request" in words
