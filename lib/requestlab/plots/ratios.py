"""Figure: how many times as fast as the baseline each contender is, over several rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from requestlab.comparison.comparison import ALIKE, Comparison
from requestlab.comparison.intervals import CONFIDENCE
from requestlab.errors import ConfigurationError
from requestlab.plots import ratio_axis, ratio_panel, ratio_print, ratio_words, style
from requestlab.plots.inputs import Predicted, small_print
from requestlab.plots.lettering import wrapped
from requestlab.plots.ratio_rows import Cases, Row, cases, chosen_metrics, rows
from requestlab.plots.sheet import Picture

_LABELLED_FROM_IN = 2.6
_EXPLAINED_PT = 9.0


def ratios(
    result: Comparison | Mapping[str, Comparison],
    metrics: Sequence[str] = ("throughput", "p50", "p95", "cpu_per_request"),
    baseline: str | None = None,
    predicted: Predicted = None,
) -> Picture:
    """Draw each contender's figures divided by the baseline's: every round a point, over all rounds an interval.

    >>> result = lab.compare({"sync": lab.SYNC, "async": lab.ASYNC}, "/async/page/", lab.closed(users=10), rounds=8)
    >>> lab.plots.ratios(result, predicted=1.5)

    Takes a comparison, or a mapping of names to comparisons (`{"1 user": one, "50 users": fifty}`) that are drawn on one axis.
    There is a panel for each of `metrics`, names of `comparison.METRICS`, and the title gives the finding of the first.
    `baseline` is the label of the contender that the others are divided by, the first unless said otherwise; an A/A control
    is always divided by what it repeats. `predicted` is the ratio of throughputs that the reader expects, for all contenders,
    by label, or by name of the comparison. Raises ConfigurationError for anything that is not so.
    """
    given = cases(result, baseline)
    names = chosen_metrics(metrics)
    if predicted is not None and "throughput" not in names:
        raise ConfigurationError(f"predicted={predicted!r} is a ratio of throughputs; add 'throughput' to metrics")
    drawn = {name: rows(given, name, predicted if name == "throughput" else None) for name in names}
    load = ratio_print.load(next(iter(given.results.values())))
    title = ratio_words.title(given, names[0], drawn[names[0]], load)
    with style.style():
        return Picture(_drawn(given, drawn, title), f"{title}.")


def _drawn(given: Cases, drawn: Mapping[str, Sequence[Row]], title: str) -> Figure:
    every = [row for some in drawn.values() for row in some]
    notes = list(dict.fromkeys(caveat for row in every for caveat in row.caveats))
    widths = ratio_panel.columns(every, list(drawn))
    panels = [ratio_panel.panel(metric, some, widths, notes) for metric, some in drawn.items()]
    labelled = [one is panels[-1] or one.height_in > _LABELLED_FROM_IN for one in panels]
    below = _explained(given, notes)
    foot_in = 0.22 + 0.165 * len(below)
    heights = [
        ratio_panel.HEAD_IN + one.height_in + (ratio_panel.FOOT_IN if ticked else 0.04)
        for one, ticked in zip(panels, labelled, strict=True)
    ]
    frame = style.Frame(foot_in + sum(heights) + 0.05, title, _caption(given))
    panel_in = style.WIDTH_IN - 2 * style.MARGIN_IN - widths.left_in - ratio_panel.RIGHT_IN
    ends = ratio_axis.limits(every)
    bottom_in = foot_in + sum(heights)
    for one, height, ticked in zip(panels, heights, labelled, strict=True):
        bottom_in -= height
        above_in = bottom_in + (ratio_panel.FOOT_IN if ticked else 0.04)
        axes = frame.axes(style.MARGIN_IN + widths.left_in, above_in, panel_in, one.height_in)
        ratio_axis.set_axis(axes, ends, panel_in, ticked, given.baseline)
        ratio_panel.draw(axes, one, ends, widths)
    frame.write("\n".join(below), foot_in - 0.16, va="top", fontsize=_EXPLAINED_PT, linespacing=1.3)
    return frame.figure


def _explained(given: Cases, notes: Sequence[str]) -> list[str]:
    texts = [
        f"Each figure is divided by that of {given.baseline} in the same round (logarithmic axis). Faint points: the rounds, "
        f"the first at the top. Bar: the interval at {CONFIDENCE:.0%} confidence, its middle marked. Tinted: the side that is "
        f"faster or spends less. Grey band: two equal processes differ by as much ({ALIKE:.0%}).",
    ]
    if given.controlled:
        texts.append(f"A/A: a configuration measured against itself, under a second name. {_resolved(given)}.")
    texts += [f"Note {number}: {note}." for number, note in enumerate(notes, start=1)]
    return [line for text in texts for line in wrapped(text, style.WIDTH_IN - 2 * style.MARGIN_IN, _EXPLAINED_PT)]


def _resolved(given: Cases) -> str:
    """Say how far apart the throughputs of equals came out."""
    found = [result.resolution for result in given.results.values()]
    known = [one for one in found if one is not None and one.known]
    if not known:
        return "There were too few rounds to say how far apart equals come out today"
    low, high = (ratio_words.times(bound) for bound in (min(one.low for one in known), max(one.high for one in known)))
    return f"On this machine today, equals come out at {low} to {high} times each other in requests per second"


def _caption(given: Cases) -> list[str]:
    contenders = given.contenders
    told = ratio_print.circumstances(given.results)
    return [*told, *([ratio_print.capacities(contenders)] if contenders else []), *small_print(contenders)]
