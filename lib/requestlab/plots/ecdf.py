"""Figure: how long requests took, as an empirical cumulative distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.measurement.validity import LATE_MS
from requestlab.plots import style
from requestlab.plots.inputs import (
    PERCENTILES,
    Contender,
    Guess,
    Predicted,
    Runs,
    details,
    gather,
    guesses,
    predictions,
    small_print,
)
from requestlab.plots.marks import Floats, name_curves, number, prediction, tie
from requestlab.plots.sheet import AXIS_IN, Line, Picture, Sheet, height_in, lines
from requestlab.system import checks, wording
from requestlab.trace.activity import evenly

_LEFT_IN, _RIGHT_IN, _MIN_IN = 1.08, 3.27, 3.6
_BESIDE_IN, _PREDICTION_IN = 2.95, 0.19
_TOP = 103.0
_MAX_POINTS = 4000

_QUANTITY = "response time in ms, from planned to answered (logarithmic)"
_AND_SERVICE = "; thin and dotted: service time, from sent to answered"
_ONCE = "One run each shows no more than what happened once: a verdict needs several rounds."


@style.applied()
def ecdf(*runs: Runs, predicted: Predicted = None, finds: int = 50) -> Picture:
    """Draw which share of the answered requests took no longer than so many ms, a curve for each run.

    >>> lab.plots.ecdf(sync_run, mixed_run, predicted={"sync": 50, "mixed": 60})

    Takes runs, or one mapping of labels to runs; anything else is a ConfigurationError. Response time counts from planned to
    done; for an open loop, service time, from sent to done, is drawn beside it. p50, p95 and p99 are marked, the latter two
    only where at least `validity.TAIL` requests lie beyond. `predicted` is the median in ms that the reader expects, for all
    runs or by label; `finds` is the percentile that the title tells of, 1 to 99.
    """
    contenders = gather(runs, "ecdf")
    guessed = guesses(contenders, predictions(predicted, contenders, "a median in ms", positive=True))
    ranked = sorted(contenders, key=lambda one: one.percentile(50) if one.marked else np.inf)
    blocks = [_block(contender) for contender in ranked]

    sheet = Sheet(finding(contenders, checks.whole("finds", finds, 1, 99)))
    sheet.space(0.1 + _PREDICTION_IN * len(guessed))
    axes = sheet.panel(max(_MIN_IN, sum(map(height_in, blocks))), _LEFT_IN, _RIGHT_IN, below_in=AXIS_IN)
    _set_axes(axes, contenders, guessed)
    for contender in contenders:
        _draw_curve(axes, contender)
    for contender, height in zip(ranked, name_curves(axes, blocks), strict=True):
        _tie(axes, contender, height)
    for above, guess in enumerate(guessed):
        words = f"{guess.text}: half within {wording.number(guess.value)} ms"
        prediction(axes, guess.value, words, cross=50, color=guess.colour, above_in=above * _PREDICTION_IN)
    sheet.explain(_ONCE if len(contenders) > 1 else "")
    return sheet.picture(small_print(contenders, circumstances=True), details(contenders))


def finding(contenders: Sequence[Contender], percent: int = 50) -> str:
    """Say what so many percent of the requests of each run stayed below, and which run has no answers."""
    answered = [one for one in contenders if one.marked]
    found = [f"{wording.ms(one.percentile(percent))} ms under {one.label}{one.failures}" for one in answered]
    silent = [f"no request was answered under {one.label}{one.failures}" for one in contenders if not one.marked]
    which = "answered requests" if any(one.failed for one in contenders) else "requests"
    part = "half" if percent == 50 else f"{percent} %"
    said = [f"{part} of the {which} took less than {wording.joined(found)}"] if found else []
    told = "; ".join([*said, *silent])
    return told[0].upper() + told[1:]


def _set_axes(axes: Axes, contenders: Sequence[Contender], guessed: Sequence[Guess]) -> None:
    """Set limits, ticks and labels so that every curve and prediction has its place."""
    service = [one.run.service_ms for one in contenders if one.open_loop]
    values = np.concatenate([*(one.run.response_ms for one in contenders), *service, [one.value for one in guessed]])
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 100.0)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.15, high * 1.15)
    number(axes.xaxis)
    axes.set_xlabel(_QUANTITY + (_AND_SERVICE if service else ""), labelpad=3)
    axes.set_ylim(0, _TOP)
    axes.set_yticks([0, 25, 50, 75, 95, 99], ["0 %", "25 %", "50 % (p50)", "75 %", "95 % (p95)", "99 % (p99)"])
    axes.set_ylabel("answered requests that took no longer", labelpad=2)
    for q in PERCENTILES:
        axes.axhline(q, color=style.PALE, linewidth=0.8, zorder=0)
    if not any(one.marked for one in contenders):
        axes.text(0.5, 0.72, "no request was answered", transform=axes.transAxes, ha="center", va="center")


def _draw_curve(axes: Axes, contender: Contender) -> None:
    """Draw one curve with steps, and its markers where it crosses the percentiles that mean something.

    For an open loop, the service time is drawn too, thin and dotted.
    """
    if not contender.marked:
        return
    look = contender.look
    steps: dict[str, Any] = {"drawstyle": "steps-post", "color": look.colour}
    if contender.open_loop:
        axes.plot(*_steps(contender.run.service_ms), **steps, linestyle=style.DOTTED, linewidth=1.3)
    axes.plot(*_steps(contender.run.response_ms), **steps, linestyle=look.line)
    axes.plot([contender.percentile(q) for q in contender.marked], contender.marked, **look.markers, zorder=3)


def _steps(times_ms: Floats) -> tuple[Floats, Floats]:
    """Return the curve: times, and which share of them are no longer, in percent."""
    times = np.sort(times_ms)
    chosen = evenly(times.size, _MAX_POINTS)
    share = (chosen + 1) * 100 / times.size
    return np.concatenate([times[:1], times[chosen]]), np.concatenate([[0.0], share])


def _tie(axes: Axes, contender: Contender, height: float) -> None:
    """Tie the words beside the axes to the curve, where it is as high as they are."""
    if contender.marked:
        share = float(np.clip(height * _TOP, 1, 100))
        # a point on the steps, unlike a percentile between two
        time = float(np.percentile(contender.run.response_ms, share, method="inverted_cdf"))
        tie(axes, (time, share), height, contender.look.colour)


def _block(contender: Contender) -> list[Line]:
    """Return what stands beside a curve: whose it is, its percentiles, what speaks against it, what was asked for."""
    return [
        *lines(contender.heading, _BESIDE_IN, style.HEADING_PT, contender.look.ink, bold=True),
        *lines(_values(contender), _BESIDE_IN),
        *lines(_notes(contender), _BESIDE_IN, color=style.GREY),
    ]


def _values(contender: Contender) -> list[str]:
    """Return the percentiles; those of an open loop twice, as response and as service time."""
    if not contender.marked:
        return ["no request was answered"]
    response, service = (
        " · ".join(f"p{q} {wording.ms(float(np.percentile(times, q)))} ms" for q in contender.marked)
        for times in (contender.run.response_ms, contender.run.service_ms)
    )
    return [f"response: {response}", f"service: {service} (dotted)"] if contender.open_loop else [response]


def _notes(contender: Contender) -> Iterator[str]:
    weak = " and ".join(f"p{q}" for q in PERCENTILES if q not in contender.marked)
    if contender.marked and weak:
        yield f"too few requests for {weak}"
    yield contender.failures.strip(" ()")
    if contender.open_loop:
        late, total = contender.run.summary["late"], len(contender.run.requests)
        how = f"more than {LATE_MS:g} ms after they were planned"
        yield f"{late:,} of {wording.counted(total, 'request')} sent {how}" if late else f"none sent {how}"
    yield from contender.circumstances
