"""The timeline's panel: clients above, then each worker's event loop and threads; y is in inches, downward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from requestlab.measurement.timeline import Scene, Track, named
from requestlab.plots import style, timeline_names
from requestlab.plots.lettering import width_in
from requestlab.plots.timeline_marks import LATE, Boxes, beside, corners_of, fill, mixed, write, write_in
from requestlab.plots.timeline_names import Name
from requestlab.plots.timeline_plan import Place, Plan, hops_drawn
from requestlab.system import wording
from requestlab.trace.activity import ON_LOOP, ON_THREAD, PAUSED, QUEUED, VIEW_ON_LOOP, VIEW_ON_THREAD, WAITS, each

ELSEWHERE = "not in Django"


def draw(axes: Axes, scene: Scene, plan: Plan, found: Sequence[Name], panel_in: float, left_in: float) -> None:
    """Draw a scene into axes that are `panel_in` inches wide, as high as the plan, and `left_in` from the margin."""
    axes.set_ylim(plan.height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    per_ms = panel_in / (scene.end - scene.begin)
    _draw_clients(axes, scene, plan, per_ms)
    if hops_drawn(scene):
        _draw_hops(axes, scene, plan)
    _draw_tracks(axes, scene, plan, per_ms)
    if found and plan.places:
        loops = [place.bottom for place in plan.places if place.track.on_loop]
        bottoms = max(loops, default=plan.names_top), plan.places[-1].bottom
        timeline_names.draw(axes, found, plan.names_top, bottoms, panel_in, left_in)


def _draw_clients(axes: Axes, scene: Scene, plan: Plan, per_ms: float) -> None:
    pad = 0.14 * plan.row_in if scene.rows <= 30 else 0.0
    boxes: Boxes = {}
    unsent, failed = [], []
    for client in scene.clients:
        top, bottom = client.row * plan.row_in + pad, (client.row + 1) * plan.row_in - pad
        for corners, state in zip(
            corners_of(client.bars, top, bottom, per_ms), client.bars.state.tolist(), strict=True
        ):
            boxes.setdefault((state, True), []).append(corners)
        if client.sent > client.planned:
            unsent.append([(client.planned, (top + bottom) / 2), (client.sent, (top + bottom) / 2)])
        if client.failed:
            failed.append((client.done, (top + bottom) / 2))
    fill(axes, boxes, edge=0.4 if plan.row_in > 0.1 else 0.0)
    axes.add_collection(LineCollection(unsent, colors=style.GREY, linestyles=(0, (1, 1)), linewidths=0.8))
    if failed:
        size = float(np.clip(72 * plan.row_in * 0.6, 3, 6))
        axes.plot(*zip(*failed, strict=True), "x", color=LATE, markersize=size, markeredgewidth=1.2, clip_on=False)
    clients = "the client" if len(scene.clients) == 1 else "clients"
    label = f"{clients}:\n{wording.counted(len(scene.clients), 'request')}"
    beside(axes, label, plan.clients_bottom / 2)
    if scene.rows <= 3 and len(scene.clients) == scene.rows:
        for client in scene.clients:
            write_in(axes, client.bars, client.row * plan.row_in, plan.row_in, per_ms, _IN_CLIENT)


def _draw_tracks(axes: Axes, scene: Scene, plan: Plan, per_ms: float) -> None:
    boxes: Boxes = {}
    labelled = -np.inf
    for place in plan.places:
        track, middle = place.track, (place.top + place.bottom) / 2
        colour = style.EVENT_LOOP if track.on_loop else style.THREAD
        axes.axhspan(place.top, place.bottom, facecolor=mixed(colour, "white", 0.9), linewidth=0, zorder=0)
        own = np.isin(track.bars.owner, scene.solid) if scene.partial else np.ones(len(track.bars), dtype=bool)
        seen = own & (scene.partial | (not track.on_loop))
        corners = np.where(
            seen[:, None, None],
            corners_of(track.bars, place.top, place.bottom, per_ms),
            corners_of(track.bars, place.top, place.bottom),
        )
        for kind, one in zip(zip(track.bars.state.tolist(), own.tolist(), strict=True), corners, strict=True):
            boxes.setdefault(kind, []).append(one)
        if place.heading:
            beside(axes, place.heading, place.top - 0.1, weight="bold")
        if middle - labelled >= 0.15:
            labelled = middle
            many = len({one.worker for one in scene.tracks}) > 1 and not any(one.heading for one in plan.places)
            beside(axes, f"worker {track.worker}" if many else track.name, middle)
        if track.ended is not None:
            axes.plot([track.ended], [middle], "x", color=LATE, markersize=7, markeredgewidth=1.8, zorder=6)
        _draw_late(axes, track, place, per_ms)
    least = min((place.bottom - place.top for place in plan.places), default=0.0)
    fill(axes, boxes, edge=0.4 if least > 0.1 else 0.0)
    for place in plan.places:
        if place.bottom - place.top >= 0.2:
            states = _IN_LOOP if place.track.on_loop else _IN_THREAD
            write_in(axes, place.track.bars, place.top, place.bottom - place.top, per_ms, states)
            _write_views(axes, scene, place, per_ms)
            if place.track.on_loop and not scene.unseen:
                _write_idle(axes, scene, place, per_ms)
                _write_elsewhere(axes, place, per_ms)


def _draw_late(axes: Axes, track: Track, place: Place, per_ms: float) -> None:
    """Mark where the loop was late by a thick line along the top of its lane, and write how late beside the longest."""
    if not len(track.late):
        return
    for first, last in track.late:
        axes.fill_between([first, last], place.top, place.bottom, color=LATE, alpha=0.1, linewidth=0, zorder=0.5)
    y = place.top - 0.035
    lines = [[(first, y), (last, y)] for first, last in track.late]
    axes.add_collection(LineCollection(lines, colors=LATE, linewidths=4.5, zorder=5))
    first, last = track.late[int(np.argmax(track.late_ms))]
    begin, end = axes.get_xlim()
    first, last = max(first, begin), min(last, end)
    text = f"late by {wording.ms(float(track.late_ms.max()))} ms"
    right = (end - first) * per_ms < width_in(text, style.NOTE_PT, bold=True)
    axes.annotate(
        text,
        (last if right else first, y),
        (0, 4),
        textcoords="offset points",
        fontsize=style.NOTE_PT,
        color=LATE,
        weight="bold",
        ha="right" if right else "left",
        va="bottom",
    )


def _draw_hops(axes: Axes, scene: Scene, plan: Plan) -> None:
    """Draw two lines for each crossing, there and back: the more they lean, the longer it took."""
    spot = {place.track.key: place for place in plan.places}
    there, back = [], []
    for row in each(scene.hops):
        one, other = spot.get((row.pid, row.thread)), spot.get((row.pid, row.ran_on))
        if one is None or other is None:
            continue
        leave, reach = (one.bottom, other.top) if one.top < other.top else (one.top, other.bottom)
        there.append([(row.begin, leave), (row.running, reach)])
        if not row.cut:
            back.append([(row.done, reach), (row.end, leave)])
    width = 1.0 if len(there) <= 60 else 0.5
    for lines in (there, back):
        axes.add_collection(LineCollection(lines, colors=style.INK, linewidths=width, zorder=1.5))
    if len(there) <= 60:
        for lines in (there, back):
            for start, stop in lines:
                axes.plot(*stop, marker=_tip(start, stop), color=style.INK, markersize=3.2, zorder=2.5)


def _tip(start: tuple[float, float], stop: tuple[float, float]) -> str:
    return "v" if stop[1] > start[1] else "^"


_IN_CLIENT = {
    QUEUED: ("on its way, or waiting for its turn", style.INK),
    WAITS: ("waiting", style.INK),
    PAUSED: ("awaits something", style.INK),
    VIEW_ON_LOOP: ("its view", "white"),
    VIEW_ON_THREAD: ("its view", "white"),
}

_IN_LOOP = {ON_LOOP: ("Django", style.INK)}

_IN_THREAD = {ON_THREAD: ("Django", style.INK), WAITS: ("request waits", style.INK)}


def _write_views(axes: Axes, scene: Scene, place: Place, per_ms: float) -> None:
    """Write the name of each view into its longest stretch on a lane; into the longest of all at least `view`."""
    bars = place.track.bars.of(VIEW_ON_LOOP, VIEW_ON_THREAD)
    pale = scene.partial & ~np.isin(bars.owner, scene.solid)
    middle = (place.top + place.bottom) / 2
    written: set[str] = set()
    for i in np.argsort(-bars.ms, kind="stable").tolist():
        room = float(bars.ms[i]) * per_ms - 0.12
        if room < width_in("view", style.NOTE_PT):
            break
        name = named(scene.views.get(int(bars.owner[i]), ""))
        text = name if width_in(name, style.NOTE_PT) <= room else "view"
        if name not in written and (text == name or not written):
            x = float(bars.begin[i] + bars.end[i]) / 2
            write(axes, text, x, middle, color=style.INK if pale[i] else "white")
        written.add(name)


def _write_idle(axes: Axes, scene: Scene, place: Place, per_ms: float) -> None:
    """Write `idle` into the widest gap in which the loop neither ran anything nor was late."""
    bars = place.track.bars.of(ON_LOOP, VIEW_ON_LOOP)
    taken = np.concatenate([np.column_stack([bars.begin, bars.end]), place.track.late])
    taken = taken[np.argsort(taken[:, 0], kind="stable")]
    starts = np.concatenate([[scene.begin], np.maximum.accumulate(taken[:, 1])])
    gaps = np.column_stack([starts, np.concatenate([taken[:, 0], [scene.end]])])
    widest = int(np.argmax(gaps[:, 1] - gaps[:, 0]))
    if (gaps[widest, 1] - gaps[widest, 0]) * per_ms > 0.5:
        write(axes, "idle", float(gaps[widest].mean()), (place.top + place.bottom) / 2, color=style.GREY)


def _write_elsewhere(axes: Axes, place: Place, per_ms: float) -> None:
    """Write into the widest stretch in which the loop was late without running anything of Django's that it did not."""
    bars, late = place.track.bars, place.track.late
    edges = np.unique(np.concatenate([bars.begin, bars.end, late.ravel()]))
    if len(edges) < 2:
        return
    middle = (edges[1:] + edges[:-1]) / 2
    ran = np.searchsorted(bars.begin, middle) > np.searchsorted(bars.end, middle)
    stuck = np.searchsorted(late[:, 0], middle) > np.searchsorted(late[:, 1], middle)
    wide = np.where(stuck & ~ran, np.diff(edges), 0.0)
    widest = int(np.argmax(wide))
    if wide[widest] * per_ms > width_in(ELSEWHERE, style.NOTE_PT) + 0.1:
        write(axes, ELSEWHERE, float(middle[widest]), (place.top + place.bottom) / 2, color=LATE)
