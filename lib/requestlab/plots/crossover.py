"""Figure: throughput against the share of waiting in a request, beside what a formula said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

from requestlab.comparison.comparison import Comparison
from requestlab.plots import ratio_print, slopes, style
from requestlab.plots.headings import Line, height_in, lines, write_beside
from requestlab.plots.inputs import checked, small_print
from requestlab.plots.labels import Labels
from requestlab.plots.lettering import wrapped
from requestlab.plots.ratio_words import times
from requestlab.plots.shares import CrossoverCurve, Formula, courses, title
from requestlab.plots.sheet import Picture

_LEFT_IN, _WIDTH_IN, _BESIDE_IN = 0.85, 5.75, slopes.BESIDE_IN
_MIN_IN, _AXIS_IN = 3.6, 0.5
_EXPLAINED_PT = 9.0
_DOTTED = (0, (1, 1.3))
_MAX_NOTES = 4
_MARGIN = 4.0


def crossover(
    results: Mapping[float, Comparison],
    expected: Mapping[str, Formula] | None = None,
    predicted: float | None = None,
) -> Picture:
    """Draw the throughput of each contender against the share of waiting in a request, each round a point.

    >>> results = {share: lab.compare(contenders, f"/sync/wait_and_burn/?wait={share}&burn={100 - share}", load) for share in (0, 90)}
    >>> lab.plots.crossover(results, expected={"sync": lambda share: 10.0}, predicted=30)

    `results` maps shares in percent to comparisons of the same contenders, the first of them the baseline. `expected` maps
    labels to functions of such a share that return answers per second; they are drawn dotted. `predicted` is the share from
    which on the reader expects others to be faster. Raises ConfigurationError for anything that is not so.
    """
    found, by_share = courses(results, expected)
    guess = checked(predicted, "a share of waiting in percent")
    finding = title(found)
    with style.style():
        return Picture(_drawn(found, by_share, guess, finding), f"{finding}.")


def _drawn(
    found: Sequence[CrossoverCurve], by_share: Mapping[float, Comparison], guess: float | None, finding: str
) -> Figure:
    ranked = sorted(found, key=lambda course: -course.middles[-1])
    blocks = [_block(course) for course in ranked]
    panel_in = max(_MIN_IN, sum(map(height_in, blocks)))
    below = _explained(found)
    foot_in = 0.2 + 0.165 * len(below)
    frame = style.Frame(foot_in + _AXIS_IN + panel_in + 0.1, finding, _caption(found, by_share))
    axes = frame.axes(_LEFT_IN, foot_in + _AXIS_IN, _WIDTH_IN, panel_in)
    _set_axes(axes, found, guess)
    for course in found:
        _draw(axes, course)
    _draw_words(axes, found, guess)
    _write_blocks(axes, ranked, blocks, panel_in)
    frame.write("\n".join(below), foot_in - 0.16, va="top", fontsize=_EXPLAINED_PT, linespacing=1.3)
    return frame.figure


def _set_axes(axes: Axes, found: Sequence[CrossoverCurve], guess: float | None) -> None:
    shares = found[0].shares
    ends = [*shares.tolist(), *([guess] if guess is not None else [])]
    axes.set_xlim(min(ends) - _MARGIN, max(ends) + _MARGIN)
    ticks = slopes.apart(axes, shares, _WIDTH_IN, [f"{share:g} %" for share in shares])
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{share:g} %" for share in ticks]))
    axes.set_xlabel("share of waiting in a request; the rest is computing", labelpad=3)
    values = np.concatenate([each for course in found for each in course.rounds])
    formulas = [course.expected(shares) for course in found if course.formula]
    every = np.concatenate([values, *formulas])
    axes.set_yscale("log")
    axes.set_ylim(float(every.min()) / 1.35, float(every.max()) * 1.35)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_ylabel("answers per second (logarithmic)", labelpad=3)
    axes.grid(axis="both", linewidth=0.6, color="#E9E9E9")


def _draw(axes: Axes, course: CrossoverCurve) -> None:
    face = course.contender.look
    for share, each in zip(course.shares.tolist(), course.rounds, strict=True):
        axes.plot([share] * len(each), each, face.marker, color=face.colour, alpha=0.25, ms=4, markeredgewidth=0)
    axes.plot(course.shares, course.middles, **face.strokes, zorder=3)
    if course.formula:
        fine = np.linspace(course.shares[0], course.shares[-1], 200)
        axes.plot(fine, course.expected(fine), color=face.colour, linestyle=_DOTTED, linewidth=1.5, zorder=2)


def _draw_words(axes: Axes, found: Sequence[CrossoverCurve], guess: float | None) -> None:
    labels = Labels(axes)
    for course in found:
        labels.avoid(course.shares, course.middles)
    if guess is not None:
        axes.axvline(guess, color=style.INK, linestyle=(0, (4, 3)), linewidth=1.3, zorder=1.5)
        labels.put(f"your prediction: faster from {guess:g} % on", (guess, axes.get_ylim()[1]))


def _write_blocks(axes: Axes, ranked: Sequence[CrossoverCurve], blocks: Sequence[list[Line]], panel_in: float) -> None:
    apart_in = (panel_in - sum(map(height_in, blocks))) / (len(blocks) + 1)
    top_in = panel_in
    for course, block in zip(ranked, blocks, strict=True):
        top_in -= apart_in
        end = (float(course.shares[-1]), float(course.middles[-1]))
        slopes.tie(axes, end, (top_in - 0.2) / panel_in, course.contender.look.colour)
        write_beside(axes, block, top_in / panel_in)
        top_in -= height_in(block)


def _block(course: CrossoverCurve) -> list[Line]:
    """Return what stands beside a curve: whose it is, its ratios, how many requests it can hold."""
    face = course.contender.look
    ratios = [
        f"{share:g} %: {times(ratio.value)} times ({times(ratio.low)} to {times(ratio.high)})"
        for share, ratio in zip(course.shares.tolist(), course.ratios, strict=True)
        if ratio is not None and ratio.interval.known
    ]
    return [
        *lines(f"{face.glyph} {course.label}", _BESIDE_IN, style.HEADING_PT, face.ink, bold=True),
        *(line for text in ratios for line in lines(text, _BESIDE_IN)),
        *lines(f"capacity: {course.contender.capacity}", _BESIDE_IN, color=style.GREY),
    ]


def _explained(found: Sequence[CrossoverCurve]) -> list[str]:
    dotted = " Dotted: what the formula says." if any(course.formula for course in found) else ""
    first = found[0].label
    texts = [
        f"Faint points: the rounds; markers: their middle.{dotted} To the right: how many times the throughput of {first}, round "
        f"by round, with its interval."
    ]
    notes = dict.fromkeys(
        f"at {share:g} %, {caveat}"
        for course in found
        for share, ratio in zip(course.shares.tolist(), course.ratios, strict=True)
        if ratio is not None
        for caveat in ratio.caveats
    )
    texts += [f"Against it speaks: {note}." for note in list(notes)[:_MAX_NOTES]]
    return [line for text in texts for line in wrapped(text, style.WIDTH_IN - 2 * style.MARGIN_IN, _EXPLAINED_PT)]


def _caption(found: Sequence[CrossoverCurve], by_share: Mapping[float, Comparison]) -> list[str]:
    told = ratio_print.circumstances({f"{share:g} %": result for share, result in by_share.items()})
    return [*told, *small_print([course.contender for course in found])]
