"""Figure: how long requests took, as an empirical cumulative distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.measurement.validity import LATE_MS
from requestlab.plots import inputs, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import PERCENTILES, Contender, Guess, Predicted, Runs
from requestlab.plots.marks import NAMES_IN, Curve, named_panel, number, prediction
from requestlab.plots.sheet import Picture, Sheet
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats, evenly

_HIGH_IN, _LEFT_IN, _PREDICTION_IN = 3.6, 1.08, 0.19
_TOP = 103.0
_MAX_POINTS = 4000

_LINEAR = 5.0  # times between which all lie within this factor are drawn on a linear axis
_UNLIKE = 0.05  # a service time that differs by this share from the response time is drawn beside it

_QUANTITY = "response time in ms, from planned to answered"
_AND_SERVICE = "; dotted: service time, from sent to answered"
_ONCE = "One run each shows no more than what happened once: a verdict needs several rounds."


@remembered
@style.applied()
def ecdf(*runs: Runs, predicted: Predicted = None, finds: int = 50) -> Picture:
    """Draw which share of the answered requests took no longer than so many ms, a curve for each run.

    >>> lab.plots.ecdf(sync_run, mixed_run, predicted={"sync": 50, "asgi": 60})

    Takes runs, or one mapping of labels to runs; anything else is a ConfigurationError. Response time counts from
    planned to done; for an open loop, service time, from sent to done, is drawn beside it where it differs. p50, p95
    and p99 are marked, the latter two only where at least `validity.TAIL` requests lie beyond. `predicted` is the
    median in ms that the reader expects, for all runs or by label; `finds` is the percentile that the title tells of, 1
    to 99: of more than two runs, for the fastest and the slowest.
    """
    contenders = inputs.gather(runs, "ecdf", predicted=predicted, what="a median in ms", positive=True)
    guesses = inputs.guesses(contenders)
    ranked = sorted(contenders, key=lambda one: one.percentile(50) if one.marked else np.inf)

    page = Sheet(finding(contenders, checks.whole("finds", finds, 1, 99)))
    page.space(_PREDICTION_IN * len(guesses))
    axes = named_panel(page, _HIGH_IN, [_named(one) for one in ranked], _LEFT_IN)
    _set_axes(axes, contenders, guesses)
    for contender in contenders:
        _draw_curve(axes, contender)
    for i, guess in enumerate(guesses):
        words = f"{guess.text}: half within {wording.number(guess.value)} ms"
        prediction(axes, guess.value, words, cross=50, color=guess.colour, above_in=i * _PREDICTION_IN)
    page.explain(_ONCE if len(contenders) > 1 else "")
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def finding(contenders: Sequence[Contender], percent: int = 50) -> str:
    """Say what so many percent of the requests stayed below, of more than two runs in the fastest and the slowest, and
    which run has no answers."""
    under = {one: f"{one.under}{one.failures}" for one in contenders}
    told = [one for one in contenders if one.marked]
    if len(told) > 2:
        ranked = sorted(told, key=lambda one: one.percentile(percent))
        told = [ranked[0], ranked[-1]]
    found = [f"{wording.ms(one.percentile(percent))} ms {under[one]}" for one in told]
    which = "answered requests" if any(one.failures for one in contenders) else "requests"
    part = "half" if percent == 50 else f"{percent}%"
    said = [f"{part} of the {which} took less than {wording.joined(found)}"] if found else []
    all_said = "; ".join([*said, *(f"no request was answered {under[one]}" for one in contenders if not one.marked)])
    return all_said[0].upper() + all_said[1:]


def _named(contender: Contender) -> Curve:
    """Return what stands beside a curve, tied to a point on its steps, unlike a percentile between two of them."""
    block = contender.block(NAMES_IN, _percentiles(contender), _notes(contender))

    def at(height: float) -> tuple[float, float] | None:
        share = float(np.clip(height * _TOP, 1, 100))
        return (contender.percentile(share, method="inverted_cdf"), share) if contender.marked else None

    return Curve(block, contender.look.colour, at)


def _percentiles(contender: Contender) -> list[str]:
    if not contender.marked:
        return ["no request was answered"]
    response, service = (
        " · ".join(f"p{q} {wording.ms(float(np.percentile(times, q)))} ms" for q in contender.marked)
        for times in (contender.run.response_ms, contender.run.service_ms)
    )
    return [f"response: {response}", f"service: {service} (dotted)"] if _waited(contender) else [response]


def _notes(contender: Contender) -> Iterator[str]:
    weak = " and ".join(f"p{q}" for q in PERCENTILES if q not in contender.marked)
    if contender.marked and weak:
        yield f"too few requests for {weak}"
    yield contender.failures.strip(" ()")
    if _is_open(contender):
        late, total = contender.run.summary["late"], wording.counted(len(contender.run.requests), "request")
        yield f"{f'{late:,} of {total}' if late else 'none'} sent more than {LATE_MS:g} ms after they were planned"
    yield from contender.circumstances


def _is_open(contender: Contender) -> bool:
    """Return whether its load was an open loop: only there, a request may be sent later than it was planned."""
    return contender.run.about.rate is not None


def _waited(contender: Contender) -> bool:
    """Return whether its service time differs enough from its response time to be drawn."""
    if not _is_open(contender) or not contender.marked:
        return False
    response, service = (
        np.percentile(ms, range(1, 100)) for ms in (contender.run.response_ms, contender.run.service_ms)
    )
    return bool((response - service > _UNLIKE * response).any())


def _set_axes(axes: Axes, contenders: Sequence[Contender], guesses: Sequence[Guess]) -> None:
    service = [one.run.service_ms for one in contenders if _waited(one)]
    values = np.concatenate([*(one.run.response_ms for one in contenders), *service, [one.value for one in guesses]])
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 100.0)
    linear = high <= _LINEAR * low
    axes.set_xscale("linear" if linear else "log")
    axes.set_xlim(*(0, high * 1.05) if linear else (low / 1.15, high * 1.15))
    number(axes.xaxis)
    axes.set_xlabel(f"{_QUANTITY}{'' if linear else ' (logarithmic)'}{_AND_SERVICE if service else ''}", labelpad=3)
    axes.set_ylim(0, _TOP)
    axes.set_yticks([0, 25, 50, 75, 95, 99], ["0%", "25%", "50% (p50)", "75%", "95% (p95)", "99% (p99)"])
    axes.set_ylabel("answered requests that took no longer", labelpad=2)
    for q in PERCENTILES:
        axes.axhline(q, color=style.PALE, linewidth=0.8, zorder=0)
    if not any(one.marked for one in contenders):
        axes.text(0.5, 0.72, "no request was answered", transform=axes.transAxes, ha="center", va="center")


def _draw_curve(axes: Axes, contender: Contender) -> None:
    if not contender.marked:
        return
    look = contender.look
    steps: dict[str, Any] = {"drawstyle": "steps-post", "color": look.colour}
    if _waited(contender):
        axes.plot(*_steps(contender.run.service_ms), **steps, linestyle=style.DOTTED, linewidth=1.3)
    axes.plot(*_steps(contender.run.response_ms), **steps, linestyle=look.line)
    axes.plot([contender.percentile(q) for q in contender.marked], contender.marked, **look.markers, zorder=3)


def _steps(times_ms: Floats) -> tuple[Floats, Floats]:
    """Return the curve: times, and which share of them are no longer, in percent."""
    times = np.sort(times_ms)
    chosen = evenly(times.size, _MAX_POINTS)
    share = (chosen + 1) * 100 / times.size
    return np.concatenate([times[:1], times[chosen]]), np.concatenate([[0.0], share])
