"""Figure: whether what an async view awaited, queries of Django's ORM for example, ran one after the other or at the
same time, and on which threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.errors import ConfigurationError
from requestlab.measurement.record import answered
from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.sheet import AXIS_IN, INNER_IN, MARGIN_IN, Line, Picture, Sheet
from requestlab.system import wording
from requestlab.trace.activity import Floats
from requestlab.trace.requests import traced

MAX_RUNS, MAX_CALLS = 4, 12
"""So many runs, and of the request of each so many calls, the first ones."""

_ROW_IN, _LEFT_IN, _RIGHT_IN, _APART_IN = 0.34, 1.05, 0.3, 0.1
_TOGETHER = 0.5
"""Calls ran at the same time where they overlap for so much of the time that the shorter one took."""

_WAITING = {"facecolor": "white", "edgecolor": style.THREAD, "hatch": "////////", "linewidth": 0.5}
_RUNNING = {"facecolor": style.THREAD}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, eq=False)
class Awaited:
    """The calls of one request: when each was made, began and ended, shape (calls, 3), in ms since the request began;
    the thread that ran it, numbered from 1; and after how many ms the request was answered."""

    contender: Contender
    times: Floats
    threads: Sequence[int]
    took: float

    @property
    def together(self) -> bool:
        """Whether any two ran at the same time."""
        ran = self.times[np.argsort(self.times[:, 1])][:, 1:]
        pairs = [(one, other) for i, one in enumerate(ran) for other in ran[i + 1 :]]
        shared = [min(one[1], other[1]) - other[0] for one, other in pairs]
        shorter = [min(one[1] - one[0], other[1] - other[0]) for one, other in pairs]
        return any(own > _TOGETHER * least for own, least in zip(shared, shorter, strict=True))

    @property
    def how(self) -> str:
        return "at the same time" if self.together else "one after the other"

    @property
    def found(self) -> str:
        """`one after the other on one thread`."""
        number = len(set(self.threads))
        return f"{self.how} on {_word(number)} thread{'' if number == 1 else 's'}"


@remembered
@style.applied()
def queries(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw what the async view of one request of each run awaited: how long each call waited for its thread, and ran on
    it.

    >>> with lab.serve(lab.ASYNC, probe=True) as server:
    ...     run = lab.measure(server, "/async/rows/?n=2&ms=50&together=1", lab.closed(1, each=5))
    >>> lab.plots.queries(run, predicted=50)

    Takes up to four runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError;
    it draws the request with the median time. `predicted` is after how many ms the reader expects the answer, for all
    runs or by label.
    """
    contenders = inputs.gather(runs, "queries", MAX_RUNS, predicted=predicted, what="a time in ms")
    found = [awaited(contender) for contender in contenders]

    page = Sheet(finding(found))
    last = max([one.took for one in found] + [one.contender.predicted or 0.0 for one in found])
    for one in found:
        _draw(page, one, 1.03 * last, final=one is found[-1])
    page.key([("waits for its thread", [_WAITING]), ("runs: asks the database, and waits for it", [_RUNNING])])
    guess = " Dashed: your prediction." if any(one.contender.predicted is not None for one in found) else ""
    page.explain(f"One request of each run, the one with the median time. The thin line is its answer.{guess}")
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def finding(found: Sequence[Awaited]) -> str:
    """Say how the calls ran, and on how many threads where there is room: where that is the same for all runs."""
    counts = sorted({len(one.threads) for one in found})
    many = " or ".join(map(_word, counts)).capitalize()
    calls = f"{many} awaited quer{'y' if counts == [1] else 'ies'}"
    if len({one.found for one in found}) == 1:
        return f"{calls} ran {found[0].found}"
    return f"{calls} ran {wording.joined([f'{one.how} ({one.contender.label})' for one in found])}"


def awaited(contender: Contender) -> Awaited:
    """Return the calls of the request with the median time; ConfigurationError where the probe was off, or where it saw
    none."""
    run = contender.run
    seen = traced(run.trace, run.requests[answered(run.requests)], contender.label)
    views = run.trace.spans[run.trace.spans["kind"] == "view"]
    calls = seen.crossings[
        (seen.crossings["kind"] == "to_thread")
        & (seen.crossings["origin"] == "other")
        & seen.crossings["parent"].isin(views["id"])
        & (seen.crossings["done"] > 0)
    ]
    requests = seen.requests[seen.requests["request"].isin(calls["request"])]
    if requests.empty:
        raise ConfigurationError(
            f"queries(): no async view of the run {contender.label!r} awaited any call on a thread"
        )
    took = (requests["end"] - requests["begin"]).to_numpy()
    chosen = requests.iloc[int(np.argsort(took)[(len(took) - 1) // 2])]
    same = (calls["request"] == chosen["request"]) & (calls["pid"] == chosen["pid"])
    mine = calls[same].sort_values("begin").head(MAX_CALLS)
    numbers = {thread: number for number, thread in enumerate(dict.fromkeys(mine.sort_values("running")["ran_on"]), 1)}
    times = (mine[["begin", "running", "done"]].to_numpy(np.float64) - float(chosen["begin"])) / 1e6
    view = views[(views["request"] == chosen["request"]) & (views["pid"] == chosen["pid"]) & (views["end"] > 0)]
    end = float(view["end"].max()) if len(view) else float(chosen["end"])
    return Awaited(
        contender, times, [numbers[thread] for thread in mine["ran_on"]], (end - float(chosen["begin"])) / 1e6
    )


def _draw(page: Sheet, one: Awaited, last: float, final: bool) -> None:
    contender = one.contender
    above = [*contender.block(INNER_IN, notes=[contender.run.about.asked])]
    above += [Line("")] * (contender.predicted is not None)  # where the words of the prediction go
    heights = [_ROW_IN] * len(one.threads)
    below_in = AXIS_IN if final else _APART_IN
    axes, places = marks.rows(
        page, heights, MARGIN_IN + _LEFT_IN, MARGIN_IN + _RIGHT_IN, above=above, below_in=below_in
    )
    axes.set_xlim(0, last)
    marks.number(axes.xaxis)
    axes.grid(axis="x", linewidth=0.6, color=style.PALE)
    axes.tick_params(labelbottom=final)
    if final:
        axes.set_xlabel("ms since the request reached the application", labelpad=2)
    axes.axvline(one.took, color=style.INK, linewidth=0.9)
    for (top, bottom), times, thread in zip(places, one.times, one.threads, strict=True):
        upper, lower = top + 0.14 * _ROW_IN, bottom - 0.14 * _ROW_IN
        marks.bars(axes, times[0], times[1], upper, lower, **_WAITING)
        marks.bars(axes, times[1], times[2], upper, lower, **_RUNNING)
        _name_thread(axes, f"thread {thread}", times, (top + bottom) / 2)
    marks.name_lanes(axes, list(_names(places)))
    if contender.predicted is not None:
        words = f"your prediction: {wording.number(contender.predicted)} ms"
        marks.prediction(axes, contender.predicted, words, span=(-0.03, places[-1][1]))


def _names(places: Sequence[tuple[float, float]]) -> Iterator[tuple[float, str]]:
    for number, (top, bottom) in enumerate(places, 1):
        yield (top + bottom) / 2, f"query {number}"


def _name_thread(axes: Axes, text: str, times: Floats, y: float) -> None:
    """Write into the bar where there is room, else beside it."""
    wide_in = sheet.width_in(text)
    begin_in, end_in = marks.x_in(axes, times[1]), marks.x_in(axes, times[2])
    if end_in - begin_in > wide_in + 0.1:
        sheet.write_at(axes, [Line(text, color="white", bold=True)], y, (begin_in + end_in - wide_in) / 2)
    else:
        sheet.write_at(axes, [Line(text)], y, end_in + 0.06)


def _word(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"
