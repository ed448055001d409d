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
from requestlab.load.plan import Plan
from requestlab.load.pool import Job, LoadProcessPool, run_jobs
from requestlab.measurement import validity
from requestlab.measurement.record import CoreUse
from requestlab.measurement.run import Run
from tests.conftest import left_after, marked_processes, seconds_to_interrupt
from tests.made_runs import MS, closed_loop, made, open_loop
from tests.tiny_server import answering, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def server():
    with lab.serve(lab.ASYNC, probe=True) as server:
        yield server


def beside(run: Run, other: Run, path: str = "/other/") -> Run:
    about = replace(run.about, beside={path: other.about.load})
    other = Run(other.samples, other.thread_samples, replace(other.about, beside={"/": run.about.load}, counts={}))
    return Run(run.samples, run.thread_samples, about, beside={path: other})


@pytest.mark.measuring
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


def test_nobody_is_counted_where_nothing_runs_beside(server):
    run = lab.measure(server, "/async/page/", lab.closed(1, each=1))
    assert run.beside == {}
    assert run.about.beside == {}
    assert not math.isnan(run.summary["cpu_per_request"])


@pytest.mark.measuring
def test_loads_begin_and_end_together(server):
    load, other = lab.closed(1), lab.closed(2)
    run = lab.measure(server, "/async/wait/?ms=5", load, seconds=0.6, warmup=0.3, beside={"/async/page/": other})
    theirs = run.beside["/async/page/"]
    shared = min(run.about.end, theirs.about.end) - max(run.about.start, theirs.about.start)
    assert shared / 1e9 > 0.8 * run.seconds
    assert len(theirs.warmup) > 0
    assert theirs.about.seconds == run.about.seconds


def test_a_fixed_number_of_requests_begins_with_the_measured_stretch(server):
    one = {"/async/wait/?ms=20": lab.closed(2, each=3)}
    run = lab.measure(server, "/async/page/", lab.closed(1), seconds=0.5, warmup=0.4, beside=one)
    theirs = run.beside["/async/wait/?ms=20"]
    assert len(theirs.requests) == 6
    warm_up_s = (theirs.requests["planned"].min() - run.samples[:, 1].min()) / 1e9
    assert warm_up_s > 0.3
    assert theirs.requests["planned"].max() < run.about.end


def test_cpu_time_of_several_loads_is_not_told_apart(server):
    run = lab.measure(server, "/async/page/", lab.closed(1), seconds=0.2, beside={"/async/wait/?ms=1": lab.closed(1)})
    assert math.isnan(run.summary["cpu_per_request"])
    assert math.isnan(run.beside["/async/wait/?ms=1"].summary["cpu_per_request"])
    assert run.about.server_cpu_ns > 0  # of all of them together


def test_a_run_is_saved_with_those_beside_it(server, tmp_path):
    others = {"/async/wait/?ms=1": lab.open(rate=20), "/async/page/": lab.closed(1, each=4)}
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
    run = lab.measure(
        server,
        "/async/wait/?ms=1",
        lab.closed(1, each=3),
        expect="Waited",
        beside={"/async/burn/?ms=1": lab.closed(1, each=3)},
    )
    assert run.summary["errors"] == run.beside["/async/burn/?ms=1"].summary["errors"] == 0


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ("/async/page/", "a mapping of paths to loads"),
        ({"/async/page/": 5}, "a mapping of paths to loads"),
        ({"/async/page/": lab.closed([1, 2])}, "a mapping of paths to loads"),
        ([("/async/page/", lab.closed(1))], "a mapping of paths to loads"),
        ({"async/page/": lab.closed(1)}, "begins with a slash"),
        ({5: lab.closed(1)}, "begins with a slash"),
        ({f"/{number}/": lab.closed(1) for number in range(9)}, "at most 8 loads"),
        ({"/async/page/": lab.open(rate=20_000)}, "more than 2,000,000 requests"),
    ],
)
def test_loads_beside_that_cannot_work_are_refused_with_what_was_expected(beside, words, server):
    with pytest.raises(ConfigurationError, match=words):
        lab.measure(server, "/async/page/", lab.closed(1), seconds=101, beside=beside)


def test_a_load_without_an_end_cannot_stand_beside_one_that_ends_by_itself(server):
    with pytest.raises(ConfigurationError, match="leave out each, or give it to both"):
        lab.measure(server, "/async/page/", lab.closed(1, each=1), beside={"/async/page/": lab.closed(1)})


@pytest.mark.measuring
def test_an_interrupt_ends_all_loads_within_half_a_second_and_leaves_nothing():
    code = (
        "import requestlab as lab, time\n"
        "with lab.serve(lab.ASYNC) as server:\n"
        "    print('ready', flush=True)\n"
        "    try:\n"
        "        others = {f'/async/wait/?ms={ms}': lab.closed(5) for ms in (1, 2, 3)}\n"
        "        lab.measure(server, '/async/page/', lab.closed(5), seconds=60, beside=others)\n"
        "    except KeyboardInterrupt:\n"
        "        print(time.monotonic(), flush=True)\n"
    )
    before_all = {process.pid for process in marked_processes()}
    assert seconds_to_interrupt(code, after_s=1.5) < 0.5
    assert left_after(2.0, besides=before_all) == []


@pytest.mark.measuring
def test_an_interrupt_while_load_processes_start_leaves_nothing():
    code = (
        "import requestlab as lab, time\n"
        "with lab.serve(lab.ASYNC) as server:\n"
        "    print('ready', flush=True)\n"
        "    try:\n"
        "        while True:\n"
        "            lab.measure(server, '/async/page/', lab.closed(1), seconds=0.01, warmup=0,\n"
        "                        beside={'/async/wait/?ms=1': lab.closed(1)})\n"
        "    except KeyboardInterrupt:\n"
        "        print(time.monotonic(), flush=True)\n"
    )
    before_all = {process.pid for process in marked_processes()}
    for after_s in (0.05, 0.3, 0.6):
        assert seconds_to_interrupt(code, after_s=after_s) < 0.5
    assert left_after(2.0, besides=before_all) == []


def plan(address: tuple[str, int], **changes: object) -> Plan:
    usual: dict[str, object] = {"seconds": 30.0, "warmup_s": 0.0, "timeout_s": 5.0, "users": 1}
    return Plan(family=2, address=address, request="GET / HTTP/1.1\r\nHost: a\r\n\r\n", **(usual | changes))  # type: ignore[arg-type]


def test_the_failure_of_one_load_ends_the_others_at_once_and_names_it():
    before = time.monotonic()
    with tiny_server(answering(OK)) as tiny:
        good = Job(plan(tiny.address), "/good/")
        bad = Job(plan(("no", "address", "at", "all")), "/bad/")  # type: ignore[arg-type]
        with LoadProcessPool() as pool, pytest.raises(GeneratorError, match="the load process on /bad/ failed"):
            run_jobs([good, bad], (), lambda: None, pool)
    assert time.monotonic() - before < 20  # the good one would have taken 30 s


def generators() -> set[int]:
    return {process.pid for process in marked_processes() if "requestlab.load.generator" in process.cmdline()}


def test_a_pool_uses_the_same_process_again_and_keeps_the_outcomes_of_jobs_apart():
    with tiny_server(answering(OK)) as tiny, LoadProcessPool() as pool:
        seen = []
        for each in (1, 3):
            job = Job(plan(tiny.address, each=each))
            (outcome,) = run_jobs([job], (), lambda: None, pool)
            seen.append((len(outcome.samples), outcome.report.started, generators()))
        assert [part[:2] for part in seen] == [(1, 1), (3, 3)]
        assert seen[0][2] == seen[1][2]
        assert len(seen[0][2]) == 1
        run_jobs([job, job], (), lambda: None, pool)
        assert seen[0][2] < generators()
        assert len(generators()) == 2
    assert not generators()


def test_a_process_of_a_pool_that_died_while_idle_is_replaced():
    with tiny_server(answering(OK)) as tiny, LoadProcessPool() as pool:
        job = Job(plan(tiny.address, each=1))
        run_jobs([job], (), lambda: None, pool)
        (idle,) = generators()
        os.kill(idle, signal.SIGKILL)
        os.waitid(os.P_PID, idle, os.WEXITED | os.WNOWAIT)
        (outcome,) = run_jobs([job], (), lambda: None, pool)
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
            run_jobs(jobs, (), kill, pool)
    assert len(killed) == 1
    assert time.monotonic() - before < 20


def test_a_load_process_that_fails_before_it_has_its_plan_is_an_error_with_its_own_words(monkeypatch, server):
    monkeypatch.setenv("PYTHONPATH", os.path.join(os.path.dirname(__file__), "broken"))
    with pytest.raises(GeneratorError, match="broken on purpose"):
        lab.measure(server, "/async/page/", lab.closed(1), beside={"/async/wait/?ms=1": lab.closed(1)})


def test_the_count_of_the_server_is_that_of_all_loads():
    victims, culprits = closed_loop(), made([{}] * 10)
    both = beside(victims, culprits)
    sent = victims.about.started + 10
    with_counts = [beside(Run(victims.samples, victims.thread_samples, replace(victims.about, counts={7: count})), culprits)
                   for count in (sent, sent + 1, sent - 1)]  # fmt: skip
    assert [run.summary["validity"] for run in with_counts] == ["valid", "invalid", "invalid"]
    assert "somebody else asked too" in " ".join(with_counts[1].summary["reasons"])
    assert "did not give all of them" in " ".join(with_counts[2].summary["reasons"])
    assert both.beside["/other/"].summary["validity"] == "valid"


def test_a_load_beside_that_came_to_nothing_is_told_with_the_judged_one():
    failed = made([{"status": 404}] * 10)
    run = beside(closed_loop(), failed)
    assert run.summary["validity"] == "suspect"
    assert (
        "of the load beside it, on /other/, no request was answered with a status below 400" in run.summary["reasons"]
    )


def test_generators_that_hold_up_each_other_make_both_suspect_but_are_nothing_from_outside():
    waiting = {"generator_wait_ns": int(0.3e9)}
    alone, both = closed_loop(**waiting), beside(closed_loop(**waiting), open_loop(**waiting))
    assert validity.outside(alone) == "generator starved"
    for run in (both, *both.beside.values()):
        assert validity.outside(run) == ""
        assert run.summary["validity"] == "suspect"
        assert "the load beside it, or something else, ran there" in " ".join(run.summary["reasons"])


def test_a_late_schedule_is_told_for_the_load_that_was_late():
    run = beside(open_loop(), open_loop(late_ms=5))
    assert run.summary["validity"] == "valid"
    assert "did not keep its schedule" in " ".join(run.beside["/other/"].summary["reasons"])


def test_the_load_processes_of_all_loads_are_not_taken_for_somebody_elses_on_shared_cores():
    shared = {"cores_shared": True, "server_cpu_ns": 200 * MS, "generator_cpu_ns": 300 * MS}
    busy = {"cores_ns": CoreUse(busy=800 * MS, idle=200 * MS, steal=0)}
    assert "other processes" in " ".join(closed_loop(**shared, **busy).summary["reasons"])
    run = beside(closed_loop(**shared, **busy), closed_loop(**(shared | busy | {"server_cpu_ns": None})))
    assert "other processes" not in " ".join(run.summary["reasons"])


@pytest.mark.measuring
def test_contenders_are_compared_with_a_load_beside_each_of_them():
    with lab.serve(lab.SYNC) as sync, lab.serve(lab.ASYNC) as other:
        result = lab.compare(
            {"sync": sync, "async": other},
            {"sync": "/sync/page/", "async": "/async/page/"},
            lab.closed(1),
            beside={"sync": {"/sync/wait/?ms=1": lab.open(20)}, "async": {"/async/wait/?ms=1": lab.open(20)}},
            rounds=2,
            seconds=0.2,
        )
        same = lab.compare({"a": other, "b": other}, "/async/page/", lab.closed(1), beside={"/async/wait/?ms=1": lab.closed(1)},
                           rounds=1, seconds=0.1)  # fmt: skip
    for label in ("sync", "async"):  # two rounds, or more where something disturbed one of them
        runs = [part.run for part in result.slices if part.label == label]
        assert len(runs) >= 2
        assert all(list(run.beside) == [f"/{label}/wait/?ms=1"] for run in runs)
    assert result.about.beside["async"] == {"/async/wait/?ms=1": "20 requests/s"}
    assert len(same.slices) >= 2
    assert all(list(part.run.beside) == ["/async/wait/?ms=1"] for part in same.slices)
    assert math.isnan(result.ratio("sync", "async", "cpu_per_request").value)


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
