"""What commands print: tables, and strict JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from requestlab.system import wording
from requestlab.system.values import to_json


def print_table(rows: Iterable[Sequence[str]], align: str = "<") -> None:
    """Print rows with their cells one below the other, flush left (`<`) or right (`>`); see `wording.columns`."""
    click.echo("\n".join(wording.columns(rows, align)))


def print_json(value: Any) -> None:
    """Print one line of JSON that strict readers take: what is no number is null."""
    click.echo(to_json(value))
