"""The site of `make site` in a real browser; that command runs these tests on what it has built."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.notebooks.lessons import NAMES

SITE = os.environ.get("REQUESTLAB_SITE")
SHOTS = os.environ.get("REQUESTLAB_SCREENSHOTS")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SITE, reason="there is no site; `make site` builds one, and runs this"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Quiet(SimpleHTTPRequestHandler):
    """Gives files without a word."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def keep(page, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(SHOTS) / f"site-{name}.png")


def test_the_first_page_leads_to_every_lesson_the_reference_and_the_report(page, address):
    page.goto(f"{address}/README.html")
    links = page.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert {f"notebooks/{name}.html" for name in NAMES} <= set(links)
    assert {"api/README.html", "report/index.html"} <= set(links)
    keep(page, "first")
    assert page.goto(f"{address}/report/index.html").ok


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", [NAMES[0], NAMES[4]])
def test_a_lesson_shows_its_figures_in_both_themes(page, address, name, theme):
    page.emulate_media(color_scheme=theme)
    page.goto(f"{address}/notebooks/{name}.html")
    widths = page.locator("article img").evaluate_all("all => all.map(one => one.naturalWidth)")
    assert len(widths) >= 2
    assert min(widths) > 100
    light = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(255, 255, 255)") is (theme == "light")
    page.locator("article img").first.scroll_into_view_if_needed()
    keep(page, f"{name}-{theme}")


def test_what_is_searched_is_found(page, address):
    page.goto(f"{address}/search.html?q=sync_to_async")
    page.locator("#search-results li").first.wait_for()
    assert page.locator("#search-results li").count() > 3
    keep(page, "search")


def test_the_reference_has_each_public_name(page, address):
    import requestlab as lab

    page.goto(f"{address}/api/README.html")
    named = set(page.locator("dt.sig").evaluate_all("all => all.map(one => one.id)"))
    assert {f"requestlab.{name}" for name in lab.__all__ if name != "plots"} <= named
    keep(page, "reference")
