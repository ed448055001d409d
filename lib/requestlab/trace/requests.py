"""What the probe saw of the requests of a run: which were followed to their end, how often each of them crossed between
event loop and thread, and one request step by step: its layers of middleware, its view, its crossings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from requestlab.errors import ConfigurationError
from requestlab.trace import activity
from requestlab.trace.activity import Floats, Integers, Key
from requestlab.trace.trace import CROSSINGS, ORIGINS, Trace

MAX_ALIKE = 3
"""More crossings of one name in a row than these are drawn in one row."""

Piece = tuple[float, float]

_NEVER_US = 1e12  # the cost of a crossing that did not come back
_MODULE = re.compile(r"(?:[a-z_]\w*\.)+(?=[A-Z])")


@dataclass(frozen=True, eq=False)
class Traced:
    """The traced requests of one run.

    `requests` has one row a request that ended, with `pid`, `request`, `begin`, `end` (ns); `crossings` theirs, as in
    `Trace.crossings`. Of requests that the clients know about, only those answered with a status below 400 count,
    unless there is none.
    """

    requests: pd.DataFrame
    crossings: pd.DataFrame

    @cached_property
    def counts(self) -> Integers:
        """Crossings of each request by origin, shape (requests, origins)."""
        found = np.zeros((len(self.requests), len(ORIGINS)), dtype=np.int64)
        origins = pd.Categorical(
            self.crossings["origin"], categories=list(ORIGINS)
        ).codes  # -1, the last, is other code
        np.add.at(found, (self._of, origins), 1)
        return found

    @cached_property
    def usual(self) -> dict[str, int]:
        """Crossings by origin as most requests have them, in the order of a request; without the origins that have
        none."""
        patterns = Counter(map(tuple, self.counts.tolist()))
        most = max(patterns, key=lambda pattern: (patterns[pattern], pattern))
        return {origin: number for origin, number in zip(ORIGINS, most, strict=True) if number}

    @property
    def number(self) -> int:
        """Crossings of a usual request."""
        return sum(self.usual.values())

    @property
    def range(self) -> tuple[int, int]:
        """The fewest and the most crossings that a request has."""
        totals = self.counts.sum(axis=1)
        return int(totals.min()), int(totals.max())

    @property
    def cost_us(self) -> float:
        """The median cost of a crossing, NaN without any."""
        return float(self.crossings["cost_us"].median())

    @property
    def took_us(self) -> Floats:
        """How long each request was in the application."""
        return ((self.requests["end"] - self.requests["begin"]) / 1e3).to_numpy(dtype=np.float64)

    @cached_property
    def share(self) -> float:
        """The share of its time in which a request waits for a crossing, there or back: the median over the
        requests."""
        order = np.argsort(self._of, kind="stable")
        ways = self.crossings[["begin", "running", "done", "end"]].to_numpy(np.float64)[order].reshape(-1, 2, 2)
        each = np.split(ways, np.searchsorted(self._of[order], np.arange(1, len(self.requests))))
        waited = [_covered(own[(own > 0).all(axis=2)].tolist()) for own in each]
        return float(np.median(np.array(waited) / 1e3 / self.took_us))

    def typical(self) -> Key:
        """Return, of the requests that cross as usual, the one whose crossings cost most nearly what each of them costs
        in the median; of several, the one with the median time."""
        pattern = [self.usual.get(origin, 0) for origin in ORIGINS]
        alike = np.flatnonzero((self.counts == pattern).all(axis=1))
        order = np.lexsort((self.crossings["begin"], self._of))
        order = order[np.isin(self._of[order], alike)]
        costs = self.crossings["cost_us"].fillna(_NEVER_US).to_numpy()[order].reshape(len(alike), self.number)
        unusual = np.abs(costs - np.median(costs, axis=0)).sum(axis=1).round(3)
        took = self.took_us[alike]
        middle = np.sort(took)[(len(took) - 1) // 2]
        row = self.requests.iloc[int(alike[np.lexsort((np.abs(took - middle), unusual))[0]])]
        return int(row["pid"]), int(row["request"])

    @cached_property
    def _of(self) -> Integers:
        """Return the place of each crossing's request among the requests."""
        return np.asarray(_keys(self.requests).get_indexer(_keys(self.crossings)))


def traced(trace: Trace, answers: pd.DataFrame, label: str) -> Traced:
    """Return what the probe saw of a run's requests, where these were the `answers`, rows of `Run.requests`.

    Raises ConfigurationError, with the label of the run, where the probe was off, or followed no request to its end.
    """
    spans = trace.spans
    ended = spans[(spans["kind"] == "request") & (spans["end"] > 0)]
    if ended.empty:
        raise ConfigurationError(
            f"the run {label!r} does not know what happened inside its requests; "
            "measure it with every request traced: serve(..., probe=True)"
        )
    known = answers[["pid", "number"]].dropna().astype("int64")
    wanted = ended[_keys(ended).isin(pd.MultiIndex.from_frame(known))]
    requests = (ended if wanted.empty else wanted)[["pid", "request", "begin", "end"]].reset_index(drop=True)
    within = _keys(trace.crossings).isin(_keys(requests))
    return Traced(requests, trace.crossings[within].reset_index(drop=True))


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[["pid", "request"]])


# One request, step by step


@dataclass(frozen=True, eq=False)
class Step:
    """One row: a span, or several crossings in a row that are alike.

    `times_us` since the request's beginning, shape (spans, 4), begin, running, done, end, NaN where it did not come to
    that; `solid_us` the stretches in which its own code is known to have run, shape (stretches, 2); `on_loop` where
    that was. A crossing into a view or a layer of middleware is one row with that, and `inside` is its kind, else
    empty.
    """

    kind: str
    name: str
    origin: str
    depth: int
    inside: str
    on_loop: bool
    times_us: Floats
    solid_us: Floats

    @property
    def crossing(self) -> bool:
        """Whether it leads from the event loop to a thread or back."""
        return self.kind in CROSSINGS

    @property
    def there_us(self) -> float:
        """From the call to the beginning on the other side, together."""
        return float(np.sum(self.times_us[:, 1] - self.times_us[:, 0]))

    @property
    def back_us(self) -> float:
        """From the end on the other side until the caller went on, together; NaN where one did not wait for it."""
        back = self.times_us[:, 3] - self.times_us[:, 2]
        return float(np.sum(np.where(back < 0, np.nan, back)))

    @property
    def cost_us(self) -> float:
        """There and back, together; NaN where one did not come back."""
        return self.there_us + self.back_us

    @property
    def lasted_us(self) -> float:
        """From its beginning to its end, or to the last of it that is known."""
        return float(np.nanmax(self.times_us) - self.times_us[0, 0])

    @property
    def own_us(self) -> float:
        """How long its own code is known to have run."""
        return float(np.sum(np.diff(self.solid_us, axis=1)))

    @property
    def label(self) -> str:
        """The name, without the modules before a class, and how often."""
        name = activity.title(self.kind, _MODULE.sub("", self.name))
        if self.kind == "request":
            name = f"request {name}".removesuffix(" request")
        return f"{name} ×{len(self.times_us)}" if len(self.times_us) > 1 else name


def steps(trace: Trace, of: Key, loops: Set[Key]) -> list[Step]:
    """Return the rows of one request, in the order of beginning; `loops` are the threads that have an event loop."""
    nodes = _nodes(activity.read(trace, loops), of)
    for node in nodes:
        _take_in(node)
    return [_step(group) for group in _alike([node for node in nodes if node.kind != "step" and not node.taken_in])]


def waiting_us(rows: Sequence[Step]) -> float:
    """Return how long at least one crossing was on its way, there or back: what overlaps counts once."""
    ways = [row.times_us[:, pair] for row in rows if row.crossing for pair in ([0, 1], [2, 3])]
    edges = np.concatenate([*ways, np.empty((0, 2))])
    return _covered(edges[~np.isnan(edges).any(axis=1)].tolist())


@dataclass(eq=False)
class _Node:
    """A span, with the one around it and those that began within it. `us` are its four stamps, `span` is from its
    beginning to its end, of a crossing `stay` from when it began on the other side to when that ended: in µs since the
    request began, NaN where it did not. A crossing has `taken_in` the view or layer of which it is one row."""

    kind: str
    name: str
    origin: str
    on_loop: bool
    us: Sequence[float]
    span: Piece
    stay: Piece
    around: _Node | None
    inner: list[_Node] = field(default_factory=list)
    inside: str = ""
    taken_in: bool = False

    def and_around(self) -> Iterator[_Node]:
        """Yield it and those around it; each began before what is in it, so that there is no circle."""
        yield self
        if self.around is not None:
            yield from self.around.and_around()

    @property
    def steps(self) -> list[Piece]:
        """When the coroutine ran, as far as steps tell."""
        return [one.span for one in self.inner if one.kind == "step"]


def _nodes(spans: pd.DataFrame, of: Key) -> list[_Node]:
    """Return the spans of one request; what has no end lasts as long as the request is known to."""
    mine = spans[(spans["pid"] == of[0]) & (spans["request"] == of[1])].astype({"kind": str})
    mine = mine.sort_values(["begin", "id"])  # so that what is around others comes before them
    zero = int(mine.loc[mine["kind"] == "request", "begin"].iloc[0])
    stamps = mine[["begin", "running", "done", "end"]]
    us = ((stamps - zero) / 1e3).where(stamps > 0)
    until = ((mine[["until", "there_until"]] - zero) / 1e3).clip(upper=float(np.nanmax(us)))
    nodes: dict[int, _Node] = {}
    rows: Any = mine.itertuples()
    for row, times, (end, there_end) in zip(rows, us.to_numpy().tolist(), until.to_numpy().tolist(), strict=True):
        on_loop = row.kind == "to_loop" or (row.kind != "to_thread" and row.on_loop)
        told, around = (row.kind, row.name, row.origin, on_loop, times), nodes.get(row.parent)
        nodes[row.id] = node = _Node(*told, (times[0], end), (times[1], there_end), around)
        if around is not None:
            around.inner.append(node)
    return list(nodes.values())


def _take_in(node: _Node) -> None:
    """Make one of a crossing and the view or layer that it leads into: what is in that is then in the crossing."""
    if node.kind in CROSSINGS and len(node.inner) == 1 and node.inner[0].kind in ("middleware", "view"):
        (only,) = node.inner
        node.inside, node.inner, only.taken_in = only.kind, only.inner, True
        for one in node.inner:
            one.around = node


def _alike(nodes: Sequence[_Node]) -> Iterator[list[_Node]]:
    """Yield rows one by one, but many crossings in a row that look alike together."""

    def look(node: _Node) -> tuple[Any, ...]:
        leaf = node.kind in CROSSINGS and not node.inner
        return (node.around, node.kind, node.origin, node.name) if leaf else (node,)

    for _, found in groupby(nodes, look):
        group = list(found)
        if len(group) > MAX_ALIKE:
            yield group
        else:
            yield from ([node] for node in group)


def _step(group: Sequence[_Node]) -> Step:
    first = group[0]
    depth = len(list(first.and_around())) - 1
    times = np.array([node.us for node in group])
    solid = np.array([piece for node in group for piece in _solid(node)]).reshape(-1, 2)
    return Step(first.kind, first.name, first.origin, depth, first.inside, first.on_loop, times, solid)


def _solid(node: _Node) -> list[Piece]:
    """Return when a span's own code ran: while its thread was at it, and nothing within it was under way."""
    return minus(_ran(node), [one.span for one in node.inner if one.kind != "step"])


def _ran(node: _Node) -> list[Piece]:
    """Return when it ran, with all that is inside it; on an event loop as far as steps tell, its own or those around
    it."""
    if node.kind in CROSSINGS:
        return node.steps or ([] if np.isnan(node.stay[0]) else [node.stay])
    begin, end = node.span
    if not node.on_loop:
        return [node.span]
    told = next((one.steps for one in node.and_around() if one.steps), [])
    return [(max(begin, first), min(end, last)) for first, last in told if first < end and last > begin]


def minus(pieces: Sequence[Piece], holes: Sequence[Piece]) -> list[Piece]:
    """Return what the holes leave of the pieces; where pieces overlap, once."""
    left, until = [], -np.inf
    for first, end in sorted(pieces):
        begin = max(first, until)
        until = max(until, end)
        for start, stop in sorted(holes):
            if stop > begin and start < end:
                left.append((begin, start))
                begin = stop
        left.append((begin, end))
    return [(begin, end) for begin, end in left if end > begin]


def _covered(pieces: Sequence[Piece]) -> float:
    """Return how long the pieces last together; where they overlap, once."""
    return float(sum(end - begin for begin, end in minus(pieces, [])))
