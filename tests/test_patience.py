"""The patience of tests that measure, and the servers that tests share."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

import requestlab as lab
from tests import patience
from tests.patience import Watch, patient
from tests.processes import MARK, marked_processes

BURN = [sys.executable, "-c", "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"]


@pytest.fixture
def evidence(monkeypatch):
    """What disturbed each try: a list, to be filled."""
    said: list[str] = []
    monkeypatch.setattr(Watch, "evidence", lambda self: said.pop(0) if said else "")
    monkeypatch.setattr(patience, "LOOK_S", 0.0)
    return said


def failing(times):
    """A test that fails so many times, and counts how often it was called."""

    def test():
        test.calls += 1
        assert test.calls > times, "not seen"

    test.calls = 0
    return test


@pytest.mark.parametrize(("failures", "disturbed", "calls"), [(0, 3, 1), (1, 1, 2), (2, 4, 3)])
def test_a_test_that_failed_on_a_disturbed_machine_is_run_again_until_it_has_seen_the_thing(
    evidence, failures, disturbed, calls
):
    evidence += ["steal 0.1 s of 0.5 s", ""] * disturbed  # after each try it looks whether the machine is quiet
    told: list[str] = []
    test = failing(failures)
    patient(test, told.append)()
    assert test.calls == calls
    assert told == ["steal 0.1 s of 0.5 s; not seen"] * failures


def test_a_test_that_failed_on_a_quiet_machine_has_failed(evidence):
    test = failing(1)
    with pytest.raises(AssertionError, match="not seen"):
        patient(test)()
    assert test.calls == 1


@pytest.mark.parametrize("tries", [patience.TRIES, patience.TRIES_OF_OTHERS])
def test_a_test_that_fails_each_time_fails_with_the_evidence(evidence, tries):
    evidence += ["steal", ""] * 9
    test = failing(99)
    with pytest.raises(AssertionError, match="not seen") as failure:
        patient(test, tries=tries)()
    assert test.calls == tries
    met = "; ".join(["steal"] * tries)
    assert failure.value.__notes__ == [f"failed {tries} times, each time on a disturbed machine: {met}"]


@pytest.mark.parametrize(
    ("stolen", "of_times", "ends"),
    [(0.3, True, pytest.skip.Exception), (0.3, False, AssertionError), (0.05, True, AssertionError)],
)
def test_where_other_machines_took_much_of_a_core_during_each_try_a_test_of_times_cannot_tell(
    evidence, monkeypatch, stolen, of_times, ends
):
    evidence += ["steal", ""] * 9
    monkeypatch.setattr(Watch, "stolen", lambda self: stolen)
    with pytest.raises(ends, match="not seen"):
        patient(failing(99), of_times=of_times)()


def test_one_try_on_a_machine_that_was_not_robbed_tells(evidence, monkeypatch):
    evidence += ["steal", ""] * 9
    shares = iter([0.3] * 4 + [0.01] + [0.3] * 40)
    monkeypatch.setattr(Watch, "stolen", lambda self: next(shares))
    with pytest.raises(AssertionError, match="not seen"):
        patient(failing(99), of_times=True)()


def test_a_session_in_which_too_many_tests_cannot_tell_has_failed(pytester, monkeypatch):
    outcomes = {}
    for untold in (3, 4):
        pytester.makeconftest("from tests.conftest import pytest_sessionfinish, pytest_terminal_summary")
        pytester.makepyfile(
            f"""
            import pytest
            @pytest.mark.parametrize("number", range(20))
            def test(number):
                if number < {untold}:
                    pytest.skip("cannot tell: steal")
            """
        )
        outcomes[untold] = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert outcomes[3].ret == 0
    assert outcomes[4].ret == 1
    outcomes[4].stdout.fnmatch_lines(["CANNOT TELL *: *cannot tell: steal"])


def test_each_try_has_a_folder_of_its_own(evidence, tmp_path):
    evidence += ["steal", ""] * 9
    seen = []

    def test(tmp_path):
        (tmp_path / "made").mkdir()
        seen.append(tmp_path)
        assert len(seen) > 2

    patient(test)(tmp_path=tmp_path)
    assert len(set(seen)) == 3


def test_what_the_runs_of_a_failed_test_say_of_the_machine_is_evidence(evidence, monkeypatch):
    monkeypatch.setattr(patience, "Run", str)
    monkeypatch.setattr(patience.validity, "outside", lambda run: "schedule late" if run == "a run" else "")
    calls = []

    def test():
        runs = ["a run", "another"]
        calls.append(runs)
        assert len(calls) > 1

    patient(test)()
    assert len(calls) == 2


def test_an_error_that_is_no_failed_assertion_is_not_tried_again(evidence):
    evidence += ["steal"] * 9

    def test():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        patient(test)()
    assert len(evidence) == 9


def test_processes_that_are_not_the_tests_own_are_evidence():
    watch = Watch()
    unmarked = {name: value for name, value in os.environ.items() if name != MARK}
    with subprocess.Popen(["setsid", "--fork", *BURN], env=unmarked, stdout=subprocess.PIPE) as stranger:
        stranger.communicate()  # which ends with the process that was forked
    assert "other processes" in watch.evidence()


def test_what_the_tests_own_processes_do_is_known_as_theirs(served):
    server = served(lab.SYNC)
    before = patience.own_cpu_ns()
    subprocess.run(BURN)
    assert httpx.get(server.url + "/sync/burn/?ms=200").status_code == 200
    assert patience.own_cpu_ns() - before >= 0.3e9 + 0.2e9 - patience.TICKS_NS


def test_a_shared_server_runs_on_and_is_no_tests_own(served):
    server = served(lab.SYNC)
    assert served(lab.SYNC) is server
    assert httpx.get(server.url + "/sync/page/").status_code == 200
    mine = {process.pid for process in marked_processes()}
    assert mine.isdisjoint(server.pids)
    assert {process.pid for process in marked_processes(shared=True)} >= set(server.pids)


def test_a_shared_server_that_was_stopped_is_started_anew(served):
    before = served(lab.SYNC)
    lab.stop_all()
    after = served(lab.SYNC)
    assert after is not before
    assert after.alive


def test_no_more_shared_servers_run_at_once_than_are_allowed(served):
    servers = [served(lab.NULL.replace(name=f"null {number}")) for number in range(8)]
    assert [server.alive for server in servers] == [False] * 2 + [True] * 6
