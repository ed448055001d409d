"""Which function to name for a block of an event loop: one that is known to have been at it, or none.

A look at a thread's stack shows one moment. Of a short block, it easily shows what ran when the block was over. So a
function is named only if looks in a row prove that it took most of the block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from requestlab.worker.schema import IN_LOOP

Place = tuple[str, str]
"""A file, or a line in it (`file:line`), and the name of a function there; both empty where there is none."""

Calls = dict[Place, str]
"""The functions of a stack, each with its innermost `file:line`; the innermost function last."""

Look = tuple[int, Calls]
"""What was seen on the stack, and how much of the thread's time, in ns, had been taken by then."""

NOWHERE = ("", "")

MOSTLY = 0.5
"""Share of a block that a function must have taken to be named for it."""

ALONE = 0.45
"""Share of a block that two looks may lie apart and still prove something: a function that began after the first of
them and ended before the second would have been seen by neither. So it takes three looks at least to name one."""

_MACHINERY = ("asgiref", "django", "gunicorn", "requestlab", "uvicorn", "uvicorn_worker", "uvloop")


def who_took_most(seen: Sequence[tuple[int, str]], whole: int, alone: float = 1.0) -> Place:
    """Return `file:line` and name of the innermost function of the application, or else of an installed package, that
    took most of `whole` ns; empty where that is not certain.

    `seen` are stacks, each with how much of the time had been taken by then. What two looks in a row saw took the time
    between them, unless they lie apart by more than that share of the whole `alone`. No function is named if another
    that it called may have taken most.
    """
    for is_wanted in (_is_own, _is_library, _is_installed):
        looks = [(taken, _calls(stack, is_wanted)) for taken, stack in seen]
        if any(calls for _, calls in looks):
            return _who_took_most(looks, whole, alone)
    return NOWHERE


def who_was_seen_most(stacks: Sequence[str]) -> Place:
    """Return `file:line` and name of the function that was most often the innermost of the application, or else of an
    installed package."""
    for is_wanted in (_is_own, _is_library, _is_installed):
        innermost = [list(calls.items())[-1] for calls in (_calls(stack, is_wanted) for stack in stacks) if calls]
        if innermost:
            ((_, name), where), _ = Counter(innermost).most_common(1)[0]
            return where, name
    return NOWHERE


def _who_took_most(looks: Sequence[Look], whole: int, alone: float) -> Place:
    unseen, pairs = whole - (looks[-1][0] - looks[0][0]), list(pairwise(looks))
    close = [(first, second) for first, second in pairs if second[0] - first[0] <= alone * whole]
    for function in _innermost_first(looks):
        if _taken_by(function, close) >= MOSTLY * whole:
            may_have = (_taken_by(other, pairs, share=0.5) + unseen for other in _called_by(function, looks))
            if max(may_have, default=0) >= MOSTLY * whole:
                return NOWHERE
            lines = Counter(calls[function] for _, calls in looks if function in calls)
            return lines.most_common(1)[0][0], function[1]
    return NOWHERE


def _innermost_first(looks: Sequence[Look]) -> list[Place]:
    depth: dict[Place, int] = {}
    for _, calls in looks:
        for number, function in enumerate(calls):
            depth[function] = max(depth.get(function, 0), number)
    return sorted(depth, key=lambda function: -depth[function])


def _taken_by(function: Place, pairs: Sequence[tuple[Look, Look]], share: float = 0) -> float:
    """Return how much was taken between two looks in a row that both saw a function, and that share of it where one
    did."""
    return sum(
        (after - before) * (0, share, 1)[(function in first) + (function in second)]
        for (before, first), (after, second) in pairs
    )


def _called_by(function: Place, looks: Sequence[Look]) -> set[Place]:
    called: set[Place] = set()
    for _, calls in looks:
        functions = list(calls)
        called.update(functions[functions.index(function) + 1 :] if function in calls else ())
    return called


def _calls(stack: str, is_wanted: Callable[[str], bool]) -> Calls:
    calls: Calls = {}
    for line in () if stack == IN_LOOP else stack.split("\n"):
        where, _, name = line.rpartition(" ")
        if is_wanted(where):
            function = (where.rpartition(":")[0], name.rpartition("<locals>.")[2])
            calls.pop(function, None)  # of a function that calls itself, the innermost call counts
            calls[function] = where
    return calls


def _is_own(where: str) -> bool:
    return not where.startswith(("lib/python", "site-packages/", "requestlab/", "<"))


def _is_library(where: str) -> bool:
    return _is_installed(where) and where.split("/")[1] not in _MACHINERY


def _is_installed(where: str) -> bool:
    return where.startswith("site-packages/") and not where.startswith("site-packages/requestlab/")
