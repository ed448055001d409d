"""Who is to blame for a stretch in which an event loop was late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from requestlab.trace.stretches import LATE_MS, Block, Spans, StackSample
from requestlab.worker.schema import IN_CALL, IN_LOOP, OWN

Place = tuple[str, str]
"""A file, or a line in it, and a function."""

Calls = dict[Place, str]

NOWHERE = ("", "")

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
    beat, watched = stuck.beat, [look for look in stuck.looks if look.state != OWN]
    inside = [look for look in watched if look.stack != IN_LOOP]
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
            if beat.others >= MOSTLY * stuck.ns and any(_waits_for_a_thread(look.stack) for look in inside):
                return "GIL held elsewhere"
            same_line = len(inside) >= ALIKE and len({look.stack for look in watched}) == 1
            return "blocking call" if same_line else "GIL held elsewhere"
        if inside or (own < rest and stuck.longest(stuck.slices) >= MOSTLY * stuck.ns):
            return "blocking call"
    elif beat.others >= MOSTLY * stuck.ns:  # on one core, who waits for the GIL keeps waking to wait for the core
        return "GIL held elsewhere"
    return "blocking code" if _matters(own, stuck) else "not scheduled"


def _matters(part: int, stuck: Block) -> bool:
    return part >= max(LATE_MS * 1e6, PART * stuck.ns)


def _waits_for_a_thread(stack: str) -> bool:
    """Return whether a stack is within the start or the end of a thread, for which that other thread needs the GIL."""
    return any(
        where.startswith("lib/python") and "/threading.py:" in where and name.rpartition(".")[2] in ("start", "join")
        for where, _, name in (line.rpartition(" ") for line in stack.split("\n"))
    )


def _of(views: Spans, stuck: Block) -> Spans:
    """Return the slices in which these views ran on the loop."""
    return stuck.slices[np.isin(stuck.slices.parent, views.id)]


def culprit(stuck: Block) -> Place:
    """Return `file:line` and name of the innermost function of the application that was at it for most of a block, or else of
    an installed package; both empty where that is not certain.

    What two looks in a row saw ran between them. A function is named if that makes most of the block, and no function that it
    called may have taken so much.
    """
    for wanted in (_is_own, _is_library, _is_installed):
        calls = [_calls(look.stack, wanted) for look in stuck.looks]
        if any(calls):
            return _innermost_for_most(stuck, calls)
    return NOWHERE


def _innermost_for_most(stuck: Block, calls: Sequence[Calls]) -> Place:
    took = {function: _observed(stuck, function, calls) for seen in calls for function in seen}
    depth = {function: max(list(seen).index(function) for seen in calls if function in seen) for function in took}
    unseen = stuck.ns - _within(stuck, stuck.looks[0], stuck.looks[-1])
    certain = [function for function in took if took[function] >= MOSTLY * stuck.ns]
    innermost = max(certain, key=lambda function: depth[function], default=None)
    if innermost is None or any(
        depth[other] > depth[innermost] and took[other] + unseen >= MOSTLY * stuck.ns for other in took
    ):
        return NOWHERE
    lines = Counter(seen[innermost] for seen in calls if innermost in seen)
    return lines.most_common(1)[0][0], innermost[1]


def _observed(stuck: Block, function: Place, calls: Sequence[Calls]) -> int:
    """Return for how long, in ns, a function is known to have been at it, by the looks in a row that saw it."""
    took = 0
    for seen, run in groupby(zip(stuck.looks, calls, strict=True), key=lambda pair: function in pair[1]):
        looks = [look for look, _ in run]
        took += _within(stuck, looks[0], looks[-1]) if seen else 0
    return took


def _within(stuck: Block, first: StackSample, last: StackSample) -> int:
    return max(min(last.seen, stuck.beat.ran) - max(first.since, stuck.begin), 0)


def computing(looks: Sequence[StackSample]) -> Place:
    """Return `file:line` and name of the innermost function that most looks saw at threads that computed: not where one had gone
    on to wait in a call."""
    stacks = [look.stack for look in looks if look.state != IN_CALL]
    for wanted in (_is_own, _is_library, _is_installed):
        innermost = [list(calls.items())[-1] for calls in (_calls(stack, wanted) for stack in stacks) if calls]
        if innermost:
            ((_, function), where), _ = Counter(innermost).most_common(1)[0]
            return where, function
    return NOWHERE


def _calls(stack: str, wanted: Callable[[str], bool]) -> Calls:
    """Return the wanted functions of a stack by file and name, the innermost last, each with its innermost `file:line`."""
    calls: Calls = {}
    for line in () if stack == IN_LOOP else stack.split("\n"):
        where, _, name = line.rpartition(" ")
        if wanted(where):
            function = (where.rpartition(":")[0], name.rpartition("<locals>.")[2])
            calls.pop(function, None)
            calls[function] = where
    return calls


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
