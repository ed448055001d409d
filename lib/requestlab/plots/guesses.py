"""What a reader predicted, beside what was found: kept by each figure that was given a prediction."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from markupsafe import Markup

from requestlab.errors import LabError
from requestlab.plots.sheet import Picture
from requestlab.system import html
from requestlab.system.files import LEDGER_VARIABLE, append_line
from requestlab.system.values import to_json, to_plain

FILE = "guesses.jsonl"

NOTEBOOK_VARIABLE = "JPY_SESSION_NAME"
"""In which Jupyter Server tells a kernel the path of its notebook."""

LONGEST_TEXT = 500
"""Letters that are read of a guess, or of what was found."""

P = ParamSpec("P")


@dataclass(frozen=True)
class Guessed:
    """One prediction in words, `2` or `sync 5, asgi 60`, and the finding of the figure that it was drawn into;
    `notebook` is where, such as `01-who-runs-my-view` (empty: not known)."""

    guess: str
    found: str
    notebook: str = ""


NONE = "No figure was given a prediction yet"


@dataclass(frozen=True, repr=False)
class Guesses:
    """Several, in the order in which they were drawn. A notebook shows them as a table.

    >>> [(one.guess, one.found) for one in lab.guesses().all]
    """

    all: tuple[Guessed, ...]

    def __repr__(self) -> str:
        return "\n".join(f"{one.guess}: {one.found}" for one in self.all) or NONE

    def _repr_html_(self) -> Markup:
        return html.render("plots/guesses.html.j2", guesses=self.all, none=NONE)


_made: dict[str, Guessed] = {}


def guesses() -> Guesses:
    """Return the predictions that were drawn into figures in this process, each with what was found; of one finding,
    the last.

    >>> lab.guesses()
    """
    return Guesses(tuple(_made.values()))


def remembered(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Have a figure keep what was `predicted`, here, and in the folder that REQUESTLAB_LEDGER names."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Picture:
        picture = draw(*args, **kwargs)
        if guess := _words(kwargs.get("predicted")):
            one = Guessed(guess, picture.alt, Path(os.environ.get(NOTEBOOK_VARIABLE, "")).stem)
            _made[picture.alt] = one
            if folder := os.environ.get(LEDGER_VARIABLE):
                try:
                    append_line(Path(folder), FILE, to_json(to_plain(one)))
                except OSError as problem:
                    raise LabError(f"a prediction could not be kept in {folder!r}: {problem.strerror}") from None
        return picture

    return drawn


def read(folder: Path) -> Guesses:
    """Return the predictions that were kept in a folder; none where there is no such file. Lines that are damaged are
    left out."""
    found = []
    with suppress(FileNotFoundError):
        for line in (folder / FILE).read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, RecursionError):
                found.append(parsed(json.loads(line)))
    return Guesses(tuple(found))


def parsed(told: Any) -> Guessed:
    """Return a prediction from what JSON says of it; raises ValueError for what is none."""
    try:
        known = told["guess"], told["found"], told.get("notebook", "")
    except (TypeError, KeyError, AttributeError):
        raise ValueError("expected guess and found") from None
    return Guessed(*(str(text)[:LONGEST_TEXT] for text in known))


def _words(predicted: Any) -> str:
    if isinstance(predicted, Mapping):
        return ", ".join(f"{name} {value}" for name, value in predicted.items() if value is not None)
    return "" if predicted is None else str(predicted)
