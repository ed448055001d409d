from __future__ import annotations

import psutil
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, ServerGoneError


@pytest.fixture
def server(served):
    return served(lab.ASYNC)


def stopped(server):
    return [psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in server.pids]


@pytest.mark.measuring
def test_what_is_due_during_a_freeze_waits_in_an_open_loop_and_hardly_anything_in_a_closed_one(server):
    slow = {}
    for load in (lab.closed(users=2), lab.open(rate=200)):
        with lab.freeze(server, after=0.5, ms=300):
            run = lab.measure(server, "/async/page/", load, seconds=1.0, warmup=0.2)
        slow[type(load).__name__] = int((run.response_ms > 100).sum())
        assert run.response_ms.max() > 250
        assert run.summary["validity"] != "invalid"
    assert 1 <= slow["Closed"] <= 6  # the two that were under way; a few more where the machine itself halted
    assert slow["Open"] >= 30  # of the forty that were due in 200 of the 300 ms


def test_the_workers_run_again_when_the_block_is_left_early(server):
    with lab.freeze(server, after=0.0, ms=5_000):
        while not all(stopped(server)):
            pass
    assert not any(stopped(server))


def test_a_block_that_ends_before_the_freeze_begins_freezes_nothing(server):
    with lab.freeze(server, after=60):
        pass
    assert not any(stopped(server))


def test_a_server_that_has_ended_is_an_error():
    server = lab.serve(lab.NULL)
    server.stop()
    with pytest.raises(ServerGoneError), lab.freeze(server):
        pass


@pytest.mark.parametrize("change", [{"ms": -1}, {"ms": 1e9}, {"after": "1"}, {"after": float("nan")}])
def test_times_out_of_bounds_are_refused(change, server):
    with pytest.raises(ConfigurationError, match="a number from 0"), lab.freeze(server, **change):
        pass
