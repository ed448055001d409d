"""The stack of a thread: taken quickly while the thread is watched, put into words later."""

from __future__ import annotations

import functools
import os
import sys
from types import CodeType, FrameType

from requestlab.worker.schema import IN_LOOP

Stack = tuple[tuple[CodeType, int], ...]
"""Code and line of each call, the innermost first."""

_MAX_FRAMES = 60


def stack_of(frame: FrameType | None, depth: int = 0) -> Stack:
    """Return the calls that lead to `frame`, without the `depth` outermost."""
    calls = []
    while frame is not None:
        calls.append((frame.f_code, frame.f_lineno or 0))
        frame = frame.f_back
    return tuple(calls[: max(len(calls) - depth, 0)][:_MAX_FRAMES])


def depth_of(frame: FrameType | None) -> int:
    """Return how many calls lead to `frame`, that one included."""
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def described(stack: Stack) -> str:
    """Return a stack as lines of `file:line function`, the innermost last."""
    return (
        "\n".join(f"{short_path(code.co_filename)}:{line} {_name(code)}" for code, line in reversed(stack)) or IN_LOOP
    )


def _name(code: CodeType) -> str:
    return getattr(code, "co_qualname", code.co_name)  # Python 3.10 has the short name only


@functools.lru_cache(maxsize=4096)
def short_path(path: str) -> str:
    """Return a file's path from the longest entry of `sys.path` that leads there; of what is installed, `site-packages/…`, and
    of Python's own library, `lib/python3.…`, with that in front."""
    for mark in ("/site-packages/", "/dist-packages/"):
        _, found, inside = path.rpartition(mark)
        if found:
            return f"site-packages/{inside}"
    library = os.path.dirname(os.__file__)
    if path.startswith(f"{library}/"):
        return f"lib/{os.path.basename(library)}/{path[len(library) + 1 :]}"
    entries = [os.path.abspath(entry).rstrip("/") for entry in sys.path]
    longest = max((entry for entry in entries if path.startswith(f"{entry}/")), key=len, default="")
    return path[len(longest) + 1 :] if longest else path
