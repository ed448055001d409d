"""The stack of a thread: taken quickly while the thread is watched, put into words later."""

from __future__ import annotations

import functools
import os
import sys
from bisect import bisect_right
from types import CodeType, FrameType

from requestlab.worker.schema import IN_LOOP

Stack = tuple[tuple[CodeType, int], ...]
"""Code of each call and the instruction it has come to, the innermost first. To find the line costs thirty times as
much."""

_MAX_FRAMES = 60

_described: dict[tuple[int, int], tuple[CodeType, str]] = {}
"""By a code's id and instruction; the code is kept, so that no other one gets its id."""


def stack_of(frame: FrameType | None, depth: int = 0) -> Stack:
    """Return the calls that lead to `frame`, without the `depth` outermost."""
    return calls_of(frames_of(frame, depth))


def frames_of(frame: FrameType | None, depth: int = 0) -> list[FrameType]:
    """Return `frame` and those that lead to it, without the `depth` outermost; the innermost first."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[: max(len(frames) - depth, 0)]


def calls_of(frames: list[FrameType]) -> Stack:
    return tuple((frame.f_code, frame.f_lasti) for frame in frames[:_MAX_FRAMES])


def depth_of(frame: FrameType | None) -> int:
    """Return how many calls lead to `frame`, that one included."""
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def described(stack: Stack) -> str:
    """Return a stack as lines of `file:line function`, the innermost last."""
    return "\n".join(_described_call(code, instruction) for code, instruction in reversed(stack)) or IN_LOOP


def _described_call(code: CodeType, instruction: int) -> str:
    key = id(code), instruction
    if key not in _described:
        _described[key] = code, f"{short_path(code.co_filename)}:{_line(code, instruction)} {_name(code)}"
    return _described[key][1]


def _line(code: CodeType, instruction: int) -> int:
    begins, lines = _lines_of(code)
    return lines[bisect_right(begins, instruction) - 1]


@functools.lru_cache(maxsize=4096)
def _lines_of(code: CodeType) -> tuple[list[int], list[int]]:
    """Return where in the code each stretch of instructions begins, and its line."""
    begins, _, lines = zip(*code.co_lines(), strict=True)
    return list(begins), [line or 0 for line in lines]


def _name(code: CodeType) -> str:
    return getattr(code, "co_qualname", code.co_name)  # Python 3.10 has the short name only


@functools.lru_cache(maxsize=4096)
def short_path(path: str) -> str:
    """Return a file's path from the longest entry of `sys.path` that leads there; of what is installed,
    `site-packages/…`, and of Python's own library, `lib/python3.…`, with that in front."""
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
