"""Somebody else's Django project: found, copied, served, with nothing of theirs changed; and what visitors ask."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import requestlab as lab
from requestlab.advice.asked import requests_in
from requestlab.errors import ConfigurationError, ProjectError
from requestlab.serving.project import found_in

SETTINGS = "mysite/settings.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project as `django-admin startproject` makes it, migrated."""
    folder = tmp_path_factory.mktemp("projects") / "mysite"
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "django", "startproject", "mysite", str(folder)], check=True)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=folder, check=True)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    return folder


@pytest.fixture
def site(made, tmp_path):
    """A copy of it that a test may spoil."""
    return shutil.copytree(made, tmp_path / "mysite")


def checksums(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def append(site, text):
    with (site / SETTINGS).open("a") as settings:
        settings.write(f"\n{text}\n")


def test_a_project_is_served_under_both_interfaces_and_nothing_of_it_is_changed(site):
    append(site, "import pathlib; pathlib.Path(BASE_DIR, 'written-on-import').touch()")
    before = checksums(site)
    mine = lab.project(site)
    assert (mine.settings_module, mine.python, mine.wsgi) == (
        "mysite.settings",
        sys.executable,
        "mysite.wsgi.application",
    )
    assert found_in(mine)["debug"] is True
    for configuration in (lab.SYNC, lab.ASGI):
        with lab.serve(configuration, application=mine, probe=1.0) as server:
            assert server.configuration.label == f"mysite, {configuration.name}"
            assert httpx.get(f"{server.url}/admin/login/").status_code == 200
            missing = httpx.get(f"{server.url}/nowhere/")
            assert (missing.status_code, "DEBUG" in missing.text) == (404, False)
            run = lab.measure(server, "/admin/login/", lab.closed(1, each=3))
        assert (len(run.crossings) > 0) == (configuration.interface == "asgi")
    assert checksums(site) == before


def test_a_database_with_a_write_ahead_log_is_copied_with_it_and_without_a_file_beside_it(site):
    with closing(sqlite3.connect(site / "db.sqlite3")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE logged (number)")
        database.execute("INSERT INTO logged VALUES (7)")
        database.commit()
        before = checksums(site)
        assert "db.sqlite3-wal" in before
        mine = lab.project(site)
        with lab.serve(lab.SYNC, application=mine) as server:
            file = f"{server.directory}/database-default.sqlite3"
            with closing(sqlite3.connect(file)) as copy:
                assert copy.execute("SELECT number FROM logged").fetchall() == [(7,)]
        assert checksums(site) == before


def test_a_session_is_made_in_the_copied_database_only(site):
    make = (
        "from django.contrib.auth import get_user_model; get_user_model().objects.create_superuser('eve', password='x')"
    )
    subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", make], cwd=site, check=True)
    before = checksums(site)
    with lab.serve(lab.SYNC, application=lab.project(site, login="eve")) as server:
        assert httpx.get(f"{server.url}/admin/", headers=server.configuration.application.headers).status_code == 200
        assert httpx.get(f"{server.url}/admin/").status_code == 302
        assert len(lab.measure(server, "/admin/", lab.closed(1, each=2)).response_ms) == 2
    assert checksums(site) == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "import nothing_of_that_name",
            "the module nothing_of_that_name is missing: is this the project's interpreter?",
        ),
        ("import os; os.environ['SHOP_TOKEN']", "it may want the variable SHOP_TOKEN: give env="),
        ("DATABASES['default']['NAME'] = BASE_DIR / 'empty.sqlite3'", "its database wants"),
        (
            "1 / 0",
            "the project does not load with mysite.settings: ZeroDivisionError: division by zero (settings.py, line",
        ),
    ],
)
def test_a_project_that_does_not_load_is_a_sentence_with_what_to_do(site, line, said):
    append(site, line)
    with pytest.raises(ProjectError) as failure:
        lab.project(site)
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


def test_migrations_are_applied_to_the_copy_and_variables_are_given(site):
    append(site, "import os; assert os.environ['SHOP_TOKEN'] == 'open'")
    append(site, "DATABASES['default']['NAME'] = BASE_DIR / 'empty.sqlite3'")
    mine = lab.project(site, migrate=True, env={"SHOP_TOKEN": "open"})
    with lab.serve(lab.SYNC, application=mine) as server:
        assert httpx.get(f"{server.url}/admin/login/").status_code == 200
    assert not (site / "empty.sqlite3").exists()


def test_two_copies_of_one_project_have_each_their_own_environment(site):
    append(site, "import os; ALLOWED_HOSTS = ['*']; LANGUAGE_CODE = os.environ['SHOP_LANGUAGE']")
    one, other = (lab.project(site, migrate=True, env={"SHOP_LANGUAGE": code}) for code in ("de", "fr"))
    for mine, said in ((one, 'lang="de"'), (other, 'lang="fr"'), (one, 'lang="de"')):
        with lab.serve(lab.SYNC, application=mine) as server:
            assert said in httpx.get(f"{server.url}/admin/login/", trust_env=False).text
    assert lab.SYNC.replace(application=one).label == lab.SYNC.replace(application=other).label


def test_what_is_no_project_is_refused(tmp_path, made):
    with pytest.raises(ConfigurationError, match="is no folder"):
        lab.project(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"neither manage\.py, wsgi\.py nor asgi.py there names its settings"):
        lab.project(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manage.py").touch()
    with pytest.raises(ConfigurationError, match="holds several projects: name one of one, two"):
        lab.project(tmp_path)
    with pytest.raises(ConfigurationError, match="expected the path of a Python interpreter"):
        lab.project(made, python="/nowhere/python")


def test_a_site_behind_a_proxy_is_asked_as_its_proxy_would_ask(site):
    append(site, "ALLOWED_HOSTS = ['.shop.example']; SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')")
    assert lab.project(site, cookie="a=1").headers == {
        "Host": "shop.example",
        "X-Forwarded-Proto": "https",
        "Cookie": "a=1",
    }


def test_an_environment_of_its_own_is_taken_and_not_copied(site):
    python = site / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    (site / ".venv" / "pyvenv.cfg").touch()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    mine = lab.project(site)
    assert mine.python == str(python)
    assert not (Path(mine.working_directory) / ".venv").exists()


def test_what_is_too_large_too_slow_or_damaged_is_a_sentence(site, monkeypatch):
    with (site / "film.mp4").open("wb") as file:
        file.truncate(3_000_000_000)  # takes no room
    with pytest.raises(ProjectError, match=r"holds 3\.0 GB, and the lab copies at most 2"):
        lab.project(site)
    (site / "film.mp4").unlink()
    monkeypatch.setattr("requestlab.serving.project.LOOK_S", 1.0)
    append(site, "import time; time.sleep(30)")
    with pytest.raises(ProjectError, match="took more than 1 s to be loaded; it may wait for a service"):
        lab.project(site)
    monkeypatch.undo()
    (site / SETTINGS).write_text((site / SETTINGS).read_text().replace("import time; time.sleep(30)", ""))
    (site / "db.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(ProjectError, match="cannot be copied: file is not a database"):
        lab.project(site)


def test_a_project_that_was_not_looked_at_here_is_refused(site):
    with pytest.raises(ConfigurationError, match="has not been looked at here: call project"):
        _ = replace(lab.project(site), number=0).headers


def test_a_copy_of_the_bookshop_is_a_new_folder(tmp_path):
    shop = lab.bookshop(tmp_path / "shop")
    assert (shop / "manage.py").is_file()
    with pytest.raises(ConfigurationError, match="File exists; name a new folder"):
        lab.bookshop(shop)


HAR = {
    "log": {
        "entries": [
            {"request": {"method": "GET", "url": f"https://{host}/a/?b=1"}, "response": {"status": 200}}
            for host in ("shop.example", "shop.example", "cdn.example")
        ]
    }
}
LOG = (
    '10.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET /a/ HTTP/1.1" 200 2326\n'
    '10.0.0.1 - - [10/Oct/2026:13:55:37 +0000] "GET /a/ HTTP/1.1" 200 2326 "-" "curl"\n'
    '10.0.0.1 - - [10/Oct/2026:13:55:38 +0000] "POST /b/ HTTP/1.1" 200 12\n'
    '10.0.0.1 - - [10/Oct/2026:13:55:39 +0000] "GET /c/ HTTP/1.1" 404 12\n'
)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("# pages\nGET /a/ 3\n/b/\nHEAD /c/\n", [("GET", "/a/", 3), ("GET", "/b/", 1), ("HEAD", "/c/", 1)]),
        (LOG, [("GET", "/a/", 2)]),
        (
            json.dumps([{"path": "/a/", "weight": 2}, {"path": "/b/", "method": "POST", "body": "x"}]),
            [("GET", "/a/", 2)],
        ),
        (json.dumps(HAR), [("GET", "/a/?b=1", 2)]),
    ],
)
def test_what_visitors_ask_is_read_from_lines_a_log_json_and_har_without_what_may_change_data(tmp_path, text, asked):
    (tmp_path / "file").write_text(text)
    found = requests_in(tmp_path / "file", ["shop.example"])
    assert [(one.method, one.path, one.weight) for one in found.asks] == asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no request in it"),
        ("POST /a/\n", "its 1 requests may change data; --allow-writes sends those too"),
        ("hello\n", "'hello' is no request; expected lines such as"),
        ("{]", "begins like JSON, and is none"),
        ('{"a": 1}', "expected a list of objects with body, headers, method, path, weight, or a HAR file"),
        ('{"log": {"entries": [1]}}', "looks like a HAR file and is none"),
        (
            json.dumps(HAR).replace("shop", "cdn"),
            "is a HAR of another host, cdn.example; the project answers for shop.example",
        ),
    ],
)
def test_a_file_that_says_nothing_of_what_is_asked_is_refused_in_a_sentence(tmp_path, text, said):
    (tmp_path / "file").write_text(text)
    with pytest.raises(ConfigurationError) as refusal:
        requests_in(tmp_path / "file", ["shop.example"])
    assert said in str(refusal.value)
