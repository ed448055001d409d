"""The upper panel of the threads figure: threads alive in each worker, over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.measurement.run import Run
from requestlab.plots import style
from requestlab.plots.inputs import Contender
from requestlab.plots.labels import Labels
from requestlab.plots.swimlanes import Window
from requestlab.system import wording
from requestlab.trace.activity import Floats

MARGIN = 0.03
"""How much is drawn before the first request and after the last answer, as a share of the time between."""

_ROOM_FOR_LABELS = 1.4


@dataclass(frozen=True, eq=False)
class Alive:
    """Samples of one worker: `time_ms` from the first request planned, and `threads` alive.

    The first `busy` of them, at least one, were taken until just after the last answer.
    """

    worker: int
    time_ms: Floats
    threads: Floats
    busy: int

    @property
    def peak(self) -> int:
        """The most threads seen alive at once."""
        return int(self.threads[: self.busy].max())

    @property
    def peak_ms(self) -> float:
        """When that was seen first."""
        return float(self.time_ms[self.threads[: self.busy].argmax()])


def alive(run: Run, span_ms: float) -> list[Alive]:
    """Return the samples of each worker from just before the first request on."""
    return list(_samples(run, span_ms))


def _samples(run: Run, span_ms: float) -> Iterator[Alive]:
    time_ms = (run.threads["time"].to_numpy() - run.zero_ns) / 1e6
    near = time_ms >= -MARGIN * span_ms
    for worker, pid in enumerate(run.workers, start=1):
        own = (run.threads["pid"] == pid).to_numpy()
        before = np.flatnonzero(own & (time_ms < -MARGIN * span_ms))[-1:]
        chosen = np.concatenate([before, np.flatnonzero(own & near)])
        time = np.maximum(time_ms[chosen], -MARGIN * span_ms)
        busy = int((time <= (1 + MARGIN) * span_ms).sum())
        if busy:
            yield Alive(worker, time, run.threads["threads"].to_numpy(np.float64)[chosen], busy)


def ceiling(contenders: Sequence[Contender], drawn: Sequence[Window], expected: Sequence[float | None]) -> float:
    """Return the upper limit of the threads axis that all runs share."""
    counts = [one.peak for c, view in zip(contenders, drawn, strict=True) for one in alive(c.run, view.span_ms)]
    return max([2.0, *counts, *(number for number in expected if number is not None)]) * _ROOM_FOR_LABELS


def draw(axes: Axes, contender: Contender, drawn: Window, expected: float | None) -> None:
    """Draw one line for each worker, its peak, and the reader's prediction; the limits of both axes are set already."""
    if drawn.partial:
        axes.axvspan(0, drawn.until_ms, color="#000000", alpha=0.09, linewidth=0)
    series = alive(contender.run, drawn.span_ms)
    labels = Labels(axes)
    if expected is not None:
        axes.axhline(expected, color=style.INK, linestyle=(0, (1, 2)), linewidth=1.3, zorder=3)
        labels.avoid(np.array(axes.get_xlim()), np.full(2, expected))
    for one in series:
        _draw_line(axes, labels, contender, one)
    for one, text in _peaks(series, drawn):
        _label_peak(axes, labels, contender, one, text)
    if not series:
        axes.text(0.5, 0.5, "threads were not counted", transform=axes.transAxes, ha="center", va="center")
    if expected is not None:
        labels.put(f"your prediction: {wording.number(expected)}", (axes.get_xlim()[1], expected), to_the_left=True)


def _draw_line(axes: Axes, labels: Labels, contender: Contender, one: Alive) -> None:
    labels.avoid(one.time_ms, one.threads)
    axes.step(one.time_ms, one.threads, where="post", color=contender.look.colour, linestyle=contender.look.line)


def _peaks(series: Sequence[Alive], drawn: Window) -> Iterator[tuple[Alive, str]]:
    """Yield the workers whose peaks are named, the highest first: two at most, for more would not be told apart."""
    peaks = Counter(one.peak for one in series)
    highest = max(series, key=lambda one: one.peak, default=None)
    if highest is None:
        return
    lowest = min(series, key=lambda one: one.peak)
    if len(series) == 1:
        yield highest, f"peak {highest.peak:,}{_idle(highest, drawn)}"
    elif len(peaks) > 2:
        yield highest, f"{len(series)} workers: peaks from {lowest.peak:,} to {highest.peak:,}"
    else:
        for one in [highest, lowest][: len(peaks)]:
            alike = peaks[one.peak]
            yield (
                one,
                f"{alike} workers: peak {one.peak:,} each" if alike > 1 else f"worker {one.worker}: peak {one.peak:,}",
            )


def _idle(one: Alive, drawn: Window) -> str:
    ran = sum(lane.worker == one.worker for lane in drawn.lanes)
    return f", only {ran} of them\nran requests" if 0 < ran < one.peak / 2 else ""


def _label_peak(axes: Axes, labels: Labels, contender: Contender, one: Alive, text: str) -> None:
    x = one.peak_ms
    axes.plot([x], [one.peak], **contender.look.strokes | {"linestyle": "none"}, clip_on=False)
    late = x > 0.6 * axes.get_xlim()[1]
    labels.put(text, (x, one.peak), to_the_left=late, color=contender.look.ink, bold=True)
