"""Traces are checked against the rules of the format, more strictly than the programs that open them do."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import requestlab as lab
from requestlab.measurement.chrome import MARK_NS, UNFINISHED, trace_events
from requestlab.measurement.run import Run
from requestlab.worker.schema import KINDS
from tests.conftest import ALL_CASES
from tests.made_runs import MS, START, made
from tests.made_trace import Notes, inside

Event = dict[str, Any]

PID, LOOP, THREAD, OTHER = 400, 400, 401, 402
US = 1_000


def ns(us: float) -> int:
    """Read a time as Perfetto does, which cuts off what is below a nanosecond."""
    return int(Fraction(us) * 1_000)


def check(events: list[Event]) -> None:
    """Raise AssertionError where events break a rule of the format."""
    json.dumps(events, allow_nan=False)
    assert all(set(event) >= {"ph", "pid", "tid"} and event["ph"] in "MXbestfCi" for event in events)
    timed = [event for event in events if event["ph"] != "M"]
    assert all(isinstance(event["ts"], float) and event["ts"] >= 0 for event in timed)
    assert timed == sorted(timed, key=lambda event: event["ts"])
    assert all(isinstance(event["pid"], int) and isinstance(event["tid"], int) for event in events)
    assert all(event.get("name") for event in timed)
    slices = check_slices([event for event in timed if event["ph"] == "X"])
    check_async([event for event in timed if event["ph"] in "be"])
    check_flows([event for event in timed if event["ph"] in "stf"], slices)
    assert all(event["s"] in "gpt" for event in timed if event["ph"] == "i")
    for event in timed:
        if event["ph"] == "C":
            assert event["args"]
            assert all(isinstance(value, float) for value in event["args"].values())
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert {lane for lane, _ in slices} <= named
    assert {e["pid"] for e in timed if e["pid"]} <= {e["pid"] for e in events if e["name"] == "process_name"}


def check_slices(events: list[Event]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """On each thread, slices lie within each other or apart, and what holds another comes before it."""
    stacks: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    found = []
    for event in events:
        lane = (event["pid"], event["tid"])
        begin = ns(event["ts"])
        end = begin + ns(event["dur"])
        assert end >= begin
        stack = stacks[lane]
        while stack and stack[-1][1] <= begin:
            stack.pop()
        assert not stack or end <= stack[-1][1], f"{event} overlaps what began before it"
        stack.append((begin, end))
        found.append((lane, (begin, end)))
    return found


def check_async(events: list[Event]) -> None:
    """Each `b` has an `e` of the same category, id and name, and those with the same id nest."""
    stacks: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        stack = stacks[event["cat"], event["id"]]
        if event["ph"] == "b":
            stack.append(event)
        else:
            begun = stack.pop()
            assert (begun["name"], begun["pid"]) == (event["name"], event["pid"])
            assert begun["ts"] <= event["ts"]
    assert not any(stacks.values())


def check_flows(events: list[Event], slices: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """Each arrow begins once, ends once, in that order, and every point of it lies in a slice that begins just then."""
    points: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        points[event["id"]].append(event)
    begins = {(lane, begin) for lane, (begin, _) in slices}
    for identity, own in points.items():
        assert identity.startswith("0x")
        assert int(identity, 16) < 2**64
        assert "".join(event["ph"] for event in own) in ("sf", "stf")
        assert own[-1]["bp"] == "e"
        assert len({(event["name"], event["cat"]) for event in own}) == 1
        for event in own:
            assert ((event["pid"], event["tid"]), ns(event["ts"])) in begins


def traced(rows: list[dict[str, Any]], *, on_loop: int = 1, **about: Any) -> Run:
    """Return a run with these rows of probes: cells by name, times in µs after its beginning. `on_loop`: what the
    thread LOOP says of itself in the answer to the one request."""
    notes = Notes(PID, LOOP)
    for row in rows:
        times = {cell: row[cell] / 1_000 for cell in ("begin", "running", "done", "end") if row.get(cell) is not None}
        notes.row(**{"end": None} | {cell: value for cell, value in row.items() if value is not None} | times)
    run = made([{"pid": PID, "thread": LOOP, "on_loop": on_loop, "number": 1}], **about)
    return dataclasses.replace(run, trace=inside(notes))


def events_of(run: Run) -> list[Event]:
    """Return the events of a run's trace, which break no rule."""
    events = trace_events(run)
    check(events)
    return events


def of_phase(run: Run, phase: str) -> list[Event]:
    return [event for event in events_of(run) if event["ph"] == phase and event["pid"] == PID]


def spans(run: Run) -> list[tuple[str, int, float, float]]:
    """Return name, thread, begin and end (µs after the run began) of the complete events of the worker."""
    return [
        (event["name"], event["tid"], ns(event["ts"]) / 1e3, (ns(event["ts"]) + ns(event["dur"])) / 1e3)
        for event in of_phase(run, "X")
    ]


def names(run: Run, phase: str) -> list[str]:
    return [event["name"] for event in of_phase(run, phase)]


REQUEST = {"kind": "request", "id": 1, "name": "GET /", "begin": 1, "end": 1_000, "value": 15}
TICK = {"kind": "tick", "request": 0}
SIGNAL = "request_started signal"


def span(kind: str, number: int, parent: int, begin: float, end: float | None, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "id": number, "parent": parent, "begin": begin, "end": end, **more}


def hop(number: int, begin: float = 20, **more: Any) -> dict[str, Any]:
    """A crossing to a thread and back, as a row."""
    times = {"begin": begin, "running": begin + 100, "done": begin + 150, "end": begin + 200}
    told = {"kind": "to_thread", "id": number, "parent": 1, "name": f"signal\t{SIGNAL}", "ran_on": THREAD}
    return times | told | more


PAUSES = [
    REQUEST,
    span("step", 2, 1, 2, 10),
    span("view", 3, 1, 5, 700, name="app.view"),
    span("step", 4, 3, 6, 9),
    span("step", 5, 1, 600, 720),
]
NEVER_PAUSES = [
    REQUEST,
    span("step", 2, 1, 2, 100),
    span("middleware", 3, 1, 10, 90, name="Quick"),
    span("view", 4, 3, 20, 80, name="app.view"),
]
ON_A_THREAD = [
    REQUEST,
    span("middleware", 2, 1, 5, 900, name="Outer"),
    span("middleware", 3, 2, 5, 900, name="Inner"),
    span("view", 4, 3, 50, 900, name="app.view"),
]
A_LAYER = ["GET /", "Outer", "Inner", "view app.view"]


@pytest.mark.parametrize(
    ("rows", "on_loop", "complete", "apart"),
    [
        (PAUSES, 1, ["GET /", "view app.view", "GET /"], ["GET /", "view app.view"]),
        (NEVER_PAUSES, 1, ["GET /", "Quick", "view app.view"], ["GET /"]),
        (ON_A_THREAD, 0, A_LAYER, []),
        (ON_A_THREAD, 1, [], A_LAYER),
        ([REQUEST], 0, ["GET /"], []),
        ([REQUEST], 1, [], ["GET /"]),
        ([span("step", 8, 4, 2, 30)], 1, ["step"], []),  # the row of what it is a step of was lost
    ],
)
def test_what_ran_without_a_pause_is_a_complete_event_and_all_else_an_async_one(rows, on_loop, complete, apart):
    run = traced(rows, on_loop=on_loop)
    assert names(run, "X") == complete
    assert names(run, "b") == apart


def test_steps_of_a_coroutine_have_its_name_and_a_request_says_its_number_and_its_bytes():
    run = traced(PAUSES)
    found = [("GET /", LOOP, 2.0, 10.0), ("view app.view", LOOP, 6.0, 9.0), ("GET /", LOOP, 600.0, 720.0)]
    assert spans(run) == found
    assert of_phase(run, "X")[1]["args"] == {"request": 1, "of": 3}
    (request, *_) = of_phase(run, "b")
    assert request["args"] == {"request": 1, "bytes": 15}
    assert request["id"] == f"{PID}:1"


def test_a_hop_to_a_thread_is_a_slice_there_two_marks_here_an_arrow_through_all_three_and_an_async_event():
    run = traced([REQUEST, span("step", 2, 1, 2, 30), hop(3)])
    assert spans(run) == [
        ("GET /", LOOP, 2.0, 30.0),
        (f"calls {SIGNAL}", LOOP, 20.0, 21.0),
        (SIGNAL, THREAD, 120.0, 170.0),
        (f"goes on after {SIGNAL}", LOOP, 220.0, 221.0),
    ]
    points = [(event["ph"], event["tid"], ns(event["ts"])) for name in "stf" for event in of_phase(run, name)]
    assert points == [("s", LOOP, 20 * US), ("t", THREAD, 120 * US), ("f", LOOP, 220 * US)]
    assert names(run, "b") == ["GET /", f"sync_to_async: {SIGNAL}", "there", "inside", "back"]
    assert of_phase(run, "b")[1]["args"] == {"request": 1, "origin": "signal"}


@pytest.mark.parametrize(
    ("rows", "tracks"),
    [
        ([hop(2), hop(3, 30, ran_on=OTHER)], 2),
        ([hop(2, done=900, end=950), hop(3, 200, parent=2, ran_on=OTHER, thread=THREAD)], 1),
        ([hop(2, done=900, end=950), hop(3, 200, parent=1, ran_on=OTHER, thread=THREAD)], 2),  # began beside it
    ],
)
def test_of_hops_at_the_same_time_only_what_began_within_another_is_drawn_within_it(rows, tracks):
    ids = {event["id"] for event in of_phase(traced([REQUEST, *rows]), "b")}
    assert ids == {f"{PID}:1", f"{PID}:1/1"} if tracks == 2 else {f"{PID}:1"}


def test_a_sync_thread_that_waits_for_a_coroutine_holds_what_it_runs_meanwhile_and_the_coroutine_its_steps():
    rows = [
        REQUEST,
        span("to_loop", 2, 1, 10, 850, name="view\tview v", ran_on=OTHER, running=40, done=800),
        span("view", 3, 2, 41, 799, name="v", thread=OTHER),
        span("step", 4, 3, 42, 50, thread=OTHER),
        hop(5, 100, parent=3, thread=OTHER, ran_on=LOOP),
    ]
    found = spans(traced(rows, on_loop=0))
    assert ("async_to_sync: view v", LOOP, 10.0, 850.0) in found
    assert (SIGNAL, LOOP, 200.0, 250.0) in found  # on the thread that waits
    assert ("goes on after view v", LOOP, 850.0, 851.0) in found
    on_the_loop = [(name, begin, end) for name, thread, begin, end in found if thread == OTHER]
    assert on_the_loop[:2] == [("begins view v", 40.0, 41.0), ("view v", 42.0, 50.0)]


def test_spans_without_an_end_are_closed_where_the_worker_was_last_heard_of_and_marked():
    rows = [
        REQUEST | {"end": None},
        span("step", 2, 1, 2, 30),
        hop(3, done=None, end=None),
        span("view", 4, 3, 130, None, name="v", thread=THREAD),
        TICK | {"begin": 400, "end": 500},
    ]
    run = traced(rows)
    assert (f"{SIGNAL} ({UNFINISHED})", THREAD, 120.0, 500.0) in spans(run)
    assert (f"view v ({UNFINISHED})", THREAD, 130.0, 500.0) in spans(run)
    (request, *_) = of_phase(run, "b")
    assert request["args"][UNFINISHED] is True
    assert {ns(e["ts"]) for e in of_phase(run, "e") if UNFINISHED in e["name"]} == {500 * US}
    assert "".join(e["ph"] for e in events_of(run) if e["ph"] in "stf") == "sf"  # there, and not back


def test_a_call_that_was_given_up_while_its_thread_went_on_counts_as_long_as_the_call():
    run = traced([REQUEST, hop(2, done=None, end=150), hop(3, 300)])
    assert (f"{SIGNAL} ({UNFINISHED})", THREAD, 120.0, 150.0) in spans(run)


def test_how_late_the_event_loop_was_is_a_counter_and_looks_at_it_are_instants():
    ticks = [(100, 101), (200, 50_200), (60_000, None), (61_000, 70_000)]
    look = {"kind": "stack", "begin": 200, "end": 30_000, "name": "a.py:1 run\nb.py:41 block", "request": 0}
    run = traced([*(TICK | {"begin": due, "end": ran} for due, ran in ticks), look])
    assert [event["args"]["ms"] for event in of_phase(run, "C")] == [0.001, 50.0, 10.0, 9.0]
    (seen,) = of_phase(run, "i")
    assert seen["name"] == "overdue: b.py:41 block"
    assert seen["args"]["stack"].splitlines()[0] == "a.py:1 run"


def test_clients_are_a_process_with_an_async_event_for_each_request_and_its_parts():
    never = {"sent": 0, "first_byte": 0, "done": START + 7 * MS, "status": 0, "error": 1, "user": -1}
    rows = [
        {"planned": START + 5 * MS, "sent": START + 6 * MS, "first_byte": START + 8 * MS, "done": START + 9 * MS},
        {"planned": START + 6 * MS} | never,
        {"planned": START - 4 * MS, "sent": START - 4 * MS, "first_byte": START - 3 * MS, "done": START - 2 * MS},
    ]
    begun = [event for event in events_of(made(rows, path="/a/")) if event["ph"] == "b"]
    found = [(event["id"], event["name"], ns(event["ts"]) // MS) for event in begun]
    assert sorted(found, key=lambda one: one[0]) == [
        ("1:0", "/a/", 0),
        ("1:0", "waits", 0),
        ("1:0", "answer", 1),
        ("1:1", "/a/", 9),
        ("1:1", "late", 9),
        ("1:1", "waits", 10),
        ("1:1", "answer", 12),
        ("1:2", "/a/", 10),
        ("1:2", "late", 10),
    ]
    (failed,) = [event for event in begun if "error" in event["args"]]
    assert failed["args"]["warmup"] is False


def test_clients_beside_are_another_process_and_all_begins_with_the_first_request_planned():
    other = made([{"planned": START - 50 * US, "done": START + MS}], load="2 requests/s")
    events = events_of(dataclasses.replace(traced([REQUEST], on_loop=0), beside={"/other/": other}))
    titles = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert titles == {"clients, 1 user", "clients beside, 2 requests/s", f"worker {PID}"}
    assert min(ns(event["ts"]) for event in events if event["ph"] == "b") == 0
    assert [ns(event["ts"]) for event in events if event["ph"] == "X"] == [51 * US]


def test_a_worker_with_the_number_of_the_clients_process_is_not_mixed_up_with_them():
    events = events_of(traced([REQUEST | {"pid": 1, "thread": 1}]))
    assert len({event["pid"] for event in events if event["name"] == "process_name"}) == 2


def test_what_was_written_down_before_the_first_request_was_planned_is_left_out():
    run = traced([REQUEST | {"begin": -500, "end": -100}, TICK | {"begin": -100, "end": 3}], on_loop=0)
    assert len(of_phase(run, "X")) == len(of_phase(run, "C")) == 0


def test_a_run_without_probe_or_requests_is_a_trace_too_and_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "one.json"
    for run in (made([{}]), made([])):
        trace = json.loads(run.save_chrome_trace(target).read_text())
        check(trace["traceEvents"])
        assert trace["displayTimeUnit"] == "ms"
    before = target.read_text()
    monkeypatch.setattr(os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        made([{}]).save_chrome_trace(target)
    assert target.read_text() == before
    assert os.listdir(tmp_path) == ["one.json"]


LONG = st.one_of(st.none(), st.integers(0, 40))


@st.composite
def written(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows as a probe may leave them: any of them lost, any end unknown, any call given up; times of a few µs, so
    that many are the same."""
    rows = []
    for number in range(1, draw(st.integers(1, 12))):
        begin, there, inside, whole = draw(st.tuples(st.integers(0, 40), LONG, LONG, LONG))
        running = None if there is None else begin + there
        row = {
            "id": number,
            "kind": draw(st.sampled_from(KINDS[1:])),
            "name": draw(st.sampled_from(["a", "signal\tb", "view\tview c"])),
            "request": draw(st.integers(0, 2)),
            "parent": draw(st.integers(0, number - 1)),
            "thread": draw(st.sampled_from([LOOP, THREAD, OTHER])),
            "ran_on": draw(st.sampled_from([LOOP, THREAD, OTHER])),
            "begin": begin,
            "running": running,
            "done": None if running is None or inside is None else running + inside,
            "end": None if whole is None else begin + whole,
        }
        rows.append(row)
    return rows


@settings(max_examples=150 if ALL_CASES else 50, deadline=None)
@given(written(), st.integers(0, 1))
def test_whatever_a_probe_wrote_down_breaks_no_rule(rows, on_loop):
    events_of(traced(rows, on_loop=on_loop))


@pytest.mark.parametrize(
    ("configuration", "path"),
    [
        (lab.ASGI, "/sync/wait/?ms=2"),
        (lab.ASYNC.replace(loop="uvloop"), "/async/wait/?ms=2"),
        (lab.SYNC, "/async/wait/?ms=2"),
    ],
    ids=str,
)
@pytest.mark.some(1)
def test_real_runs_become_traces_by_the_rules(configuration, path, tmp_path, served):
    run = lab.measure(served(configuration, probe=True), path, lab.closed(4, each=4))
    events = json.loads(run.save_chrome_trace(tmp_path / "one.json").read_text())["traceEvents"]
    check(events)
    workers = {event["pid"] for event in events if event["ph"] == "X"}
    assert workers == set(run.requests["pid"])
    hops = [event for event in events if event["ph"] == "s"]
    assert len(hops) == int((run.crossings["running"] > 0).sum())
    assert not any(UNFINISHED in event["name"] for event in events)
    views = [event for event in events if event["name"].startswith("view labapp") and event["ph"] in "Xb"]
    assert len(views) >= 16
    assert MARK_NS == US
