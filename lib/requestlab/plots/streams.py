"""Figure: when the bytes of a streamed answer came: its head, the first byte of its body, the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from requestlab.errors import ConfigurationError
from requestlab.measurement.record import answered
from requestlab.plots import style
from requestlab.plots.headings import Line, height_in, lines, write_beside
from requestlab.plots.inputs import Contender, Predicted, Runs, gather, predictions, small_print
from requestlab.plots.sheet import Picture
from requestlab.system import wording
from requestlab.trace.activity import Floats

MAX_RUNS, MAX_STREAMS = 8, 5
"""So many runs, and of each so many streams, the first ones."""

_LEFT_IN, _WIDTH_IN, _BELOW_IN, _BESIDE_IN = 0.3, 6.5, 0.62, 2.9
_BAR_IN, _APART_IN, _MIN_IN = 0.13, 0.16, 0.62
_WAITING, _HEAD = "///", "#222222"


@dataclass(frozen=True)
class Lane:
    """The streams of one run: when head, first byte and last byte came, in ms after the request was sent."""

    contender: Contender
    head: Floats
    first: Floats
    last: Floats
    guess: float | None

    @property
    def share(self) -> float:
        """The median time to the first byte of the body as a share of the whole, in percent."""
        return float(np.median(self.first / self.last)) * 100

    @property
    def shown(self) -> int:
        return min(len(self.last), MAX_STREAMS)

    @property
    def block(self) -> list[Line]:
        """What stands beside it."""
        c = self.contender
        first, last = (wording.ms(float(np.median(times))) for times in (self.first, self.last))
        guess = [] if self.guess is None else [f"your prediction: {wording.number(self.guess)} %"]
        return [
            *lines(
                f"{c.heading}: {self.share:.0f}\N{NO-BREAK SPACE}%", _BESIDE_IN, style.HEADING_PT, c.look.ink, bold=True
            ),
            *lines(f"medians: first byte {first} ms, last {last} ms", _BESIDE_IN),
            *(line for text in guess for line in lines(text, _BESIDE_IN)),
            *lines(f"{wording.counted(len(self.last), 'stream')} of {c.run.about.path}", _BESIDE_IN, color=style.GREY),
        ]

    @property
    def height_in(self) -> float:
        return max(_MIN_IN, height_in(self.block), self.shown * _BAR_IN) + _APART_IN


def streams(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw the streams of each run as bars, from sent to the last byte: hatched until the first byte of the body has come.

    >>> lab.plots.streams({"sync iterator": one, "async iterator": other}, predicted={"sync iterator": 10})

    Takes up to eight runs, or one mapping of labels to runs, else ConfigurationError. `predicted` is the share of the time, in
    percent, after which the reader expects the first byte of the body, for all runs or by label. Streams that failed, and
    answers without a body, are left out.
    """
    contenders = gather(runs, "streams", MAX_RUNS)
    expected = predictions(predicted, contenders, "a share in percent, 0 to 100")
    lanes = [_lane(contender, guess) for contender, guess in zip(contenders, expected, strict=True)]
    title = finding(lanes)
    with style.style():
        return Picture(_drawn(lanes, title), f"{title}.")


def finding(lanes: Sequence[Lane]) -> str:
    """Say after which share of the time the first byte of the body came."""
    found = wording.joined([f"{lane.share:.0f}\N{NO-BREAK SPACE}% ({lane.contender.label})" for lane in lanes])
    return f"The first byte of the body came after so much of the time: {found}"


def _lane(contender: Contender, guess: float | None) -> Lane:
    table = contender.run.requests
    good = table[answered(table) & (table["first_body"] > 0)]
    if not len(good):
        raise ConfigurationError(f"streams(): no answer with a body came under {contender.label}")
    head, first, last = (
        ((good[name] - good["sent"]) / 1e6).to_numpy(dtype=np.float64) for name in ("first_byte", "first_body", "done")
    )
    return Lane(contender, head, first, last, guess)


def _drawn(lanes: Sequence[Lane], title: str) -> Figure:
    panel_in = sum(lane.height_in for lane in lanes)
    contenders = [lane.contender for lane in lanes]
    explained = (
        f"Each bar is one stream, from sent to its last byte; of each run the first {MAX_STREAMS} at most. Hatched: nothing of "
        "the body had come. Solid: it was arriving. Thick mark: the head, with its status, had come."
    )
    guessed = ["Dashed: your prediction."] if any(lane.guess is not None for lane in lanes) else []
    frame = style.Frame(_BELOW_IN + panel_in + 0.1, title, [" ".join([explained, *guessed]), *small_print(contenders)])
    axes = frame.axes(_LEFT_IN, _BELOW_IN, _WIDTH_IN, panel_in)
    _set_axes(axes, max(float(lane.last[: lane.shown].max()) for lane in lanes), panel_in)
    top_in = 0.0
    for lane in lanes:
        _draw(axes, lane, top_in)
        write_beside(axes, lane.block, 1 - (top_in + _APART_IN / 4) / panel_in)
        top_in += lane.height_in
    return frame.figure


def _set_axes(axes: Axes, most_ms: float, panel_in: float) -> None:
    axes.set_xlim(0, 1.03 * most_ms)
    axes.set_ylim(panel_in, 0)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.grid(axis="x", linewidth=0.6, color="#E9E9E9")
    axes.set_axisbelow(True)
    axes.set_xlabel("ms after the request was sent", labelpad=3)


def _draw(axes: Axes, lane: Lane, top_in: float) -> None:
    colour, room_in = lane.contender.look.colour, lane.height_in
    above_in = top_in + (room_in - lane.shown * _BAR_IN) / 2
    for number in range(lane.shown):
        middle, thick = above_in + (number + 0.5) * _BAR_IN, 0.72 * _BAR_IN
        head, first, last = (float(times[number]) for times in (lane.head, lane.first, lane.last))
        axes.barh(middle, first, thick, color="white", edgecolor=colour, hatch=_WAITING, linewidth=0.8)
        axes.barh(middle, last - first, thick, left=first, color=colour, edgecolor=colour, linewidth=0.8)
        axes.plot([head, head], [middle - thick / 2, middle + thick / 2], color=_HEAD, linewidth=2.2, zorder=3)
    if lane.guess is not None:
        at = min(lane.guess, 100.0) / 100 * float(np.median(lane.last))
        axes.plot(
            [at, at], [top_in + 0.04, top_in + room_in - 0.04], color=style.INK, linestyle=(0, (4, 3)), linewidth=1.3
        )
    axes.axhline(top_in + room_in, color="#D0D0D0", linewidth=0.6)
