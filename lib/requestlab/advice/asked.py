"""What visitors ask of a project, out of a file: requests as text or JSON, an access log, or a HAR of a browser."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requestlab.errors import ConfigurationError
from requestlab.load.mix import MAX_REQUESTS, MAX_WEIGHT, METHODS, SAFE, Ask, Mix, ask

MAX_BYTES = 200_000_000
MAX_KINDS = 20
"""So many different requests are kept, the most frequent."""

_LOG = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d{3})')
_LINE = re.compile(r"(?:(?P<method>[A-Z]+)\s+)?(?P<path>/\S*)(?:\s+(?P<weight>\d+))?\s*(?:#.*)?")
_KEPT_HEADERS = ("accept", "accept-encoding", "accept-language", "content-type", "x-requested-with")


def requests_in(file: str | Path, hosts: Iterable[str] = ("*",), allow_writes: bool = False) -> Mix:
    """Return the requests in a file: lines of `METHOD /path WEIGHT` (method and weight may be left out), a JSON list of
    objects with `path`, `method`, `headers`, `body` and `weight`, an access log in the common or combined format, or a
    HAR file. `hosts` are those that the project answers for: requests of a HAR to others are not its.

    Requests that may change data are left out unless `allow_writes`. Raises ConfigurationError for what is none of
    these, and where nothing is left.
    """
    text = _read(Path(file).expanduser())
    found = list(_requests(text, str(file), list(hosts)))
    kept = [one for one in found if allow_writes or one.method in SAFE]
    if not found:
        raise ConfigurationError(f"{str(file)!r}: there is no request in it")
    if not kept:
        raise ConfigurationError(
            f"{str(file)!r}: its {len(found)} requests may change data; --allow-writes sends those too"
        )
    return Mix(tuple(_most_frequent(kept)))


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigurationError(f"{str(file)!r} is larger than {MAX_BYTES / 1e6:.0f} MB; give a part of it")
        return file.read_text(errors="replace")
    except OSError as problem:
        raise ConfigurationError(f"{str(file)!r} cannot be read: {problem.strerror}") from None


def _requests(text: str, file: str, hosts: list[str]) -> Iterator[Ask]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise ConfigurationError(f"{file!r} begins like JSON, and is none: {problem}") from None
        yield from _of_json(content, file, hosts)
        return
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    logged = [match for line in lines if (match := _LOG.search(line))]
    if logged and 2 * len(logged) >= len(lines):
        yield from _of_log(logged)
        return
    for line in lines:
        match = _LINE.fullmatch(line.strip())
        if match is None or (match["method"] or "GET") not in METHODS:
            raise ConfigurationError(
                f"{file!r}: {line.strip()[:80]!r} is no request; expected lines such as `GET /news/ 3`, a JSON list, an access "
                "log in the common or combined format, or a HAR file"
            )
        yield ask(match["path"], match["method"] or "GET", weight=_weight(match["weight"] or 1))


def _of_log(lines: Iterable[re.Match[str]]) -> Iterator[Ask]:
    """Yield what was answered with a status of 200, as often as it was."""
    good = (line for line in lines if line["status"] == "200" and line["method"] in METHODS and line["path"][:1] == "/")
    for (method, path), often in Counter((line["method"], line["path"]) for line in good).items():
        yield ask(path, method, weight=_weight(often))


def _of_json(content: Any, file: str, hosts: list[str]) -> Iterator[Ask]:
    if isinstance(content, dict) and isinstance(content.get("log"), dict):
        yield from _of_har(content["log"].get("entries", []), file, hosts)
        return
    known = {"path", "method", "headers", "body", "weight"}
    if not isinstance(content, list) or not all(isinstance(one, dict) and set(one) <= known for one in content):
        raise ConfigurationError(f"{file!r}: expected a list of objects with {', '.join(sorted(known))}, or a HAR file")
    for one in content:
        yield ask(
            one.get("path", ""),
            one.get("method", "GET"),
            headers=one.get("headers"),
            body=one.get("body", ""),
            weight=one.get("weight", 1),
        )


def _of_har(entries: Any, file: str, hosts: list[str]) -> Iterator[Ask]:
    """Yield the requests of a HAR file (version 1.2) that went to the project and were answered with 200."""
    others: Counter[str] = Counter()
    try:
        for entry in entries:
            request, url = entry["request"], urlsplit(entry["request"]["url"])
            if not _is_allowed(url.hostname or "", hosts):
                others[url.hostname or "?"] += 1
            elif entry["response"]["status"] == 200 and request["method"] in METHODS:
                path = (url.path or "/") + (f"?{url.query}" if url.query else "")
                body = request.get("postData", {}).get("text", "") if request["method"] not in SAFE else ""
                yield ask(path, request["method"], headers=_headers(request.get("headers", ())), body=body)
    except ConfigurationError:  # is a ValueError, and says more
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigurationError(
            f"{file!r} looks like a HAR file and is none: an entry has no request or response"
        ) from None
    if others and sum(others.values()) == len(entries):
        host, _ = others.most_common(1)[0]
        raise ConfigurationError(
            f"{file!r} is a HAR of another host, {host}; the project answers for {', '.join(hosts)}"
        )


def _headers(pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the headers that may change an answer; cookies of a browser are somebody's session."""
    return {one["name"]: one["value"] for one in pairs if one["name"].lower() in _KEPT_HEADERS}


def _is_allowed(host: str, hosts: list[str]) -> bool:
    here = ("127.0.0.1", "localhost")
    return any(
        allowed == "*" or host == allowed.lstrip(".") or (allowed.startswith(".") and host.endswith(allowed))
        for allowed in (*hosts, *here)
    )


def _weight(often: int | str) -> int:
    digits = str(often).lstrip("0") or "0"
    return MAX_WEIGHT if len(digits) > len(str(MAX_WEIGHT)) else min(MAX_WEIGHT, int(digits))


def _most_frequent(asks: list[Ask]) -> list[Ask]:
    """Return each request once, with the weight of all alike."""
    together: Counter[Ask] = Counter()
    for one in asks:
        together[Ask(one.path, one.method, one.headers, one.body)] += one.weight
    most = together.most_common(min(MAX_KINDS, MAX_REQUESTS))
    return [Ask(one.path, one.method, one.headers, one.body, min(MAX_WEIGHT, often)) for one, often in most]
