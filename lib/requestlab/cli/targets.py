"""The contenders of `requestlab compare`, as they stand on the command line.

    [LABEL=]CONFIGURATION[:FIELD=VALUE[,FIELD=VALUE...]][/PATH/]        a VALUE may be a list: middleware=sync,async
    [LABEL=]http://127.0.0.1:8000/PATH/

A label is what stands before an = that comes before the first colon and the first slash: so a query or a path may hold any of
them, and a field is never taken for a label.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from requestlab.cli.addresses import DEFAULT_PATH, neither, split
from requestlab.cli.options import Share
from requestlab.errors import ConfigurationError
from requestlab.serving.applications import LabApp
from requestlab.serving.configuration import NAMED, Configuration

_TYPES: dict[str, click.ParamType[Any]] = {
    "int": click.INT,
    "bool": click.BOOL,
    "bool | float": Share(),
    "float | None": click.FLOAT,
}

FIELDS: dict[str, click.ParamType[Any]] = {
    field.name: _TYPES.get(str(field.type), click.STRING)
    for field in (*dataclasses.fields(Configuration), *dataclasses.fields(LabApp))
    if field.name not in ("name", "database")
}
"""What a configuration can be varied in, and how it is read. Not in its database: a target is also a label, and is printed."""


@dataclass(frozen=True)
class Contender:
    """What takes part, under which label, and which path it is asked for."""

    label: str
    target: Configuration | str
    path: str


def contenders(texts: Sequence[str], path: str | None) -> dict[str, Contender]:
    """Return the contenders by label; `path` is asked of all that have none of their own.

    Raises a usage error for what cannot be read, and for two contenders under one label.
    """
    found: dict[str, Contender] = {}
    for text in texts:
        one = contender(text, path)
        if one.label in found:
            raise click.UsageError(
                f"{one.label!r} stands there twice; give one of them a label (again={text.partition('=')[2] or text}), "
                "or use --control to compare a configuration with itself"
                if one.label == text
                else f"two contenders are called {one.label!r}; give one of them another label"
            )
        found[one.label] = one
    return found


def contender(text: str, path: str | None) -> Contender:
    """Return what one argument says."""
    label, target = _labelled(text)
    if re.match(r"[a-z][a-z0-9+.-]*://", target, re.IGNORECASE):
        base, asked = split(target, path)
        return Contender(label, base, asked)
    variant, slash, own = target.partition("/")
    name, colon, fields = variant.partition(":")
    if name not in NAMED:
        raise neither(target)
    if slash and path is not None:
        raise click.UsageError(f"{target!r} has a path already; leave out --path {path!r}, or the path of the target")
    configuration = _varied(text, NAMED[name], fields) if colon else NAMED[name]
    return Contender(label, configuration, slash + own or path or DEFAULT_PATH[name])


def _labelled(text: str) -> tuple[str, str]:
    if not text.isprintable():
        raise click.UsageError(f"{text!r} cannot be a target: it has control characters in it")
    head = re.split("[:/]", text, maxsplit=1)[0]
    if "=" not in head:
        return text, text
    label, _, target = text.partition("=")
    if not label.strip():
        raise click.UsageError(f"{text!r}: expected a label before the =, as in again={target}")
    return label.strip(), target


def _varied(text: str, base: Configuration, fields: str) -> Configuration:
    changes: dict[str, Any] = {}
    for part in re.split(",(?=[^,=]*=)", fields):  # at those commas that a new FIELD= comes behind
        field, equals, value = part.partition("=")
        if not equals or field not in FIELDS or field in changes:
            what = f"{field!r} stands there twice" if field in changes else f"{part!r} is not FIELD=VALUE"
            raise click.UsageError(f"{text!r}: {what}; expected, as in {base.name}:workers=2, of {', '.join(FIELDS)}")
        try:
            changes[field] = FIELDS[field].convert(value, None, None)
        except click.BadParameter as problem:
            raise click.UsageError(f"{text!r}: {field}: {problem.message}") from None
    try:
        return base.replace(**changes)
    except ConfigurationError as problem:
        raise click.UsageError(f"{text!r}: {problem}") from None
