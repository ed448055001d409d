"""Frozen dataclasses as plain values and back: how typed facts get into a file, and out of it."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def to_plain(value: Any) -> Any:
    """Return a value as dictionaries, lists, text, numbers, True, False and None, ready for JSON.

    A dataclass may have a method `to_plain` that returns another dictionary than its fields. One that has a class
    attribute `kind`, by which it differs from others that can stand in its place, gets an entry of that name.
    """
    own = getattr(type(value), "to_plain", None)
    if own is not None:
        return own(value)
    if dataclasses.is_dataclass(value):
        kind = getattr(type(value), "kind", None)
        named = {"kind": kind} if isinstance(kind, str) else {}
        return named | {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    return [to_plain(one) for one in value] if isinstance(value, list | tuple) else value


def from_plain(kind: type[_T], plain: Mapping[str, Any]) -> _T:
    """Return the dataclass that `to_plain` made these values of.

    Fields may be text, numbers, True or False, dataclasses, `tuple[X, ...]`, `Mapping[K, V]`, any of them or None, and
    one of several dataclasses that differ by their `kind`. In place of a float, None is no number (NaN). Raises
    ValueError where the fields are not those of the dataclass, a value is not of its field's type, or the kind is not
    known.
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"expected the fields of {kind.__name__}, not {plain!r:.100}")
    hints = get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if names != set(plain):
        raise ValueError(f"{kind.__name__} has the fields {sorted(names)}, not {sorted(plain)}")
    return kind(**{name: _as(hints[name], value) for name, value in plain.items()})


def _as(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint, value = _meant([one for one in get_args(hint) if one is not types.NoneType], value)
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return tuple(_as(arguments[0], one) for one in _checked((list, tuple), value))
    if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Mapping):
        return {arguments[0](key): _as(arguments[1], one) for key, one in _checked((Mapping,), value).items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_plain(hint, value)
    if hint is float and value is None:
        return math.nan
    return _checked(_ACCEPTED[hint], value) if hint in _ACCEPTED else value


_ACCEPTED: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def _checked(kinds: tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ValueError(f"expected {' or '.join(kind.__name__ for kind in kinds)}, not {value!r:.100}")
    return value


def _meant(hints: list[Any], value: Any) -> tuple[Any, Any]:
    """Return which of several types a value is of, and the value without its `kind`."""
    if len(hints) == 1 or not isinstance(value, Mapping):
        return hints[0], value
    meant = [hint for hint in hints if getattr(hint, "kind", None) == value.get("kind")]
    if not meant:
        raise ValueError(f"{value.get('kind')!r} is none of the kinds {[hint.kind for hint in hints]}")
    return meant[0], {name: one for name, one in value.items() if name != "kind"}


def to_json(value: Any) -> str:
    """Return a value as one line of strict JSON, in ASCII: what is no number is null."""
    return json.dumps(_finite(to_plain(value)), allow_nan=False)


def _finite(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _finite(one) for key, one in plain.items()}
    if isinstance(plain, list):
        return [_finite(one) for one in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
