"""What went wrong in a server, out of its log: the last traceback in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

_BEGIN = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(, in (?P<function>.+))?$')
_MAX_MESSAGE = 300
_CONSEQUENCE = "gunicorn.errors.HaltServer"
"""What gunicorn raises of its own where several workers have failed; theirs comes before it."""


def last_error(log: str) -> str:
    """Return the last exception in a log and where it was raised: `NameError: name 'x' is not defined (views.py, line
    4, in slow)`. Empty where there is none."""
    before, _, traceback = log.rpartition(_BEGIN)  # of a long one, the beginning may have been cut off
    prefix = before.rpartition("\n")[2]
    margin = len(prefix)
    frame, message = None, ""
    for line in traceback.splitlines():
        text = line[margin:] if line.startswith(prefix) or not line[:margin].strip() else line
        if match := _FRAME.match(text):
            frame = match
        elif frame and text and not text[0].isspace():
            message = text.strip()[:_MAX_MESSAGE]
            break
    if message.startswith(_CONSEQUENCE) and (earlier := last_error(before)):
        return earlier
    if not message or frame is None:
        return ""
    function = frame["function"] if frame["function"] not in (None, "<module>") else ""
    place = f"{Path(frame['file']).name}, line {frame['line']}" + (f", in {function}" if function else "")
    return f"{message} ({place})"
