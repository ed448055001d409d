"""Figure: of which layers the CPU time of a request is made, one bar for each path through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.comparison import Comparison
from requestlab.comparison.intervals import CONFIDENCE, Interval, interval
from requestlab.comparison.wording import circumstances
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, marks, style
from requestlab.plots.inputs import Contender, Predicted
from requestlab.plots.sheet import AXIS_IN, MARGIN_IN, Line, Picture, Sheet, write_at, write_key
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

Layers = Mapping[str, Mapping[str, str]]
"""Of each bar, its layers from the bottom up, each with the contender that ends with it."""

_LEFT_IN, _RIGHT_IN, _BAR_IN, _NAMES_IN, _GAP_IN = 1.1, 0.35, 0.46, 0.24, 0.42
_SHADES = ("#D9E2EC", "#A9BACB", "#E3C7A0", "#C98F4E", "#8E9AA6", "#5F6C7A")
_WHAT = "CPU time per request"


@style.applied()
def stack(result: Comparison, layers: Layers, *, predicted: Predicted = None) -> Picture:
    """Draw the CPU time of a request as a sum of layers: each is what a contender has more than the one before it.

    >>> lab.plots.stack(result, {"sync": {"HTTP server": "sync bare", "Django": "sync"}})

    `layers` maps each bar to its layers from the bottom up, and each layer to the contender that ends with it.
    `predicted` is the sum in ms that the reader expects, for all bars or by bar. Rounds in which one of the contenders
    was dropped do not count. Raises ConfigurationError for anything that is not so.
    """
    drawn = _bars(result, layers)
    guesses = inputs.predicted_for(predicted, list(layers), "a sum in ms", noun="bar")
    names = dict.fromkeys(name for bar in sorted(drawn, key=lambda bar: -len(bar.layers)) for name in bar.layers)
    shades = {name: _SHADES[i % len(_SHADES)] for i, name in enumerate(names)}

    page = Sheet(finding(drawn))
    page.space(0.1)
    heights_in = [_GAP_IN + _BAR_IN + _NAMES_IN] * len(drawn)
    axes, places = marks.rows(page, heights_in, _LEFT_IN, _RIGHT_IN, below_in=AXIS_IN)
    lowest = min(0.0, *(float(np.cumsum(bar.steps).min()) for bar in drawn))
    furthest = max(*(float(bar.tops.max()) for bar in drawn), *(guess or 0.0 for guess in guesses.values()))
    axes.set_xlim(1.1 * lowest, 1.06 * furthest)
    marks.number(axes.xaxis)
    axes.set_xlabel(f"{_WHAT} in ms", labelpad=3)
    for bar, (top, _) in zip(drawn, places, strict=True):
        _draw(axes, bar, top + _GAP_IN / 2, shades, guesses[bar.contender.label])
    page.explain(
        "Layers are differences between contenders of one comparison, on average over "
        f"{wording.counted(len(drawn[0].tops), 'round')}. Faint points: the whole, round by round. Bar across: its interval at "
        f"{CONFIDENCE:.0%} confidence."
    )
    return page.picture(inputs.small_print([bar.contender for bar in drawn]), list(circumstances(result).items()))


@dataclass(frozen=True, eq=False)
class Bar:
    """One path through the layers: where each of them ends (`tops`, in ms, one row a round)."""

    contender: Contender
    layers: tuple[str, ...]
    tops: Floats

    @property
    def steps(self) -> Floats:
        """What each layer adds, on average over the rounds."""
        return np.diff(self.tops.mean(axis=0), prepend=0.0)

    @property
    def whole(self) -> Interval:
        """The figure of the whole bar."""
        return interval(list(self.tops[:, -1]))


def finding(drawn: Sequence[Bar]) -> str:
    """Say how far the last bar is from the first, and which layer makes the most of it."""
    first, last = drawn[0], drawn[-1]
    if not set(first.layers) & set(last.layers) or first is last:
        most = last.layers[int(np.argmax(last.steps))]
        return f"{wording.ms(last.whole.value)} ms of {_WHAT} under {last.contender.label}, most of it {most}"
    less, more = sorted((first, last), key=lambda bar: bar.whole.value)
    apart = wording.ms(more.whole.value - less.whole.value)
    others = dict(zip(less.layers, less.steps.tolist(), strict=True))
    extra = {name: step - others.get(name, 0.0) for name, step in zip(more.layers, more.steps.tolist(), strict=True)}
    most = max(extra, key=lambda name: extra[name])
    return (
        f"{more.contender.label} takes {more.whole.value / less.whole.value:.2g} times the {_WHAT} of {less.contender.label}; the largest part of the "
        f"{apart} ms between them is {most}, with {wording.ms(extra[most])} ms"
    )


def _bars(result: object, layers: object) -> list[Bar]:
    if not isinstance(result, Comparison):
        raise ConfigurationError(f"stack() takes a comparison of compare(), not {result!r}")
    if not isinstance(layers, Mapping) or not layers or not all(isinstance(b, Mapping) and b for b in layers.values()):
        raise checks.wrong("layers", layers, "a mapping such as {'sync': {'HTTP server': 'sync bare'}}")
    asked = dict.fromkeys(label for bar in layers.values() for label in bar.values())
    checks.known_names("layers", asked, result.labels, "contender")
    table = result.figures("cpu_per_request")[[*asked]].dropna()
    if table.empty:
        raise ConfigurationError(f"there is no round in which all of {', '.join(asked)} have a figure")
    ends = {name: result.runs(list(bar.values())[-1])[0] for name, bar in layers.items()}
    return [
        Bar(contender, tuple(bar), table[list(bar.values())].to_numpy(np.float64))
        for bar, contender in zip(layers.values(), inputs.gather([ends], "stack"), strict=True)
    ]


def _draw(axes: Axes, bar: Bar, top: float, shades: Mapping[str, str], guess: float | None) -> None:
    """Draw one bar from `top` on, the whole of each round over its end, and below it the names of its layers."""
    look, bottom, middle = bar.contender.look, top + _BAR_IN, top + _BAR_IN / 2
    named, edge = [], 0.0
    for name, step in zip(bar.layers, bar.steps.tolist(), strict=True):
        face, taken = {"facecolor": shades[name]}, {"hatch": "////"} if step < 0 else {}
        marks.bars(axes, edge, edge + step, top, bottom, **face, edgecolor="white", linewidth=1.0, **taken)
        swatch = face | {"edgecolor": style.GREY, "linewidth": 0.5}
        named.append((f"{name} {'−' * (step < 0)}{wording.ms(abs(step))} ms", [swatch]))
        edge += step
    marks.estimate(axes, middle, bar.whole, bar.tops[:, -1], look, half_in=_BAR_IN / 2 - 0.08)
    label = Line(f"{look.glyph} {bar.contender.label}", style.HEADING_PT, look.ink, bold=True)
    write_at(axes, [label], middle, MARGIN_IN - _LEFT_IN)
    if guess is not None:
        words = f"your prediction: {wording.number(guess)} ms"
        marks.prediction(axes, guess, words, span=(top - 0.06, bottom + 0.06))
    whole = f"in all {bar.whole.value:.3g} ms"
    if bar.whole.known:
        whole += f" ({bar.whole.low:.3g} to {bar.whole.high:.3g})"
    write_key(axes, [*named, (whole, [])], bottom + 0.06 + _NAMES_IN / 2, MARGIN_IN - _LEFT_IN, swatch_in=0.14)
