"""What commands print: tables, strict JSON, and figures in words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click


def print_table(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values, the values one below the other."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{name:<{width}}  {value}")


def print_columns(heads: Sequence[str], rows: Iterable[Sequence[str]], *, named: bool = False) -> None:
    """Print figures below their heads, flush right; where rows are `named`, the first column is flush left."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        if named:
            padded[0] = cells[0].ljust(widths[0])
        click.echo("  ".join(padded))


def print_json(value: Any) -> None:
    """Print one line of JSON that strict readers take: what is no number is null."""
    click.echo(json.dumps(_strict(value), allow_nan=False))


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def figure(value: float) -> str:
    """Return three significant digits, or all of a larger number; a dash where there is no evidence."""
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """Return a ratio in three significant digits, noughts included: `0.312`, `1.00`, `30.1`; a dash without evidence."""
    return "–" if math.isnan(ratio) else f"{ratio:,.0f}" if ratio >= 999.5 else f"{ratio:#.3g}".rstrip(".")


def percent(share: float) -> str:
    """Return a share of 1 in percent; a dash where there is no evidence."""
    return "–" if math.isnan(share) else f"{share:.0%}"


def gigabytes(size: int) -> str:
    """Return a size in bytes in words."""
    return f"{size / 1e9:.3g} GB"


def demand_folder(option: str, file: Path | None) -> None:
    """Raise a usage error where a file of that name cannot be: before anything is measured for it."""
    if file is None:
        return
    if file.is_dir():
        raise click.UsageError(f"{option} {file}: that is a folder; name a file in it")
    if not file.parent.is_dir():
        raise click.UsageError(f"{option} {file}: there is no folder {str(file.parent)!r}")
