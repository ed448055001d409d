"""Figure: of which layers the CPU time of a request is made, one bar for each path through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.comparison import CANNOT_TELL, Comparison
from requestlab.comparison.intervals import CONFIDENCE, Interval, interval
from requestlab.comparison.wording import about, brief, circumstances
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, marks, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted
from requestlab.plots.sheet import (
    AXIS_IN,
    MARGIN_IN,
    Line,
    Picture,
    Sheet,
    lines,
    size_in,
    width_in,
    write_at,
    write_key,
)
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

Layers = Mapping[str, Mapping[str, str]]
"""Of each bar, its layers from the bottom up, each with the contender that ends with it."""

_LEFT_IN, _RIGHT_IN, _BAR_IN, _NAMES_IN, _GAP_IN = 1.1, 1.6, 0.5, 0.24, 0.34
_LOOK = style.SeriesStyle(style.INK, "|")
_SHADES = ("#D9E2EC", "#A9BACB", "#E3C7A0", "#C98F4E", "#8E9AA6", "#5F6C7A")
_DARK = _SHADES[-2:]
_WHAT = "CPU time per request"


@remembered
@style.applied()
def stack(result: Comparison, layers: Layers, *, predicted: Predicted = None) -> Picture:
    """Draw the CPU time of a request as a sum of layers: each is what a contender has more than the one before it.

    >>> contenders = {"sync bare": lab.SYNC.replace(application="bare"), "sync": lab.SYNC}
    >>> result = lab.compare(contenders, "/sync/page/", lab.closed(users=10), rounds=4)
    >>> lab.plots.stack(result, {"sync": {"HTTP server": "sync bare", "Django": "sync"}})

    `layers` maps each bar to its layers from the bottom up, and each layer to the contender that ends with it.
    `predicted` is the sum in ms that the reader expects, for all bars or by bar. Rounds in which one of the contenders
    was dropped do not count. Raises ConfigurationError for anything that is not so.
    """
    drawn = _bars(result, layers)
    guesses = inputs.predicted_for(predicted, list(layers), "a sum in ms", noun="bar")
    names = dict.fromkeys(name for bar in sorted(drawn, key=lambda bar: -len(bar.layers)) for name in bar.layers)
    shades = {name: _SHADES[i % len(_SHADES)] for i, name in enumerate(names)}

    page = Sheet(finding(result, drawn))
    page.space(0.1)
    heights_in = [_GAP_IN + _BAR_IN + _NAMES_IN] * len(drawn)
    axes, places = marks.rows(page, heights_in, _LEFT_IN, _RIGHT_IN, below_in=AXIS_IN)
    lowest = min(0.0, *(float(np.cumsum(bar.steps).min()) for bar in drawn))
    ends = [max(float(bar.tops.max()), bar.whole.high if bar.whole.known else 0.0) for bar in drawn]
    furthest = max(*ends, *(guess or 0.0 for guess in guesses.values()))
    axes.set_xlim(1.1 * lowest, 1.02 * furthest)
    marks.number(axes.xaxis)
    axes.set_xlabel(f"{_WHAT} in ms", labelpad=3)
    for bar, (top, _) in zip(drawn, places, strict=True):
        _draw(axes, bar, top + _GAP_IN / 2, shades, guesses[bar.contender.label])
    page.explain(
        f"Layers: differences between contenders, averaged over {wording.counted(len(drawn[0].tops), 'round')}. Faint "
        f"points: the whole in each round. Black line: its {CONFIDENCE:.0%} interval."
    )
    return page.picture(inputs.small_print([bar.contender for bar in drawn]), list(circumstances(result).items()))


@dataclass(frozen=True, eq=False)
class Bar:
    """One path through the layers, the last of which ends with the contender `end`: where each of them ends (`tops`, in
    ms, one row a round)."""

    contender: Contender
    end: str
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


def finding(result: Comparison, drawn: Sequence[Bar]) -> str:
    """Say how far the last bar is from the first, and which layer makes the most of it."""
    first, last = drawn[0], drawn[-1]
    if not set(first.layers) & set(last.layers) or first is last:
        most = last.layers[int(np.argmax(last.steps))]
        told = f"{wording.ms(last.whole.value)} ms of {_WHAT} under {last.contender.label}"
        return brief(f"{told}, most of it {most}", told)
    less, more = sorted((first, last), key=lambda bar: bar.whole.value)
    names = f"{more.contender.label} and {less.contender.label}"
    if result.ratio(more.end, less.end, "cpu_per_request").verdict == CANNOT_TELL:
        return brief(f"Cannot tell {names} apart by {_WHAT}", f"Cannot tell the bars apart by {_WHAT}")
    others = dict(zip(less.layers, less.steps.tolist(), strict=True))
    extra = {name: step - others.get(name, 0.0) for name, step in zip(more.layers, more.steps.tolist(), strict=True)}
    most = max(extra, key=lambda name: extra[name])
    told = f"{more.contender.label} takes {about(more.whole.value / less.whole.value)} the CPU time of {less.contender.label}"
    return brief(f"{told}, most of the difference for {most}", f"{told}, mostly for {most}", told)


def _bars(result: object, layers: object) -> list[Bar]:
    if not isinstance(result, Comparison):
        raise ConfigurationError(f"stack() takes a comparison of compare(), not {checks.shown(result)}")
    if not isinstance(layers, Mapping) or not layers or not all(isinstance(b, Mapping) and b for b in layers.values()):
        raise checks.wrong("layers", layers, "a mapping such as {'sync': {'HTTP server': 'sync bare'}}")
    asked = dict.fromkeys(label for bar in layers.values() for label in bar.values())
    checks.known_names("layers", asked, result.labels, "contender")
    table = result.figures("cpu_per_request")[[*asked]].dropna()
    if table.empty:
        raise ConfigurationError(f"there is no round in which all of {', '.join(asked)} have a figure")
    ends = {name: result.runs(list(bar.values())[-1])[0] for name, bar in layers.items()}
    return [
        Bar(contender, list(bar.values())[-1], tuple(bar), table[list(bar.values())].to_numpy(np.float64))
        for bar, contender in zip(layers.values(), inputs.gather([ends], "stack"), strict=True)
    ]


def _draw(axes: Axes, bar: Bar, top: float, shades: Mapping[str, str], guess: float | None) -> None:
    """Draw one bar from `top` on, with the names of its layers, below it where they are too narrow; the whole of each
    round, and the interval, over its end."""
    look, bottom, middle = bar.contender.look, top + _BAR_IN, top + _BAR_IN / 2
    free = min([*bar.tops[:, -1].tolist(), *([bar.whole.low] if bar.whole.known else [])])
    below, edge = [], 0.0
    for name, step in zip(bar.layers, bar.steps.tolist(), strict=True):
        face, taken = {"facecolor": shades[name]}, {"hatch": "////"} if step < 0 else {}
        marks.bars(axes, edge, edge + step, top, bottom, **face, edgecolor="white", linewidth=1.0, **taken)
        time = f"{'−' * (step < 0)}{wording.ms(abs(step))} ms"
        from_in, to_in = marks.x_in(axes, edge) + 0.06, marks.x_in(axes, min(edge + step, free)) - 0.03
        wide_in = max(width_in(name), width_in(time, bold=True))
        crossed = guess is not None and from_in <= marks.x_in(axes, guess) <= from_in + wide_in
        if from_in + wide_in < to_in and not crossed:
            ink = "white" if shades[name] in _DARK else style.INK
            write_at(axes, [Line(name, color=ink), Line(time, color=ink, bold=True)], middle, from_in)
        else:
            below.append((f"{name} {time}", [face | {"edgecolor": style.GREY, "linewidth": 0.5}]))
        edge += step
    marks.estimate(axes, middle, bar.whole, bar.tops[:, -1], _LOOK, half_in=_BAR_IN / 2 - 0.08)
    label = Line(f"{look.glyph} {bar.contender.label}", style.HEADING_PT, look.ink, bold=True)
    write_at(axes, [label], middle, MARGIN_IN - _LEFT_IN)
    if guess is not None:
        words = f"your prediction: {wording.number(guess)} ms"
        marks.prediction(axes, guess, words, span=(top - 0.06, bottom + 0.06))
    beyond = [f"{bar.whole.low:.3g} to {bar.whole.high:.3g}"] if bar.whole.known else []
    block = [Line(f"{bar.whole.value:.3g} ms", style.HEADING_PT, bold=True), *lines(beyond, _RIGHT_IN - 0.3)]
    write_at(axes, block, middle, size_in(axes)[0] + 0.12)
    write_key(axes, below, bottom + 0.06 + _NAMES_IN / 2, swatch_in=0.14)
