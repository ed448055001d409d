"""What is advised on a project: each planted fault is named, and none where there is none; and the answer itself.

`make test-projects` plants all of them, and asks on projects that others have published; here is one. The others take a
quarter of a minute each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import requestlab as lab
from requestlab.advice.conclusions import _of_rate, findings
from requestlab.advice.discover import Visitor
from requestlab.advice.field import BUSY, threads_that_pay
from requestlab.advice.survey import survey
from requestlab.comparison.comparison import Comparison, Slice
from requestlab.errors import ProjectError, ServerGoneError
from requestlab.load.mix import Mix, ask
from tests.made_runs import COMPARED, open_loop
from tests.planted import FAULTS, SHOP, shop_with
from tests.test_project import checksums

ALL = bool(os.environ.get("REQUESTLAB_ALL_PROJECTS"))
CHOSEN = ("", *FAULTS) if ALL else ("blocking call",)


@pytest.mark.measuring
@pytest.mark.parametrize("fault", CHOSEN)
def test_a_planted_fault_is_named_and_none_where_there_is_none(fault, tmp_path):
    mine = lab.project(shop_with(fault, tmp_path), migrate=True)
    seen = survey(mine, None, lambda what: None, discover_s=5, short_s=0.5)
    assert {one.about for one in findings(mine, seen)} == ({fault} if fault else set())
    assert seen.pages[0].page.queries == 1
    planted = 2 if fault == "sync-only middleware" else 0  # from the thread to the loop, and to a thread again
    assert seen.pages[0].crossings - planted in (15, 16)  # middleware's and a sync view's: not those of a warm-up
    if fault in ("blocking call", "GIL held elsewhere"):
        assert any("planted (shop/views.py:" in one.sentence for one in findings(mine, seen))


def test_threads_pay_as_long_as_they_find_a_core_idle():
    assert [threads_that_pay(waits) for waits in (0.0, 0.5, 0.8, 0.9, 1.0)] == [4, 4, 10, 20, 32]


def at_rate(**each_ms):
    """A comparison under 100 requests a second, twelve rounds of one second."""
    slices = [
        Slice(number, position, label, open_loop(100, ms))
        for position, (label, ms) in enumerate(each_ms.items())
        for number in range(1, 13)
    ]
    return Comparison(tuple(slices), tuple(each_ms), None, COMPARED)


@pytest.mark.parametrize(
    ("each_ms", "said"),
    [
        ({"sync": 40, "threads": 20, "asgi": 25}, "half of the requests are answered within 40 ms under sync, 20 ms"),
        ({"sync": 4_000, "threads": 20, "asgi": 25}, "; sync did not keep up, so the longer it lasts"),
    ],
)
@pytest.mark.some(1)
def test_what_visitors_see_at_a_rate_is_a_sentence(each_ms, said):
    mine, seen = lab.project(SHOP, migrate=True), SimpleNamespace(pages=[])
    found = _of_rate(mine, seen, at_rate(**each_ms))
    assert found.sentence.startswith("at 100 requests a second that come at random, ")
    assert said in found.sentence
    assert "lab.open(100, arrivals='poisson'), ask=['p50']" in found.cell


def advised(*words, folder):
    command = [sys.executable, "-m", "requestlab.cli", "advise", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.measuring
@pytest.mark.skipif(bool(os.environ.get("CI")) and not ALL, reason="a published project is advised on there")
def test_a_project_is_advised_on_within_the_time_and_left_as_it_was(tmp_path):
    before = checksums(SHOP)
    done = advised(SHOP, "--migrate", "--minutes", "0.5", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["seconds"] < 45
    assert {page["page"] for page in said["pages"]} >= {"/"}
    answer = said["advice"][0]
    assert not [one for one in said["advice"] if one["kind"] == "set"]  # no fault was planted
    assert answer["kind"] in ("raise threads", "switch", "cannot tell")  # it waits for most of its time: never stay
    assert answer["evidence"]
    assert "lab.compare(" in answer["cell"]
    page = (tmp_path / "advice" / "index.html").read_text()
    assert answer["sentence"].split(";")[0].replace("'", "&#39;") in page
    assert (tmp_path / "advice" / "sync.run").is_file()
    assert checksums(SHOP) == before
    assert BUSY == "10 users"


@pytest.mark.parametrize(
    ("views", "said"),
    [
        ("def books(request):\n    raise ValueError('no shelf')", "answers 500: ValueError: no shelf (views.py, line"),
        (
            "def books(request):\n    return HttpResponse(status=302, headers={'Location': '/login/'})",
            "leads to /login/",
        ),
        ("def books(request):\n    return HttpResponse(status=404)", "no page answers 200 to a GET"),
    ],
)
@pytest.mark.some(1)
def test_a_project_without_a_page_that_can_be_asked_is_a_sentence(tmp_path, views, said):
    shop = shop_with("", tmp_path)
    with (shop / "shop" / "views.py").open("a") as file:
        file.write(f"\n\n{views}\n")
    with pytest.raises(ProjectError) as failure:
        survey(lab.project(shop, migrate=True), None, lambda what: None, discover_s=5, short_s=0.5)
    assert said in str(failure.value)
    done = advised(shop, "--migrate", "--minutes", "0.5", folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said in done.stderr


def test_a_project_whose_server_ends_says_so(tmp_path):
    shop = shop_with("", tmp_path)
    with (shop / "shop" / "views.py").open("a") as file:
        file.write("\n\ndef books(request):\n    os.kill(os.getppid(), 9)\n")
    with pytest.raises(ServerGoneError, match="ended by itself"):
        survey(lab.project(shop, migrate=True), None, lambda what: None, discover_s=5, short_s=0.5)


FORM = """

from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_protect


@csrf_protect
def books(request):
    request.session["seen"] = request.session.get("seen", 0) + 1
    token = get_token(request)
    return HttpResponse(f'<input type="hidden" name="csrfmiddlewaretoken" value="{token}"> {request.method}')
"""


def test_sessions_and_tokens_are_followed_where_writes_are_allowed(tmp_path):
    shop = shop_with("", tmp_path)
    with (shop / "shop" / "views.py").open("a") as file:
        file.write(FORM)
    with lab.serve(lab.SYNC, application=lab.project(shop, migrate=True)) as server, Visitor(server) as visitor:
        plain = ask("/", "POST", headers={"content-type": "application/x-www-form-urlencoded"}, body="a=1")
        assert visitor.page(plain)[0].status == 403
        page, _ = visitor.page(visitor.followed(plain))
        assert page.status == 200
        assert "sessionid=" in dict(page.ask.headers)["cookie"]
        run = lab.measure(server, Mix((page.ask,)), lab.closed(2, each=5))
        assert list(run.requests["status"]) == [200] * 10
