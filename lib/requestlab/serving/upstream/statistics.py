"""What a run keeps of the upstream behind its server: the upstream's own statistics, before and after."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 2.0
COUNTED = ("requests", "failed", "refused", "timed", "promised_ns", "late_ns", "late")


@dataclass(frozen=True)
class UpstreamUse:
    """What the upstream did during a slice, by its own count.

    `pid` is None where it did not answer, or was another one at the end; then all counts are 0. Times in ns.
    """

    url: str
    pid: int | None
    most_at_once: int = 0
    requests: int = 0
    failed: int = 0
    refused: int = 0
    timed: int = 0
    promised_ns: int = 0
    late_ns: int = 0
    late: int = 0


def ask(url: str, method: str = "GET") -> dict[str, Any] | None:
    """Return the statistics of the upstream at that address; None where none answers."""
    try:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        try:
            connection.request(method, "/statistics/")
            told = json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return told if isinstance(told, dict) and {"pid", *COUNTED} <= told.keys() else None


def difference(url: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> UpstreamUse:
    """Return what the upstream did in between."""
    if before is None or after is None or before["pid"] != after["pid"]:
        return UpstreamUse(url, None)
    counted = {name: after[name] - before[name] for name in COUNTED}
    return UpstreamUse(url, after["pid"], after["most_at_once"], **counted)
