"""What a run notes down of the upstream behind its server: what the upstream says of itself, before and after."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 2.0
COUNTED = ("requests", "failed", "refused", "timed", "promised_ns", "late_ns", "late")


def ask(url: str, method: str = "GET") -> dict[str, Any] | None:
    """Return the statistics of the upstream at that address; None where there is none that tells."""
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


def difference(url: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the upstream did in between; `pid` is None where it did not answer, or is another one now."""
    if before is None or after is None or before["pid"] != after["pid"]:
        return {"url": url, "pid": None}
    counted = {name: after[name] - before[name] for name in COUNTED}
    return {"url": url, "pid": after["pid"], "most_at_once": after["most_at_once"], **counted}
