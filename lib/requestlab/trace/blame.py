"""Who is to blame for a stretch in which an event loop was late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from requestlab.trace.stretches import LATE_MS, Block, Spans, StackSample
from requestlab.worker.watchdog import IN_CALL, IN_LOOP

CAUSES = ("blocking code", "blocking call", "GIL held elsewhere", "not scheduled", "unknown")

PART = 0.25
"""Share of a block that code, a call or the GIL must account for to be to blame, though the system may have made it longer. It
must also be long enough to make the loop late by itself."""

MOSTLY = 0.5
"""Share of a block that a view must fill to be named for it, or other threads, if the loop's waited for a core."""

STILL = 0.2
"""Share of a block that other threads must have computed for the GIL to be what the loop waited for. They wait for a core, too;
below that, the whole process stood still."""

WATCHING_NS = 1_000_000
"""CPU time of the other threads that means nothing: the watchdog's own looks take some 0.2 ms each."""

ALIKE = 3
"""So many looks at one and the same line say that it waits for a lock of its own: with the GIL it would have moved on."""

_MACHINERY = ("asgiref", "django", "gunicorn", "requestlab", "uvicorn", "uvicorn_worker", "uvloop")


def cause_of(stuck: Block) -> str:
    """Return one of `CAUSES`, by who used the time and what was seen."""
    beat, inside = stuck.beat, [look for look in stuck.looks if look.stack != IN_LOOP]
    if beat.before >= beat.first:
        return "unknown"
    own = min(beat.own, stuck.ns)
    rest = max(stuck.ns - own - beat.delayed, 0)
    if own >= rest and _matters(own, stuck):
        return "blocking code"
    if _matters(rest, stuck):
        if any(look.state == IN_CALL for look in inside):
            return "blocking call"
        if beat.others >= max(WATCHING_NS, STILL * stuck.ns):
            same_line = len(inside) >= ALIKE and len({look.stack for look in stuck.looks}) == 1
            return "blocking call" if same_line else "GIL held elsewhere"
        if inside or (own < rest and stuck.longest(stuck.slices) >= MOSTLY * stuck.ns):
            return "blocking call"
    elif beat.others >= MOSTLY * stuck.ns:  # on one core, who waits for the GIL keeps waking to wait for the core
        return "GIL held elsewhere"
    return "blocking code" if _matters(own, stuck) else "not scheduled"


def _matters(part: int, stuck: Block) -> bool:
    return part >= max(LATE_MS * 1e6, PART * stuck.ns)


def fitting(stuck: Block, views: Spans) -> Sequence[StackSample]:
    """Return the looks at the slice that took most of the block, if one did: others came when it was over.

    Slices lie inside each other. Where one of a view took most of the block, that is meant, and not the request around it.
    """
    slices = next(
        (each for each in (_of(views, stuck), stuck.slices) if stuck.longest(each) >= MOSTLY * stuck.ns), None
    )
    if slices is None:
        return stuck.looks
    longest = stuck.overlap(slices).argmax()
    begin, end = slices.begin[longest], slices.end[longest]
    return [look for look in stuck.looks if begin <= look.seen <= end]


def _of(views: Spans, stuck: Block) -> Spans:
    """Return the slices in which these views ran on the loop."""
    return stuck.slices[np.isin(stuck.slices.parent, views.id)]


def culprit(looks: Sequence[StackSample]) -> tuple[str, str]:
    """Return `file:line` and function that the looks saw most often."""
    seen = [place for place in map(_place, (look.stack for look in looks)) if place[0]]
    if not seen:
        return "", ""
    function = Counter(function for _, function in seen).most_common(1)[0][0]
    return Counter(place for place in seen if place[1] == function).most_common(1)[0][0]


def _place(stack: str) -> tuple[str, str]:
    """Return `file:line` and function of the innermost call of the application, or else of an installed package."""
    lines = [] if stack == IN_LOOP else stack.split("\n")[::-1]
    for wanted in (_is_own, _is_library, _is_installed):
        for line in lines:
            where, _, function = line.rpartition(" ")
            if wanted(where):
                return where, function.rpartition("<locals>.")[2]
    return "", ""


def _is_own(where: str) -> bool:
    return not where.startswith(("lib/python", "site-packages/", "requestlab/", "<"))


def _is_library(where: str) -> bool:
    return _is_installed(where) and where.split("/")[1] not in _MACHINERY


def _is_installed(where: str) -> bool:
    return where.startswith("site-packages/") and not where.startswith("site-packages/requestlab/")


def view_on(stuck: Block, views: Spans) -> str:
    """Return the view that ran on the loop for the longest part of the block; empty where none did for most of it."""
    own = _of(views, stuck)
    if stuck.longest(own) < MOSTLY * stuck.ns:
        return ""
    parent = own.parent[stuck.overlap(own).argmax()]
    return str(views.name[views.id == parent][0])


def view_beside(stuck: Block, views: Spans) -> str:
    """Return the view that other threads ran meanwhile: the thread that was seen to compute, or else most of them."""
    seen = Counter(look.thread for look in stuck.busy_threads).most_common(1)
    computing = views[views.thread == seen[0][0]] if seen else views[:0]
    return _most_under_way(stuck, computing) or _most_under_way(stuck, views)


def _most_under_way(stuck: Block, views: Spans) -> str:
    """Return the name of the views that were under way for the longest, taken together; empty where for little of the block."""
    shares: Counter[str] = Counter()
    under_way = stuck.overlap(views)
    for number in np.flatnonzero(under_way):
        shares[str(views.name[number])] += int(under_way[number])
    ((name, longest),) = shares.most_common(1) or [("", 0)]
    return name if longest >= MOSTLY * stuck.ns else ""
