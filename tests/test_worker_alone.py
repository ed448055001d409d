"""The worker package in somebody else's environment: Django and gunicorn, and nothing of the lab's but that folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import requestlab
from requestlab.trace.blocking import blocks
from requestlab.trace.trace import TraceReader
from requestlab.worker import environment
from requestlab.worker.ready import QUESTION_HEADER, READY_PATH, halves, request_counts

LIBRARY = Path(requestlab.__file__).parent
WORKER = LIBRARY / "worker"
PROJECT = """
import time
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="none",
                   MIDDLEWARE=["django.middleware.common.CommonMiddleware"])

def page(request):
    return HttpResponse("a page")

async def sleep(request):
    time.sleep(0.03)
    return HttpResponse("slept")

urlpatterns = [path("page/", page), path("sleep/", sleep)]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
"""


def pythons() -> list[str]:
    """Return the interpreter of these tests, and a Python 3.10 where there is one."""
    named = shutil.which("python3.10")  # of pyenv, it may be a script that runs nothing
    older = [*map(str, Path.home().glob(".pyenv/versions/3.10.*/bin/python3.10")), *([named] if named else [])]
    return [sys.executable, *older[:1]]


@pytest.fixture(scope="module", params=pythons(), ids=lambda path: Path(path).name)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has Django and gunicorn and nothing else."""
    return environment_with(request.param, tmp_path_factory.mktemp("environment"), "django", "gunicorn")


def environment_with(base: str, folder: Path, *packages: str) -> str:
    """Make a virtual environment of a Python in a folder, with these packages, and return its interpreter."""
    executable = str(folder / "bin" / "python")
    uv = [sys.executable, "-m", "uv", "--quiet"]
    for command in (
        [*uv, "venv", "--python", base, str(folder)],
        [*uv, "pip", "install", "--python", executable, *packages],
    ):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            why = f"{' and '.join(packages)} cannot be installed here: {made.stderr.strip()[-300:]}"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return executable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The worker package and the lab's `__init__`, a Django project beside them, and a directory for what is
    written."""
    shutil.copytree(WORKER, tmp_path / "requestlab" / "worker", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(LIBRARY / "__init__.py", tmp_path / "requestlab")
    (tmp_path / "project.py").write_text(PROJECT)
    (tmp_path / "written").mkdir()
    return tmp_path


@contextmanager
def served(python: str, folder: Path, interface: str, worker_class: str) -> Iterator[Callable[[str], str]]:
    """Serve the project with the probe on; the function asks for a path."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        bind = ["--bind", f"fd://{listener.fileno()}", "--worker-class", worker_class, "--log-level", "warning"]
        variables = {
            environment.TARGET: f"project:{interface}",
            environment.INTERFACE: interface,
            environment.PROBE: "1.0",
            environment.DIRECTORY: str(folder / "written"),
            environment.SECRET: "of this test",
            "PYTHONPATH": str(folder),
        }
        process = subprocess.Popen(
            [python, "-m", "gunicorn", *bind, "requestlab.worker.entry:application"],
            pass_fds=[listener.fileno()],
            env=os.environ | variables,
            cwd=folder,
        )

        def ask(path: str, **headers: str) -> str:
            request = urllib.request.Request(f"{url}{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())

        question, expected = halves("of this test")
        try:
            assert json.loads(ask(READY_PATH, **{QUESTION_HEADER: question}))["nonce"] == expected
            yield ask
        finally:
            process.terminate()
            process.wait(10)


@pytest.mark.some(1)
def test_a_wsgi_worker_with_the_probe_on_answers_counts_and_writes_spans(python, folder):
    directory = str(folder / "written")
    with served(python, folder, "wsgi", "sync") as ask, TraceReader(directory) as reader:
        assert [ask("/page/") for _ in range(3)] == ["a page"] * 3
        trace = reader.read()
        assert list(request_counts(directory).values()) == [3]

    assert list(trace.spans["kind"].astype(str)) == ["request", "middleware", "view"] * 3
    assert list(trace.spans["name"])[:3] == ["GET /page/", "CommonMiddleware", "project.page"]
    assert (trace.spans["end"] > 0)[trace.spans["kind"] == "view"].all()


@pytest.mark.some(1)
def test_an_asgi_worker_with_the_probe_on_says_what_blocked_its_loop(python, folder):
    with served(python, folder, "asgi", "asgi") as ask, TraceReader(str(folder / "written")) as reader:
        ask("/page/")
        for _ in range(5):
            time.sleep(0.03)
            assert ask("/sleep/") == "slept"
        time.sleep(0.1)
        trace = reader.read()

    assert {"request", "middleware", "view", "step", "to_thread"} <= set(trace.spans["kind"].astype(str))
    found = blocks(trace)
    slept = found[(found["view"] == "project.sleep") & (found["cause"] == "blocking call")]
    assert len(slept) >= 3
    assert set(slept["where"]) - {""} == {"project.py:16"}
