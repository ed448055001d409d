"""Each public name has a docstring with an example, and each example runs."""

from __future__ import annotations

import doctest
import inspect
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import requestlab as lab
from requestlab.system.quick import QUICK_VARIABLE, TRIAL

PUBLIC = {f"lab.{name}": getattr(lab, name) for name in lab.__all__ if name != "plots"}
PUBLIC |= {f"lab.plots.{name}": getattr(lab.plots, name) for name in lab.plots.__all__}
DOCSTRINGS = {(inspect.getdoc(thing) or ""): name for name, thing in PUBLIC.items()}
"""Several names share one: constants have that of their class."""

VIEWS = """
from django.http import HttpResponse
def report(request):
    return HttpResponse("a report")
def timing(get_response):
    return get_response
"""


@pytest.fixture(scope="module")
def known() -> Iterator[dict[str, Any]]:
    """What examples take as given: the lab's names, a server, runs and a comparison."""
    with lab.serve(lab.ASGI, probe=True) as server:
        runs = {
            name: lab.measure(server, "/sync/page/", lab.closed(users=2, each=10), parts=True)
            for name in ("run", "one", "other", "sync_run", "mixed_run")
        }
        names = vars(lab) | {name: getattr(lab, name) for name in lab.__all__}
        result = lab.compare({"sync": lab.SYNC, "asgi": lab.ASGI}, "/sync/page/", rounds=4, seconds=0.1)
        yield names | runs | {"lab": lab, "server": server, "result": result, "inf": math.inf, "httpx": httpx}


def test_each_public_name_has_an_example():
    assert [name for docstring, name in DOCSTRINGS.items() if ">>>" not in docstring] == []


@pytest.mark.some(12)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("docstring", DOCSTRINGS, ids=DOCSTRINGS.values())
def test_an_example_runs(docstring, known, tmp_path, monkeypatch):
    monkeypatch.setenv(QUICK_VARIABLE, TRIAL)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "views.py").write_text(VIEWS)
    if "mysite" in docstring:
        lab.bookshop(tmp_path / "mysite")
    names = dict(known)
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
