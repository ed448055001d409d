"""Traces are checked against the rules of the format, more strictly than the programs that open them do."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import requestlab as lab
from requestlab.measurement.run import Run
from requestlab.trace.chrome import MARK_NS, UNFINISHED, trace_events, write_trace
from requestlab.trace.trace import COLUMNS, Trace
from requestlab.worker.schema import KINDS
from tests.made_runs import MS, START, made

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


def traced(rows: list[dict[str, Any]], requests: int = 1, **about: Any) -> Run:
    """Return a run with these rows of probes: cells by name, times in µs after its beginning, kind and name as texts."""
    names: list[str] = [""]
    filled = []
    for row in rows:
        row = {"pid": PID, "request": 1, "thread": LOOP} | row
        for cell in ("begin", "running", "done", "end"):
            row[cell] = START + int(row[cell] * US) if row.get(cell) is not None else 0
        names.append(row.get("name", ""))
        row |= {"kind": KINDS.index(row["kind"]), "name": len(names) - 1}
        filled.append([row.get(cell, 0) for cell in COLUMNS])
    inside = Trace(np.array(filled, dtype=np.int64).reshape(-1, len(COLUMNS)), tuple(names))
    run = made([{"pid": PID, "thread": LOOP, "on_loop": 1, "number": n + 1} for n in range(requests)], **about)
    return Run(run.samples, run.thread_samples, run.about, inside)


def hop(begin: float = 20, **more: Any) -> dict[str, Any]:
    """A crossing to a thread and back, as a row."""
    times = {"begin": begin, "running": begin + 100, "done": begin + 150, "end": begin + 200}
    return {"kind": "to_thread", "name": "signal\trequest_started signal", "ran_on": THREAD} | times | more


REQUEST = {"kind": "request", "id": 1, "name": "GET /", "begin": 1, "end": 1_000, "value": 15}


def of_phase(run: Run, phase: str) -> list[Event]:
    events = trace_events(run)
    check(events)
    return [event for event in events if event["ph"] == phase and event["pid"] == PID]


def spans(run: Run, phase: str = "X") -> list[tuple[str, int, float, float]]:
    """Return name, thread, begin and end (µs after the run began) of the complete events of the worker."""
    return [
        (event["name"], event["tid"], ns(event["ts"]) / 1e3, (ns(event["ts"]) + ns(event["dur"])) / 1e3)
        for event in of_phase(run, phase)
    ]


def names(run: Run, phase: str) -> list[str]:
    return [event["name"] for event in of_phase(run, phase)]


def test_a_request_of_a_coroutine_is_async_and_its_slices_are_complete_events():
    run = traced(
        [
            REQUEST,
            {"kind": "step", "id": 2, "parent": 1, "begin": 2, "end": 10},
            {"kind": "view", "id": 3, "parent": 1, "name": "app.view", "begin": 5, "end": 700},
            {"kind": "step", "id": 4, "parent": 3, "begin": 6, "end": 9},
            {"kind": "step", "id": 5, "parent": 1, "begin": 600, "end": 720},
        ]
    )
    assert spans(run) == [
        ("GET /", LOOP, 2.0, 10.0),
        ("view app.view", LOOP, 6.0, 9.0),
        ("GET /", LOOP, 600.0, 720.0),
    ]
    assert names(run, "b") == ["GET /", "view app.view"]
    (request, *_) = of_phase(run, "b")
    assert request["args"] == {"request": 1, "bytes": 15}
    assert request["id"] == f"{PID}:1"


def test_a_span_of_a_coroutine_that_never_paused_is_a_complete_event_within_its_slice():
    run = traced(
        [
            REQUEST,
            {"kind": "step", "id": 2, "parent": 1, "begin": 2, "end": 100},
            {"kind": "middleware", "id": 3, "parent": 1, "name": "Quick", "begin": 10, "end": 90},
            {"kind": "view", "id": 4, "parent": 3, "name": "app.view", "begin": 20, "end": 80},
        ]
    )
    assert [name for name, *_ in spans(run)] == ["GET /", "Quick", "view app.view"]
    assert names(run, "b") == ["GET /"]


def test_everything_of_a_sync_worker_is_complete_events_on_its_thread():
    run = traced(
        [
            REQUEST,
            {"kind": "middleware", "id": 2, "parent": 1, "name": "Outer", "begin": 5, "end": 900},
            {"kind": "middleware", "id": 3, "parent": 2, "name": "Inner", "begin": 5, "end": 900},
            {"kind": "view", "id": 4, "parent": 3, "name": "app.view", "begin": 50, "end": 900},
        ]
    )
    assert [name for name, *_ in spans(run)] == ["GET /", "Outer", "Inner", "view app.view"]
    assert names(run, "b") == []


def test_requests_under_asgi_are_never_complete_events_even_where_nothing_else_was_written():
    about = {"configuration": lab.MIXED}
    assert names(traced([REQUEST], **about), "X") == []
    assert names(traced([REQUEST], configuration={"interface": "wsgi"}), "X") == ["GET /"]


def test_a_hop_to_a_thread_is_a_slice_there_two_marks_here_and_an_arrow_through_all_three():
    run = traced([REQUEST, {"kind": "step", "id": 2, "parent": 1, "begin": 2, "end": 30}, hop(id=3, parent=1)])
    signal = "request_started signal"
    assert spans(run) == [
        ("GET /", LOOP, 2.0, 30.0),
        (f"calls {signal}", LOOP, 20.0, 21.0),
        (signal, THREAD, 120.0, 170.0),
        (f"goes on after {signal}", LOOP, 220.0, 221.0),
    ]
    points = [(event["ph"], event["tid"], ns(event["ts"])) for name in "stf" for event in of_phase(run, name)]
    assert points == [("s", LOOP, 20 * US), ("t", THREAD, 120 * US), ("f", LOOP, 220 * US)]


def test_a_hop_is_also_an_async_event_with_what_there_inside_and_back_took():
    run = traced([REQUEST, hop(id=2, parent=1), {"kind": "step", "id": 3, "parent": 1, "begin": 2, "end": 30}])
    assert names(run, "b") == ["GET /", "sync_to_async: request_started signal", "there", "inside", "back"]
    assert of_phase(run, "b")[1]["args"] == {"request": 1, "origin": "signal"}


def test_hops_at_the_same_time_within_one_request_stand_beside_each_other():
    run = traced(
        [REQUEST, hop(id=2, parent=1), hop(30, id=3, parent=1, ran_on=OTHER)], configuration={"interface": "asgi"}
    )
    ids = {event["id"] for event in of_phase(run, "b")}
    assert ids == {f"{PID}:1", f"{PID}:1/1"}


def test_a_hop_within_another_hop_is_drawn_within_it_though_not_only_by_time():
    rows = [REQUEST, hop(id=2, parent=1, done=900, end=950), hop(200, id=3, parent=2, ran_on=OTHER, thread=THREAD)]
    about = {"configuration": lab.MIXED}
    assert {event["id"] for event in of_phase(traced(rows, **about), "b")} == {f"{PID}:1"}
    rows[2]["parent"] = 1  # the same times, but began beside it
    assert {event["id"] for event in of_phase(traced(rows, **about), "b")} == {f"{PID}:1", f"{PID}:1/1"}


def test_a_sync_thread_that_waits_for_a_coroutine_holds_what_it_runs_meanwhile():
    rows = [
        REQUEST,
        {"kind": "to_loop", "id": 2, "parent": 1, "name": "view\tview v", "ran_on": OTHER, "begin": 10, "running": 40,
         "done": 800, "end": 850},
        {"kind": "view", "id": 3, "parent": 2, "name": "v", "thread": OTHER, "begin": 41, "end": 799},
        {"kind": "step", "id": 4, "parent": 3, "thread": OTHER, "begin": 42, "end": 50},
        hop(100, id=5, parent=3, thread=OTHER, ran_on=LOOP),
    ]  # fmt: skip
    found = spans(traced(rows))
    assert ("async_to_sync: view v", LOOP, 10.0, 850.0) in found
    assert ("view v", OTHER, 40.0, 800.0) in found
    assert ("request_started signal", LOOP, 200.0, 250.0) in found  # on the thread that waits
    assert ("goes on after view v", LOOP, 850.0, 851.0) in found


def test_a_coroutine_that_a_thread_hands_to_the_servers_own_loop_is_no_slice_there_but_a_mark():
    rows = [
        REQUEST,
        {"kind": "step", "id": 2, "parent": 1, "begin": 2, "end": 5},
        {"kind": "step", "id": 9, "parent": 1, "begin": 300, "end": 400},
        {"kind": "to_loop", "id": 3, "parent": 1, "name": "other\tcoro", "thread": THREAD, "ran_on": LOOP, "begin": 10,
         "running": 40, "done": 800, "end": 850},
    ]  # fmt: skip
    assert ("begins coro", LOOP, 40.0, 41.0) in spans(traced(rows))
    assert not any(name == "coro" for name, *_ in spans(traced(rows)))


def test_spans_without_an_end_are_closed_where_the_worker_was_last_heard_of_and_marked():
    rows = [
        REQUEST | {"end": None},
        {"kind": "step", "id": 2, "parent": 1, "begin": 2, "end": 30},
        hop(id=3, parent=1, done=None, end=None),
        {"kind": "view", "id": 4, "parent": 3, "name": "v", "thread": THREAD, "begin": 130, "end": None},
        {"kind": "tick", "begin": 400, "end": 500, "request": 0},
    ]
    run = traced(rows)
    assert (f"request_started signal ({UNFINISHED})", THREAD, 120.0, 500.0) in spans(run)
    assert (f"view v ({UNFINISHED})", THREAD, 130.0, 500.0) in spans(run)
    (request, *_) = of_phase(run, "b")
    assert request["args"][UNFINISHED] is True
    assert {ns(e["ts"]) for e in of_phase(run, "e") if UNFINISHED in e["name"]} == {500 * US}
    assert "".join(e["ph"] for e in trace_events(run) if e["ph"] in "stf") == "sf"  # there, and not back


def test_a_call_that_was_given_up_while_its_thread_went_on_breaks_no_rule():
    run = traced([REQUEST, hop(id=2, parent=1, done=None, end=150), hop(300, id=3, parent=1)])
    assert any(UNFINISHED in name for name, *_ in spans(run))


def test_rows_that_were_lost_break_no_rule():
    run = traced([hop(id=7, parent=5), {"kind": "step", "id": 8, "parent": 4, "begin": 2, "end": 30}])
    assert ("step", LOOP, 2.0, 30.0) in spans(run)


def test_how_late_the_event_loop_was_is_a_counter_and_looks_at_it_are_instants():
    rows = [
        {"kind": "tick", "begin": 100, "end": 101, "request": 0},
        {"kind": "tick", "begin": 200, "end": 50_200, "request": 0},
        {"kind": "stack", "begin": 200, "end": 30_000, "name": "a.py:1 run\nb.py:41 block", "request": 0},
        {"kind": "tick", "begin": 60_000, "end": None, "request": 0},
        {"kind": "tick", "begin": 61_000, "end": 70_000, "request": 0},
    ]
    run = traced(rows)
    assert [event["args"]["ms"] for event in of_phase(run, "C")] == [0.001, 50.0, 10.0, 9.0]
    (look,) = of_phase(run, "i")
    assert look["name"] == "overdue: b.py:41 block"
    assert look["args"]["stack"].splitlines()[0] == "a.py:1 run"


def test_clients_are_a_process_with_an_async_event_for_each_request_and_its_parts():
    rows = [
        {"planned": START + 5 * MS, "sent": START + 6 * MS, "first_byte": START + 8 * MS, "done": START + 9 * MS},
        {
            "planned": START + 6 * MS,
            "sent": 0,
            "first_byte": 0,
            "done": START + 7 * MS,
            "status": 0,
            "error": 1,
            "user": -1,
        },
        {"planned": START - 4 * MS, "sent": START - 4 * MS, "first_byte": START - 3 * MS, "done": START - 2 * MS},
    ]
    events = trace_events(made(rows, path="/a/"))
    check(events)
    found = [(e["name"], ns(e["ts"]) // MS, e["id"]) for e in events if e["ph"] == "b"]
    assert sorted(found, key=lambda one: one[2]) == [
        ("/a/", 0, "1:0"),
        ("waits", 0, "1:0"),
        ("answer", 1, "1:0"),
        ("/a/", 9, "1:1"),
        ("late", 9, "1:1"),
        ("waits", 10, "1:1"),
        ("answer", 12, "1:1"),
        ("/a/", 10, "1:2"),
        ("late", 10, "1:2"),
    ]
    (failed,) = [e for e in events if e["ph"] == "b" and "error" in e["args"]]
    assert failed["args"]["warmup"] is False


def test_clients_beside_are_another_process():
    main = traced([REQUEST])
    other = made([{"planned": START - 50 * US, "done": START + MS}], load="2 requests/s")
    run = Run(main.samples, main.thread_samples, main.about, main.trace, {"/other/": other})
    events = trace_events(run)
    check(events)
    titles = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert titles == {"clients, 1 user", "clients beside, 2 requests/s", f"worker {PID}"}
    assert min(ns(e["ts"]) for e in events if e["ph"] == "b") == 0
    assert [ns(e["ts"]) for e in events if e["ph"] == "X"] == [51 * US]  # after the first that was planned


def test_a_worker_with_the_number_of_the_clients_process_is_not_mixed_up_with_them():
    run = traced([REQUEST | {"pid": 1, "thread": 1}])
    events = trace_events(run)
    check(events)
    assert len({e["pid"] for e in events if e["name"] == "process_name"}) == 2


def test_what_was_written_down_before_the_first_request_was_planned_is_left_out():
    run = traced([REQUEST | {"begin": -500, "end": -100}, {"kind": "tick", "begin": -100, "end": 3, "request": 0}])
    assert len(of_phase(run, "X")) == len(of_phase(run, "C")) == 0


def test_a_run_without_probe_or_requests_is_a_trace_too(tmp_path):
    for run in (made([{}]), made([])):
        trace = json.loads(write_trace(run, tmp_path / "one.json").read_text())
        check(trace["traceEvents"])
        assert trace["displayTimeUnit"] == "ms"


def test_a_trace_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "one.json"
    target.write_text("before")
    monkeypatch.setattr(os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_trace(made([{}]), target)
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["one.json"]


LONG = st.one_of(st.none(), st.integers(0, 40))


@st.composite
def written(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rows as a probe may leave them: any of them lost, any end unknown, any call given up; times of a few µs, so that many
    are the same."""
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


@settings(max_examples=300, deadline=None)
@given(written(), st.sampled_from([None, {"interface": "asgi"}]))
def test_whatever_a_probe_wrote_down_breaks_no_rule(rows, configuration):
    check(trace_events(traced(rows, configuration=configuration)))


@pytest.mark.parametrize(
    ("configuration", "path"),
    [
        (lab.MIXED, "/sync/wait/?ms=2"),
        (lab.ASYNC, "/async/wait/?ms=2"),
        (lab.ASYNC.replace(loop="uvloop"), "/async/page/"),
        (lab.SYNC, "/async/wait/?ms=2"),
        (lab.SYNC.replace(workers=2), "/sync/page/"),
    ],
    ids=str,
)
def test_real_runs_become_traces_by_the_rules(configuration, path, tmp_path):
    with lab.serve(configuration, probe=True) as server:
        run = lab.measure(server, path, lab.closed(4, each=4))
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
