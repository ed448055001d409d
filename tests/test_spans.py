"""Who serves a request, and what the probe sees inside it: counts that must come out exactly, and an order that must
hold."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest
from asgiref.sync import SyncToAsync, iscoroutinefunction, markcoroutinefunction

import requestlab as lab
from requestlab.trace.trace import Trace, TraceReader
from requestlab.worker.asgiref_hooks import Names, _record_sync_to_async, describe
from requestlab.worker.django_hooks import _wrap_views, layer_name, view_name
from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import KINDS, REQUEST, STEP, TO_THREAD
from requestlab.worker.spans import CURRENT_SPAN, TimedSteps, spanning_async, timing_steps
from requestlab.worker.wrappers import Numbers

SIGNAL, CLOSE, VIEW = ("to_thread", "signal"), ("to_thread", "close"), ("to_thread", "view")
DOWN, UP = ("to_thread", "middleware"), ("to_loop", "middleware")

AROUND = Counter([SIGNAL, CLOSE])
SEVEN = Counter({DOWN: 13})
UNDER_ASGI = {
    "none": Counter(),
    "startproject": SEVEN,
    "sync": Counter([DOWN, UP]),
    "async": Counter(),
    "hybrid": Counter(),
    "sync,sync,sync": Counter([DOWN, UP]),
    "hybrid,sync,hybrid": Counter([DOWN, UP]),
    "sync,hybrid,hybrid,hybrid": Counter([DOWN, UP]),
    "hybrid,hybrid,hybrid,sync": Counter([DOWN, UP]),
    "sync,async,sync,async": Counter({DOWN: 2, UP: 2}),
    "async,sync,async,sync": Counter({DOWN: 2, UP: 2}),
    "sync,startproject": SEVEN + Counter([DOWN, UP]),
    "startproject,sync": Counter(
        {DOWN: 2, UP: 1}
    ),  # the seven now run as sync code, all in one trip, but for process_view
}
UNDER_WSGI = {
    "none": Counter(),
    "startproject": Counter(),
    "async": Counter([UP, DOWN]),
    "hybrid,async,hybrid": Counter([UP, DOWN]),
    "sync,async,sync,async": Counter({UP: 2, DOWN: 2}),
}
LOOKED_AT = ("5.2", "6.0", "6.1")
"""What middleware crosses, by stack, is the same in these versions of Django; Django's own code around it, and the
view, add to that."""

SERVERS = ["gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"]
AT_ONCE = 12
SOME = lab.closed(AT_ONCE, each=1)


@pytest.fixture
def traced(served):
    """Measure and return a run of which all requests were answered and no span was lost; on a server that tests
    share."""

    def measure(configuration, path, load=None, **changes):
        server = served(configuration, **{"probe": True} | changes)
        run = lab.measure(server, path, load or lab.closed(1, each=3), seconds=20)
        assert run.summary["errors"] == 0
        assert set(run.requests["pid"].dropna()) <= set(server.pids)
        assert run.trace.lost == 0
        return run

    return measure


# Who serves a request


def test_a_sync_worker_runs_every_view_in_its_one_thread_and_gthread_in_its_pool(traced):
    alone, pool = (
        traced(lab.SYNC, "/sync/wait/?ms=20", SOME),
        traced(lab.SYNC, "/sync/wait/?ms=50", SOME, server="gunicorn-gthread", threads=4),
    )
    assert alone.threads["threads"].max() == 1
    assert [run.requests["thread"].nunique() for run in (alone, pool)] == [1, 4]
    assert not any(run.requests["on_loop"].any() for run in (alone, pool))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.some(2)
def test_under_asgi_sync_views_each_get_a_thread_and_async_views_share_the_event_loop(server, loop, traced):
    for path, threads in (("/sync/wait/?ms=300", AT_ONCE), ("/async/wait/?ms=50", 1)):
        run = traced(lab.SYNC, path, SOME, server=server, loop=loop)
        assert run.requests["thread"].nunique() == threads
        assert set(run.requests["on_loop"]) == {threads == 1}


def test_an_async_view_under_wsgi_runs_a_loop_of_its_own_each_time(traced):
    run = traced(lab.SYNC, "/async/wait/?ms=5", lab.closed(1, each=5))
    assert run.requests["on_loop"].all()


@pytest.mark.parametrize("server", ["gunicorn-sync", *SERVERS])
@pytest.mark.some(2)
def test_every_worker_is_named_by_its_pid(server):
    with lab.serve(lab.SYNC, server=server, workers=2, probe=True) as running:
        run = lab.measure(running, "/sync/burn/?ms=5", lab.closed(16), seconds=0.5)
        assert set(run.requests["pid"].dropna()) <= set(running.pids)
        assert set(run.threads["pid"]) == set(running.pids)


@pytest.mark.parametrize(("server", "on_loop"), [("gunicorn-sync", False), ("uvicorn", True)])
def test_a_bare_callable_is_noted_where_it_is_called(server, on_loop, traced):
    run = traced(lab.SYNC, "/", SOME, server=server, application="bare")
    assert set(run.requests["on_loop"]) == {on_loop}


def test_a_request_that_never_reaches_a_view_still_says_who_answered_it_and_threads_are_counted_while_they_live():
    with lab.serve(lab.ASGI, probe=True) as server:
        nowhere = lab.measure(server, "/nowhere/", lab.closed(2, each=2))
        run = lab.measure(server, "/sync/wait/?ms=300", lab.closed(AT_ONCE, each=1))
    assert set(nowhere.requests["status"]) == {404}
    assert set(nowhere.requests["pid"]) == set(server.pids)
    counts = run.threads["threads"]
    assert counts.iloc[0] < AT_ONCE <= counts.max()
    assert run.threads["time"].is_monotonic_increasing


def test_the_probe_is_off_unless_asked_for():
    with lab.serve(lab.SYNC) as server:
        run = lab.measure(server, "/sync/page/", lab.closed(2, each=2))
    assert run.requests[["pid", "thread", "on_loop"]].isna().all(axis=None)
    assert all(table.empty for table in (run.threads, run.spans, run.crossings, run.ticks))


# What happens inside


def counts(run):
    """How often each request crossed, and why: the same for all of them."""
    crossings = run.crossings.astype({"kind": str})
    found = {
        number: Counter(zip(part["kind"], part["origin"], strict=True)) for number, part in crossings.groupby("request")
    }
    each = [found.get(number, Counter()) for number in run.requests["number"]]
    assert all(one == each[0] for one in each)
    return each[0]


@pytest.mark.parametrize(
    ("configuration", "stack", "expected"),
    [
        *((lab.ASGI, stack, (hops + AROUND + Counter([VIEW]), hops + AROUND)) for stack, hops in UNDER_ASGI.items()),
        *((lab.SYNC, stack, (hops, hops + Counter([("to_loop", "view")]))) for stack, hops in UNDER_WSGI.items()),
    ],
    ids=lambda value: value.label if isinstance(value, lab.Configuration) else value if isinstance(value, str) else "",
)
@pytest.mark.some(6)
def test_each_stack_crosses_so_often_under_asgi_and_wsgi(configuration, stack, expected, traced):
    assert version("django").startswith(LOOKED_AT)
    for path, hops in zip(("/sync/page/", "/async/page/"), expected, strict=True):
        assert counts(traced(configuration, path, middleware=stack)) == hops, path


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.some(2)
def test_counts_do_not_depend_on_the_server_nor_on_the_event_loop(server, loop, traced):
    run = traced(lab.ASGI, "/sync/page/", server=server, loop=loop)
    assert counts(run) == SEVEN + AROUND + Counter([VIEW])


def test_counts_do_not_depend_on_how_many_requests_are_under_way(traced):
    run = traced(lab.ASGI, "/sync/wait/?ms=20", lab.closed(20, each=3))
    assert counts(run) == SEVEN + AROUND + Counter([VIEW])


def test_a_crossing_says_for_which_hook_it_was_made_and_ran_on_another_thread_when_it_says(traced):
    run = traced(lab.ASGI, "/sync/page/")
    crossings = run.crossings
    stamps = crossings[["begin", "running", "done", "end"]].to_numpy()
    assert (stamps[:, :-1] <= stamps[:, 1:]).all()
    assert (stamps > 0).all()
    assert (crossings["ran_on"] != crossings["thread"]).all()
    assert (crossings["cost_us"] > 0).all()
    names = list(crossings.loc[crossings["request"] == run.requests["number"].iloc[0], "name"])
    assert names[0] == "request_started signal"
    assert names[1:3] == ["SecurityMiddleware.process_request", "SessionMiddleware.process_request"]
    assert {"CsrfViewMiddleware.process_view", "view labapp.sync_views.page"} <= set(names)
    assert names[-2:] == ["SecurityMiddleware.process_response", "response.close"]


def test_spans_lie_within_the_span_they_belong_to_and_steps_of_a_coroutine_apart(traced):
    for path in ("/sync/page/", "/async/page/"):
        spans = traced(lab.ASGI, path).spans
        by_id = spans.set_index("id")
        for span in spans[spans["parent"] > 0].itertuples():
            parent = by_id.loc[span.parent]
            assert parent["begin"] <= span.begin <= span.end <= parent["end"], (span, parent)
            assert parent["request"] == span.request
        for _, steps in spans[spans["kind"] == "step"].groupby("parent"):
            assert (steps["end"].to_numpy()[:-1] <= steps["begin"].to_numpy()[1:]).all()


def test_middleware_is_seen_from_the_outside_in(traced):
    run = traced(lab.SYNC, "/sync/page/", middleware="startproject")
    spans = run.spans[run.spans["request"] == run.spans["request"].min()]  # others may have asked this server before
    assert list(spans["kind"].astype(str)) == ["request", *["middleware"] * 7, "view"]
    assert list(spans["name"])[1:3] == ["SecurityMiddleware", "SessionMiddleware"]
    assert spans["thread"].nunique() == 1


def test_an_async_view_is_sliced_at_its_awaits(traced):
    run = traced(lab.ASYNC, "/async/wait/?ms=30", lab.closed(1, each=1))
    spans = run.spans
    (view,) = spans[spans["kind"] == "view"].itertuples()
    slices = spans[(spans["kind"] == "step") & (spans["parent"] == view.id)]
    assert len(slices) == 2
    waited_ns = slices["begin"].iloc[1] - slices["end"].iloc[0]
    assert waited_ns > 29e6
    assert (slices["end"] - slices["begin"]).sum() + waited_ns <= view.end - view.begin


def test_a_request_says_how_many_bytes_it_sent_and_when(traced):
    for configuration, path in ((lab.SYNC, "/sync/page/"), (lab.ASGI, "/async/page/")):
        run = traced(configuration, path)
        requests = run.spans[run.spans["kind"] == "request"]
        assert set(requests["bytes"]) == set(run.requests["size"])
        assert set(requests["name"]) == {f"GET {path}"}
        stamps = requests[["begin", "running", "done", "end"]].to_numpy()
        assert (stamps[:, :-1] <= stamps[:, 1:]).all()


def test_rows_of_clients_and_spans_of_workers_join_on_one_clock(traced):
    run = traced(lab.ASGI.replace(workers=2), "/sync/page/", lab.closed(8, each=5))
    spans = run.spans[run.spans["kind"] == "request"].set_index(["pid", "request"])
    assert len(spans) == len(run.requests) == 40
    for row in run.requests.itertuples():
        span = spans.loc[(row.pid, row.number)]
        assert row.sent < span["begin"] < span["running"] < row.done


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI], ids=["wsgi", "asgi"])
def test_a_share_of_requests_can_be_traced(configuration, traced):
    run = traced(configuration, "/sync/page/", lab.closed(1, each=40), probe=0.1)
    assert run.spans["request"].nunique() == 4
    assert set(run.spans["kind"].astype(str)) >= {"request", "middleware", "view"}
    assert list(run.requests["number"]) == list(range(1, 41))


@pytest.mark.measuring
def test_a_busy_worker_traces_as_many_requests_as_the_budget_allows_and_all_where_all_are_asked_for():
    for probe, all_of_them in ((True, False), (1.0, True)):
        with lab.serve(lab.ASGI, probe=probe) as server:
            first = lab.measure(server, "/sync/page/", lab.closed(1, each=100), seconds=20)
            assert first.spans["request"].nunique() == 100
            if not all_of_them:  # until the budget is known
                lab.measure(server, "/sync/page/", lab.closed(10, each=100), seconds=60)
            busy = lab.measure(server, "/sync/page/", lab.closed(10, each=30), seconds=60)
        requests = busy.spans[busy.spans["kind"] == "request"]
        share = requests["request"].nunique() / sum(busy.about.counts.values())
        assert (share == 1) if all_of_them else (0.02 < share < 0.5)
        crossings = busy.crossings.groupby("request").size()
        assert set(crossings[crossings.index.isin(requests.loc[requests["end"] > 0, "request"])]) == {16}


def test_shares_are_spread_evenly():
    numbers = Numbers(0.25)
    assert [number for number, chosen in (numbers.next() for _ in range(12)) if chosen] == [4, 8, 12]


@pytest.mark.parametrize("configuration", [lab.SYNC.replace(server="gunicorn-gthread", threads=2), lab.ASGI], ids=str)
@pytest.mark.some(1)
def test_of_a_killed_worker_all_is_kept_until_its_end_also_where_the_server_ends_with_it(configuration):
    with lab.serve(configuration, probe=True) as server:
        (pid,) = server.pids

        def kill_it_in_the_second_views() -> None:
            with TraceReader(str(server.directory)) as recording:
                watched.set()
                while not measured.is_set():
                    spans = recording.read().spans
                    ends = spans.loc[spans["kind"] == "view", "end"]
                    if (ends > 0).any() and (ends == 0).sum() == 2:
                        os.kill(pid, signal.SIGKILL)
                        return
                    time.sleep(0.01)

        watched, measured = threading.Event(), threading.Event()
        threading.Thread(target=kill_it_in_the_second_views, daemon=True).start()
        watched.wait()
        path = "/async/wait/" if configuration == lab.ASGI else "/sync/wait/"
        run = lab.measure(server, f"{path}?ms=1500", lab.closed(2), seconds=5)
        measured.set()
    views = run.spans[(run.spans["pid"] == pid) & (run.spans["kind"] == "view")]
    assert (views["end"] > 0).any()
    assert (views["end"] == 0).sum() == 2


def test_a_trace_begins_where_it_is_entered_and_the_ring_keeps_the_newest_and_says_how_much_it_lost(recorder):
    recorder.row(STEP, begin=99)
    with TraceReader(recorder.directory) as reader:
        rows = [recorder.row(STEP, recorder.name(f"name {i}"), begin=i) for i in range(1, 77)]
        recorder.put(rows[0], 9, 77)  # gone: nothing happens
        recorder.put(rows[-1], 9, 77)
        trace = reader.read()
    assert trace.lost == 12
    assert list(trace.spans["begin"]) == list(range(13, 77))
    assert list(trace.spans["name"]) == [f"name {i}" for i in range(13, 77)]
    assert list(trace.spans["end"]) == [0] * 63 + [77]


class Layer:
    get_response = None

    def process_request(self):
        """Do nothing."""


class Answer:
    status_code = 200

    def close(self):
        """Do nothing."""


def test_names_tell_functions_classes_and_layers_apart():
    def factory():
        return lambda request: request

    assert describe(Layer().process_request) == "middleware\tLayer.process_request"
    assert describe(Answer().close) == "close\tresponse.close"
    assert describe(os.getpid).startswith("other\t")
    assert view_name(os.path.join) == "posixpath.join"
    assert (layer_name(Layer()), view_name(Layer())) == ("Layer", f"{__name__}.Layer")
    assert layer_name(factory()) == "test_names_tell_functions_classes_and_layers_apart"


def recorded_crossing(recorder):
    """A class like asgiref's own, which alone is recorded."""

    class Crossing(SyncToAsync):
        pass

    _record_sync_to_async(Crossing, recorder, Names(recorder))
    return Crossing


def within_a_request(recorder, function, *args):
    """Run an async function as if it were called within request 7; return its result and what was written."""

    async def request():
        CURRENT_SPAN.set((7, recorder.row(REQUEST, request=7, begin=1)))
        return await function(*args)

    with TraceReader(recorder.directory) as recording:
        result = asyncio.run(request())
        return result, recording.read()


@pytest.fixture
def recorder(tmp_path):
    recorder = Recorder(os.fspath(tmp_path), "spans", capacity=64)
    recorder.directory = os.fspath(tmp_path)
    return recorder


def test_a_crossing_into_a_context_of_its_own_is_stamped_and_encloses_what_it_calls(recorder):
    crossing = recorded_crossing(recorder)

    async def calls():
        context = contextvars.copy_context()
        before = CURRENT_SPAN.get()
        within = await crossing(CURRENT_SPAN.get, context=context)()
        again = await asyncio.gather(*(crossing(CURRENT_SPAN.get, context=context)() for _ in range(2)))
        one = crossing(CURRENT_SPAN.get, thread_sensitive=False)
        assert one.func == CURRENT_SPAN.get
        several = await asyncio.gather(*(one() for _ in range(5)))  # which keeps its calls apart
        return before, sorted([within, *again, *several]), context[CURRENT_SPAN], CURRENT_SPAN.get()

    (before, within, kept, after), inside = within_a_request(recorder, calls)
    crossings = inside.crossings
    assert [(7, number) for number in sorted(crossings["id"])] == within
    assert before == kept == after
    stamps = crossings[["begin", "running", "done", "end"]].to_numpy()
    assert (stamps > 0).all()
    assert (np.diff(stamps) >= 0).all()
    request = inside.spans[inside.spans["kind"] == "request"]
    assert list(request["running"]) == list(request["done"]) == [0]


def test_what_asgiref_wraps_is_still_seen_to_be_async(recorder):
    crossing = recorded_crossing(recorder)

    class View:
        @crossing
        def get(self, request):
            return request

    assert iscoroutinefunction(View.get)
    assert iscoroutinefunction(View().get)
    assert asyncio.run(View().get("without a request")) == "without a request"
    assert within_a_request(recorder, View().get, "within one")[0] == "within one"


def test_arguments_may_be_called_whatever_the_probe_calls_its_own(recorder):
    taken = {"span": 1, "func": 2, "own": 3, "recorder": 4, "crossing": 5}

    async def view(**kwargs):
        return kwargs

    crossing = recorded_crossing(recorder)(dict)
    for function in (crossing, spanning_async(recorder, STEP, "view", view, steps=True), timing_steps(recorder, view)):
        assert within_a_request(recorder, lambda function=function: function(**taken))[0] == taken


def test_a_view_may_be_an_object_without_a_hash_and_may_return_a_task(recorder):
    @dataclass
    class Unhashable:
        said: str = "answer"

        def __call__(self, request):
            return self.said

    class Starts:
        def __call__(self, request):
            return asyncio.ensure_future(asyncio.sleep(0.001, "answer"))

    class Handler:
        def make_view_atomic(self, view):
            return view

    _wrap_views(SimpleNamespace(BaseHandler=Handler), recorder)
    wrap, request = Handler().make_view_atomic, SimpleNamespace(environ={})
    assert wrap(Unhashable())(request) == "answer"
    starts = Starts()
    markcoroutinefunction(starts)
    result, inside = within_a_request(recorder, wrap(starts), request)
    assert result == "answer"
    assert (inside.spans.set_index("kind").loc["view", "end"] > 0).all()


def test_a_cancelled_coroutine_is_told_and_may_go_on(recorder):
    said = []

    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            said.append("cancelled")
            await asyncio.sleep(0)
        return "went on"

    async def cancelling():
        async def sliced():
            return await TimedSteps(recorder, stubborn(), *CURRENT_SPAN.get())

        task = asyncio.create_task(sliced())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    result, inside = within_a_request(recorder, cancelling)
    assert (result, said) == ("went on", ["cancelled"])
    assert list(inside.spans["kind"].astype(str)) == ["request", "step", "step", "step"]
    assert recorder.in_step_of == 0


def test_a_crossing_that_its_caller_did_not_wait_for_has_no_cost():
    #             pid id kind       name request parent thread begin running done end ran_on value
    rows = np.array(
        [
            [1, 1, TO_THREAD, 0, 1, 0, 5, 1000, 2000, 9000, 10000, 6, 0],
            [1, 2, TO_THREAD, 0, 1, 0, 5, 1000, 2000, 9000, 4000, 6, 0],
        ]
    )
    crossings = Trace(rows, ("other\tslow",)).crossings
    assert list(crossings["cost_us"].fillna(-1)) == [2, -1]
    assert list(crossings["inside_us"]) == [7, 7]


def test_a_tab_in_a_path_is_part_of_the_name():
    rows = np.array([[1, 1, kind, kind - 1, 1, 0, 5, kind, 0, 0, 10, 0, 0] for kind in range(1, 6)])
    spans = Trace(rows, ("GET /a\tb", "m", "v", "", "other\tf")).spans
    assert list(spans["name"]) == ["GET /a\tb", "m", "v", "", "f"]
    assert list(spans["origin"]) == ["", "", "", "", "other"]
    assert list(spans["kind"].astype(str)) == list(KINDS[1:6])
