"""Two loads at the same time: victims, who are judged, and culprits beside them."""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import replace

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, GeneratorError
from requestlab.load.pool import Job, LoadProcessPool
from requestlab.load.watch import Watched
from requestlab.measurement import validity
from requestlab.measurement.record import CoreUse
from requestlab.measurement.run import Run
from tests.conftest import left_after, marked_processes, seconds_to_interrupt
from tests.load_process import plan
from tests.made_runs import MS, closed_loop, made, open_loop
from tests.tiny_server import answering, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture
def server(served):
    return served(lab.ASYNC, probe=True)


def beside(run: Run, other: Run, path: str = "/other/") -> Run:
    about = replace(run.about, beside={path: other.about.load})
    other = Run(other.samples, other.process_samples, replace(other.about, beside={"/": run.about.load}, counts={}))
    return Run(run.samples, run.process_samples, about, beside={path: other})


@pytest.mark.patient
def test_victims_wait_for_culprits_and_the_server_counts_them_all(server):
    run = lab.measure(
        server, "/async/wait/?ms=1", lab.open(rate=100), seconds=1, beside={"/async/burn/?ms=60": lab.open(rate=4)}
    )
    culprits = run.beside["/async/burn/?ms=60"]
    assert run.about.beside == {"/async/burn/?ms=60": "4 requests/s"}
    assert culprits.about.beside == {"/async/wait/?ms=1": "100 requests/s"}
    assert (len(run.samples), len(culprits.samples)) == (125, 5)  # the warm-up included
    assert sum(run.about.counts.values()) == 130
    assert run.summary["validity"] != "invalid"
    assert culprits.summary["validity"] != "invalid"
    for name, theirs in (("victims", run), ("culprits", culprits)):
        assert theirs.summary["errors"] == 0, name
        assert theirs.summary["throughput"] > 0, name
    assert run.response_ms.max() >= 30  # somebody came in the first half of 60 ms in which the event loop was busy
    assert set(run.requests["pid"]) == set(culprits.requests["pid"]) == set(server.pids)
    assert not set(run.requests["number"]) & set(culprits.requests["number"])


@pytest.mark.patient
def test_loads_begin_and_end_together(server):
    load, other = lab.closed(1), lab.closed(2)
    run = lab.measure(server, "/async/wait/?ms=5", load, seconds=0.6, warmup=0.3, beside={"/async/page/": other})
    theirs = run.beside["/async/page/"]
    shared = min(run.about.end, theirs.about.end) - max(run.about.start, theirs.about.start)
    assert shared / 1e9 > 0.8 * run.seconds
    assert len(theirs.warmup) > 0
    assert theirs.about.seconds == run.about.seconds


@pytest.mark.patient
def test_a_fixed_number_of_requests_begins_with_the_measured_stretch(server):
    one = {"/async/wait/?ms=20": lab.closed(2, each=3)}
    run = lab.measure(server, "/async/page/", lab.closed(1), seconds=0.5, warmup=0.4, beside=one)
    theirs = run.beside["/async/wait/?ms=20"]
    assert len(theirs.requests) == 6
    warm_up_s = (theirs.requests["planned"].min() - run.samples[:, 1].min()) / 1e9
    assert warm_up_s > 0.3
    assert theirs.requests["planned"].max() < run.about.end


def test_cpu_time_of_several_loads_is_not_told_apart(server):
    alone = lab.measure(server, "/async/page/", lab.closed(1, each=1))
    assert (alone.beside, alone.about.beside) == ({}, {})
    assert not math.isnan(alone.summary["cpu_per_request"])
    run = lab.measure(server, "/async/page/", lab.closed(1), seconds=0.2, beside={"/async/wait/?ms=1": lab.closed(1)})
    assert math.isnan(run.summary["cpu_per_request"])
    assert math.isnan(run.beside["/async/wait/?ms=1"].summary["cpu_per_request"])
    assert run.about.server_cpu_ns > 0  # of all of them together


def test_a_run_is_saved_with_those_beside_it(server, tmp_path):
    others = {"/async/wait/?ms=1": lab.open(rate=20), "/async/page/": lab.closed(1, each=4), "/": lab.silent()}
    run = lab.measure(server, "/async/page/?a=1", lab.closed(1), seconds=0.2, beside=others)
    loaded = lab.load_run(run.save(tmp_path / "one.run"))
    assert list(loaded.beside) == list(others)
    for path, other in run.beside.items():
        assert (loaded.beside[path].samples == other.samples).all()
        assert loaded.beside[path].about == other.about
    assert loaded.summary["reasons"] == run.summary["reasons"]


def test_each_step_of_a_ramp_has_the_same_load_beside_it(server):
    ramp = lab.measure(
        server, "/async/page/", lab.closed([1, 2]), seconds=0.2, beside={"/async/wait/?ms=1": lab.open(20)}
    )
    assert [list(run.beside) for run in ramp] == [["/async/wait/?ms=1"]] * 2


def test_loads_can_stand_beside_each_other_at_an_address_too():
    with tiny_server(answering(OK)) as tiny:
        run = lab.measure(tiny.url, "/a/", lab.closed(2, each=5), beside={"/a/": lab.closed(1, each=7)})
    assert (len(run.samples), len(run.beside["/a/"].samples)) == (10, 7)


def test_what_is_expected_of_the_answers_is_expected_of_the_judged_ones_only(server):
    others = {"/async/burn/?ms=1": lab.closed(1, each=3)}
    run = lab.measure(server, "/async/wait/?ms=1", lab.closed(1, each=3), expect="Waited", beside=others)
    assert run.summary["errors"] == run.beside["/async/burn/?ms=1"].summary["errors"] == 0


@pytest.mark.parametrize(
    ("beside", "each", "words"),
    [
        ("/async/page/", None, "a mapping of paths to loads"),
        ({"/async/page/": 5}, None, "a mapping of paths to loads"),
        ({"/async/page/": lab.closed([1, 2])}, None, "a mapping of paths to loads"),
        ([("/async/page/", lab.closed(1))], None, "a mapping of paths to loads"),
        ({"async/page/": lab.closed(1)}, None, "begins with a slash"),
        ({5: lab.closed(1)}, None, "begins with a slash"),
        ({f"/{number}/": lab.closed(1) for number in range(9)}, None, "at most 8 loads"),
        ({"/async/page/": lab.open(rate=20_000)}, None, "more than 2,000,000 requests"),
        ({"/async/page/": lab.closed(1)}, 1, "leave out each, or give it to both"),
    ],
)
def test_loads_beside_that_cannot_work_are_refused_with_what_was_expected(beside, each, words, server):
    with pytest.raises(ConfigurationError, match=words):
        lab.measure(server, "/async/page/", lab.closed(1, each=each), seconds=101, beside=beside)


INTERRUPTED = {
    "loads": """
    others = {f'/async/wait/?ms={ms}': lab.closed(5) for ms in (1, 2, 3)}
    lab.measure(server, '/async/page/', lab.closed(5), seconds=60, beside=others)
""",
    "misbehaving": """
    url = f"http://127.0.0.1:{socket.create_server(('127.0.0.1', 0)).getsockname()[1]}"
    lab.measure(url, '/', lab.silent(50), seconds=60, beside={'/a/': lab.slow_senders(50, per_s=1)})
""",
    "starting": """
    while True:
        beside = {'/async/wait/?ms=1': lab.closed(1)}
        lab.measure(server, '/async/page/', lab.closed(1), seconds=0.01, warmup=0, beside=beside)
""",
}


@pytest.mark.patient
@pytest.mark.parametrize(
    ("what", "after_s"),
    [("loads", 1.5), ("misbehaving", 1.5), ("starting", 0.05), ("starting", 0.3), ("starting", 0.6)],
)
@pytest.mark.some(2)
def test_an_interrupt_ends_all_loads_within_half_a_second_and_leaves_nothing(what, after_s):
    code = (
        "import requestlab as lab, socket, time\n"
        "lab.measure  # is imported: an interrupt waits until an import is whole, which a busy machine takes its time for\n"
        "server = lab.serve(lab.ASYNC)\n"
        "try:\n"
        "    print('ready', flush=True)"
        f"{INTERRUPTED[what]}"
        "except KeyboardInterrupt:\n"
        "    print(time.monotonic(), flush=True)\n"
    )
    before_all = {process.pid for process in marked_processes()}
    assert seconds_to_interrupt(code, after_s=after_s) < 0.5
    assert left_after(2.0, besides=before_all) == []


def test_the_failure_of_one_load_ends_the_others_at_once_and_names_it():
    before = time.monotonic()
    with tiny_server(answering(OK)) as tiny:
        good = Job(plan(tiny.address), "/good/")
        bad = Job(plan(("no", "address", "at", "all")), "/bad/")  # type: ignore[arg-type]
        with LoadProcessPool() as pool, pytest.raises(GeneratorError, match="the load process on /bad/ failed"):
            pool.run([good, bad], Watched(), lambda: None)
    assert time.monotonic() - before < 20  # the good one would have taken 30 s


def generators() -> set[int]:
    return {process.pid for process in marked_processes() if "requestlab.load.generator" in process.cmdline()}


def test_a_pool_uses_the_same_process_again_and_keeps_the_outcomes_of_jobs_apart():
    with tiny_server(answering(OK)) as tiny, LoadProcessPool() as pool:
        seen = []
        for each in (1, 3):
            job = Job(plan(tiny.address, each=each))
            (outcome,) = pool.run([job], Watched(), lambda: None)
            seen.append((len(outcome.samples), outcome.report.started, generators()))
        assert [part[:2] for part in seen] == [(1, 1), (3, 3)]
        assert seen[0][2] == seen[1][2]
        assert len(seen[0][2]) == 1
        pool.run([job, job], Watched(), lambda: None)
        assert seen[0][2] < generators()
        assert len(generators()) == 2
    assert not generators()


def test_a_process_of_a_pool_that_died_while_idle_is_replaced():
    with tiny_server(answering(OK)) as tiny, LoadProcessPool() as pool:
        job = Job(plan(tiny.address, each=1))
        pool.run([job], Watched(), lambda: None)
        (idle,) = generators()
        os.kill(idle, signal.SIGKILL)
        os.waitid(os.P_PID, idle, os.WEXITED | os.WNOWAIT)
        (outcome,) = pool.run([job], Watched(), lambda: None)
        assert len(outcome.samples) == 1


@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_one_load_process_that_is_killed_ends_the_measurement(after_s):
    killed: list[int] = []
    before = time.monotonic()

    def kill() -> None:
        if not killed and time.monotonic() > before + after_s:
            for process in marked_processes():
                if not killed and "requestlab.load.generator" in process.cmdline():
                    killed.append(process.pid)
                    process.kill()

    with tiny_server(answering(OK)) as tiny:
        jobs = [Job(plan(tiny.address), "/a/"), Job(plan(tiny.address), "/b/")]
        with LoadProcessPool() as pool, pytest.raises(GeneratorError, match="status -9"):
            pool.run(jobs, Watched(), kill)
    assert len(killed) == 1
    assert time.monotonic() - before < 20


def test_a_load_process_that_fails_before_it_has_its_plan_is_an_error_with_its_own_words(monkeypatch, server):
    monkeypatch.setenv("PYTHONPATH", os.path.join(os.path.dirname(__file__), "broken"))
    with pytest.raises(GeneratorError, match="broken on purpose"):
        lab.measure(server, "/async/page/", lab.closed(1), beside={"/async/wait/?ms=1": lab.closed(1)})


def counted(more: int) -> Run:
    """Victims and ten culprits, where the server has counted so many more than they all sent."""
    victims = closed_loop()
    counts = {7: victims.about.started + 10 + more}
    return beside(replace(victims, about=replace(victims.about, counts=counts)), made([{}] * 10))


SHARED = {"cores_shared": True, "server_cpu_ns": 200 * MS, "generator_cpu_ns": 300 * MS}
SHARED |= {"cores_ns": CoreUse(busy=800 * MS, idle=200 * MS, steal=0)}
LATE = beside(open_loop(), open_loop(late_ms=5))


@pytest.mark.parametrize(
    ("run", "verdict", "words"),
    [
        (counted(0), "valid", ""),
        (counted(1), "invalid", "somebody else asked too"),
        (counted(-1), "invalid", "did not give all of them"),
        (counted(1).beside["/other/"], "valid", ""),  # what is known for all is told with the judged one
        (
            beside(closed_loop(), made([{"status": 404}] * 10)),
            "suspect",
            "of the load beside it, on /other/, no request",
        ),
        (LATE, "valid", ""),
        (LATE.beside["/other/"], "suspect", "did not keep its schedule"),
        (closed_loop(**SHARED), "suspect", "other processes"),
        (beside(closed_loop(**SHARED), closed_loop(**SHARED | {"server_cpu_ns": None})), "valid", ""),
    ],
)
def test_runs_of_several_loads_are_valid_where_all_of_them_are_accounted_for(run, verdict, words):
    assert run.summary["validity"] == verdict
    assert words in " ".join(run.summary["reasons"])


def test_generators_that_hold_up_each_other_make_both_suspect_but_are_nothing_from_outside():
    waiting = {"generator_wait_ns": int(0.3e9)}
    alone, both = closed_loop(**waiting), beside(closed_loop(**waiting), open_loop(**waiting))
    assert validity.outside(alone) == "generator starved"
    for run in (both, *both.beside.values()):
        assert validity.outside(run) == ""
        assert run.summary["validity"] == "suspect"
        assert "the load beside it, or something else, ran there" in " ".join(run.summary["reasons"])


@pytest.mark.patient
def test_contenders_are_compared_with_a_load_beside_each_of_them(served):
    sync, other = served(lab.SYNC), served(lab.ASYNC)
    beside = {"sync": {"/sync/wait/?ms=1": lab.open(20)}, "async": {"/async/wait/?ms=1": lab.open(20)}}
    paths = {"sync": "/sync/page/", "async": "/async/page/"}
    result = lab.compare({"sync": sync, "async": other}, paths, lab.closed(1), beside=beside, rounds=2, seconds=0.2)
    for label in ("sync", "async"):  # two rounds, or more where something disturbed one of them
        runs = [part.run for part in result.slices if part.label == label]
        assert len(runs) >= 2
        assert all(list(run.beside) == [f"/{label}/wait/?ms=1"] for run in runs)
    assert result.about.beside["async"] == {"/async/wait/?ms=1": "20 requests/s"}
    assert math.isnan(result.ratio("sync", "async", "cpu_per_request").value)
    same = {"/async/wait/?ms=1": lab.closed(1)}
    result = lab.compare({"a": other, "b": other}, "/async/page/", lab.closed(1), beside=same, rounds=1, seconds=0.1)
    assert len(result.slices) >= 2
    assert all(list(part.run.beside) == ["/async/wait/?ms=1"] for part in result.slices)


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({"a": {"/": lab.closed(1)}}, "beside names a; the contenders are a, b"),
        ({"a": {"/": lab.closed(1)}, "b": {"/": 3}}, "a mapping of paths to loads"),
        ({"/": 3}, "a mapping of paths to loads"),
        ("/", "a mapping of paths to loads"),
    ],
)
def test_a_comparison_refuses_loads_beside_that_cannot_work(beside, words):
    with pytest.raises(ConfigurationError, match=words):
        lab.compare({"a": lab.SYNC, "b": lab.ASYNC}, beside=beside)
