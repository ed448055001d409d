"""Figure: how long requests took, as an empirical cumulative distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from requestlab.errors import ConfigurationError
from requestlab.measurement.validity import LATE_MS
from requestlab.plots import curves, style
from requestlab.plots.headings import Line, height_in, lines, write_beside
from requestlab.plots.inputs import Contender, Predicted, Runs, gather, predictions, small_print
from requestlab.plots.sheet import Picture
from requestlab.system import wording
from requestlab.trace.activity import Floats

_LEFT_IN, _WIDTH_IN, _BELOW_IN, _MIN_IN = 1.08, 5.65, 0.5, 3.6
_BESIDE_IN, _PREDICTION_IN = 2.95, 0.19


def ecdf(*runs: Runs, predicted: Predicted = None, finds: int = 50) -> Picture:
    """Draw which share of the answered requests took no longer than so many ms, a curve for each run.

    >>> lab.plots.ecdf(sync_run, mixed_run, predicted={"sync": 50, "mixed": 60})

    Takes runs, or one mapping of labels to runs; anything else is a ConfigurationError. Response time counts from planned to
    done; for an open loop, service time, from sent to done, is drawn beside it. p50, p95 and p99 are marked, the latter two
    only where at least `audit.TAIL` requests lie beyond. `predicted` is the median in ms that the reader expects, for all
    runs or by label; `finds` is the percentile that the title tells of, 1 to 99.
    """
    contenders = gather(runs, "ecdf")
    expected = predictions(predicted, contenders, "a median in ms above 0")
    if any(number is not None and number <= 0 for number in expected):
        raise ConfigurationError(f"predicted={predicted!r}: expected a median in ms above 0, a number, or None")
    if isinstance(finds, bool) or not isinstance(finds, int) or not 1 <= finds <= 99:
        raise ConfigurationError(f"finds={finds!r}: expected a percentile, a whole number from 1 to 99")
    title = finding(contenders, finds)
    with style.style():
        return Picture(_drawn(contenders, expected, title), f"{title}.")


def finding(contenders: Sequence[Contender], percent: int = 50) -> str:
    """Say what so many percent of the requests of each run stayed below, and which run has no answers."""
    answered = [c for c in contenders if c.run.response_ms.size]
    found = [f"{wording.ms(curves.percentile(c, percent))} ms under {c.label}{c.failures}" for c in answered]
    silent = [f"no request was answered under {c.label}{c.failures}" for c in contenders if c not in answered]
    which = "answered requests" if any(contender.failed for contender in contenders) else "requests"
    part = "Half" if percent == 50 else f"{percent}\N{NO-BREAK SPACE}%"
    said = [f"{part} of the {which} took less than {wording.joined(found)}"] if found else []
    told = "; ".join([*said, *silent])
    return told[0].upper() + told[1:]


def _drawn(contenders: Sequence[Contender], expected: Sequence[float | None], title: str) -> Figure:
    ranked = sorted(contenders, key=lambda c: curves.percentile(c, 50) if c.run.response_ms.size else np.inf)
    blocks = [_block(contender) for contender in ranked]
    panel_in = max(_MIN_IN, sum(map(height_in, blocks)))
    guesses = _guesses(contenders, expected)
    caption = small_print(contenders)
    if len(contenders) > 1:
        caption.append("One run each shows no more than what happened once: a verdict needs several rounds.")
    frame = style.Frame(_BELOW_IN + panel_in + _PREDICTION_IN * len(guesses) + 0.1, title, caption)
    axes = frame.axes(_LEFT_IN, _BELOW_IN, _WIDTH_IN, panel_in)
    curves.set_axes(axes, contenders, [guess.ms for guess in guesses])
    for contender in contenders:
        curves.draw(axes, contender)
    apart_in = (panel_in - sum(map(height_in, blocks))) / (len(blocks) + 1)
    top_in = panel_in
    for contender, block in zip(ranked, blocks, strict=True):
        top_in -= apart_in
        curves.tie(axes, contender, (top_in - 0.2) / panel_in)
        write_beside(axes, block, top_in / panel_in)
        top_in -= height_in(block)
    for above, guess in enumerate(guesses):
        curves.draw_prediction(axes, guess, _WIDTH_IN, above * _PREDICTION_IN)
    return frame.figure


def _block(contender: Contender) -> list[Line]:
    """Return what stands beside a curve: whose it is, its percentiles, what speaks against it, what was asked for."""
    at = curves.marked(contender)
    weak = " and ".join(f"p{q}" for q in curves.PERCENTILES if q not in at)
    caveats = [f"too few requests for {weak}"] if at and weak else []
    notes = [*caveats, contender.failures.strip(" ()"), *_lateness(contender), *contender.circumstances]
    return [
        *lines(contender.heading, _BESIDE_IN, style.HEADING_PT, contender.look.ink, bold=True),
        *(line for text in _values(contender) for line in lines(text, _BESIDE_IN)),
        *(line for text in notes for line in lines(text, _BESIDE_IN, color=style.GREY)),
    ]


def _values(contender: Contender) -> list[str]:
    """Return the percentiles; those of an open loop twice, as response and as service time."""
    at = curves.marked(contender)
    if not at:
        return ["no request was answered"]
    response = _percentiles(contender.run.response_ms, at)
    if not curves.scheduled(contender):
        return [response]
    return [f"response: {response}", f"service: {_percentiles(contender.run.service_ms, at)} (dotted)"]


def _percentiles(times_ms: Floats, at: Sequence[int]) -> str:
    return " · ".join(f"p{q} {wording.ms(float(np.percentile(times_ms, q)))} ms" for q in at)


def _lateness(contender: Contender) -> list[str]:
    if not curves.scheduled(contender):
        return []
    late, total = contender.run.summary["late"], len(contender.run.requests)
    how = f"more than {LATE_MS:g} ms after they were planned"
    return [f"{late:,} of {wording.counted(total, 'request')} sent {how}" if late else f"none sent {how}"]


def _guesses(contenders: Sequence[Contender], expected: Sequence[float | None]) -> list[curves.Guess]:
    """Return the reader's predictions, one for all runs if they are alike."""
    pairs = [(contender, number) for contender, number in zip(contenders, expected, strict=True) if number is not None]
    if pairs and len(set(expected)) == 1:
        return [curves.Guess("your prediction", pairs[0][1], style.INK)]
    return [curves.Guess(f"your prediction for {c.label}", number, c.look.ink) for c, number in pairs]
