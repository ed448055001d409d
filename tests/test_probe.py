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


def test_a_sync_worker_runs_every_view_in_its_one_thread_and_gthread_in_its_pool(who):
    alone, pool = who("/sync/wait/?ms=20"), who("/sync/wait/?ms=50", server="gunicorn-gthread", threads=4)
    assert alone.threads["threads"].max() == 1
    assert [run.requests["thread"].nunique() for run in (alone, pool)] == [1, 4]
    assert not any(run.requests["on_loop"].any() for run in (alone, pool))


@pytest.mark.parametrize("server", ASGI)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_under_asgi_sync_views_each_get_a_thread_and_async_views_share_the_event_loop(server, loop, who):
    for path, threads in (("/sync/wait/?ms=300", AT_ONCE), ("/async/wait/?ms=50", 1)):
        run = who(path, server=server, loop=loop)
        assert run.requests["thread"].nunique() == threads
        assert set(run.requests["on_loop"]) == {threads == 1}


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


def test_a_request_that_never_reaches_a_view_still_says_who_answered_it_and_threads_are_counted_while_they_live():
    with lab.serve(lab.MIXED, probe=True) as server:
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
