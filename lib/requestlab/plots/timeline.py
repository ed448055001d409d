"""Figure: what every request, event loop and thread was at, on one clock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from requestlab.errors import ConfigurationError
from requestlab.measurement import timeline as told
from requestlab.measurement.run import Run
from requestlab.measurement.timeline import LATE_MS, STUCK_MS, Chosen, Client, Piece, Scene, Span, Track, named, scene
from requestlab.plots import inputs, marks, style
from requestlab.plots.marks import x_in
from requestlab.plots.sheet import AXIS_IN, INNER_IN, MARGIN_IN, Line, Picture, Sheet, size_in, width_in
from requestlab.system import wording
from requestlab.trace import activity
from requestlab.trace.activity import Bars, Booleans

MAX_HOPS, MAX_HOPPING = 150, 4
"""With more crossings, or more threads, than this the lines between loop and thread would be a thicket, and are not
drawn."""

_LEFT_IN, _RIGHT_IN = 1.18, 0.2
_CLIENT_IN = ((3, 0.24), (12, 0.13), (30, 0.075), (80, 0.036))
_THREAD_IN = ((2, 0.32), (6, 0.24), (16, 0.13), (60, 0.06))
_MAX_CLIENTS_IN, _MAX_THREADS_IN, _MAX_LOOPS_IN = 2.6, 2.2, 2.6
_LOOP_IN, _HOP_IN, _GAP_IN, _GROUP_IN, _HEAD_IN, _LATE_IN = 0.4, 0.42, 0.07, 0.22, 0.2, 0.1
_MAX_HEADINGS, _MAX_NAMED = 8, 50
_EDGED_IN = 0.08  # bars that are lower have no edges
_WRITTEN_IN = 0.2  # lanes that are lower have no room for words
_SLANT, _PITCH_IN, _LEADER_IN = math.radians(42), 0.2, 0.3


class State(NamedTuple):
    """How a state is drawn: the name of its shape, its fill, its name in the key, and what is written into it in either
    row."""

    name: str
    face: Mapping[str, Any]
    key: str = ""
    in_client: str = ""
    in_lane: str = ""


def _solid(colour: str, other: str, share: float) -> dict[str, Any]:
    return {"facecolor": style.mixed(colour, other, share)}


def _hatched(colour: str) -> dict[str, Any]:
    return {"facecolor": "white", "edgecolor": colour, "hatch": "//////", "linewidth": 0.4}


_VIEW, _DJANGO = ("view", "its view"), ("Django and middleware", "", "Django")
STATES = {
    activity.VIEW_ON_LOOP: State("view on the loop", _solid(style.EVENT_LOOP, "#5A2A00", 0.45), *_VIEW),
    activity.VIEW_ON_THREAD: State("view on a thread", _solid(style.THREAD, "#0A1420", 0.6), *_VIEW),
    activity.ON_LOOP: State("on the loop", _solid(style.EVENT_LOOP, "white", 0.3), *_DJANGO),
    activity.ON_THREAD: State("on a thread", _solid(style.THREAD, "white", 0.35), *_DJANGO),
    activity.WAITS: State(
        "waits", _hatched(style.THREAD), "waits for a thread or the loop", "waiting", "request waits"
    ),
    activity.QUEUED: State(
        "queued", _hatched("#A5A5A5"), "on its way, or queued", "on its way, or waiting for its turn"
    ),
    activity.PAUSED: State("paused", {"facecolor": "#F0F0EE"}, "awaits something, or its turn", "awaits something"),
    activity.UNTRACED: State("not traced", _solid(style.NOBODY, "white", 0.4)),
}
_VIEWS = (activity.VIEW_ON_LOOP, activity.VIEW_ON_THREAD)
_LEAST_IN = dict.fromkeys((activity.ON_LOOP, activity.ON_THREAD), 0.006) | dict.fromkeys(_VIEWS, 0.02)
"""How wide what ran is drawn at least, so that it is seen."""


@style.applied()
def timeline(run: Run, *, requests: Chosen = None, span_ms: Span = None) -> Picture:
    """Draw one run as swim-lanes on one clock: its clients, each worker's event loop, each thread.

    >>> with lab.serve(lab.ASGI, probe=True) as server:
    ...     run = lab.measure(server, "/sync/page/", lab.closed(1, each=1))
    >>> lab.plots.timeline(run)

    Solid is where code ran, dark where that was the view's; hatched is where something waited. `requests` are how many
    to draw, from the first on, or a slice of the rows of `run.requests`; by default all, or the first 60 of more than
    300. `span_ms` is the time to draw, (from, to) in ms since the first request was planned. The pieces of a single
    request are named. ConfigurationError for a run that was measured without the probe, or for requests that it has
    not.
    """
    (contender,) = inputs.gather((run,), "timeline", 1)
    if not len(run.trace.spans) and not len(run.trace.ticks):
        what = f"nobody looked inside while the run {contender.label!r} was measured"
        raise ConfigurationError(f"{what}; switch the probe on: serve(..., probe=True)")
    drawn = scene(run, requests, span_ms)
    plan = _plan(drawn)
    heading = contender.block(INNER_IN, notes=[" · ".join(contender.circumstances), *left_out(drawn)])
    page = Sheet(told.of_timeline(drawn, f"{contender.label}{contender.failures}"))
    axes, _ = marks.rows(page, [plan.high_in], _LEFT_IN, _RIGHT_IN, above=heading, below_in=AXIS_IN)
    _draw(axes, drawn, plan)
    page.key(_key(drawn))
    page.explain(explanation(drawn))
    return page.picture(inputs.small_print([contender], circumstances=True), inputs.details([contender]))


# In words


def left_out(drawn: Scene) -> list[str]:
    """Say what the typical request did, what is not drawn, and how often the requests crossed where the title tells of
    something else."""
    hidden = wording.things((drawn.hidden_requests, "more request"), (drawn.hidden_threads, "more thread"))
    others = "its other requests" if drawn.spans["guest"].any() else "others"
    untraced = f"{wording.counted(drawn.untraced, 'request')} without a trace (not sampled, or no answer): plain grey"
    crossed = len(drawn.hops) > 0 and "crossed" not in told.of_timeline(drawn, "")
    did = f"{wording.counted(drawn.chosen, 'request')} {told.did_what(drawn, drawn.chosen)}"
    typical = [text for text in (did * crossed, told.detail(drawn)) if text]
    shown = f"drawn: {drawn.chosen:,} of the run's {drawn.total:,} requests; what ran for {others} is pale"
    said = [
        (typical, "; ".join(typical)),
        (drawn.partial, shown),
        (hidden, f"and {hidden}, not drawn for want of room"),
        (drawn.untraced, untraced),
    ]
    return [text for true, text in said if true]


def explanation(drawn: Scene) -> str:
    """Explain what a reader could take for something else."""
    elsewhere = (
        "; where nothing is solid then, it was at work that is not Django's, or had to wait for a core or the GIL"
    )
    late = f"Late: the loop's heartbeat was overdue by more than {LATE_MS:g} ms{'' if drawn.unseen else elsewhere}."
    said = [
        (
            any(np.isfinite(one.cost_us) for one in drawn.pieces),
            "+: the crossing, there and back, with any wait in line.",
        ),
        (any(len(track.late) for track in drawn.loops), late),
        (drawn.unseen, "Some requests left no trace, or not all of it: what ran for them is missing from the lanes."),
        (not drawn.unseen, "Blank: nothing of Django ran; the server's own work is not recorded."),
        (drawn.threads, "On a thread, a sleeping view looks like one that computes."),
        (
            any(track.ended is not None for track in drawn.tracks),
            "✕ in a lane: the record breaks off within something that never ended, as when a worker is killed.",
        ),
        (any(client.failed for client in drawn.clients), "✕ at the end of a request: it failed."),
    ]
    return " ".join(text for true, text in said if true)


def _key(drawn: Scene) -> list[tuple[str, list[Mapping[str, Any]]]]:
    found: list[Track | Client] = [*drawn.tracks, *drawn.clients]
    seen = {state for one in found for state in one.bars.state.tolist()}
    entries: dict[str, list[Mapping[str, Any]]] = {}
    for state in STATES:
        if state in seen and STATES[state].key:
            entries.setdefault(STATES[state].key, []).append(STATES[state].face)
    late: list[Mapping[str, Any]] = [{"facecolor": style.LATE}] if any(len(loop.late) for loop in drawn.loops) else []
    return [*entries.items(), *([("the loop is late", late)] if late else [])]


# Where everything lies


@dataclass(frozen=True)
class Place:
    """Where a track's lane lies, in inches from the top, and the heading above it, if it is the first of its worker."""

    track: Track
    top: float
    bottom: float
    heading: str

    @property
    def middle(self) -> float:
        """Half way between top and bottom."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Plan:
    """The rows of clients, the lanes below them, and below these the names of the pieces of a single request."""

    row_in: float
    places: Sequence[Place]
    bottom_in: float
    high_in: float


def _plan(drawn: Scene) -> Plan:
    row_in = _sized(drawn.rows, _CLIENT_IN, _MAX_CLIENTS_IN)
    thread_in = _sized(len(drawn.threads), _THREAD_IN, _MAX_THREADS_IN)
    loop_in = min(_LOOP_IN, _MAX_LOOPS_IN / max(1, len(drawn.loops)))
    headed = 1 < len({track.worker for track in drawn.tracks}) <= _MAX_HEADINGS
    y = max(0.16, row_in * drawn.rows) + _GROUP_IN + _LATE_IN * any(len(loop.late) for loop in drawn.loops)
    places: list[Place] = []
    for track in drawn.tracks:
        before = places[-1].track if places else None
        first = before is None or before.worker != track.worker
        if first:
            y += 0.5 * _GROUP_IN * bool(before) + _HEAD_IN * headed
        else:
            y += _HOP_IN if before and before.on_loop and _hops_drawn(drawn) else min(_GAP_IN, 0.3 * thread_in)
        bottom = y + (loop_in if track.on_loop else thread_in)
        places.append(Place(track, y, bottom, f"worker {track.worker}" if first and headed else ""))
        y = bottom
    longest = max((_line(piece).wide_in for piece in drawn.pieces), default=0.0)
    names_in = _LEADER_IN + longest * math.sin(_SLANT) + 0.15 if longest else 0.0
    return Plan(row_in, places, y + 0.04, y + 0.08 + names_in)


def _sized(number: int, steps: Sequence[tuple[int, float]], most_in: float) -> float:
    size = next((size for upto, size in steps if number <= upto), steps[-1][1])
    return min(size, most_in / max(1, number))


def _hops_drawn(drawn: Scene) -> bool:
    return 0 < len(drawn.hops) <= MAX_HOPS and len(drawn.threads) <= MAX_HOPPING


# Drawing


def _draw(axes: Axes, drawn: Scene, plan: Plan) -> None:
    axes.set_xlim(drawn.begin, drawn.end)
    marks.clock(axes)
    axes.grid(axis="x", linewidth=0.5, color=style.PALE)
    _draw_clients(axes, drawn, plan)
    if _hops_drawn(drawn):
        _draw_hops(axes, drawn, plan.places)
    for place in plan.places:
        _draw_track(axes, drawn, place)
    several = len({place.track.worker for place in plan.places}) > 1 and not any(one.heading for one in plan.places)
    names = [(one.middle, f"worker {one.track.worker}" if several else one.track.name) for one in plan.places]
    marks.name_lanes(axes, [(one.top - 0.1, one.heading) for one in plan.places], bold=True)
    marks.name_lanes(axes, names)
    if plan.places and drawn.pieces:
        _name_pieces(axes, drawn.pieces, plan)


def _fill(axes: Axes, found: Bars, top: float, bottom: float, solid: Booleans, widened: bool = True) -> None:
    """Fill the bars of a lane; those that are not `solid` were not asked for, and are pale."""
    per_in = float(np.ptp(axes.get_xlim())) / size_in(axes)[0]
    edge = {} if bottom - top > _EDGED_IN else {"linewidth": 0}
    for state in np.unique(found.state).tolist():
        for pale in (True, False):
            some = (found.state == state) & (solid != pale)
            begin, end = found.begin[some], found.end[some]
            least = 0.0 if pale or not widened else _LEAST_IN.get(state, 0.0) * per_in
            more = np.maximum(least - (end - begin), 0.0) / 2
            face = {**STATES[state].face, "alpha": 0.3 if pale else None, "zorder": 2} | edge
            filled = marks.bars(axes, begin - more, end + more, top, bottom, **face)
            if filled is not None:
                filled.set_gid(f"{STATES[state].name}{' of others' * pale}")


def _draw_clients(axes: Axes, drawn: Scene, plan: Plan) -> None:
    row_in, number = plan.row_in, len(drawn.clients)
    pad = 0.14 * row_in if drawn.rows <= 30 else 0.0
    dotted: dict[str, Any] = {"colors": style.GREY, "linestyles": (0, (1, 1)), "linewidths": 0.8}
    for client in drawn.clients:
        top, middle = client.row * row_in, (client.row + 0.5) * row_in
        _fill(axes, client.bars, top + pad, top + row_in - pad, np.ones(len(client.bars), dtype=bool))
        axes.hlines(middle, client.planned, max(client.sent, client.planned), **dotted)
        if client.failed:
            _cross(axes, client.done, middle, float(np.clip(43 * row_in, 3, 6)))
        if number == drawn.rows and row_in >= _WRITTEN_IN:
            _write_states(axes, drawn, client.bars, middle, {state: STATES[state].in_client for state in STATES})
    label = f"{'the client' if number == 1 else 'clients'}:\n{wording.counted(number, 'request')}"
    marks.name_lanes(axes, [(max(0.16, row_in * drawn.rows) / 2, label)])


def _draw_track(axes: Axes, drawn: Scene, place: Place) -> None:
    track, found = place.track, place.track.bars
    solid = np.isin(found.owner, drawn.solid) if drawn.partial else np.ones(len(found), dtype=bool)
    _fill(axes, found, place.top, place.bottom, solid, drawn.partial or not track.on_loop)
    pale = style.mixed(style.EVENT_LOOP if track.on_loop else style.THREAD, "white", 0.9)
    axes.axhspan(place.top, place.bottom, facecolor=pale, linewidth=0, zorder=0)
    if track.ended is not None:
        _cross(axes, track.ended, place.middle, 7)
    if len(track.late):
        _draw_late(axes, place)
    if place.bottom - place.top >= _WRITTEN_IN:
        _write_states(axes, drawn, found, place.middle, {state: STATES[state].in_lane for state in STATES})
        _write_views(axes, drawn, place)
    if track.on_loop and not drawn.unseen:
        _write(axes, "idle", track.blank(drawn.begin, drawn.end, late=False), place.middle, style.GREY)
        _write(axes, "not in Django", track.blank(drawn.begin, drawn.end, late=True), place.middle, style.LATE)


def _cross(axes: Axes, x: float, y: float, size: float) -> None:
    axes.plot(x, y, "x", color=style.LATE, markersize=size, markeredgewidth=0.2 * size + 0.2, zorder=6, clip_on=False)


def _draw_late(axes: Axes, place: Place) -> None:
    track = place.track
    first, last = track.late.T
    marks.bars(axes, first, last, place.top, place.bottom, facecolor=style.LATE, alpha=0.1, zorder=0.5)
    for much, face in ((False, style.mixed(style.LATE, "white", 0.6)), (True, style.LATE)):
        some = (track.late_ms >= STUCK_MS) == much
        marks.bars(axes, first[some], last[some], place.top - 0.066, place.top - 0.004, facecolor=face, zorder=5)
    if track.late_ms.max() < STUCK_MS:
        return
    begin, end = np.clip(track.late[int(np.argmax(track.late_ms))], *axes.get_xlim())
    text = f"late by {wording.ms(float(track.late_ms.max()))} ms"
    right = size_in(axes)[0] - x_in(axes, begin) < width_in(text, bold=True)
    how: dict[str, Any] = Line(text, color=style.LATE, bold=True).font | {
        "ha": "right" if right else "left",
        "va": "bottom",
    }
    axes.annotate(text, (end if right else begin, place.top - 0.07), (0, 2), textcoords="offset points", **how)


def _draw_hops(axes: Axes, drawn: Scene, places: Sequence[Place]) -> None:
    """Draw two lines for each crossing, there and back: the more they lean, the longer it took."""
    spot = {place.track.key: place for place in places}
    ways: list[tuple[tuple[float, float], tuple[float, float]]] = []
    hops: Any = drawn.hops.itertuples()
    for row in hops:
        one, other = spot.get((row.pid, row.thread)), spot.get((row.pid, row.ran_on))
        if one is None or other is None:
            continue
        leave, reach = (one.bottom, other.top) if one.top < other.top else (one.top, other.bottom)
        ways.append(((row.begin, leave), (row.running, reach)))
        if not row.cut:
            ways.append(((row.done, reach), (row.end, leave)))
    few = len(ways) <= 120
    axes.add_collection(LineCollection(ways, colors=style.INK, linewidths=1.0 if few else 0.5, zorder=1.5))
    for (_, start), (x, y) in ways if few else ():
        axes.plot(x, y, marker="v" if y > start else "^", color=style.INK, markersize=3.2, zorder=2.5)


# Words in and below the lanes


def _write(axes: Axes, text: str, stretch: tuple[float, float], y: float, color: str, boxed: bool = False) -> bool:
    """Write into the middle of a stretch of time, and return whether there was room."""
    if not text or x_in(axes, stretch[1]) - x_in(axes, stretch[0]) < width_in(text) + 0.12:
        return False
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2} if boxed else None
    where: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 7, "clip_on": True, "bbox": box}
    axes.text(sum(stretch) / 2, y, text, color=color, fontsize=style.NOTE_PT, **where)
    return True


def _write_states(axes: Axes, drawn: Scene, found: Bars, y: float, texts: Mapping[int, str]) -> None:
    """Write what a state is into the longest bar of each, where it fits; of several queries, which it is into each."""
    queries = [one for one in drawn.pieces if one.query]
    threads = found.of(activity.ON_THREAD)
    for query in queries if len(queries) > 1 else ():
        for place in np.flatnonzero((threads.begin <= query.at) & (query.at <= threads.end))[:1]:
            stretch = float(threads.begin[place]), float(threads.end[place])
            _write(axes, query.name.partition(":")[0], stretch, y, style.INK)
            texts = {**texts, activity.ON_THREAD: ""}
    for state, text in texts.items():
        some = found.of(state)
        if len(some):
            longest = int(np.argmax(some.ms))
            colour = "white" if state in _VIEWS else style.INK
            stretch = float(some.begin[longest]), float(some.end[longest])
            _write(axes, text, stretch, y, colour, boxed="hatch" in STATES[state].face)


def _write_views(axes: Axes, drawn: Scene, place: Place) -> None:
    """Write the name of each view into its longest stretch on a lane; into the longest of all at least `view`."""
    found = place.track.bars.of(*_VIEWS)
    pale = drawn.partial & ~np.isin(found.owner, drawn.solid)
    written: set[str] = set()
    for i in np.argsort(-found.ms, kind="stable")[:_MAX_NAMED].tolist():
        name = named(f"view {drawn.spans['view'].iloc[found.owner[i]]}")
        stretch, colour = (float(found.begin[i]), float(found.end[i])), style.INK if pale[i] else "white"
        if name not in written and not _write(axes, name, stretch, place.middle, colour) and not written:
            _write(axes, "view", stretch, place.middle, colour)
        written.add(name)


def _line(piece: Piece) -> Line:
    cost = f"  +{wording.us(piece.cost_us)}" if np.isfinite(piece.cost_us) else ""
    return Line(f"{piece.name}{cost}", style.CAPTION_PT, bold=piece.view)


def _name_pieces(axes: Axes, pieces: Sequence[Piece], plan: Plan) -> None:
    """Write the pieces' names below the lanes at a slant, with a line from each to the bottom of its lane."""
    begin, end = axes.get_xlim()
    wide_in, y = size_in(axes)[0], plan.bottom_in + _LEADER_IN
    threads_bottom = plan.places[-1].bottom
    loops_bottom = max((place.bottom for place in plan.places if place.track.on_loop), default=threads_bottom)
    paper_in = _LEFT_IN - MARGIN_IN
    lines = [_line(piece) for piece in pieces]
    lowest = max(line.wide_in * math.cos(_SLANT) - paper_in - i * _PITCH_IN for i, line in enumerate(lines))
    found = marks.spread([x_in(axes, one.at) for one in pieces], _PITCH_IN, max(0.1, lowest), wide_in)
    slant: dict[str, Any] = {"rotation": math.degrees(_SLANT), "rotation_mode": "anchor", "ha": "right", "va": "center"}
    where: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    for piece, line, at_in in zip(pieces, lines, found, strict=True):
        x, start = begin + at_in / wide_in * (end - begin), loops_bottom if piece.on_loop else threads_bottom
        corners = ([piece.at, piece.at, x, x], [start, plan.bottom_in, y - 0.08, y])
        axes.plot(*corners, color=style.GREY, linewidth=0.5, zorder=1)
        axes.annotate(line.text, (x, y), (1.5, -1), **where, **line.font, **slant)
