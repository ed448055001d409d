"""Who serves a request: counts that must come out exactly, for every server."""

from __future__ import annotations

import pytest

import requestlab as lab

AT_ONCE = 12
ASGI = ["gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"]


@pytest.fixture
def who(served):
    """Measure on a server that tests share, with the probe on; who answered must be one of its workers."""

    def measure(path, *, users=AT_ONCE, each=1, **changes):
        server = served(lab.SYNC, probe=True, **changes)
        run = lab.measure(server, path, lab.closed(users, each=each), seconds=20)
        assert run.summary["errors"] == 0
        assert set(run.requests["pid"]) <= set(server.pids)
        return run

    return measure


def test_a_sync_worker_runs_every_view_in_its_one_thread(who):
    run = who("/sync/wait/?ms=20")
    assert run.requests["thread"].nunique() == 1
    assert not run.requests["on_loop"].any()
    assert run.threads["threads"].max() == 1


def test_gthread_runs_views_in_its_pool_and_in_no_more(who):
    run = who("/sync/wait/?ms=50", server="gunicorn-gthread", threads=4)
    assert run.requests["thread"].nunique() == 4
    assert not run.requests["on_loop"].any()


@pytest.mark.parametrize("server", ASGI)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sync_views_under_asgi_each_get_a_thread_off_the_event_loop(server, loop, who):
    run = who("/sync/wait/?ms=300", server=server, loop=loop)
    assert run.requests["thread"].nunique() == AT_ONCE
    assert not run.requests["on_loop"].any()


@pytest.mark.parametrize("server", ASGI)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_async_views_all_run_on_the_one_event_loop(server, loop, who):
    run = who("/async/wait/?ms=50", server=server, loop=loop)
    assert run.requests["thread"].nunique() == 1
    assert run.requests["on_loop"].all()


def test_an_async_view_under_wsgi_runs_a_loop_of_its_own_each_time(who):
    run = who("/async/wait/?ms=5", users=1, each=5)
    assert run.requests["on_loop"].all()


@pytest.mark.parametrize("server", ["gunicorn-sync", *ASGI])
def test_every_worker_is_named_by_its_pid(server):
    with lab.serve(lab.SYNC, server=server, workers=2, probe=True) as running:
        run = lab.measure(running, "/sync/burn/?ms=5", lab.closed(16), seconds=0.5)
        assert set(run.requests["pid"].dropna()) <= set(running.pids)
        assert set(run.threads["pid"]) == set(running.pids)


@pytest.mark.parametrize(("server", "on_loop"), [("gunicorn-sync", False), ("uvicorn", True)])
def test_a_bare_callable_is_noted_where_it_is_called(server, on_loop, who):
    run = who("/", server=server, application="bare")
    assert set(run.requests["on_loop"]) == {on_loop}


def test_a_request_that_never_reaches_a_view_still_says_who_answered_it():
    with lab.serve(lab.MIXED, probe=True) as server:
        run = lab.measure(server, "/nowhere/", lab.closed(2, each=2))
    assert set(run.requests["status"]) == {404}
    assert set(run.requests["pid"]) == set(server.pids)


def test_threads_are_counted_while_they_live():
    with lab.serve(lab.MIXED, probe=True) as server:
        run = lab.measure(server, "/sync/wait/?ms=300", lab.closed(AT_ONCE, each=1))
    counts = run.threads["threads"]
    assert counts.iloc[0] < AT_ONCE <= counts.max()
    assert run.threads["time"].is_monotonic_increasing


def test_the_probe_is_off_unless_asked_for():
    with lab.serve(lab.SYNC) as server:
        run = lab.measure(server, "/sync/page/", lab.closed(2, each=2))
    assert run.requests["pid"].isna().all()
    assert run.requests["thread"].isna().all()
    assert run.requests["on_loop"].isna().all()
    assert run.threads.empty
