"""compare(): the same load on several contenders, in many short rounds, into a Comparison.

Machines lose much of a core to their neighbours, in phases of seconds, which only neighbouring slices share. Hence
rounds: every contender once, in an order that chance decides, all alive from the first round to the last.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from requestlab.comparison.comparison import Comparison, ComparisonFacts, Slice
from requestlab.comparison.intervals import MIN_ROUNDS
from requestlab.errors import ConfigurationError
from requestlab.load.loads import AnyLoad, Closed, Load, Open, closed
from requestlab.load.pool import LoadProcessPool
from requestlab.load.target import Target, find_target
from requestlab.measurement import validity
from requestlab.measurement.measure import Beside, Settings, check, check_beside, measure_slice, targets_beside
from requestlab.measurement.run import Run
from requestlab.serving.configuration import Configuration
from requestlab.serving.server import Server, serve
from requestlab.system import checks, machine
from requestlab.system.progress import Progress

MAX_CONTENDERS = 12
MAX_ROUNDS = 500
MAX_BUDGET_S = 3_600.0
MAX_WIDTH = 10.0

RAMP_S = 0.5
"""Load on each contender before the first round, which is thrown away: code is compiled, templates are loaded."""

SPARE_ROUNDS = 0.5
"""So many more rounds, as a share of those wanted, may replace those with a dropped slice."""

MIN_LEFT = 0.5
"""Where less than this share of the rounds is undisturbed, the machine is like that, and nothing is dropped:
disturbances fall on all contenders by chance, and the intervals are as wide as that makes them."""

MIN_ROUNDS_BY_WIDTH = 6
"""No comparison ends because its intervals are narrow before it has so many rounds: early widths are luck."""

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
    path: str | Mapping[str, str] = "/",
    load: Load | Mapping[str, Load] | None = None,
    *,
    rounds: int = 8,
    budget: float | None = None,
    width: float | None = None,
    control: bool = False,
    seconds: float = 1.0,
    warmup: float | None = None,
    timeout: float = 10.0,
    seed: int | None = None,
    expect: str | None = None,
    remote: bool = False,
    beside: Mapping[str, AnyLoad] | Mapping[str, Mapping[str, AnyLoad]] | None = None,
) -> Comparison:
    """Measure every contender once a round, in shuffled order, and return all slices as a Comparison.

    >>> result = compare({"sync": SYNC, "mixed": MIXED}, "/sync/page/", closed(users=10))
    >>> result.ratio("sync", "mixed", "throughput")

    `contenders` are configurations, which are served for the time of the call, servers of `serve()`, or addresses; the
    first is the baseline. `path` and `load` are for all of them, or by label, and so are the loads `beside`, as
    `measure` takes them: by path, or by label and path. `rounds` is how many there are at most; fewer if `budget`
    seconds would be exceeded, or as soon as the interval of every contender's throughput over the baseline's is
    narrower than `width` (0.05: its ends lie 5 % apart); never because a difference was found. With `control`, the
    baseline takes part a second time, from a server of its own: what the lab makes of no difference. A slice is dropped
    for evidence from outside only (`validity.outside`); up to half as many rounds are added for such. The same `seed`
    makes the same orders.

    Raises ConfigurationError for values that cannot work, and what `serve` and `measure` raise.

    Resources: all servers at once, and as many load processes as one slice needs; all are gone when this returns or
    raises.
    """
    machine.require_linux()
    _check_contenders(contenders, control)
    paths = _by_label(path, contenders, "path")
    loads: dict[str, Load] = _by_label(closed(users=1) if load is None else load, contenders, "load")
    settings = Settings(seconds=seconds, warmup=warmup, timeout=timeout, expect=expect)
    besides = _beside_by_label(beside, contenders)
    for label, one in loads.items():
        if not isinstance(one, Closed | Open):
            raise ConfigurationError(f"load={one!r}: compare() takes one load, such as requestlab.closed(users=10)")
        check(one, settings)
        check_beside(besides[label], one, settings)
    check_limits(rounds, budget, width)
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
            seconds=seconds,
            wanted=rounds,
            budget=budget,
            width=width,
            machine=machine.facts(),
        )
        nothing_yet = Comparison((), tuple(contenders), _control(contenders) if control else None, about)
        pool = stack.enter_context(LoadProcessPool())
        return _Rounds(field, settings, random.Random(seed), progress, pool).run(nothing_yet)


class _Rounds:
    """The rounds, one after the other, until a limit is met."""

    def __init__(
        self,
        field: list[_Contender],
        settings: Settings,
        chance: random.Random,
        progress: Progress,
        pool: LoadProcessPool,
    ) -> None:
        self._field, self._settings, self._chance = field, settings, chance
        self._progress, self._pool = progress, pool
        self._begin = time.monotonic()
        self._round_s = sum(settings.warmup_of(one.load) + settings.seconds + OVERHEAD_S for one in field)

    def run(self, result: Comparison) -> Comparison:
        self._warm_up(result)
        number = 0
        while not (stopped := self._why_stop(result, number)):
            number += 1
            started = time.monotonic()
            result = replace(result, slices=(*result.slices, *self._round(number, result)))
            self._round_s = time.monotonic() - started
        return _with_enough(replace(result, about=replace(result.about, stopped=stopped)), number)

    def _warm_up(self, result: Comparison) -> None:
        short = replace(self._settings, seconds=min(RAMP_S, self._settings.seconds), warmup=0.0)
        for one in self._field:
            self._progress.step(f"warming up {one.label}", self._left_s(result, 0))
            fixed = isinstance(one.load, Closed) and one.load.each is not None
            self._measure(one, self._settings if fixed else short)

    def _round(self, number: int, so_far: Comparison) -> Iterator[Slice]:
        of = max(number, so_far.about.wanted)
        for position, one in enumerate(self._chance.sample(self._field, len(self._field))):
            done = so_far.complete + position / len(self._field)
            self._progress.step(f"round {number} of {of}, {one.label}", self._left_s(so_far, done))
            run = self._measure(one.of_round(number), self._settings)
            evidence = validity.outside(run)
            yield Slice(number, position, one.label, run, evidence, bool(evidence))

    def _measure(self, one: _Contender, settings: Settings) -> Run:
        settings = replace(settings, beside=one.beside)
        return measure_slice(one.target, one.load, settings, self._pool, self._progress.tick)

    def _why_stop(self, result: Comparison, number: int) -> str:
        complete, asked = result.complete, result.about
        disturbed = f"and something from outside disturbed {number - complete} of them"
        if complete >= asked.wanted:
            return f"{complete} round{'s were' if complete != 1 else ' was'} wanted"
        if number >= asked.wanted and complete < MIN_LEFT * number:
            return f"{number} rounds were done, {disturbed}"
        if number >= asked.wanted + math.ceil(SPARE_ROUNDS * asked.wanted):
            return f"{number} rounds were tried, {disturbed}"
        if gone := [one.label for one in self._field if one.target.server is not None and not one.target.server.alive]:
            return f"the server of {' and '.join(gone)} has ended"
        elapsed = time.monotonic() - self._begin
        if asked.budget is not None and number and elapsed + self._round_s > asked.budget:
            return f"another round would not fit into the budget of {asked.budget:g} s"
        if asked.width is not None and complete >= MIN_ROUNDS_BY_WIDTH and _widest(result) <= asked.width:
            return f"every interval was narrower than {asked.width:.0%}"
        return ""

    def _left_s(self, result: Comparison, rounds_done: float) -> float:
        left = max(0.0, result.about.wanted - rounds_done) * self._round_s
        if result.about.budget is not None:
            left = min(left, max(0.0, result.about.budget - (time.monotonic() - self._begin)))
        return left


def _of_round(load: _L, number: int) -> _L:
    return replace(load, seed=load.seed + number) if isinstance(load, Open) else load


def _with_enough(result: Comparison, rounds: int) -> Comparison:
    if result.complete >= MIN_LEFT * rounds:
        return result
    return replace(result, slices=tuple(replace(part, dropped=False) for part in result.slices))


def _widest(result: Comparison) -> float:
    first, *others = result.all_labels
    return max(result.ratio(label, first).interval.width for label in others)


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
        raise ConfigurationError(f"compare() takes a mapping of labels to contenders, not {contenders!r}")
    least = 1 if control else 2
    if not least <= len(contenders) <= MAX_CONTENDERS:
        raise ConfigurationError(f"compare() takes {least} to {MAX_CONTENDERS} contenders, not {len(contenders)}")
    for label, target in contenders.items():
        if not isinstance(target, Configuration | Server | str):
            raise ConfigurationError(
                f"contender {label!r}: expected a configuration, a server of serve() or an address, not {target!r}"
            )
    if control and _control(contenders) in contenders:
        raise ConfigurationError(f"{_control(contenders)!r} is what the control is called; choose another label")


def _by_label(value: _T | Mapping[str, _T], contenders: Mapping[str, AnyTarget], what: str) -> dict[str, _T]:
    if not isinstance(value, Mapping):
        return dict.fromkeys(contenders, value)
    if set(value) != set(contenders):
        raise ConfigurationError(f"{what} names {', '.join(value)}; the contenders are {', '.join(contenders)}")
    return dict(value)


def _beside_by_label(beside: Any, contenders: Mapping[str, AnyTarget]) -> dict[str, Any]:
    if isinstance(beside, Mapping) and any(isinstance(one, Mapping) for one in beside.values()):
        return _by_label(beside, contenders, "beside")
    return dict.fromkeys(contenders, beside)


def check_limits(rounds: object, budget: object, width: object) -> None:
    """Raise ConfigurationError for limits that cannot work."""
    checks.whole("rounds", rounds, 1, MAX_ROUNDS, also=f"and at least {MIN_ROUNDS} for a verdict")
    if budget is not None:
        checks.number("budget", budget, most=MAX_BUDGET_S, above=0, also="or None")
    if width is not None:
        checks.number("width", width, most=MAX_WIDTH, above=0, also="or None")
