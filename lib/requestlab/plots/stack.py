"""Figure: of which layers a figure is made, one bar for each path through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from requestlab.comparison.comparison import Comparison
from requestlab.comparison.intervals import CONFIDENCE, Interval, interval
from requestlab.errors import ConfigurationError
from requestlab.plots import ratio_print, style
from requestlab.plots.inputs import Contender, Predicted, checked, gather, small_print
from requestlab.plots.lettering import width_in
from requestlab.plots.sheet import Picture
from requestlab.system import wording
from requestlab.trace.activity import Floats

Layers = Mapping[str, Mapping[str, str]]
"""Of each bar, its layers from the bottom up, each with the contender that ends with it."""

_LEFT_IN, _RIGHT_IN, _BAR_IN, _LINE_IN, _GAP_IN = 1.1, 0.35, 0.46, 0.24, 0.42
_FOOT_IN = 0.42
_SHADES = ("#D9E2EC", "#A9BACB", "#E3C7A0", "#C98F4E", "#8E9AA6", "#5F6C7A")
_WHAT = {"cpu_per_request": "the server's CPU time per request in ms", "p50": "median response time in ms"}


@dataclass(frozen=True, eq=False)
class Bar:
    """One path through the layers: where each of them ends (`tops`, in ms, one row a round), and the reader's guess."""

    label: str
    contender: Contender
    layers: tuple[str, ...]
    tops: Floats
    predicted: float | None

    @property
    def steps(self) -> Floats:
        """What each layer adds, on average over the rounds."""
        return np.diff(self.tops.mean(axis=0), prepend=0.0)

    @property
    def whole(self) -> Interval:
        """The figure of the whole bar."""
        return interval(list(self.tops[:, -1]))


def stack(
    result: Comparison, layers: Layers, *, metric: str = "cpu_per_request", predicted: Predicted = None
) -> Picture:
    """Draw a figure of a comparison as a sum of layers: each layer is what a contender has more than the one before it.

    >>> lab.plots.stack(result, {"sync": {"HTTP server": "sync bare", "Django": "sync"}})

    `layers` maps each bar to its layers from the bottom up, and each layer to the contender that ends with it; `metric` is
    `cpu_per_request` or `p50`. `predicted` is the sum in ms that the reader expects, for all bars or by bar. Rounds in which one
    of the contenders was dropped do not count. Raises ConfigurationError for anything that is not so.
    """
    bars = _bars(result, layers, metric, predicted)
    title = finding(bars, metric)
    with style.style():
        return Picture(_drawn(result, bars, metric, title), f"{title}.")


def finding(bars: Sequence[Bar], metric: str) -> str:
    """Say how far the last bar is from the first, and which layer makes the most of it."""
    first, last = bars[0], bars[-1]
    what = "CPU time per request" if metric == "cpu_per_request" else "median response time"
    if first is last or first.layers == () or not set(first.layers) & set(last.layers):
        most = last.layers[int(np.argmax(last.steps))]
        return f"{wording.ms(last.whole.value)} ms of {what} under {last.label}, most of it {most}"
    apart = last.whole.value - first.whole.value
    more, less = (last, first) if apart > 0 else (first, last)
    times = more.whole.value / less.whole.value
    mine, others = (dict(zip(bar.layers, bar.steps, strict=True)) for bar in (more, less))
    extra = {name: step - others.get(name, 0.0) for name, step in mine.items()}
    most = max(extra, key=lambda name: extra[name])
    return (
        f"{more.label} takes {times:.2g} times the {what} of {less.label}; the largest part of the {wording.ms(abs(apart))} ms "
        f"between them is {most}, with {wording.ms(extra[most])} ms"
    )


def _bars(result: object, layers: object, metric: str, predicted: Predicted) -> list[Bar]:
    if not isinstance(result, Comparison):
        raise ConfigurationError(f"stack() takes a comparison of compare(), not {result!r}")
    if metric not in _WHAT:
        raise ConfigurationError(f"metric={metric!r}: expected one of: {', '.join(_WHAT)}")
    if not isinstance(layers, Mapping) or not layers or not all(isinstance(b, Mapping) and b for b in layers.values()):
        raise ConfigurationError(
            f"layers={layers!r}: expected a mapping such as {{'sync': {{'HTTP server': 'sync bare'}}}}"
        )
    asked = {label for bar in layers.values() for label in bar.values()}
    if unknown := sorted(asked - set(result.labels)):
        raise ConfigurationError(f"layers names {unknown[0]!r}; the contenders are {', '.join(result.labels)}")
    table = result.figures(metric)[sorted(asked)].dropna()
    if table.empty:
        raise ConfigurationError(f"there is no round in which all of {', '.join(sorted(asked))} have a figure")
    ends = {name: list(bar.values())[-1] for name, bar in layers.items()}
    contenders = gather([{name: result.runs(label)[0] for name, label in ends.items()}], "stack")
    guesses = _guesses(predicted, list(layers))
    return [
        Bar(name, contender, tuple(bar), table[list(bar.values())].to_numpy(np.float64), guesses[name])
        for (name, bar), contender in zip(layers.items(), contenders, strict=True)
    ]


def _guesses(predicted: Predicted, names: Sequence[str]) -> dict[str, float | None]:
    what = f"a sum in ms, for all bars or for some of {', '.join(names)}"
    given = predicted if isinstance(predicted, Mapping) else dict.fromkeys(names, predicted)
    if unknown := [name for name in given if name not in names]:
        raise ConfigurationError(f"predicted has no bar called {unknown[0]!r}; the bars are {', '.join(names)}")
    return {name: checked(given.get(name), what) for name in names}


def _drawn(result: Comparison, bars: Sequence[Bar], metric: str, title: str) -> Figure:
    each_in = _BAR_IN + _LINE_IN + _GAP_IN
    panel_in = each_in * len(bars)
    caption = [
        f"Layers are differences between contenders of one comparison, on average over {wording.counted(len(bars[0].tops), 'round')}. "
        f"Dots: the whole, round by round. Line: its interval at {CONFIDENCE:.0%} confidence.",
        *ratio_print.circumstances({"": result})[:2],
        *small_print([bar.contender for bar in bars]),
    ]
    frame = style.Frame(panel_in + _FOOT_IN + 0.25, title, caption)
    axes = frame.axes(_LEFT_IN, _FOOT_IN, style.WIDTH_IN - _LEFT_IN - _RIGHT_IN, panel_in)
    furthest = max(float(max(bar.tops.max(), bar.predicted or 0)) for bar in bars)
    lowest = min(0.0, *(float(np.cumsum(bar.steps).min()) for bar in bars))
    axes.set_xlim(lowest * 1.1, furthest * 1.06)
    axes.set_ylim(panel_in, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(_WHAT[metric], labelpad=3)
    shades = _shades(bars)
    for number, bar in enumerate(bars):
        _draw(axes, bar, number * each_in + _GAP_IN / 2, shades)
    return frame.figure


def _shades(bars: Sequence[Bar]) -> dict[str, str]:
    names = dict.fromkeys(name for bar in sorted(bars, key=lambda b: -len(b.layers)) for name in bar.layers)
    return {name: _SHADES[number % len(_SHADES)] for number, name in enumerate(names)}


def _draw(axes: Axes, bar: Bar, top_in: float, shades: Mapping[str, str]) -> None:
    edge = 0.0
    for name, step in zip(bar.layers, bar.steps, strict=True):
        hatch = "////" if step < 0 else None
        axes.add_patch(
            Rectangle(
                (edge, top_in), step, _BAR_IN, facecolor=shades[name], edgecolor="white", linewidth=1.0, hatch=hatch
            )
        )
        edge += step
    middle = top_in + _BAR_IN / 2
    spread = np.linspace(top_in + 0.08, top_in + _BAR_IN - 0.08, len(bar.tops))
    axes.plot(bar.tops[:, -1], spread, "o", color=bar.contender.look.colour, alpha=0.35, markersize=3.5, zorder=3)
    if bar.whole.known:
        axes.plot(
            [bar.whole.low, bar.whole.high], [middle, middle], color=bar.contender.look.colour, linewidth=2.2, zorder=4
        )
    axes.annotate(
        f"{bar.contender.look.glyph} {bar.label}", (0, middle), (-8, 0), ("axes fraction", "data"), "offset points",
        ha="right", va="center", color=bar.contender.look.ink, fontsize=style.HEADING_PT, weight="bold", annotation_clip=False,
    )  # fmt: skip
    _draw_guess(axes, bar, top_in)
    _name_layers(axes, bar, top_in + _BAR_IN, shades)


def _draw_guess(axes: Axes, bar: Bar, top_in: float) -> None:
    if bar.predicted is None:
        return
    axes.plot(
        [bar.predicted] * 2,
        [top_in - 0.06, top_in + _BAR_IN + 0.06],
        color=style.INK,
        linestyle=(0, (4, 3)),
        linewidth=1.4,
        zorder=5,
    )
    axes.annotate(
        f"your prediction: {wording.number(bar.predicted)} ms", (bar.predicted, top_in - 0.06), (0, 2), "data",
        "offset points", ha="right", va="bottom", fontsize=style.NOTE_PT, annotation_clip=False,
    )  # fmt: skip


def _name_layers(axes: Axes, bar: Bar, top_in: float, shades: Mapping[str, str]) -> None:
    """Write the layers below the bar, each behind a square of its shade."""
    panel_in = style.WIDTH_IN - _LEFT_IN - _RIGHT_IN
    at_in, below_in = style.MARGIN_IN - _LEFT_IN + 0.1, top_in + 0.06 + _LINE_IN / 2
    texts = [f"{name} {_amount(step)}" for name, step in zip(bar.layers, bar.steps, strict=True)]
    whole = f"in all {bar.whole.value:.3g} ms"
    if bar.whole.known:
        whole += f" ({bar.whole.low:.3g} to {bar.whole.high:.3g})"
    for name, text in [*zip(bar.layers, texts, strict=True), (None, whole)]:
        if name is not None:
            axes.plot(
                (at_in + 0.06) / panel_in, below_in, "s", color=shades[name], markersize=7, markeredgecolor=style.GREY,
                markeredgewidth=0.5, transform=axes.get_yaxis_transform(), clip_on=False,
            )  # fmt: skip
        axes.text(
            (at_in + 0.17) / panel_in, below_in, text, transform=axes.get_yaxis_transform(), va="center",
            fontsize=style.NOTE_PT + 0.5, weight="normal" if name else "bold", clip_on=False,
        )  # fmt: skip
        at_in += 0.17 + width_in(text, style.NOTE_PT + 0.5, bold=name is None) + 0.25


def _amount(step: float) -> str:
    return f"{wording.ms(step)} ms" if step >= 0 else f"−{wording.ms(-step)} ms"
