"""resolution(): which differences this machine can tell today, and how long that takes, from a short comparison of a
configuration with itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from requestlab.comparison import wording
from requestlab.comparison.compare import MAX_ROUNDS, OVERHEAD_S, RAMP_S, compare
from requestlab.comparison.comparison import ALIKE, CANNOT_TELL, Comparison
from requestlab.comparison.intervals import MIN_ROUNDS, Interval, chi_squared, reach, rounds_for
from requestlab.load.loads import closed
from requestlab.measurement.measure import WARMUP_S
from requestlab.serving.configuration import SYNC
from requestlab.system import checks, quick
from requestlab.system.budget import MAX_SECONDS
from requestlab.system.interrupts import interrupt_says
from requestlab.system.wording import listed

PATH = "/sync/page/"
USERS = 10
ROUNDS = 8
SLICE_S = 0.3
SHORT_WARMUP_S = 0.1
BUDGET_S = 9.0
"""How long the rounds may take, the ramp before them included; starting two servers comes on top of it."""

CONTENDERS = 2
DEFAULT_SLICE_S = 1.0
"""Of `compare`: what is foretold is a comparison with its defaults."""

RAMPS_S = CONTENDERS * (RAMP_S + OVERHEAD_S)
ROUND_S = CONTENDERS * (WARMUP_S + DEFAULT_SLICE_S + OVERHEAD_S)

DIFFERENCES = (0.03, 0.05, 0.1, 0.3)
"""For each of these it is said how long it takes to tell it from none."""

CAUTION = 0.9
"""So surely the noise is below the bound that is reckoned with: eight rounds do not say more than roughly how large it
is."""


@dataclass(frozen=True)
class Resolution:
    """What can be told today. Made by `resolution`.

    `difference` is a share: below 0.06, differences in throughput of 6% cannot be told from none by a comparison of
    two contenders that takes `seconds`; NaN where too little could be measured, and then `why` says what stood in the
    way. `control` is the ratio of the throughputs of one configuration under two names, with its interval (A/A);
    `differed` says that it was called a difference, which it is not. `noise` is the standard deviation of the logarithm
    of that ratio from round to round, `rounds` how many rounds were foretold. `takes` says how many seconds it takes
    today to tell each of some differences from none; None where no comparison can.

    >>> lab.resolution().takes
    """

    seconds: float
    difference: float
    control: Interval
    differed: bool
    noise: float
    rounds: int
    why: str = ""
    takes: Mapping[float, float | None] = field(default_factory=dict)

    def __repr__(self) -> str:
        if not math.isfinite(self.difference):
            return f"today nothing can be said about differences that can be told in {self.seconds:g} s: {self.why}"
        said = f"today differences under {math.ceil(100 * self.difference)}% cannot be told in {self.seconds:g} s"
        times = [f"{share:.0%} in {seconds:.0f} s" for share, seconds in self.takes.items() if seconds is not None]
        never = [f"{share:.0%}" for share, seconds in self.takes.items() if seconds is None]
        told = f"; {listed(times)}" if times else ""
        return f"{said}{told}" + (f"; {listed(never)} not in {MAX_ROUNDS} rounds" if never else "")


@interrupt_says("the measurement of the resolution; there is none")
def resolution(seconds: float = 60.0) -> Resolution:
    """Measure how much this machine's noise hides today, in some ten seconds.

    >>> resolution()
    today differences under 6% cannot be told in 60 s

    `seconds` is how long a comparison of two contenders would take, with slices of 1 s as `compare` has them. An A/A is
    measured, two servers of one configuration that take turns in slices of 0.3 s, or of half as much in quick mode. Let
    s be the upper bound of the standard deviation of the log-ratio of their throughputs from round to round (`noise`;
    by chi-squared, at 90%), and n the rounds that fit into `seconds` (less the share that was dropped for evidence
    from outside). The interval of such a comparison would then reach to

        h = reach(n) · s             `intervals.reach`

    either side of its middle. A difference is called where the interval lies beyond `comparison.ALIKE`; so one of
    (1 + ALIKE) · exp(h) - 1 is called half of the time, and a smaller one is rather missed. Where the A/A itself was
    off by more than ALIKE, that takes its place. The other way round, a difference d `takes` the first n for which
    h < ln(1 + d) - ln(1 + ALIKE).

    On the safe side: longer slices average some of the noise out, and no credit is given for that (where every request
    were a throw of dice, noise in slices of 1 s would be 0.55 times that of 0.3 s). Not on it: noise that comes and
    goes over minutes, which a measurement of ten seconds cannot see. Only the A/A of a comparison itself
    (`control=True`) can.

    Raises ConfigurationError for seconds in which there is no comparison, and what `serve` and `measure` raise.

    Resources: two servers and the load process for the time of the call.
    """
    rounds = _rounds_in(seconds)
    found = compare(
        {SYNC.name: SYNC},
        PATH,
        closed(users=USERS),
        rounds=ROUNDS,
        budget=BUDGET_S,
        control=True,
        seconds=SLICE_S / 2 if quick.is_quick() else SLICE_S,
        warmup=SHORT_WARMUP_S,
    )
    return foretell(found, seconds, rounds)


def foretell(control: Comparison, seconds: float, rounds: int) -> Resolution:
    """Return what an A/A says about a comparison of so many `rounds`, which takes so many `seconds`."""
    assert control.control is not None
    ratio = control.ratio(control.control, control.labels[0])
    differed = ratio.verdict != CANNOT_TELL
    tried = len({part.round for part in control.slices})
    left = math.floor(rounds * control.complete / tried) if tried else 0
    caveats = [caveat for label in (control.labels[0], control.control) for caveat in control.caveats(label)]
    if not ratio.interval.known or left < MIN_ROUNDS or caveats:
        why = _disturbed(control, tried) if control.dropped else "; ".join(caveats) or ratio.interval.why
        return Resolution(seconds, math.nan, ratio.interval, differed, math.nan, left, why)
    table = control.figures("throughput")
    noise = float(np.log(table[control.control] / table[control.labels[0]]).std(ddof=1))
    freedom = ratio.interval.rounds - 1
    bound = noise * math.sqrt(freedom / chi_squared(1 - CAUTION, freedom))
    floor = max(math.log1p(ALIKE), abs(math.log(ratio.value)))
    difference = math.expm1(floor + reach(left) * bound)
    needed = {share: rounds_for(math.log1p(share) - floor, bound, MAX_ROUNDS) for share in DIFFERENCES}
    takes = {share: n and RAMPS_S + n * ROUND_S * tried / control.complete for share, n in needed.items()}
    return Resolution(seconds, difference, ratio.interval, differed, noise, left, takes=takes)


def _disturbed(control: Comparison, tried: int) -> str:
    why = wording.kinds(control.dropped_why)
    return f"{control.complete} of {tried} rounds of the A/A count, the others were disturbed from outside: {why}"


def _rounds_in(seconds: object) -> int:
    least = math.ceil(RAMPS_S + MIN_ROUNDS * ROUND_S)
    known = checks.number(
        "seconds", seconds, least, MAX_SECONDS, kind="seconds", also=f"enough for {MIN_ROUNDS} rounds"
    )
    return int((known - RAMPS_S) / ROUND_S)
