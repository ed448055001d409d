"""Servers in another Python than the lab's: what it is lent, which versions are told, and what is no such Python."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, ServerStartError
from requestlab.serving import interpreters, servers
from requestlab.serving.interpreters import OLDEST, interpreter
from requestlab.system import machine
from tests.test_worker_alone import environment_with, pythons

DJANGO = "django<5.2"
PACKAGING = "24.1"
TOLD = """
import django, packaging, sys
from django.http import JsonResponse

def told(request):
    servers = [sys.modules[name].__file__ for name in ("gunicorn", "uvicorn") if name in sys.modules]
    return JsonResponse([django.__version__, packaging.__version__, django.__file__, *servers], safe=False)
"""


@pytest.fixture(scope="module", params=pythons(), ids=lambda path: Path(path).name)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has an older Django than the lab, another `packaging`, and no server."""
    folder = tmp_path_factory.mktemp("other")
    return environment_with(request.param, folder, DJANGO, f"packaging=={PACKAGING}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache_of_these_tests(cache, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.mark.some(1)
def test_an_environment_with_django_only_is_lent_servers_behind_its_own_packages(python, cache, tmp_path):
    (tmp_path / "own.py").write_text(TOLD)
    theirs, folder = interpreter(python), Path(python).parents[1]
    assert theirs.missing == interpreters.LENT
    for configuration in (lab.SYNC, lab.ASGI):
        with lab.serve(configuration, python=python, probe=1.0, application=lab.app(tmp_path / "own.py")) as server:
            (pid,) = server.pids
            assert psutil.Process(pid).cmdline()[0] == python
            django, packaging, where, *servers = httpx.get(server.url + "/told/").json()
            run = lab.measure(server, "/sync/page/", lab.closed(2, each=5))
        assert (django, packaging) == (theirs.versions["django"], PACKAGING)
        assert django != version("django")
        assert where.startswith(str(folder))
        assert servers
        linked = theirs.abi == interpreter(sys.executable).abi
        lent = Path(server.directory, "servers") if linked else cache / "requestlab" / "lent"
        assert all(Path(file).is_relative_to(lent) for file in servers)
        assert not run.failed.any()
        assert sum(run.spans["kind"].astype(str) == "view") >= 10
        told = run.about.machine
        assert (told.python, told.versions["django"]) == (theirs.python, django)
        assert told.versions["asgiref"] == theirs.versions["asgiref"]
        assert [told.versions[name] for name in ("gunicorn", "uvicorn")] == [version("gunicorn"), version("uvicorn")]
        assert django in told.caption
    kept = cache / "requestlab" / "lent"
    assert linked or [made.name for made in kept.iterdir() if made.name.startswith(theirs.abi)] == [
        Path(interpreters.lent_to(theirs, "")).parent.name
    ]
    assert not (folder / "bin" / "gunicorn").exists()  # nothing was installed into it


@pytest.mark.some(1)
def test_a_comparison_tells_the_versions_of_both(python):
    contenders = {"own": lab.SYNC, "other": lab.SYNC.replace(python=python)}
    result = lab.compare(contenders, "/sync/page/", lab.closed(1), rounds=2, seconds=0.1)
    theirs, own = interpreter(python), machine.facts()
    assert result.about.machine.versions["django"] == f"{own.versions['django']} and {theirs.versions['django']}"
    both = list(dict.fromkeys([own.python, theirs.python]))
    assert result.about.machine.python == " and ".join(both)
    assert {run.about.machine.python for run in result.runs("other")} == {theirs.python}


def test_what_is_installed_later_is_noticed(python):
    assert interpreter(python).versions["gevent"] is None
    (packages,) = Path(python).parents[1].glob("lib/python*/site-packages")
    (packages / "gevent-1.2.3.dist-info").mkdir()
    (packages / "gevent-1.2.3.dist-info" / "METADATA").write_text("Name: gevent\nVersion: 1.2.3\n")
    assert interpreter(python).versions["gevent"] == "1.2.3"


def test_a_server_that_is_not_lent_is_missing_in_a_sentence(python):
    with pytest.raises(ServerStartError, match="No module named 'waitress'"):
        lab.serve(lab.SYNC, server="waitress", python=python)


def test_the_labs_own_python_is_lent_nothing():
    assert interpreters.lent_to(interpreter(sys.executable), "") == ""
    assert interpreter(sys.executable).machine == machine.facts()
    assert replace(lab.SYNC, python=sys.executable).label.endswith(f"python={sys.executable}")


def saying(text: str, status: int = 0) -> str:
    return f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n"


OLD = json.dumps({"version": [3, 9], "python": "3.9.18"})
BAD = [
    (saying("good morning"), "is no Python that works: good morning"),
    (saying("{}"), "is no Python that works: {}"),
    (saying("[1, 2]"), r"is no Python that works: \[1, 2\]"),
    ("#!/bin/sh\necho first >&2; echo it is broken >&2; exit 3\n", "is no Python that works: it is broken"),
    ("#!/bin/sh\n", "is no Python that works"),
    ("#!/nowhere/sh\n", "cannot be run: .*No such file"),
    (saying(OLD), rf"is Python 3\.9\.18; expected {OLDEST[0]}\.{OLDEST[1]} or newer"),
]


@pytest.mark.parametrize(("script", "said"), BAD)
def test_a_bad_interpreter_is_refused_by_serve_in_one_sentence(script, said, tmp_path):
    path = tmp_path / "python"
    path.write_text(script)
    path.chmod(0o755)
    with pytest.raises(ConfigurationError, match=f"^python='{path}' {said}") as caught:
        lab.serve(lab.SYNC, python=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["/nowhere/python", "no-such-python", 3, __file__])
def test_what_is_no_program_is_refused_before_anything_is_started(given):
    with pytest.raises(ConfigurationError, match=r"python=.*: expected the path of a Python interpreter, or its name"):
        lab.SYNC.replace(python=given)


def test_a_server_without_an_application_takes_no_python():
    with pytest.raises(ConfigurationError, match="server 'null' runs no application, so it takes no python"):
        lab.NULL.replace(python="sh")


@pytest.mark.parametrize("path", sorted(map(str, Path.home().glob(".pyenv/versions/[23].[6-9]*/bin/python"))))
def test_a_real_python_that_is_too_old_is_named(path):
    with pytest.raises(ConfigurationError, match=rf"is Python {Path(path).parents[1].name}; expected 3\.10 or newer"):
        interpreter(path)


@pytest.mark.parametrize(
    ("version", "kept"), [("21.2.0", False), ("25.0.3", False), ("25.1.0", True), ("27.0.1", True), (None, True)]
)
def test_an_older_gunicorn_is_not_given_flags_that_it_does_not_know(version, kept):
    arguments = ["--workers", "1", "--no-control-socket"]
    assert ("--no-control-socket" in servers.understood(arguments, {"gunicorn": version})) == kept
