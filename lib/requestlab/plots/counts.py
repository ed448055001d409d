"""Figure: a number that was counted for each of several servers, as bars."""

from __future__ import annotations

from collections.abc import Mapping

from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Predicted
from requestlab.plots.sheet import AXIS_IN, MARGIN_IN, Line, Picture, Sheet
from requestlab.system import checks, machine, wording

MAX_BARS, FEW = 12, 2

_ROW_IN, _WORDS_IN, _APART_IN, _RIGHT_IN, _HEADING_PT = 0.34, 0.16, 0.14, 0.6, 9.5


@remembered
@style.applied()
def counts(found: Mapping[str, int], of: str, predicted: Predicted = None) -> Picture:
    """Draw a bar for each server: how many of something were counted there.

    >>> lab.plots.counts({"sync": 1, "threads": 4, "asgi": 20}, "open connections", predicted={"asgi": 1})

    `found` has a number of 0 or more for each label, the first word of which decides on the colour (`sync, kept`: that
    of `sync`); `of` says what was counted. `predicted` is the number that the reader expects, for all or by label.
    Raises ConfigurationError for anything else.
    """
    if not isinstance(found, Mapping) or not 1 <= len(found) <= MAX_BARS:
        raise checks.wrong("counts", found, f"a mapping of 1 to {MAX_BARS} labels to numbers, such as {{'sync': 1}}")
    numbers = {str(label): checks.number("counts", value, least=0, kind="things") for label, value in found.items()}
    guesses = inputs.predicted_for(predicted, list(numbers), "a number", noun="label")
    looks = style.looks([(label.partition(",")[0], label) for label in numbers])
    names = [
        Line(f"{look.glyph} {label}", _HEADING_PT, look.ink, True) for label, look in zip(numbers, looks, strict=True)
    ]

    page = Sheet(f"{of[:1].upper()}{of[1:]}: {finding(numbers)}")
    left_in = MARGIN_IN + max(name.wide_in for name in names) + _APART_IN
    heights = [_ROW_IN + _WORDS_IN * (guesses[label] is not None) for label in numbers]
    axes, places = marks.rows(page, heights, left_in, MARGIN_IN + _RIGHT_IN, below_in=AXIS_IN)
    axes.set_xlim(0, 1.02 * max([1.0, *numbers.values(), *(guess or 0.0 for guess in guesses.values())]))
    marks.number(axes.xaxis)
    axes.grid(axis="x", linewidth=0.6, color=style.PALE)
    axes.set_xlabel(of, labelpad=2)
    for (_, bottom), (label, number), look, name in zip(places, numbers.items(), looks, names, strict=True):
        upper, lower, middle = bottom - 0.84 * _ROW_IN, bottom - 0.16 * _ROW_IN, bottom - 0.5 * _ROW_IN
        marks.bars(axes, 0.0, number, upper, lower, **look.bar)
        sheet.write_at(axes, [name], middle, MARGIN_IN - left_in)
        sheet.write_at(axes, [Line(wording.number(number), bold=True)], middle, marks.x_in(axes, number) + 0.07)
        if (guess := guesses[label]) is not None:
            marks.prediction(
                axes, guess, f"your prediction: {wording.number(guess)}", span=(upper - 0.04, bottom - 0.02)
            )
    return page.picture([machine.facts().caption])


def finding(numbers: Mapping[str, float]) -> str:
    """Say where there are most, and how many the others have: each of a few, or at most."""
    most = max(numbers.values())
    first = [label for label, number in numbers.items() if number == most]
    others = [number for number in numbers.values() if number < most]
    if not others:
        return f"{wording.number(most)} under {wording.listed(first)}"
    if len(first) > len(others) and len(others) <= FEW:
        fewer = [f"{wording.number(numbers[label])} ({label})" for label in numbers if label not in first]
        return f"{wording.number(most)} each, but {' and '.join(fewer)}"
    where = wording.listed(first) if len(first) < 3 else f"{len(first)} of {len(numbers)}"
    least = f"at most {wording.number(max(others))}" if len(others) > 1 else wording.number(others[0])
    return f"{wording.number(most)} under {where}, {least} under the other{'s' if len(others) > 1 else ''}"
