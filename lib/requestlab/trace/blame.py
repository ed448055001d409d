"""Who is to blame for a stretch in which an event loop was late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np

from requestlab.trace.stretches import LATE_MS, Block, Spans, StackSample
from requestlab.worker.schema import IN_CALL, IN_LOOP, OWN, UNKNOWN

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
    own, rest = stuck.own, stuck.rest
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


def culprit(stuck: Block, cause: str) -> Place:
    """Return `file:line` and name of the innermost function of the application that was at it for most of a block, or else of
    an installed package; both empty where that is not certain.

    Code is judged by the CPU time that it used, a call by the time it slept: for what the system adds, nobody is to blame. What
    two looks in a row saw ran between them. A function is named if that makes most of the block, and no function that it called
    may have taken so much.
    """
    if cause == "blocking code":
        seen = [(look.cpu, look.stack) for look in stuck.looks]
        return _at_it_for_most(seen, stuck.own)
    if cause == "blocking call":
        # How long a thread has waited for a core, the kernel says only when the wait is over.
        asleep = [look for look in stuck.looks if look.state != UNKNOWN]
        return _at_it_for_most([(look.seen - look.cpu - look.waited, look.stack) for look in asleep], stuck.rest)
    return NOWHERE


def _at_it_for_most(seen: Sequence[tuple[int, str]], whole: int) -> Place:
    """Return the innermost function that took most of `whole`; `seen` are stacks, each with how much had been taken by then."""
    for wanted in (_is_own, _is_library, _is_installed):
        looks = [(spent, _calls(stack, wanted)) for spent, stack in seen]
        if any(calls for _, calls in looks):
            return _innermost_for_most(looks, whole)
    return NOWHERE


def _innermost_for_most(looks: Sequence[tuple[int, Calls]], whole: int) -> Place:
    functions = {function for _, calls in looks for function in calls}
    unseen = whole - (looks[-1][0] - looks[0][0])
    for function in sorted(functions, key=lambda function: (-_depth(function, looks), function)):
        if _taken(function, looks, all) >= MOSTLY * whole:
            line, _ = Counter(calls[function] for _, calls in looks if function in calls).most_common(1)[0]
            most = (_taken(other, looks, any) + unseen for other in _called_by(function, looks))
            return NOWHERE if max(most, default=0) >= MOSTLY * whole else (line, function[1])
    return NOWHERE


def _taken(function: Place, looks: Sequence[tuple[int, Calls]], judge: Callable[[Iterable[bool]], bool]) -> int:
    """Return how much was taken between two looks in a row of which both (`all`) or at least one (`any`) saw a function."""
    return sum(
        after - before
        for (before, first), (after, second) in pairwise(looks)
        if judge((function in first, function in second))
    )


def _depth(function: Place, looks: Sequence[tuple[int, Calls]]) -> int:
    return max(list(calls).index(function) for _, calls in looks if function in calls)


def _called_by(function: Place, looks: Sequence[tuple[int, Calls]]) -> set[Place]:
    """Return the functions seen within that one."""
    called: set[Place] = set()
    for _, calls in looks:
        functions = list(calls)
        called.update(functions[functions.index(function) + 1 :] if function in calls else ())
    return called


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
