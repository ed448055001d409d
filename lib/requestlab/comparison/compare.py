"""compare(): the same load on several contenders, in many short rounds, into a Comparison.

Machines lose much of a core to their neighbours, in phases of seconds, which only neighbouring slices share. Hence
rounds: every contender once, in an order that chance decides, all alive from the first round to the last. There are as
many as it takes to answer what was asked beforehand, or as fit into a budget.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from requestlab.comparison.comparison import ANSWERED, Comparison, ComparisonFacts, Slice
from requestlab.comparison.intervals import MIN_ROUNDS
from requestlab.comparison.questions import Question, questions
from requestlab.comparison.slices import best_seconds
from requestlab.errors import ConfigurationError, LabError
from requestlab.load.loads import AnyLoad, Closed, Load, Open, closed
from requestlab.load.mix import Mix
from requestlab.load.target import Target, find_target
from requestlab.measurement import validity
from requestlab.measurement.measure import (
    Beside,
    Loaders,
    Settings,
    check,
    check_beside,
    check_on,
    length,
    loaders,
    measure_slice,
    targets_beside,
)
from requestlab.measurement.run import Run
from requestlab.serving.configuration import Configuration
from requestlab.serving.server import Server, serve
from requestlab.system import budget as budgets, checks, machine, quick
from requestlab.system.budget import Budget, Spending
from requestlab.system.interrupts import Interrupted
from requestlab.system.progress import Progress
from requestlab.system.wording import counted

SLICE_S = 1.0
MAX_CONTENDERS = 12
MAX_ROUNDS = 500
MAX_WIDTH = 10.0

BUDGET_S = 30.0
"""How long the rounds may take where neither their number nor a budget is given."""

RAMP_S = 0.5
"""Load on each contender before the first round, which is thrown away: code is compiled, templates are loaded."""

SPARE_ROUNDS = 0.5
"""So many more rounds, as a share of those wanted, may replace those with a dropped slice."""

MIN_LEFT = 0.5
"""Where less than this share of the rounds is undisturbed, the machine is like that, and nothing is dropped:
disturbances fall on all contenders by chance, and the intervals are as wide as that makes them."""

OVERHEAD_S = 0.1
"""What a slice takes beyond its load: starting the load process, reading its rows. For the time that is left, only."""

_T = TypeVar("_T")
_L = TypeVar("_L", bound=AnyLoad)
AnyTarget = Configuration | Server | str


@dataclass(frozen=True)
class _Contender:
    label: str
    target: Target
    load: Load
    beside: tuple[Beside, ...] = ()

    def of_round(self, number: int) -> _Contender:
        """Return it with the arrivals of that round: chance decides on them anew, for all contenders alike."""
        beside = tuple((aim, _of_round(load, number)) for aim, load in self.beside)
        return replace(self, load=_of_round(self.load, number), beside=beside)


def compare(
    contenders: Mapping[str, AnyTarget],
    path: str | Mix | Mapping[str, str | Mix] = "/",
    load: Load | Mapping[str, Load] | None = None,
    *,
    ask: str | Question | Sequence[str | Question] | None = None,
    rounds: int | None = None,
    budget: float | Budget | None = None,
    width: float | None = None,
    control: bool = False,
    seconds: float | None = None,
    warmup: float | None = None,
    timeout: float = 10.0,
    seed: int | None = None,
    expect: str | None = None,
    remote: bool = False,
    beside: Mapping[str, AnyLoad] | Mapping[str, Mapping[str, AnyLoad]] | None = None,
    on: Any = None,
) -> Comparison:
    """Measure every contender once a round, in shuffled order, and return all slices as a Comparison.

    >>> result = compare({"sync": SYNC, "asgi": ASGI}, "/sync/page/", closed(users=10))
    >>> result.ratio("sync", "asgi", "throughput")

    `contenders` are configurations, which are served for the time of the call, servers of `serve()`, or addresses; the
    first is the baseline. `path` and `load` are for all of them, or by label, and so are the loads `beside`, as
    `measure` takes them: by path, or by label and path.

    There are rounds until all that is asked is answered, which needs four at least, or another one would exceed the
    `budget`, 30 s unless it says otherwise. What is asked: `ask`, metrics by which each contender is to be told from
    the baseline (`"throughput"`, unless it says otherwise), claims (`claim("uvloop-fades")`), or several of these; and
    that each interval of a throughput over the baseline's be narrower than `width` (0.05: its ends lie 5% apart). To
    stop then is no cheating: see `intervals`. Where `rounds` are given, there are so many at most, and nothing is asked
    unless `ask` or `width` does.

    With `control`, the baseline takes part a second time, from a server of its own: what the lab makes of no
    difference. What was measured before an interrupt is kept: see `interrupted`. A slice is dropped for evidence from
    outside only (`validity.outside`), and made up for: within the budget, or by up to half as many rounds again. Slices
    take `seconds` (1), and become up to four times as long where that tells more in the same time. The same `seed`
    makes the same orders.

    Raises ConfigurationError for values that cannot work, and what `serve` and `measure` raise.

    Resources: all servers at once, and as many load processes as one slice needs; all are gone when this returns or
    raises.
    """
    machine.require_unix()
    _check_contenders(contenders, control)
    paths: dict[str, str | Mix] = _by_label(path, contenders, "path")
    loads: dict[str, Load] = _by_label(closed(users=1) if load is None else load, contenders, "load")
    usual = quick.TRIAL_SLICE_S if quick.is_trial() else SLICE_S
    settings = Settings(seconds=length(seconds, loads.values(), usual), warmup=warmup, timeout=timeout, expect=expect)
    besides = _beside_by_label(beside, contenders)
    for label, one in loads.items():
        if not isinstance(one, Closed | Open):
            raise ConfigurationError(
                f"load={checks.shown(one)}: compare() takes one load, such as requestlab.closed(users=10)"
            )
        check(one, settings)
        check_beside(besides[label], one, settings)
        check_on(on, [one], besides[label])
    check_limits(rounds, width)
    asked = questions(ask, width, rounds)
    limit = _limit(rounds, budget)
    seed = random.randrange(2**32) if seed is None else checks.whole("seed", seed, also="or None")
    with ExitStack() as stack, Progress("comparing") as progress:
        field = []
        for label, name, target in _lineup(contenders, control):
            at = stack.enter_context(serve(target)) if isinstance(target, Configuration) else target
            others = targets_beside(at, besides[name], remote)
            field.append(_Contender(label, find_target(at, paths[name], remote), loads[name], others))
        for server in (part.target.server for part in field):
            if server is not None and server not in contenders.values():
                stack.callback(server.begin_to_stop)  # all at once, before the first is waited for
        about = ComparisonFacts(
            paths={one.label: one.target.path for one in field},
            loads={one.label: str(one.load) for one in field},
            beside={one.label: {at.path: str(load) for at, load in one.beside} for one in field},
            seed=seed,
            seconds=settings.seconds,
            asked=tuple(one.words for one in asked),
            wanted=rounds,
            budget=limit.seconds if math.isfinite(limit.seconds) else None,
            machine=machine.joined(one.target.machine for one in field),
        )
        nothing_yet = Comparison((), tuple(contenders), _control(contenders) if control else None, about)
        pool, spending = stack.enter_context(loaders(on)), stack.enter_context(Spending(limit))
        rounds_of = _Rounds(field, settings, random.Random(seed), progress, pool, asked, spending)
        try:
            return rounds_of.run(nothing_yet)
        except KeyboardInterrupt:
            raise Interrupted(_kept(rounds_of.so_far)) from None


_last_interrupted: list[Comparison] = []


def interrupted() -> Comparison:
    """Return the rounds of the comparison that was interrupted last; LabError where none was after a whole round.

    >>> result = lab.interrupted()
    """
    if not _last_interrupted:
        raise LabError("no comparison was interrupted here after a whole round")
    return _last_interrupted[-1]


def _kept(so_far: Comparison) -> str:
    if not so_far.slices:
        return "no round of the comparison was whole"
    about = replace(so_far.about, stopped="somebody interrupted it")
    kept = _with_enough(replace(so_far, about=about), so_far.slices[-1].round)
    _last_interrupted[:] = [kept]
    return f"{counted(kept.complete, 'round')} of the comparison are kept: lab.interrupted() returns them"


def _limit(rounds: int | None, budget: object) -> Budget:
    if isinstance(budget, Budget):
        return budget
    if budget is not None:
        return Budget(budgets.checked(budget))
    return Budget(BUDGET_S if rounds is None else math.inf)


class _Rounds:
    """The rounds, one after the other, until all is answered or a limit is met."""

    def __init__(
        self,
        field: list[_Contender],
        settings: Settings,
        chance: random.Random,
        progress: Progress,
        pool: Loaders,
        asked: Sequence[Question],
        spending: Spending,
    ) -> None:
        self._field, self._settings, self._chance = field, settings, chance
        self._progress, self._pool, self._asked, self._spending = progress, pool, asked, spending
        self._round_s = sum(map(self._slice_s, field))

    def run(self, result: Comparison) -> Comparison:
        self.so_far, number = result, 0
        self._warm_up(result)
        while not (stopped := self._why_stop(result, number)):
            self.so_far = result
            number += 1
            started = time.monotonic()
            result = replace(result, slices=(*result.slices, *self._round(number, result)))
            self._round_s = time.monotonic() - started
            self._settle_length(result)
        about = replace(result.about, stopped=stopped, borrowed=self._spending.borrowed)
        return _with_enough(replace(result, about=about), number)

    def _warm_up(self, result: Comparison) -> None:
        short = replace(self._settings, seconds=min(RAMP_S, self._settings.seconds), warmup=0.0)
        for one in self._field:
            self._progress.step(f"warming up {one.label}", self._left_s(result, 0))
            fixed = isinstance(one.load, Closed) and one.load.each is not None
            self._measure(one, self._settings if fixed else short)

    def _round(self, number: int, so_far: Comparison) -> Iterator[Slice]:
        of = f" of {max(number, so_far.about.wanted)}" if so_far.about.wanted else ""
        for position, one in enumerate(self._chance.sample(self._field, len(self._field))):
            done = so_far.complete + position / len(self._field)
            self._progress.step(f"round {number}{of}, {one.label}", self._left_s(so_far, done))
            run = self._measure(one.of_round(number), self._settings)
            evidence = validity.outside(run)
            yield Slice(number, position, one.label, run, evidence, bool(evidence))

    def _measure(self, one: _Contender, settings: Settings) -> Run:
        settings = replace(settings, beside=one.beside)
        return measure_slice(one.target, one.load, settings, self._pool, self._progress.tick)

    def _slice_s(self, one: _Contender) -> float:
        return self._settings.warmup_of(one.load) + self._settings.seconds + OVERHEAD_S

    def _settle_length(self, result: Comparison) -> None:
        """Have longer slices after the fourth round, where that tells more in the same time."""
        fixed = any(isinstance(one.load, Closed) and one.load.each is not None for one in self._field)
        if self._asked and not fixed and len(result.slices) == MIN_ROUNDS * len(self._field):
            before = sum(map(self._slice_s, self._field))
            cost_s = before / len(self._field) - self._settings.seconds
            self._settings = replace(self._settings, seconds=best_seconds(result, cost_s))
            self._round_s += sum(map(self._slice_s, self._field)) - before

    def _why_stop(self, result: Comparison, number: int) -> str:
        complete, wanted = result.complete, result.about.wanted
        if wanted and (stopped := _enough_rounds(number, complete, wanted)):
            return stopped
        if gone := [one.label for one in self._field if one.target.server is not None and not one.target.server.alive]:
            return f"the server of {' and '.join(gone)} has ended"
        if quick.is_trial() and number >= quick.TRIAL_ROUNDS:
            return "it was only tried out"
        if number == 0:
            return ""
        if self._asked and self._is_answered(_with_enough(result, number)):
            return ANSWERED
        if number >= MAX_ROUNDS:
            return f"{MAX_ROUNDS} rounds were done"
        if not self._spending.allows(self._round_s):
            return f"another round would not fit into the budget of {result.about.budget:g} s"
        return ""

    def _is_answered(self, result: Comparison) -> bool:
        return result.complete >= MIN_ROUNDS and all(one.answered(result) for one in self._asked)

    def _left_s(self, result: Comparison, rounds_done: float) -> float:
        """Return how much longer it may take."""
        left = max(0.0, (result.about.wanted or MAX_ROUNDS) - rounds_done) * self._round_s
        return min(left, max(0.0, self._spending.left))


def _enough_rounds(number: int, complete: int, wanted: int) -> str:
    """Return why there are no more rounds where a number is wanted, after so many of which some are complete; empty:
    there are more."""
    disturbed = f"and something from outside disturbed {number - complete} of them"
    if complete >= wanted:
        return f"{complete} round{'s were' if complete != 1 else ' was'} wanted"
    if number >= wanted and complete < MIN_LEFT * number:
        return f"{number} rounds were done, {disturbed}"
    if number >= wanted + math.ceil(SPARE_ROUNDS * wanted):
        return f"{number} rounds were tried, {disturbed}"
    return ""


def _of_round(load: _L, number: int) -> _L:
    return replace(load, seed=load.seed + number) if isinstance(load, Open) else load


def _with_enough(result: Comparison, rounds: int) -> Comparison:
    if result.complete >= MIN_LEFT * rounds:
        return result
    return replace(result, slices=tuple(replace(part, dropped=False) for part in result.slices))


def _lineup(contenders: Mapping[str, AnyTarget], control: bool) -> Iterator[tuple[str, str, AnyTarget]]:
    """Yield each label, the contender behind it, and its target; the control is the baseline once more, served anew if
    it can be."""
    for label, target in contenders.items():
        yield label, label, target
    if control:
        name, target = next(iter(contenders.items()))
        yield _control(contenders), name, target.configuration if isinstance(target, Server) else target


def _control(contenders: Mapping[str, AnyTarget]) -> str:
    return f"{next(iter(contenders))} again"


def _check_contenders(contenders: object, control: bool) -> None:
    if not isinstance(contenders, Mapping) or not all(isinstance(label, str) and label for label in contenders):
        raise ConfigurationError(f"compare() takes a mapping of labels to contenders, not {checks.shown(contenders)}")
    least = 1 if checks.truth("control", control) else 2
    if not least <= len(contenders) <= MAX_CONTENDERS:
        raise ConfigurationError(f"compare() takes {least} to {MAX_CONTENDERS} contenders, not {len(contenders)}")
    for label, target in contenders.items():
        if not isinstance(target, Configuration | Server | str):
            raise ConfigurationError(
                f"contender {label!r}: expected a configuration, a server of serve() or an address, not {checks.shown(target)}"
            )
    if control and _control(contenders) in contenders:
        raise ConfigurationError(f"{_control(contenders)!r} is what the control is called; choose another label")


def _by_label(value: _T | Mapping[str, _T], contenders: Mapping[str, AnyTarget], what: str) -> dict[str, _T]:
    if not isinstance(value, Mapping):
        return dict.fromkeys(contenders, value)
    if set(value) != set(contenders):
        raise ConfigurationError(
            f"{what} names {', '.join(map(str, value))}; the contenders are {', '.join(contenders)}"
        )
    return dict(value)


def _beside_by_label(beside: Any, contenders: Mapping[str, AnyTarget]) -> dict[str, Any]:
    if isinstance(beside, Mapping) and any(isinstance(one, Mapping) for one in beside.values()):
        return _by_label(beside, contenders, "beside")
    return dict.fromkeys(contenders, beside)


def check_limits(rounds: object, width: object) -> None:
    """Raise ConfigurationError for limits that cannot work."""
    if rounds is not None:
        also = f"and at least {MIN_ROUNDS} for a verdict, or None"
        checks.whole("rounds", rounds, 1, MAX_ROUNDS, also=also)
    if width is not None:
        checks.number("width", width, most=MAX_WIDTH, above=0, also="or None")
