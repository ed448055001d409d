"""Finding pages of a project that can be asked: what answers 200 to a GET, of its patterns, sitemap and links."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from bs4 import BeautifulSoup

from requestlab.errors import ProjectError
from requestlab.load.mix import SAFE, Ask
from requestlab.serving.server import Server
from requestlab.system.wording import counted
from requestlab.worker.project import QUERIES_HEADER

MAX_PAGES = 4
MAX_TRIED = 60
MAX_BODY = 5_000_000
TIMEOUT_S, SLOW_MS = 30.0, 5_000.0

ENDING_S = 0.3
"""How long it may take until a server that has ended is known to have."""

CSRF_COOKIE = "csrftoken"
_TOKEN = re.compile(r"""name=["']csrfmiddlewaretoken["'][^>]*value=["'](?P<token>\w+)""")

_LEAVE = re.compile("log_?out|sign_?out|delete|remove|/test404|/test500|fail", re.IGNORECASE)
_ASSETS = re.compile(r"\.(css|js|png|jpe?g|gif|svg|ico|woff2?|map|pdf)$", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """A page that was asked twice: its status and size, how long the second answer took in ms, how many connections it
    opened and queries it made, and how long these took in ms."""

    ask: Ask
    status: int
    size: int
    kind: str
    ms: float
    connections: int
    queries: int
    query_ms: float
    location: str = ""

    @property
    def path(self) -> str:
        return self.ask.path


class Visitor:
    """Asks a server for single pages, as the project wants to be asked, and follows no redirect. Keeps cookies, and the
    last token against cross-site requests that a form had, or a cookie."""

    def __init__(self, server: Server) -> None:
        headers = {"user-agent": "requestlab", **server.headers, **server.configuration.application.headers}
        cookies = dict(one.strip().split("=", 1) for one in headers.pop("cookie", "").split(";") if "=" in one)
        self._host = headers.get("host", "")
        self._client = httpx.Client(
            base_url=server.url, headers=headers, cookies=cookies, timeout=TIMEOUT_S, follow_redirects=False
        )
        self._token = ""
        self.server = server

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, ask: Ask) -> tuple[httpx.Response | None, float]:
        """Return the answer, None where there was none in time, and its ms.

        Raises ServerGoneError where the server has ended.
        """
        began = time.perf_counter()
        try:
            content = ask.body.encode() or None
            answer = self._client.request(ask.method, ask.path, headers=dict(ask.headers), content=content)
        except httpx.HTTPError as problem:
            if not isinstance(problem, httpx.TimeoutException):
                time.sleep(ENDING_S)
                self.server.check()
            return None, (time.perf_counter() - began) * 1e3
        ms = (time.perf_counter() - began) * 1e3
        if field := _TOKEN.search(answer.text if "html" in answer.headers.get("content-type", "") else ""):
            self._token = field["token"]
        return answer, ms

    def followed(self, ask: Ask) -> Ask:
        """Return the request with the cookies that this visitor was given; and where it may change data, with the token
        of a page that was visited for that: the one of its own path, or the home page."""
        headers = dict(ask.headers)
        if ask.method not in SAFE:
            for path in (ask.path, "/"):
                if not self._token:
                    self.get(Ask(path, "GET"))
            jar = {one.name: str(one.value) for one in self._client.cookies.jar}
            headers["x-csrftoken"] = self._token or jar.get(CSRF_COOKIE, "")
            headers["referer"] = f"https://{self._host}/"  # asked for where the site is behind https
        cookies = "; ".join(f"{one.name}={one.value}" for one in self._client.cookies.jar)
        return replace(ask, headers=tuple((headers | ({"cookie": cookies} if cookies else {})).items()))

    def page(self, ask: Ask) -> tuple[Page, str]:
        """Return what became of a request, and the body of the answer."""
        answer, ms = self.get(ask)
        if answer is not None and ms < SLOW_MS:
            answer, ms = self.get(ask)  # the first compiled templates and filled caches
        if answer is None:
            return Page(ask, 0, 0, "", ms, 0, 0, 0.0), ""
        opened, queries, us = map(int, answer.headers.get(QUERIES_HEADER, "0 0 0").split())
        kind = answer.headers.get("content-type", "").partition(";")[0]
        page = Page(
            ask,
            answer.status_code,
            len(answer.content),
            kind,
            ms,
            opened,
            queries,
            us / 1e3,
            answer.headers.get("location", ""),
        )
        return page, answer.text if kind in ("text/html", "application/xml", "text/xml") else ""


def discover(
    visitor: Visitor, found: dict[str, Any], tick: Callable[[str], None] = lambda path: None, budget_s: float = 30.0
) -> tuple[Page, ...]:
    """Return up to `MAX_PAGES` pages that answer 200, of different views where there are any, the home page first.

    Raises ProjectError where there is none, and says what became of those that were tried.
    """
    tried: dict[str, Page] = {}
    views = {one["path"]: one["view"] for one in found["patterns"]}
    waiting, ends = list(_candidates(found)), time.monotonic() + budget_s
    while waiting and len(tried) < MAX_TRIED and time.monotonic() < ends:
        path = waiting.pop(0)
        if path in tried or _LEAVE.search(path) or _ASSETS.search(urlsplit(path).path):
            continue
        tick(path)
        page, body = visitor.page(Ask(path))
        tried[path] = page
        if page.status == 200 and body:
            new = [link for link in _links(body, path) if link not in tried]
            waiting = [*new[:10], *waiting] if path == "/" else [*waiting, *new[:5]]
    good = [
        page for page in tried.values() if page.status == 200 and page.size <= MAX_BODY and "sitemap" not in page.path
    ]
    if not good:
        raise ProjectError(_why_none(tried, visitor.server))
    return tuple(_different(good, views))


def _candidates(found: dict[str, Any]) -> Iterator[str]:
    yield from ("/", "/sitemap.xml")
    paths = [one["path"] for one in found["patterns"] if one["path"] != "/"]
    yield from sorted(paths, key=lambda path: ("admin" in path, path.count("/"), path))


def _links(body: str, path: str) -> Iterator[str]:
    soup = BeautifulSoup(body, "html.parser")
    for place in [link.get("href") for link in soup.find_all("a")] + [loc.get_text() for loc in soup.find_all("loc")]:
        url = urlsplit(urljoin(path, str(place or "")))
        if url.path.startswith("/") and url.scheme in ("", "http", "https") and (not url.netloc or soup.find("loc")):
            yield url.path + (f"?{url.query}" if url.query else "")


def _different(pages: list[Page], views: dict[str, str]) -> Iterator[Page]:
    """Yield the home page, then the slowest of each other view, the slowest first."""
    home = [page for page in pages if page.path == "/"]
    rest: dict[str, Page] = {}
    for page in sorted((page for page in pages if page not in home), key=lambda page: -page.ms):
        rest.setdefault(views.get(page.path, f"{page.kind} of {round(page.size, -3)} bytes"), page)
    plain = [page for page in rest.values() if "admin" not in page.path]
    yield from [*home, *(plain or rest.values())][:MAX_PAGES]


def _why_none(tried: dict[str, Page], server: Server) -> str:
    """Say what became of the pages, the most frequent first, and what to do."""
    to_login = [page for page in tried.values() if page.location]
    failed = [page for page in tried.values() if page.status >= 500]
    silent = [page for page in tried.values() if page.status == 0]
    if failed and len(failed) >= len(to_login):
        why = server.last_error
        others = f" (and {counted(len(failed) - 1, 'other')} so)" if failed[1:] else ""
        return f"{failed[0].path} answers {failed[0].status}{others}{f': {why}' if why else ''}"
    if to_login:
        first = to_login[0]
        return (
            f"{first.path} leads to {first.location}: where that is a login, give the name of a user as login= (--login), or a "
            "cookie= (--cookie)"
        )
    if silent:
        return f"{silent[0].path} gave no answer in {TIMEOUT_S:g} s; does it wait for a service?"
    return f"no page answers 200 to a GET, of {len(tried)} that were tried; give what to ask as a file (--urls)"
