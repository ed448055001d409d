"""Checks of arguments, in one place: each returns the value as it is to be kept, or says what was given and what was
expected.

>>> users = checks.whole("closed(users)", users, 1, 5_000)
ConfigurationError: closed(users=0): expected a whole number from 1 to 5,000

The first argument says where the value stands: the name of a field or of an argument, `seconds`, or a function and its
argument, `closed(users)`. All raise ConfigurationError.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import TypeVar

from requestlab.errors import ConfigurationError
from requestlab.system import wording

_T = TypeVar("_T")

SHOWN = 300
"""So many characters of a value are shown."""


def wrong(what: str, value: object, expected: str) -> ConfigurationError:
    """Return the error that says `what=value: expected ...`, for a check of one's own to raise."""
    return ConfigurationError(f"{said(what, value)}: expected {expected}")


def said(what: str, value: object) -> str:
    """Return an argument as it was given: `seconds=0`, or `closed(users=0)` for `closed(users)`."""
    return f"{what[:-1]}={shown(value)})" if what.endswith(")") else f"{what}={shown(value)}"


def shown(value: object) -> str:
    """Return a value as Python would write it, or the beginning of that; whatever it is, and whatever its `repr`
    does."""
    try:
        written = repr(value)
    except Exception:  # it may be anybody's
        return f"<{type(value).__name__}>"
    return written if len(written) <= SHOWN else f"{written[: SHOWN // 2]}... ({len(written):,} characters)"


def whole(what: str, value: object, least: float = -math.inf, most: float = math.inf, *, also: str = "") -> int:
    """Return a whole number from `least` to `most`, both included. Numbers of NumPy count as well; True and False do
    not.

    `also` ends the message with what the caller lets pass besides: `or None`.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most:
        return int(value)
    raise wrong(what, value, f"a whole number{_bounds(least, most)}{_also(also)}")


def number(
    what: str,
    value: object,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float | None = None,
    kind: str = "a number",
    also: str = "",
) -> float:
    """Return a number from `least` to `most`, both included, or greater than `above`. Not an infinite one, nor a NaN.

    `kind` says what the number means: `seconds`; `also` what the caller lets pass besides: `or None`.
    """
    given = _finite(value)
    if given is not None and least <= given <= most and (above is None or given > above):
        return given
    raise wrong(what, value, f"{kind}{_bounds(least, most, above)}{_also(also)}")


def one_of(what: str, value: object, allowed: Collection[_T]) -> _T:
    """Return a value that is among those allowed."""
    for one in allowed:
        if isinstance(value, type(one)) and value == one:
            return one
    raise ConfigurationError(f"{said(what, value)} is not known; expected one of: {', '.join(map(str, allowed))}")


def truth(what: str, value: object) -> bool:
    """Return True or False, and accept nothing that is merely equal to one of them."""
    if isinstance(value, bool):
        return value
    raise wrong(what, value, "True or False")


def text(what: str, value: object, expected: str = "a text that is not empty", begins: str = "") -> str:
    """Return a text that is not empty and begins as it should."""
    if isinstance(value, str) and value and value.startswith(begins):
        return value
    raise wrong(what, value, expected)


def path(what: str, value: object, expected: str = "the path of a file") -> str:
    """Return a path. A number is none, which Python would take for an open file; nor is what no file can be called."""
    try:
        given = os.fspath(value) if isinstance(value, str | os.PathLike) else b""
        if isinstance(given, str) and given and "\0" not in given and os.fsencode(given):
            return given
    except Exception:  # a path may be anybody's, and a text may have no bytes
        pass
    raise wrong(what, value, expected)


def interpreter(what: str, value: object) -> str:
    """Return the absolute path of a Python interpreter that is there to be run; not that of the file to which it is a
    link, which would leave its environment."""
    expected = "the path of a Python interpreter, or its name in PATH"
    found = shutil.which(os.path.expanduser(path(what, value, expected)))
    if found is None:
        raise wrong(what, value, expected)
    return os.path.abspath(found)


def instance(what: str, value: object, kind: type[_T], expected: str) -> _T:
    """Return a value that is of that kind."""
    if isinstance(value, kind):
        return value
    raise wrong(what, value, expected)


def writable(what: str, value: object, expected: str = "a text") -> str:
    """Return a text, empty or not, that can be written down: half of a surrogate pair cannot."""
    if isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value):
        return value
    raise wrong(what, value, expected)


def known_names(what: str, given: Iterable[str], known: Collection[str], noun: str) -> None:
    """Check that each name is known: `predicted has no run called 'b'; the runs are a, c`."""
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigurationError(
            f"{what} has no {noun} called {unknown[0]!r}; the {noun}s are {', '.join(map(str, known))}"
        )


def _finite(value: object) -> float | None:
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _bounds(least: float, most: float, above: float | None = None) -> str:
    if above is not None:
        return f" above {wording.number(above)}" + (f" and up to {wording.number(most)}" if math.isfinite(most) else "")
    if math.isfinite(least) and math.isfinite(most):
        return f" from {wording.number(least)} to {wording.number(most)}"
    if math.isfinite(least):
        return f", at least {wording.number(least)}"
    return f" up to {wording.number(most)}" if math.isfinite(most) else ""


def _also(also: str) -> str:
    return f", {also}" if also else ""
