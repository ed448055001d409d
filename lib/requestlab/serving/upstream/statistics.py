"""What the upstream counts of itself, and what a run keeps of that: the difference between before and after."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from requestlab.worker.ready import without_token

LATE_NS = 1_000_000
"""An answer that comes so much later than promised is counted as late."""

PATIENCE_S = 2.0


@dataclass(frozen=True)
class UpstreamUse:
    """What the upstream did during a slice, by its own count.

    `requests` it took on, how many it has `failed` (as asked) and `refused`. Of those with a delay (`timed`): the sum
    of the delays that were promised, by how much more they took, in ns, and how many were more than 1 ms late.
    `most_at_once` were under way at one time; `strangers` did not know its token, and were refused. `pid` is None where
    it did not answer, or was another one at the end; then all counts are 0.
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
    strangers: int = 0


COUNTED = tuple(field.name for field in fields(UpstreamUse) if field.name not in ("url", "pid", "most_at_once"))


class Statistics(Counter[str]):
    """The counts of `UpstreamUse` since the upstream was started, and how many requests are under way (`at_once`).

    `most_at_once` counts since the last `reset_peak`.
    """

    def __init__(self) -> None:
        super().__init__(dict.fromkeys((*COUNTED, "at_once", "most_at_once"), 0))

    def begun(self) -> None:
        self["requests"] += 1
        self["at_once"] += 1
        self["most_at_once"] = max(self["most_at_once"], self["at_once"])

    def delayed(self, promised_ns: int, late_ns: int) -> None:
        self["timed"] += 1
        self["promised_ns"] += promised_ns
        self["late_ns"] += late_ns
        self["late"] += late_ns > LATE_NS

    def reset_peak(self) -> None:
        self["most_at_once"] = self["at_once"]


def ask(url: str, method: str = "GET") -> dict[str, Any] | None:
    """Return the statistics of the upstream at that address; None where none answers. POST resets the peak
    afterwards."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.netloc, timeout=PATIENCE_S)
    try:
        connection.request(method, f"{at.path}/statistics/")
        told = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return told if isinstance(told, dict) and {"pid", *COUNTED} <= told.keys() else None


def difference(url: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> UpstreamUse:
    """Return what the upstream did in between; its address without the token."""
    url = without_token(url)
    if before is None or after is None or before["pid"] != after["pid"]:
        return UpstreamUse(url, None)
    counted = {name: after[name] - before[name] for name in COUNTED}
    return UpstreamUse(url, after["pid"], after["most_at_once"], **counted)
