"""Figure: throughput and response time against load."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from requestlab.measurement.validity import TAIL
from requestlab.plots import slopes, style
from requestlab.plots.climbs import GROWTH, RampCurve, Ramps, climbs
from requestlab.plots.headings import Line, height_in, lines, write_beside
from requestlab.plots.inputs import Predicted, predictions, small_print
from requestlab.plots.lettering import wrapped
from requestlab.plots.sheet import Picture
from requestlab.system import wording

MAX_NOTES = 4
MAX_TOLD = 3

_LEFT_IN, _WIDTH_IN, _BESIDE_IN = 0.85, 5.75, slopes.BESIDE_IN
_MIN_IN, _TIMES_IN, _BETWEEN_IN, _AXIS_IN = 2.5, 2.2, 0.2, 0.5
_EXPLAINED_PT = 9.0


def ramp(*ramps: Ramps, predicted: Predicted = None) -> Picture:
    """Draw throughput against load above, and p50 and p95 of the response time against load below, for each ramp.

    >>> steps = lab.measure(server, "/sync/page/", lab.closed(users=[1, 2, 5, 10, 20, 50]))
    >>> lab.plots.ramp(steps, predicted=800)

    Takes ramps, or one mapping of labels to ramps, either all of users or all of rates; else ConfigurationError. The title says
    from which load on throughput gains less than `climbs.GROWTH`, or, for open loops, up to which planned rate the answers
    keep up. Steps that are suspect or invalid are crossed. `predicted` is the highest throughput per second that the reader
    expects, for all ramps or by label.
    """
    found = climbs(ramps)
    expected = predictions(predicted, [climb.contender for climb in found], "a number of requests per second")
    title = finding(found)
    with style.style():
        return Picture(_drawn(found, expected, title), f"{title}.")


def finding(found: Sequence[RampCurve]) -> str:
    """Say where the throughput of each ramp stops growing, or how far its answers keep up; of many, who comes how far."""
    what = "Answers against the planned rate" if found[0].open else "Throughput"
    if len(found) <= MAX_TOLD:
        return f"{what}: {wording.joined([f'{climb.label} {climb.finding}' for climb in found])}"
    ranked = sorted(found, key=lambda climb: climb.peak)
    most, least = (f"{climb.peak:,.0f} requests/s under {climb.label}" for climb in (ranked[-1], ranked[0]))
    return f"{what}: of {len(found)} peaks, the highest is {most}; the lowest is {least}"


def _drawn(found: Sequence[RampCurve], expected: Sequence[float | None], title: str) -> Figure:
    ranked = sorted(found, key=lambda climb: -_last(climb)[1])
    blocks = [_block(climb) for climb in ranked]
    above_in = max(_MIN_IN, sum(map(height_in, blocks)))
    times_in = max(_TIMES_IN, 0.2 * len(slopes.PERCENTILES) * len(found))
    below = _explained(found)
    foot_in = 0.2 + 0.165 * len(below)
    bottom_in = foot_in + _AXIS_IN
    middle_in = bottom_in + times_in + _BETWEEN_IN
    frame = style.Frame(middle_in + above_in + 0.1, title, _caption(found))
    upper = frame.axes(_LEFT_IN, middle_in, _WIDTH_IN, above_in)
    lower = frame.axes(_LEFT_IN, bottom_in, _WIDTH_IN, times_in)
    for axes in (upper, lower):
        slopes.set_load(axes, found, _WIDTH_IN, labelled=axes is lower)
    slopes.set_throughput(upper, found, expected)
    slopes.set_times(lower, found)
    slopes.draw_throughput(upper, found, expected)
    slopes.draw_times(lower, found, times_in)
    apart_in = (above_in - sum(map(height_in, blocks))) / (len(blocks) + 1)
    top_in = above_in
    for climb, block in zip(ranked, blocks, strict=True):
        top_in -= apart_in
        slopes.tie(upper, _last(climb), (top_in - 0.2) / above_in, climb.contender.look.colour)
        write_beside(upper, block, top_in / above_in)
        top_in -= height_in(block)
    frame.write("\n".join(below), foot_in - 0.16, va="top", fontsize=_EXPLAINED_PT, linespacing=1.3)
    return frame.figure


def _last(climb: RampCurve) -> tuple[float, float]:
    """Return load and throughput at the highest load."""
    last = int(climb.steps.argmax())
    return float(climb.steps[last]), float(climb.throughput[last])


def _block(climb: RampCurve) -> list[Line]:
    """Return what stands beside a curve: whose it is, what it came to, what speaks against it, what was asked for."""
    contender = climb.contender
    caveats = [f"crossed: {', '.join(climb.at(climb.steps[i]) for i in climb.doubted)}"] if climb.doubted else []
    span = " to ".join(dict.fromkeys(f"{step:,g}" for step in (climb.steps.min(), climb.steps.max())))
    asked = f"{contender.run.about.path}, {span} {climb.ramp.unit}"
    return [
        *lines(f"{contender.look.glyph} {climb.label}", _BESIDE_IN, style.HEADING_PT, contender.look.ink, bold=True),
        *lines(climb.finding, _BESIDE_IN),
        *(
            line
            for text in (*caveats, asked, f"capacity: {contender.capacity}")
            for line in lines(text, _BESIDE_IN, color=style.GREY)
        ),
    ]


def _explained(found: Sequence[RampCurve]) -> list[str]:
    rule = (
        f"“Keeps up”: no more than {GROWTH:.0%} of what was planned is missing."
        if found[0].open
        else f"“Stops growing”: no higher load brings {GROWTH:.0%} more."
    )
    texts = [
        f"Each point is one run. {rule} Below: p50 thick, p95 thin and dotted, where {TAIL} requests lie beyond it."
    ]
    caveats = [
        f"{climb.label}, {climb.at(climb.steps[i])}: {run.summary['validity']}, {run.summary['reasons'][0]}."
        for climb in found
        for i, run in enumerate(climb.ramp)
        if i in climb.doubted
    ]
    texts += [f"× {caveat}" for caveat in caveats[:MAX_NOTES]]
    if len(caveats) > MAX_NOTES:
        texts.append(f"× and {wording.counted(len(caveats) - MAX_NOTES, 'more step')} that are suspect or invalid.")
    return [line for text in texts for line in wrapped(text, style.WIDTH_IN - 2 * style.MARGIN_IN, _EXPLAINED_PT)]


def _caption(found: Sequence[RampCurve]) -> list[str]:
    once = "One run for each step shows no more than what happened once: a verdict needs several rounds."
    return [*small_print([climb.contender for climb in found]), once]
