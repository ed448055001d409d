"""Each public name has a docstring with an example, and each example runs."""

from __future__ import annotations

import doctest
import inspect
import math
import subprocess
import sys
from typing import Any

import httpx
import pytest

import requestlab as lab
from requestlab.system.quick import QUICK_VARIABLE, TRIAL

PUBLIC = {f"lab.{name}": getattr(lab, name) for name in lab.__all__ if name != "plots"}
PUBLIC |= {f"lab.plots.{name}": getattr(lab.plots, name) for name in lab.plots.__all__}
DOCSTRINGS = {(inspect.getdoc(thing) or ""): name for name, thing in PUBLIC.items()}
"""Several names share one: constants have that of their class."""

CASES = [
    pytest.param(docstring, marks=pytest.mark.thorough if name == "lab.advise" else (), id=name)
    for docstring, name in DOCSTRINGS.items()
]

VIEWS = """
from django.http import HttpResponse
def report(request):
    return HttpResponse("a report")
def timing(get_response):
    return get_response
"""


@pytest.fixture(scope="module")
def known(served) -> dict[str, Any]:
    """What examples take as given: the lab's names, runs and a comparison."""
    runs = {
        name: lab.measure(served(configuration, probe=True), "/sync/page/", lab.closed(users=2, each=10), parts=True)
        for name, configuration in {"run": lab.ASGI, "one": lab.SYNC, "other": lab.ASGI}.items()
    }
    runs |= {"sync_run": runs["one"], "mixed_run": runs["other"]}
    names = vars(lab) | {name: getattr(lab, name) for name in lab.__all__}
    result = lab.compare({"sync": lab.SYNC, "asgi": lab.ASGI}, "/sync/page/", rounds=4, seconds=0.1)
    return names | runs | {"lab": lab, "result": result, "inf": math.inf, "httpx": httpx}


def test_each_public_name_has_an_example():
    assert [name for docstring, name in DOCSTRINGS.items() if ">>>" not in docstring] == []


@pytest.mark.some(8)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("docstring", CASES)
def test_an_example_runs(docstring, known, served, tmp_path, monkeypatch):
    monkeypatch.setenv(QUICK_VARIABLE, TRIAL)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "views.py").write_text(VIEWS)
    if "mysite" in docstring:
        mysite = lab.bookshop(tmp_path / "mysite")
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=mysite, check=True)
    names = known | {"server": served(lab.ASGI, probe=True)}
    monkeypatch.setattr("requestlab.comparison.compare._last_interrupted", [known["result"]])
    servers = set(_running())
    for example in doctest.DocTestParser().get_examples(docstring):
        try:
            exec(compile(example.source, docstring[:40], "exec"), names)
        except lab.LabError as problem:
            pytest.fail(f"{example.source}{problem}")
    for server in set(_running()) - servers:
        server.stop()


def _running() -> list[lab.Server]:
    from requestlab.serving.server import running

    return list(running())
