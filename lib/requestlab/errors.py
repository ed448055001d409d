"""Every error that the lab raises on purpose.

LabError
├── ConfigurationError      a configuration, load or argument that cannot work; also a ValueError
├── ServerError
│   ├── ServerStartError    the server ended, or did not answer, before it was ready
│   └── ServerGoneError     the server ended while it was needed
├── GeneratorError          the load process failed
├── LedgerFormatError       a file that is not a ledger of claims, or is one of another version
├── ProjectError            a Django project that cannot be served as it is
├── RemoteTargetError       the address is not on this machine
├── ReportError             a report that cannot be written where it was asked for
└── RunFormatError          a file that is not a saved run, or is one of another version
"""

from __future__ import annotations

import re

LONGEST_WORD = 300
_LONG = re.compile(rf"\S{{{LONGEST_WORD},}}")


class LabError(Exception):
    """Base of all errors a user of the lab can act on; the message says what to do.

    >>> try:
    ...     lab.closed(users=0)
    ... except lab.LabError as problem:
    ...     print(problem)
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_LONG.sub(_beginning, message))

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook: the lab's own lines above it would only hide it."""
        return [f"{type(self).__name__}: {self}"]


def _beginning(word: re.Match[str]) -> str:
    """Return the beginning of a word that is too long to be read: what somebody has given, say."""
    return f"{word[0][: LONGEST_WORD // 3]}... ({len(word[0]):,} characters)"


class ConfigurationError(LabError, ValueError):
    """A value that cannot work: says what was given, what was expected."""


class ServerError(LabError):
    """Something is wrong with a server process."""


class ServerStartError(ServerError):
    """The server did not become ready: names the command, the exit status and the last log lines."""


class ServerGoneError(ServerError):
    """The server ended although nobody stopped it."""


class GeneratorError(LabError):
    """The load process failed; its own words are in the message."""


class RemoteTargetError(LabError):
    """The address is not on this machine, and nobody said that it may be."""


class LedgerFormatError(LabError):
    """The file is not a ledger of claims that this version can read: names the line."""


class ReportError(LabError):
    """The report cannot be written there: says what is in the way."""


class RunFormatError(LabError):
    """The file is not a saved run that this version can read."""


class ProjectError(LabError):
    """A Django project that cannot be served as it is: the message says why, and what to do next."""
