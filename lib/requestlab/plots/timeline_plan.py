"""Where the timeline's rows and lanes lie: clients above, then each worker's event loop and threads, and names below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from requestlab.measurement.timeline import Scene, Track
from requestlab.plots import timeline_names
from requestlab.plots.timeline_names import Name

MAX_HOPS, MAX_HOPPING = 150, 4
"""With more crossings, or more threads, than this the lines between loop and thread would be a thicket, and are not drawn."""

_CLIENT_IN = ((3, 0.24), (12, 0.13), (30, 0.075), (80, 0.036))

_MAX_CLIENTS_IN, _MAX_THREADS_IN = 2.6, 2.2

_LOOP_IN, _HOP_IN, _GAP_IN, _GROUP_IN, _HEAD_IN = 0.4, 0.42, 0.07, 0.22, 0.2

_THREAD_IN = ((2, 0.32), (6, 0.24), (16, 0.13), (60, 0.06))


@dataclass(frozen=True)
class Place:
    """Where a track's lane lies, and the heading above it, if it is the first of its worker."""

    track: Track
    top: float
    bottom: float
    heading: str


@dataclass(frozen=True)
class Plan:
    """Where everything lies, in inches from the top."""

    row_in: float
    clients_bottom: float
    places: Sequence[Place]
    names_top: float
    height: float


def plan(scene: Scene, found: Sequence[Name]) -> Plan:
    """Lay out the lanes of a scene and the names below them."""
    row_in = _sized(scene.rows, _CLIENT_IN, _MAX_CLIENTS_IN)
    bottom = max(0.16, row_in * scene.rows)
    workers = {track.worker for track in scene.tracks}
    thread_in = _sized(len(scene.threads), _THREAD_IN, _MAX_THREADS_IN)
    loop_in = min(_LOOP_IN, 2.6 / max(1, len(scene.loops)))
    gap = min(_GAP_IN, 0.3 * thread_in)
    y, places, before = bottom + _GROUP_IN + (0.1 if any(len(one.late) for one in scene.loops) else 0), [], 0
    for i, track in enumerate(scene.tracks):
        first = track.worker != before
        if first and before:
            y += 0.5 * _GROUP_IN
        headed = first and len(workers) > 1 and len(workers) <= 8
        y += _HEAD_IN * headed
        size = loop_in if track.on_loop else thread_in
        if not first and i:
            y += _HOP_IN if scene.tracks[i - 1].on_loop and hops_drawn(scene) else gap
        places.append(Place(track, y, y + size, f"worker {track.worker}" if headed else ""))
        y, before = y + size, track.worker
    return Plan(row_in, bottom, places, y + 0.04, y + 0.08 + timeline_names.height_in(found))


def _sized(number: int, steps: Sequence[tuple[int, float]], most_in: float) -> float:
    size = next((size for upto, size in steps if number <= upto), steps[-1][1])
    return min(size, most_in / max(1, number))


def hops_drawn(scene: Scene) -> bool:
    """Whether lines connect loop and thread."""
    return 0 < len(scene.hops) <= MAX_HOPS and len(scene.threads) <= MAX_HOPPING
