"""Figure: how many times as fast as the baseline each contender is, over several rounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison import wording
from requestlab.comparison.comparison import ALIKE, CANNOT_TELL, METRICS, Comparison
from requestlab.comparison.intervals import CONFIDENCE
from requestlab.comparison.wording import PHRASES, Finding
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted
from requestlab.plots.sheet import MARGIN_IN, Line, Picture, Sheet
from requestlab.plots.style import SeriesStyle
from requestlab.system import checks
from requestlab.system.wording import number
from requestlab.trace.activity import Floats

NOBODYS = SeriesStyle(style.NOBODY, "o", filled=False)
"""The look of the control, and of a contender of which nothing was measured."""

_BESIDE_IN, _APART_IN, _MAX_CASE_IN, _MAX_LABEL_IN = 2.72, 0.14, 1.3, 1.75
_MIN_ROW_IN, _BETWEEN_CASES_IN = 0.35, 0.1
_FOOT_IN, _BETWEEN_PANELS_IN, _LABELLED_FROM_IN = 0.38, 0.04, 2.6
_HEADING_PT = 9.5
_FASTER_SIDE = "#EDF5EC"
_INDENT_IN = 0.16
_READ = (
    f"Faint points: rounds, each divided by {{}} of the same round. Bar: {CONFIDENCE:.0%} interval. Tinted: faster, or less CPU. "
    f"Grey: within {ALIKE:.0%}, which counts as equal."
)

_LEAST = math.log(1.12)  # what the axis holds to either side of 1
_MIN_SHARE = 0.24  # of the axis, to either side of 1, so that the words at its ends have their place
_FURTHER = 0.5  # how much further than the rounds themselves an interval is followed before it is cut off


@remembered
@style.applied()
def ratios(
    result: Comparison | Mapping[str, Comparison],
    metrics: Sequence[str] = ("throughput", "p50", "p95", "cpu_per_request"),
    predicted: Predicted = None,
    controls: Mapping[str, str | Sequence[str]] | None = None,
) -> Picture:
    """Draw each contender's figures divided by those of the first: every round a point, over all rounds an interval.

    >>> result = lab.compare({"sync": lab.SYNC, "async": lab.ASYNC}, "/async/page/", lab.closed(users=10), rounds=8)
    >>> lab.plots.ratios(result, predicted=1.5)

    Takes a comparison, or a mapping of names to comparisons (`{"1 user": one, "50 users": fifty}`) that are drawn on
    one axis. There is a panel for each of `metrics`, names of `comparison.METRICS`, that has a figure, and the title
    gives the finding of the first. An A/A control is divided by what it repeats. `predicted` is the ratio of
    throughputs that the reader expects, for all contenders, by label, or by name of the comparison. `controls` maps
    names of comparisons to those, one or several, in which the cause of the gain is missing: they are drawn below it,
    each with an arrow from what it was to what it is without. Raises ConfigurationError for anything that is not so.
    """
    given = _cases(result, controls or {})
    names = [checks.one_of("metrics", name, list(METRICS)) for name in metrics]
    if predicted is not None and "throughput" not in names:
        raise ConfigurationError(f"predicted={predicted!r} is a ratio of throughputs; add 'throughput' to metrics")
    rows = {name: list(_rows(given, name, predicted if name == "throughput" else None)) for name in names}
    drawn = [name for name in names if any(row.finding.ratio.interval.rounds for row in rows[name])] or names[:1]
    plan = _plan(given, [row for name in drawn for row in rows[name]], drawn)

    load = wording.common_load(next(iter(given.results.values())))
    findings = [row.finding for row in rows[drawn[0]]]
    page = Sheet(wording.title(findings, given.baseline, load, given.several, given.controls))
    for name in drawn:
        _draw_panel(page, name, rows[name], plan, last=name == drawn[-1])
    page.explain(
        _READ.format(given.baseline), sheet.fitting(" ".join(_said(given, plan.notes)), sheet.INNER_IN, style.TEXT_PT)
    )
    told = wording.circumstances_of(given.results)
    undrawn = {PHRASES[name].heading: rows[name][0].finding.ratio.reason for name in names if name not in drawn}
    details = {f"note {number}": note for number, note in enumerate(plan.notes, start=1)} | undrawn | told
    return page.picture(inputs.small_print(given.contenders, asked=told["asked"]), list(details.items()))


# What there is to be drawn


@dataclass(frozen=True, eq=False)
class Cases:
    """The comparisons of one figure by name, the contender that all others are divided by, and for each case its
    controls, which stand below it."""

    results: Mapping[str, Comparison]
    baseline: str
    controls: Mapping[str, Sequence[str]]

    @property
    def several(self) -> bool:
        """Whether there is more than one, so that each needs its name."""
        return len(self.results) > 1

    @property
    def labels(self) -> list[str]:
        """The contenders other than the baseline, in the order in which they come up first."""
        found = dict.fromkeys(label for result in self.results.values() for label in result.labels)
        return [label for label in found if label != self.baseline]

    @property
    def controlled(self) -> bool:
        """Whether there is an A/A control."""
        return any(result.control is not None for result in self.results.values())

    @property
    def contenders(self) -> list[Contender]:
        """Each contender of which anything was measured, with its looks; the control is none."""
        first = {label: run for result in self.results.values() for label, run in inputs.first_runs(result).items()}
        return inputs.gather([first], "ratios") if first else []


@dataclass(frozen=True, eq=False)
class Row:
    """One ratio: its finding and its look, the ratio of each round that has one, what the reader predicted, or None,
    and the case that this is a control of, if it is."""

    finding: Finding
    look: SeriesStyle
    each: Floats
    predicted: float | None
    without: str | None

    @property
    def ink(self) -> str:
        """The colour of its words."""
        return style.GREY if self.finding.control else self.look.ink

    @property
    def label(self) -> str:
        """What stands before the row: `▲ async`, `sync again (A/A)`."""
        over = self.finding.ratio.over
        return f"{over} (A/A)" if self.finding.control else f"{self.look.glyph} {over}"


def _cases(result: object, controls: Mapping[str, str | Sequence[str]]) -> Cases:
    what = "ratios() takes a comparison of compare(), or one mapping of names to them"
    names, given = inputs.several([result], Comparison, what)
    firsts = list(dict.fromkeys(one.labels[0] for one in given))
    if len(firsts) > 1:
        raise ConfigurationError(
            f"these comparisons have several baselines ({', '.join(firsts)}); put one of them first"
        )
    results = dict(zip(names or [""], given, strict=True))
    below = {case: [some] if isinstance(some, str) else list(some) for case, some in controls.items()}
    without = [one for some in below.values() for one in some]
    checks.known_names("controls", [*below, *without], names, "comparison")
    if len({*below, *without}) < len(below) + len(without):
        raise checks.wrong("controls", controls, "each comparison once, as a case or as the control of one")
    order = [one for case in results if case not in without for one in (case, *below.get(case, ()))]
    found = Cases({case: results[case] for case in order}, firsts[0], below)
    if not found.labels and not found.controlled:
        raise ConfigurationError("ratios() needs two contenders, or one with a control; this comparison has one alone")
    return found


def _rows(given: Cases, metric: str, predicted: Predicted) -> Iterator[Row]:
    """Yield the rows of one metric: case by case, first the contenders, then the control."""
    known = [*given.labels, *(given.results if given.several else ())]
    guesses = inputs.predicted_for(predicted, known, "a ratio of throughputs", noun="contender", positive=True)
    looks = {contender.label: contender.look for contender in given.contenders}
    cases = {control: case for case, some in given.controls.items() for control in some}
    for case, result in given.results.items():
        table = result.figures(metric)
        for label in [*(label for label in given.labels if label in result.labels), result.control]:
            if label is None:
                continue
            control = label == result.control
            ratio = result.ratio(label, given.baseline, metric)
            each = (table[label] / table[given.baseline]).to_numpy(np.float64)
            by_label = guesses.get(label) if case not in cases else None  # it is about what has the cause
            by_case = guesses.get(case) if isinstance(predicted, Mapping) else None
            guess = None if control else by_case if by_label is None else by_label
            look = NOBODYS if control else looks.get(label, NOBODYS)
            yield Row(Finding(ratio, case, control), look, each[np.isfinite(each) & (each > 0)], guess, cases.get(case))


# Where it is drawn


@dataclass(frozen=True)
class Plan:
    """What all panels share: the baseline and the caveats below the figure, how wide the names of the cases and the
    labels are, in inches, and where the axis ends."""

    baseline: str
    notes: list[str]
    case_in: float
    label_in: float
    low: float
    high: float

    @property
    def left_in(self) -> float:
        """How far the axes begin from the left margin."""
        return self.case_in + self.label_in

    def texts(self, row: Row, begins: bool) -> list[list[Line]]:
        """Return what stands before a row, where it `begins` a case the name of that, and what stands behind it."""
        finding, ratio, most_in = row.finding, row.finding.ratio, _BESIDE_IN - _APART_IN
        decided = ratio.verdict != CANNOT_TELL
        said = f"{wording.found(ratio)}, {wording.verdict(ratio)}" if decided else wording.found(ratio)
        guess = [] if row.predicted is None else [f"your prediction: {number(row.predicted)} ×"]
        beside = [
            *sheet.lines(said, most_in, style.TEXT_PT, row.ink, decided),
            *sheet.lines(wording.remark(finding, self.notes), most_in, color=style.GREY),
            *sheet.lines(guess, most_in),
        ]
        name = finding.case if begins else ""
        case = sheet.lines(name, self.case_in, style.TEXT_PT, bold=True)
        if row.without is not None:
            case = sheet.lines(f"↳ {name}" if name else "", self.case_in - _INDENT_IN, style.TEXT_PT)
        bold = not finding.control
        return [case, sheet.lines(row.label, self.label_in - _APART_IN, style.TEXT_PT, row.ink, bold), beside]


def _plan(given: Cases, rows: Sequence[Row], metrics: Sequence[str]) -> Plan:
    """Make the columns wide enough for all labels, as far as there is room, and for the headings above them."""
    notes = list(dict.fromkeys(caveat for row in rows for caveat in row.finding.ratio.caveats))
    case_in = max(min(sheet.width_in(row.finding.case, style.TEXT_PT, True), _MAX_CASE_IN) for row in rows)
    case_in += _INDENT_IN * bool(given.controls)
    label_in = max(min(sheet.width_in(row.label, style.TEXT_PT, True), _MAX_LABEL_IN) for row in rows) + _APART_IN
    case_in += _APART_IN if case_in else 0
    headings_in = max(sheet.width_in(PHRASES[metric].heading, _HEADING_PT, True) + _APART_IN for metric in metrics)
    return Plan(given.baseline, notes, case_in, max(label_in, headings_in - case_in), *_limits(rows))


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Return limits that hold every round and prediction, and the intervals unless they are far wider than the
    rounds."""
    points = np.log(np.concatenate([[1.0], *(row.each for row in rows), [row.predicted or 1.0 for row in rows]]))
    low, high = min(-_LEAST, float(points.min())), max(_LEAST, float(points.max()))
    known = [row.finding.ratio for row in rows if row.finding.ratio.interval.known]
    beyond = _FURTHER * (high - low)
    left = max(min([low, *(math.log(ratio.low) for ratio in known)]), low - beyond)
    right = min(max([high, *(math.log(ratio.high) for ratio in known)]), high + beyond)
    margin = 0.05 * (right - left)
    left, right = left - margin, right + margin
    least = _MIN_SHARE / (1 - _MIN_SHARE)
    return math.exp(min(left, -least * right)), math.exp(max(right, -least * left))


# Drawing


def _draw_panel(page: Sheet, metric: str, rows: Sequence[Row], plan: Plan, last: bool) -> None:
    """Draw the rows of one metric below each other; the last panel, and a high one, has its axis numbered."""
    cases = [row.finding.case for row in rows]
    begins = [i == 0 or case != cases[i - 1] for i, case in enumerate(cases)]
    texts = [plan.texts(row, first) for row, first in zip(rows, begins, strict=True)]
    gaps = [_BETWEEN_CASES_IN * (first and i > 0 and rows[i].without is None) for i, first in enumerate(begins)]
    heights = [gap + max(_MIN_ROW_IN, *map(sheet.height_in, some)) for gap, some in zip(gaps, texts, strict=True)]

    labelled = last or sum(heights) > _LABELLED_FROM_IN
    heading = [Line(PHRASES[metric].heading, _HEADING_PT, bold=True)]
    room = {"above": heading, "below_in": _FOOT_IN if labelled else _BETWEEN_PANELS_IN}
    axes, places = marks.rows(page, heights, MARGIN_IN + plan.left_in, MARGIN_IN + _BESIDE_IN, **room)
    _set_axes(axes, metric, plan, labelled)
    middles = {}
    for row, some, gap, (begin, bottom) in zip(rows, texts, gaps, places, strict=True):
        top, ratio = begin + gap, row.finding.ratio
        middle = (top + bottom) / 2
        if gap:
            axes.axhline(begin + gap / 2, color="#BBBBBB", linewidth=0.7, zorder=0.7)
        marks.estimate(axes, middle, ratio.interval, row.each, row.look, doubtful=bool(ratio.caveats))
        if row.predicted is not None:
            marks.prediction(axes, row.predicted, span=(top, bottom), cross=middle)
        middles[row.finding.case, ratio.over] = (ratio.value, middle)
        if (begin_at := middles.get((row.without or "", ratio.over))) and row.without is not None:
            _draw_arrow(axes, begin_at, (ratio.value, middle), row.look.colour)
        case_at = _INDENT_IN * (row.without is not None) - plan.left_in
        for block, x_in in zip(some, (case_at, -plan.label_in, sheet.size_in(axes)[0] + _APART_IN), strict=True):
            sheet.write_at(axes, block, middle, x_in)


def _draw_arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    how = {"arrowstyle": "-|>", "color": colour, "alpha": 0.6, "linewidth": 1.2, "shrinkA": 6, "shrinkB": 6}
    if np.isfinite([begin[0], end[0]]).all():
        axes.annotate("", end, begin, arrowprops=how, zorder=2.5)


def _set_axes(axes: Axes, metric: str, plan: Plan, labelled: bool) -> None:
    """Set the axis, logarithmic around 1; show which side is faster, and the band in which two equal processes may
    lie."""
    axes.set_xscale("log")
    axes.set_xlim(plan.low, plan.high)
    marks.number(axes.xaxis, 9)
    axes.tick_params(labelbottom=labelled, length=3 if labelled else 0)
    axes.grid(axis="x", linewidth=0.6, color=style.PALE)
    faster = (1, plan.high) if METRICS[metric] > 0 else (plan.low, 1)
    axes.axvspan(*faster, color=_FASTER_SIDE, linewidth=0, zorder=0.5)
    axes.axvspan(1 / (1 + ALIKE), 1 + ALIKE, color="#000000", alpha=0.12, linewidth=0, zorder=0.6)
    axes.axvline(1, color=style.INK, linewidth=0.9, zorder=1)
    less, more = f"◀ {PHRASES[metric].less}", f"{PHRASES[metric].more} ▶"
    panel_in = sheet.size_in(axes)[0]
    sheet.write_above(axes, [Line(less, style.TEXT_PT)])
    sheet.write_above(axes, [Line(more, style.TEXT_PT)], sheet.width_in(more, style.TEXT_PT) - panel_in)
    if labelled:
        same = f"the same as {plan.baseline}"
        same = same if sheet.width_in(same) < 2 * _MIN_SHARE * panel_in else "the same"
        axes.annotate(same, (1, 0), (0, -17), ("data", "axes fraction"), "offset points", ha="center", va="top")


def _said(given: Cases, notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield f"{'Notes stand' if len(notes) > 1 else 'The note stands'} in the table below the figure. Note 1: {notes[0]}."
    if given.controls:
        yield "Arrow: what is left without the cause."
    if given.controlled:
        yield f"A/A: measured against itself. {wording.resolved(given.results.values())}."
