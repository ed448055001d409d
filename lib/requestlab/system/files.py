"""Files that are written whole or not at all, and files that several processes add lines to."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from requestlab.errors import LabError


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open a file beside `target` that takes its place when the block is left, and goes away where that raises.

    A link is followed. A file that is there keeps its mode; a new one has what the umask leaves. Raises OSError for
    what is no regular file, a device or a pipe, say: that is left alone.
    """
    place = target.resolve()
    if place.exists() and not place.is_file():
        raise OSError(errno.EINVAL, "this is no regular file, and is left alone", str(target))
    mode = place.stat().st_mode & 0o7777 if place.exists() else 0o666 & ~_umask()
    descriptor, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:100]}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


LEDGER_VARIABLE = "REQUESTLAB_LEDGER"
"""Names the folder in which verdicts and predictions are recorded, beyond this process."""


def write_text(target: Path, text: str) -> None:
    """Write a file, whole or not at all; raises LabError, in a sentence, where it cannot be written."""
    try:
        with whole_file(target) as opened:
            opened.write(text.encode())
    except OSError as problem:
        raise LabError(f"{str(target)!r} cannot be written: {problem.strerror}") from None


def append_line(folder: Path, name: str, line: str) -> None:
    """Add a line to a file in a folder, which is made where it is missing.

    It is written by one call in append mode, so that several kernels can share the file. Raises OSError where it cannot
    be written whole; then nothing of it is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = f"{line}\n".encode()
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = os.fstat(descriptor).st_size
        if before and os.pread(descriptor, 1, before - 1) != b"\n":  # the machine went down in the middle of a line
            whole = b"\n" + whole
        if os.write(descriptor, whole) < len(whole):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / name))
    finally:
        os.close(descriptor)
