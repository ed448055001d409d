"""The database: which one, who asks it on which connection, and that nothing is lost. Counts decide, and are exact."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given, strategies as st

import requestlab as lab
from labapp.databases import database_of
from requestlab.errors import ConfigurationError
from requestlab.serving import applications
from requestlab.serving.server import Server
from requestlab.system.values import to_plain
from tests.patience import soon

GTHREAD = lab.SYNC.replace(server="gunicorn-gthread", threads=4)
SERVED = {"sync": lab.SYNC, "gthread": GTHREAD, "asgi": lab.ASGI, "async": lab.ASYNC}
MODES = ["sync", "async"]
USERS, EACH = 5, 4


class Answer:
    """An answer of `rows`: its text, and what its header says."""

    def __init__(self, response: httpx.Response) -> None:
        response.raise_for_status()
        self.text = response.text
        self.seconds = response.elapsed.total_seconds()
        said = json.loads(response.headers.get("labapp-database", "{}"))
        self.threads = [thread for thread, _ in said.get("ran", [])]
        self.connections = [connection for _, connection in said.get("ran", [])]
        self.counts = {name: said.get(name) for name in ("taken", "opened", "held")}


def ask(server: Server, path: str) -> Answer:
    return Answer(httpx.get(server.url + path, timeout=30))


def counts(server: Server) -> dict[str, int]:
    """What a worker has counted so far; asking for it opens no connection."""
    return ask(server, "/async/rows/?n=0").counts


def opened_by(server: Server, path: str) -> tuple[int, int]:
    """How many more connections are taken and opened by `USERS` × `EACH` requests."""
    ask(server, path)  # the first one of all makes the tables
    before = counts(server)
    run = lab.measure(server, path, lab.closed(USERS, each=EACH), seconds=10, warmup=0)
    assert (len(run.requests), run.summary["errors"]) == (USERS * EACH, 0)
    after = counts(server)
    return after["taken"] - before["taken"], after["opened"] - before["opened"]


def holds(server: Server, number: int) -> bool:
    """Whether the worker soon holds so many connections: a client has its answer before Django closes them."""
    return soon(lambda: counts(server)["held"] == number)


def files_open(server: Server) -> int:
    """How many descriptors of the SQLite file the workers have open: what the system says of its connections."""
    links = [link for pid in server.pids for link in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(os.path.realpath(link).endswith("labapp.sqlite3") for link in links)


def backends(url: str) -> int:
    """How many connections PostgreSQL itself counts for this database, but for the one that asks."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url) as connection:
        return int(connection.execute(count).fetchone()[0])


def fresh(cluster: str) -> str:
    """The URL of a new, empty database of the cluster."""
    name = f"lab_{secrets.token_hex(6)}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return cluster.rpartition("/")[0] + f"/{name}"


@pytest.fixture(scope="module")
def url(postgresql: str) -> str:
    return fresh(postgresql)


@pytest.fixture(params=["sync on sqlite", "async on sqlite", "sync on postgresql", "async on postgresql"])
def server(request: Any, served: Callable[..., Server]) -> Server:
    """WSGI and ASGI on each database, connections not kept."""
    name, _, database = request.param.partition(" on ")
    return served(SERVED[name], database=request.getfixturevalue("url") if database == "postgresql" else "")


# The queries, and who runs them


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("do", "each"), [("read", 1), ("write", 1), ("both", 2)])
def test_queries_one_after_another_share_the_thread_and_the_connection_of_their_request_and_take_their_time(
    server, mode, do, each
):
    answer = ask(server, f"/{mode}/rows/?do={do}&n=3&ms=10.5")
    assert answer.text == f"Did {do} 3 times.\n"
    assert answer.seconds >= 3 * each * 0.0105
    assert len(answer.threads) == 3 * each
    assert (len(set(answer.threads)), len(set(answer.connections))) == (1, 1)


def test_queries_of_the_async_orm_in_a_gather_share_one_thread_and_take_the_sum_of_their_times(server):
    answer = ask(server, "/async/rows/?n=5&ms=40&together=1")
    assert len(answer.threads) == 5
    assert (len(set(answer.threads)), len(set(answer.connections))) == (1, 1)
    assert answer.seconds >= 5 * 0.040


@pytest.mark.parametrize("path", ["/sync/rows/?together=1", "/async/rows/?together=1&sensitive=0"])
def test_queries_in_threads_of_their_own_have_connections_of_their_own_and_take_less_than_the_sum(server, path):
    ask(server, path)
    assert holds(server, 0)
    answer = ask(server, f"{path}&n=5&ms=200")
    assert (len(set(answer.threads)), len(set(answer.connections))) == (5, 5)
    assert 0.200 <= answer.seconds < 5 * 0.200
    assert answer.counts["held"] == 0


@pytest.mark.parametrize("mode", MODES)
def test_no_query_opens_no_connection(server, mode):
    assert holds(server, 0)
    before = counts(server)
    assert ask(server, f"/{mode}/rows/?n=0&together=1").counts == before == counts(server)


def test_the_shelf_is_the_same_page_from_both_twins_and_holds_every_book(server):
    sync, twin = (ask(server, f"/{mode}/shelf/").text for mode in MODES)
    assert sync == twin
    assert "200 books by 10 authors." in sync
    assert sync.count("<li>Author ") == 10
    assert sync.count("(20)</li>") == 10
    assert sync.count("<li>Book ") == 20


def test_what_is_written_is_there(server):
    before = int(ask(server, "/sync/rows/?do=count").text.split()[0])
    for path in (
        "/sync/rows/?do=write&n=3",
        "/async/rows/?do=both&n=2&together=1",
        "/sync/rows/?do=write&n=4&together=1",
    ):
        ask(server, path)
    assert ask(server, "/async/rows/?do=count").text == f"{before + 9} loans.\n"


# Connections: how many are opened, and how many stay


@pytest.mark.parametrize("mode", MODES)
def test_a_request_opens_one_connection_and_closes_it(server, mode):
    assert opened_by(server, f"/{mode}/rows/") == (20, 20)
    assert holds(server, 0)


@pytest.mark.parametrize(
    ("configuration", "ms", "threads"), [(lab.SYNC, 0, 1), (GTHREAD, 20, 4)], ids=["sync", "gthread"]
)
def test_a_thread_of_wsgi_keeps_its_connection_for_later_requests(configuration, ms, threads):
    with lab.serve(configuration, database="sqlite://?conn_max_age=60") as server:
        newly = threads - 1
        assert opened_by(server, f"/sync/rows/?ms={ms}") == (newly, newly)  # long enough for each thread to get some
        assert holds(server, threads)
        assert files_open(server) == threads


def test_under_asgi_connections_that_are_kept_serve_one_request_each_and_pile_up():
    with lab.serve(lab.ASYNC, database="sqlite://?conn_max_age=60") as server:
        held = []
        for mode in MODES * 2:
            assert opened_by(server, f"/{mode}/rows/") == (20, 20)
            held.append(counts(server)["held"])
        assert max(held) >= 2  # until the garbage collector comes, which nobody can foretell
        assert soon(lambda: files_open(server) >= counts(server)["held"])


@pytest.mark.parametrize("name", ["gthread", "async"])
@pytest.mark.some(1)
def test_a_pool_lends_few_connections_to_all_requests_of_a_worker(name, postgresql):
    url = fresh(postgresql)
    with lab.serve(SERVED[name], database=f"{url}?pool=1") as server:
        taken, _ = opened_by(server, f"/{'async' if name == 'async' else 'sync'}/rows/")
        assert taken == 20
        assert holds(server, 0)
        assert counts(server)["opened"] <= 4
        assert soon(lambda: backends(url) == 4)  # psycopg's pool keeps as many ready


def test_postgresql_counts_the_connections_as_the_app_does(postgresql):
    url = fresh(postgresql)
    with lab.serve(lab.SYNC, database=f"{url}?conn_max_age=60") as server:
        assert opened_by(server, "/sync/rows/") == (0, 0)
        assert holds(server, 1)
        assert soon(lambda: backends(url) == 1)
    with lab.serve(lab.ASYNC, database=f"{url}?conn_max_age=60") as server:
        assert opened_by(server, "/async/rows/") == (20, 20)
        assert soon(lambda: backends(url) == counts(server)["held"])


# Nothing is lost, whoever is at it


@pytest.mark.parametrize("configuration", [lab.SYNC.replace(workers=2), lab.ASYNC.replace(workers=2)], ids=MODES)
@pytest.mark.some(1)
def test_twenty_users_who_write_to_sqlite_at_once_lose_nothing(configuration):
    mode = configuration.name
    with lab.serve(configuration) as server:
        run = lab.measure(server, f"/{mode}/rows/?do=both&n=2", lab.closed(20, each=2), seconds=30, warmup=0)
        assert (len(run.requests), run.summary["errors"]) == (40, 0)
        assert ask(server, f"/{mode}/rows/?do=count").text == "80 loans.\n"


@pytest.mark.parametrize(
    ("configuration", "database"),
    [(GTHREAD.replace(workers=3), "sqlite"), (lab.ASGI.replace(workers=2), "postgresql")],
    ids=["sqlite", "postgresql"],
)
def test_workers_and_threads_that_want_the_tables_at_the_same_moment_make_them_once(configuration, database, request):
    where = fresh(request.getfixturevalue("postgresql")) if database == "postgresql" else ""
    with lab.serve(configuration, database=where) as server, ThreadPoolExecutor(16) as threads:
        pages = list(threads.map(lambda _: ask(server, "/sync/shelf/").text, range(16)))
    assert len(set(pages)) == 1
    assert "200 books by 10 authors." in pages[0]


def test_a_server_counts_its_own_loans_only(url):
    with lab.serve(lab.SYNC, database=url) as one, lab.serve(lab.ASYNC, database=url, workers=2) as two:
        for server, n in ((one, 3), (two, 4), (two, 1)):
            ask(server, f"/sync/rows/?do=write&n={n}")
        told = [ask(server, "/sync/rows/?do=count").text for server in (one, two)]
    assert told == ["3 loans.\n", "5 loans.\n"]


# Which database


SECRET = "hunter2"
GOOD = """
    postgres://lab@127.0.0.1:5432/lab  postgresql://lab:p%40ss@db.example/lab?pool=1  postgres:///lab?conn_max_age=60
    postgres://[::1]:5432/lab?conn_max_age=0  sqlite://?conn_max_age=3600
"""
BAD = f"""
    postgres://lab:{SECRET}@h:port/lab  mysql://lab:{SECRET}@h/lab  postgres://h/lab?password={SECRET}
    postgres  mysql://lab@127.0.0.1/lab  postgres://lab@127.0.0.1  postgres://lab@127.0.0.1/  postgres://lab@127.0.0.1/one/two
    postgres://lab@127.0.0.1:port/lab  postgres://lab@127.0.0.1:0/lab  postgres://lab@127.0.0.1:99999/lab
    postgres://lab@[::1/lab  postgres://lab@127.0.0.1/%00  postgres://lab@127.0.0.1/lab#there
    postgres:///lab?pool=2  postgres:///lab?pool=yes  postgres:///lab?pool=1&conn_max_age=60  postgres:///lab?pool=1&pool=1
    postgres:///lab?conn_max_age=-1  postgres:///lab?conn_max_age=3601  postgres:///lab?conn_max_age=
    postgres:///lab?timeout=1  postgres:///lab?pool  sqlite:///etc/passwd  sqlite://there  sqlite://?pool=1
"""
PARTS = "postgres sqlite mysql :// lab : @ 127.0.0.1 5432 / ? & pool=1 conn_max_age=60 % %00 %2F [ ] # é ="


@pytest.mark.parametrize("url", GOOD.split())
def test_the_app_takes_what_a_configuration_takes(url):
    assert lab.SYNC.replace(database=url).database == url
    engine = "sqlite3" if url.startswith("sqlite") else "postgresql"
    assert database_of(url)["ENGINE"] == f"django.db.backends.{engine}"
    assert database_of(url)["CONN_MAX_AGE"] == (int(url.rpartition("=")[2]) if "age" in url else 0)


@pytest.mark.parametrize("url", [*BAD.split(), "sqlite://\n", " ", None, 7])
def test_what_is_no_database_is_refused_with_what_was_expected_and_no_password(url):
    for refuse in (lambda: lab.SYNC.replace(database=url), lambda: database_of(url))[: 1 + isinstance(url, str)]:
        expected = "it must be empty, sqlite:// or postgres://user:password@host:port/name"
        with pytest.raises((ConfigurationError, ImproperlyConfigured), match=expected) as refusal:
            refuse()
        assert SECRET not in str(refusal.value)


@given(st.lists(st.sampled_from([*PARTS.split(), "\t", " "]), max_size=12).map("".join))
def test_whatever_url_a_configuration_takes_the_app_takes_too_and_no_other(url):
    try:
        kept = lab.SYNC.replace(database=url).database
    except ConfigurationError:
        with pytest.raises(ImproperlyConfigured):
            database_of(url)
    else:
        assert database_of(kept) == database_of(url)
        assert applications.checked_database(applications.masked(kept)) == applications.masked(kept)


def test_the_parts_of_a_url_become_those_of_the_setting(tmp_path, monkeypatch):
    found = database_of("postgres://l%40b:p%3Ass@db.example:6543/the%20lab?pool=1")
    assert found == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "the lab",
        "USER": "l@b",
        "PASSWORD": "p:ss",
        "HOST": "db.example",
        "PORT": "6543",
        "CONN_MAX_AGE": 0,
        "OPTIONS": {"pool": True},
    }
    monkeypatch.chdir(tmp_path)
    for url in ("", "sqlite://"):
        sqlite = database_of(url)
        assert (sqlite["NAME"], sqlite["CONN_MAX_AGE"]) == (tmp_path / "labapp.sqlite3", 0)
        assert sqlite["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_sqlite_is_the_default_and_says_nothing_and_what_has_no_views_takes_no_database():
    assert lab.SYNC.replace(database="sqlite://") == lab.SYNC
    assert lab.SYNC.replace(database="sqlite://").label == "sync"
    assert lab.SYNC.replace(database="sqlite://?conn_max_age=60").label == "sync, database=sqlite?conn_max_age=60"
    with pytest.raises(ConfigurationError, match="'bare' has no database"):
        lab.SYNC.replace(application="bare", database="postgres:///lab")


def test_a_password_is_in_nothing_that_is_shown_or_saved(postgresql, tmp_path):
    assert "not-a-secret" in postgresql
    with lab.serve(lab.SYNC, database=f"{fresh(postgresql)}?pool=1") as server:
        run = lab.measure(server, "/sync/rows/?n=1", lab.closed(1, each=2))
        said = [repr(server), repr(server.configuration), server.configuration.label, server.log, repr(run)]
    assert run.summary["errors"] == 0
    assert said[2] == "sync, database=postgresql?pool=1"
    saved = lab.load_run(run.save(tmp_path / "one.run")).about
    assert saved.configuration.database.startswith("postgres://postgres:***@127.0.0.1:")
    assert not any("not-a-secret" in text for text in (*said, json.dumps(to_plain(saved))))


def test_a_database_that_is_not_there_is_a_failed_request_and_no_password_in_the_log():
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"postgres://lab:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/lab"
        with lab.serve(lab.ASYNC, database=url) as server:
            run = lab.measure(server, "/async/rows/?n=1", lab.closed(1, each=2), warmup=0)
            log = server.log
    assert list(run.requests["status"]) == [500, 500]
    assert "OperationalError" in log
    assert SECRET not in log


def test_a_lesson_takes_the_readers_own_database(monkeypatch):
    monkeypatch.delenv(applications.DATABASE_VARIABLE, raising=False)
    assert lab.database() == ""
    assert lab.database(conn_max_age=60) == "sqlite://?conn_max_age=60"
    with pytest.raises(ConfigurationError, match="for PostgreSQL"):
        lab.database(pool=True)
    monkeypatch.setenv(applications.DATABASE_VARIABLE, "postgres://lab@127.0.0.1/lab?pool=1")
    assert lab.database() == "postgres://lab@127.0.0.1/lab"
    assert lab.database(pool=True) == "postgres://lab@127.0.0.1/lab?pool=1"
    assert lab.database(conn_max_age=60) == "postgres://lab@127.0.0.1/lab?conn_max_age=60"
    monkeypatch.setenv(applications.DATABASE_VARIABLE, f"mysql://lab:{SECRET}@h/lab")
    with pytest.raises(ConfigurationError) as refusal:
        lab.database()
    assert SECRET not in str(refusal.value)
