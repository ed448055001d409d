"""Figure: how long each request took, against the moment at which it arrived: a queue shows as a falling saw tooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.measurement.record import answered
from requestlab.plots import inputs, marks, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.marks import Labels
from requestlab.plots.sheet import AXIS_IN, TICKS_IN, Line, Picture, Sheet, height_in, write_beside
from requestlab.system import wording
from requestlab.trace.activity import Booleans, Floats

MAX_RUNS = 6
FEW = 5
"""So many requests that were answered at one moment are a queue."""

_LEFT_IN, _RIGHT_IN, _BESIDE_IN, _PANEL_IN = 0.75, 3.4, 3.05, 1.5
_ROOM_ABOVE, _FEW_DOTS = 1.22, 400
_NEAR, _MOST, _FAR_MORE = 0.2, 0.8, 3.0
_READ = (
    "A dot is one request: when it arrived (was planned), and how long it took until it was answered. Dots that fall in a line "
    "to the right: these requests came one after the other, and all waited until the same moment. They stood in line."
)


@dataclass(frozen=True, eq=False)
class Arrivals:
    """The requests of one run: when each was planned, how long it took until it was done (ms), and whether that was an
    answer."""

    contender: Contender
    planned: Floats
    took: Floats
    good: Booleans

    @property
    def longest(self) -> float:
        """The longest response time; 0, if there was no answer."""
        return float(self.took[self.good].max(initial=0.0))

    def later_than(self, ms: float) -> int:
        """How many waited longer than that, until they were answered."""
        return int((self.took[self.good] > ms).sum())

    @property
    def queue(self) -> tuple[float, int] | None:
        """When the queue ended in which the longest request stood, and how many stood in it; None, if there was none.
        Who came right before its end does not tell: they would have been answered then anyway."""
        if not self.good.any():
            return None
        planned, took = self.planned[self.good], self.took[self.good]
        begin = planned[int(took.argmax())]
        end, near = begin + self.longest, _NEAR * self.longest
        there, telling = (planned >= begin) & (planned < end), planned < end - near
        together = there & (np.abs(planned + took - end) <= near)
        least = max(FEW, _MOST * int((there & telling).sum()))
        return (float(end), int(together.sum())) if int((together & telling).sum()) >= least else None


@remembered
@style.applied()
def arrivals(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw how long each request took against the moment at which it arrived, a panel for each run.

    >>> lab.plots.arrivals({"sync": one, "asgi": other}, predicted={"sync": 500})

    Takes up to six runs, or one mapping of labels to runs, else ConfigurationError. All panels have the same axes.
    `predicted` is the longest response time in ms that the reader expects, for all runs or by label. Requests that
    failed are crosses, at the moment at which they had.
    """
    contenders = inputs.gather(runs, "arrivals", MAX_RUNS, predicted=predicted, what="a response time in ms")
    drawn = [_arrivals(contender) for contender in contenders]
    page = Sheet(finding(drawn))
    ends = [one.queue[0] for one in drawn if one.queue]
    latest = max([1.0, *ends, *(float(one.planned.max(initial=0.0)) for one in drawn)])
    guessed = [one.predicted or 0.0 for one in contenders]
    highest = max([1.0, *guessed, *(float(one.took.max(initial=0.0)) for one in drawn)])
    for one in drawn:
        last = one is drawn[-1]
        panel_in = max(_PANEL_IN, height_in(_block(one)))
        axes = page.panel(panel_in, _LEFT_IN, _RIGHT_IN, below_in=AXIS_IN if last else TICKS_IN)
        axes.set_xlim(-0.02 * latest, 1.02 * latest)
        axes.set_ylim(0, _ROOM_ABOVE * highest)
        marks.number(axes.yaxis, 4)
        marks.clock(axes, named=False)
        axes.set_xlabel("when the request arrived: ms since the first one" if last else "", labelpad=2)
        axes.set_ylabel("ms until answered")
        _draw(axes, one)
        write_beside(axes, _block(one), 1)
    page.explain(_READ)
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def _arrivals(contender: Contender) -> Arrivals:
    run = contender.run
    table = run.requests[run.requests["done"] > 0]
    planned, done = (((table[name] - run.zero_ns) / 1e6).to_numpy(np.float64) for name in ("planned", "done"))
    return Arrivals(contender, planned, done - planned, answered(table).to_numpy(bool))


def finding(drawn: list[Arrivals]) -> str:
    """Say how long somebody waited at most, where, and whether that was in a queue; and how long at most elsewhere.
    Where that is alike, but not how many waited long, say how many."""
    ranked = sorted((one for one in drawn if one.longest), key=lambda one: -one.longest)
    if not ranked:
        return "No request was answered"
    long = [one for one in ranked if one.longest > ranked[0].longest / 2]
    short = ranked[len(long) :]
    late = [one.later_than(ranked[0].longest / 2) for one in long]
    shares = [number / len(one.took) for number, one in zip(late, long, strict=True)]
    if max(shares) > _FAR_MORE * min(shares):
        waited = [f" requests waited over {_time(ranked[0].longest / 2)}"] + [""] * len(long)
        told = zip(late, long, waited, strict=False)
        return wording.listed(
            [f"{number:,} of {len(one.took):,}{how} {one.contender.under}" for number, one, how in told]
        )
    queued = f", {'each ' * (len(long) > 1)}in one queue" if all(one.queue for one in long) else ""
    said = f"Visitors waited up to {_time(ranked[0].longest)} {_under(long)}"
    return f"{said}{queued}{f'; up to {_time(short[0].longest)} {_under(short)}' if short else ''}"


def _under(some: list[Arrivals]) -> str:
    """Return `under sync and asgi`; `(alone) and (beside)`, where these are not names of configurations."""
    first, *others = [one.contender.under for one in some]
    return wording.listed([first, *(other.removeprefix("under ") for other in others)])


def _time(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{wording.ms(ms)} ms"


def _block(one: Arrivals) -> list[Line]:
    contender = one.contender
    said = [f"waited for up to {_time(one.longest)}" if one.longest else "no request was answered"]
    if one.queue:
        said.append(f"{one.queue[1]:,} of {wording.counted(len(one.took), 'request')} waited until one moment")
    if contender.predicted is not None:
        said.append(f"your prediction: {wording.number(contender.predicted)} ms")
    failures = [contender.failures.strip(" ()")] if contender.failures else []
    return contender.block(_BESIDE_IN, said, [*failures, *contender.circumstances])


def _draw(axes: Axes, one: Arrivals) -> None:
    look, labels = one.contender.look, Labels(axes)
    if one.contender.predicted is not None:
        labels.predict(one.contender.predicted)
    stems: dict[str, Any] = {"alpha": 0.3 if len(one.took) <= _FEW_DOTS else 0.12, "linewidth": 0.8}
    axes.vlines(one.planned, 0, one.took, color=look.colour, zorder=1, **stems)
    dots: dict[str, Any] = {"marker": ".", "markersize": 4.5, "markeredgewidth": 0, "linestyle": "none"}
    axes.plot(one.planned[one.good], one.took[one.good], color=look.colour, clip_on=False, **dots)
    failed: dict[str, Any] = {"marker": "x", "markersize": 4, "linestyle": "none", "color": style.LATE}
    axes.plot(one.planned[~one.good], one.took[~one.good], **failed)
    if one.queue and one.longest > 0.15 * axes.get_ylim()[1]:
        begin, end = one.queue[0] - one.longest, one.queue[0]
        axes.plot([begin, end], [one.longest, 0], color=style.INK, linewidth=0.8, zorder=2)
        axes.plot([end], [0], marker="^", color=style.INK, markersize=6, clip_on=False, zorder=4)
        labels.put(
            f"all of these waited until about {wording.ms(end)} ms",
            (begin, one.longest),
            color=style.INK,
            bold=True,
        )
