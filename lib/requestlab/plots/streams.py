"""Figure: when the bytes of a streamed answer came: its head, the first byte of its body, the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.wording import brief
from requestlab.errors import ConfigurationError
from requestlab.measurement.record import answered
from requestlab.plots import inputs, marks, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.sheet import AXIS_IN, Line, Picture, Sheet, height_in, size_in, width_in, write_at, write_beside
from requestlab.system import wording
from requestlab.trace.activity import Floats

MAX_RUNS, MAX_STREAMS = 8, 5
"""So many runs, and of each so many streams, the first ones."""

_LATE = 0.5
"""A body that begins after more than this share of the time is no stream."""

_LEFT_IN, _RIGHT_IN, _BESIDE_IN = 0.3, 3.2, 2.9
_BAR_IN, _APART_IN, _MIN_IN, _ABOVE_IN = 0.13, 0.16, 0.62, 0.2
_READ = (
    f"Each bar is one stream, from sent to its last byte; at most the first {MAX_STREAMS} of each run. Hatched: nothing of the "
    "body had come. Solid: it was arriving. Black mark: its head had come."
)


@dataclass(frozen=True, eq=False)
class Lane:
    """The streams of one run: the status of the first, and when head, first byte and last byte came, in ms after the
    request was sent."""

    contender: Contender
    status: str
    head: Floats
    first: Floats
    last: Floats

    @property
    def begins(self) -> float:
        """The median time to the first byte of the body as a share of the whole."""
        return float(np.median(self.first / self.last))

    @property
    def share(self) -> str:
        """The same in percent."""
        return wording.percent(self.begins)

    @property
    def block(self) -> list[Line]:
        """What stands beside it."""
        first, last = (wording.ms(float(np.median(times))) for times in (self.first, self.last))
        predicted = self.contender.predicted
        guess = [] if predicted is None else [f"your prediction: {wording.number(predicted)}%"]
        said = [f"first byte after {self.share} of the time", f"medians: first byte {first} ms, last {last} ms", *guess]
        count = f"{wording.counted(len(self.last), 'stream')} of {self.contender.run.about.path}"
        return self.contender.block(_BESIDE_IN, said, [count])

    @property
    def high_in(self) -> float:
        return max(_MIN_IN, height_in(self.block), _ABOVE_IN + _BAR_IN * len(self.last[:MAX_STREAMS])) + _APART_IN


@remembered
@style.applied()
def streams(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw the streams of each run as bars, from sent to the last byte: hatched until the first byte of the body has
    come.

    >>> lab.plots.streams({"sync iterator": one, "async iterator": other}, predicted={"sync iterator": 10})

    Takes up to eight runs, or one mapping of labels to runs, else ConfigurationError. `predicted` is the share of the
    time, in percent, after which the reader expects the first byte of the body, for all runs or by label. Streams that
    failed, and answers without a body, are left out.
    """
    what = "a share in percent, 0 to 100"
    contenders = inputs.gather(runs, "streams", MAX_RUNS, predicted=predicted, what=what)
    lanes = [_lane(contender) for contender in contenders]

    page = Sheet(finding(lanes))
    axes, places = marks.rows(page, [lane.high_in for lane in lanes], _LEFT_IN, _RIGHT_IN, below_in=AXIS_IN)
    axes.set_xlim(0, 1.03 * max(float(lane.last[:MAX_STREAMS].max()) for lane in lanes))
    marks.number(axes.xaxis)
    axes.grid(axis="x", linewidth=0.6, color=style.PALE)
    axes.set_xlabel("ms after the request was sent", labelpad=3)
    for lane, (top, bottom) in zip(lanes, places, strict=True):
        _draw(axes, lane, top, bottom)
        write_beside(axes, lane.block, 1 - (top + _APART_IN / 4) / places[-1][1])
    page.explain(_READ + (" Dashed: your prediction." if any(one.predicted is not None for one in contenders) else ""))
    return page.picture(inputs.small_print(contenders), inputs.details(contenders))


def finding(lanes: Sequence[Lane]) -> str:
    """Say after how much of the time the body began: of several runs, which of them began late."""
    ranked = sorted(lanes, key=lambda lane: -lane.begins)
    late = [lane for lane in ranked if lane.begins > _LATE]
    latest, earliest = (wording.percent(lane.begins) for lane in (ranked[0], ranked[-1]))
    if len(lanes) == 1:
        begins = f"the body begins after {latest} of the time"
        return brief(f"{ranked[0].contender.label}: {begins}", begins.capitalize())
    if not late or len(late) == len(lanes):
        return f"The body begins after {earliest} to {latest} of the time"
    begins, others = (
        f"Bodies begin after {latest} of the time",
        f"{wording.percent(ranked[len(late)].begins)} elsewhere",
    )
    named = wording.listed([lane.contender.label for lane in late])
    return brief(f"{begins} under {named}, {others}", f"{begins} under {len(late)} of {len(lanes)}, {others}")


def _lane(contender: Contender) -> Lane:
    table = contender.run.requests
    good = table[answered(table) & (table["first_body"] > 0)]
    if not len(good):
        raise ConfigurationError(f"streams(): no answer with a body came under {contender.label}")
    head, first, last = (
        ((good[name] - good["sent"]) / 1e6).to_numpy(np.float64) for name in ("first_byte", "first_body", "done")
    )
    status = HTTPStatus(int(good["status"].iloc[0]))
    return Lane(contender, f"{status} {status.phrase}", head, first, last)


def _draw(axes: Axes, lane: Lane, top: float, bottom: float) -> None:
    colour = lane.contender.look.colour
    head, first, last = (times[:MAX_STREAMS] for times in (lane.head, lane.first, lane.last))
    middle = (top + _ABOVE_IN + bottom) / 2 + (np.arange(len(last)) - (len(last) - 1) / 2) * _BAR_IN
    upper, lower = middle - 0.36 * _BAR_IN, middle + 0.36 * _BAR_IN
    how = {"edgecolor": colour, "linewidth": 0.8}
    marks.bars(axes, 0.0, first, upper, lower, facecolor="white", hatch="///", **how)
    marks.bars(axes, first, last, upper, lower, facecolor=colour, **how)
    axes.vlines(head, upper, lower, color=style.INK, linewidth=2.2, zorder=3)
    _name_marks(axes, lane.status, head[0], first[0], float(upper[0]) - 0.1)
    if lane.contender.predicted is not None:
        at = min(lane.contender.predicted, 100.0) / 100 * float(np.median(lane.last))
        marks.prediction(axes, at, span=(top + 0.04, bottom - 0.04))
    axes.axhline(bottom, color="#D0D0D0", linewidth=0.6)


def _name_marks(axes: Axes, status: str, head: float, first: float, y: float) -> None:
    """Write above a stream what its marks mean: of its head, and of the first byte of its body."""
    body = "first byte of the body"
    right_in, head_in = size_in(axes)[0], marks.x_in(axes, head)
    first_in = min(marks.x_in(axes, first), right_in - width_in(body))
    names = [(head_in, status), (first_in, body)]
    if head_in + width_in(status) + 0.1 > first_in:
        both = f"{status}, and {body}"
        names = [(min(head_in, right_in - width_in(both)), both)]
    for at_in, name in names:
        write_at(axes, [Line(name)], y, at_in)
