"""call_costs(): what one call of a function that does nothing costs, from a plain call to a thread and a loop of its own.

The calls are made in a process of its own (`requestlab.comparison.call_costs_process`), in rounds, every way of calling once a round. What is
here starts that process, ends it, and keeps what it says.
"""

from __future__ import annotations

import json
import math
import os
import random
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import pandas as pd

from requestlab.comparison import intervals
from requestlab.comparison.intervals import MIN_ROUNDS, Interval
from requestlab.errors import ConfigurationError, LabError
from requestlab.system import machine, quick
from requestlab.system.machine import Machine
from requestlab.system.progress import Progress
from requestlab.system.wording import columns

LOOPS = ("asyncio", "uvloop")
ROUNDS = 10
SECONDS = 12.0
MAX_ROUNDS = 200
MAX_SECONDS = 300.0
MIN_SECONDS = 0.2
MAX_BUSY_THREADS = 8

DISTURBED = 0.2
"""Share of the cores' time which, where others took it, speaks against a round. Less of it does not reach a median: one other
process that always wants the core takes half of it, and disturbs half of the calls once it has a quarter."""

MIN_LEFT = 0.5
"""Where leaving out what was disturbed would leave less than this share of the rounds, all count, and are doubted."""

STARTING_S = 0.6
"""What comes before the first round. For the time that is left, only."""

_PATIENCE_S = 30.0
"""How much longer it may take: with many busy threads, a single call in each way takes seconds."""

_CELL = "text-align:{side};vertical-align:top;padding:0.2em 1.2em 0.2em 0;border:0;background:#ffffff;color:#1a1a1a"
_TEXT = "margin:0;border:0;padding:0;background:#ffffff;color:#1a1a1a"
_SMALL = "color:#555555;font-size:12px"
_HEADS = ("", "p50, µs", f"{intervals.CONFIDENCE:.0%} interval", "mean, µs", "× await", "threads started")
_EVIDENCE = {"steal": "other machines on the host", "foreign": "other processes", "throttled": "a CPU limit"}


@dataclass(frozen=True)
class ThreadsUsed:
    """In which threads `calls` calls ran that were made one after the other: in `distinct` different ones."""

    calls: int
    distinct: int

    @property
    def again(self) -> int:
        """How many calls ran in a thread that an earlier one had used."""
        return self.calls - self.distinct


@dataclass(frozen=True, kw_only=True)
class CallCostsFacts:
    """What was asked of `call_costs`, and under what it was measured.

    `what` says what each way of calling is, `calls` how many of each were timed, `threads_started` how many threads one call
    starts. `loop_class` is that of the event loop, `new_loop_class` that of the one which a cold async_to_sync makes. `disturbed`
    says for the rounds that were, by number, by what from outside.
    """

    loop: str
    wanted: int
    seconds: float
    busy_threads: int
    seed: int
    what: Mapping[str, str]
    calls: Mapping[str, int]
    threads_started: Mapping[str, float]
    python: str
    asgiref: str
    uvloop: str
    loop_class: str
    new_loop_class: str
    gil: bool
    switch_interval_ms: float
    cores: tuple[int, ...]
    disturbed: Mapping[int, str]
    caveats: tuple[str, ...]
    machine: Machine


@dataclass(frozen=True, eq=False)
class CallCosts:
    """What calls cost. Made by `prices`.

    `rounds` has a row a round and a column for each way to call: the median over the calls of that round, in µs. `means` has
    their means, in which rare long waits show, for the GIL or for the core: with one other thread that computes, most crossings
    may be as quick as ever, and one in ten takes 5 ms.
    `brand_new_threads` says in which threads calls in a row ran, for `thread_sensitive=False` and `thread_sensitive=True`
    (the latter within one ThreadSensitiveContext).
    """

    rounds: pd.DataFrame
    means: pd.DataFrame
    brand_new_threads: Mapping[str, ThreadsUsed]
    about: CallCostsFacts

    @property
    def names(self) -> list[str]:
        """The ways to call, cheapest kind first."""
        return list(self.rounds.columns)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each way to call: `name`, its price `p50_us` with the bounds `low_us` and `high_us` of its interval, in
        µs, how many `rounds` it is from, and `mean_us`, the mean over calls instead of the median."""
        found = {name: self.price(name) for name in self.names}
        rows = [
            (name, one.value, one.low, one.high, one.rounds, self.price(name, "mean").value)
            for name, one in found.items()
        ]
        return pd.DataFrame(rows, columns=["name", "p50_us", "low_us", "high_us", "rounds", "mean_us"])

    def price(self, name: str, of: str = "p50") -> Interval:
        """Return the price of one way to call in µs, by the `p50` or the `mean` over calls: the geometric mean over the rounds,
        with its interval.

        Raises ConfigurationError for a name or a figure that there is not.
        """
        own = self._counted(name, of)
        return self._doubted(intervals.ratio(own, [1.0] * len(own)))

    def ratio(self, over: str, under: str, of: str = "p50") -> Interval:
        """Return how many times the price of `over` is that of `under`, from the ratio in each round.

        Raises ConfigurationError for a name or a figure that there is not.
        """
        return self._doubted(intervals.ratio(self._counted(over, of), self._counted(under, of)))

    def __repr__(self) -> str:
        return "\n".join([f"{self._title}:", *columns([_HEADS, *self._rows()]), *self._notes, self._caption])

    def _repr_html_(self) -> str:
        heads = _html_row("th", "font-weight:600", *_HEADS)
        rows = "".join(_html_row("td", "", self._html_name(name), *figures) for name, *figures in self._rows())
        notes = "".join(f'<p style="{_TEXT}">{escape(note)}</p>' for note in self._notes)
        return (
            '<div style="background:#ffffff;color:#1a1a1a;font-family:system-ui,sans-serif;font-size:14px;padding:0.5em">'
            f'<p style="{_TEXT};font-weight:600">{escape(self._title)}</p>'
            f'<table class="call-costs" style="{_TEXT};border-collapse:collapse"><thead>{heads}</thead><tbody>{rows}</tbody></table>'
            f'{notes}<p style="{_TEXT};{_SMALL}">{escape(self._caption)}</p></div>'
        )

    def _html_name(self, name: str) -> str:
        return f'{escape(name)}<br><span style="{_SMALL}">{escape(self.about.what[name])}</span>'

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name in self.names:
            price = self.price(name)
            times = _us(self.ratio(name, "await").value)
            mean = _us(self.price(name, "mean").value)
            yield name, _us(price.value), _bounds(price), mean, times, f"{self.about.threads_started[name]:g}"

    @property
    def _title(self) -> str:
        busy = self.about.busy_threads
        beside = (
            f", beside {busy} thread{'s' if busy > 1 else ''} that compute{'s' if busy == 1 else ''}" if busy else ""
        )
        return f"What a call costs on {self.about.loop}{beside}"

    @property
    def _notes(self) -> list[str]:
        threads = [
            f"{used.calls} calls in a row with {how} ran in {used.distinct} thread{'s' if used.distinct > 1 else ''}"
            for how, used in self.brand_new_threads.items()
        ]
        return [*threads, *(f"doubtful: {caveat}" for caveat in self.about.caveats)]

    @property
    def _caption(self) -> str:
        cores = ", ".join(map(str, self.about.cores))
        count = f"{len(self.rounds)} round{'s' if len(self.rounds) > 1 else ''}"
        return f"{count} on core {cores} · {self.about.machine.caption}"

    def _counted(self, name: str, of: str) -> list[float]:
        tables = {"p50": self.rounds, "mean": self.means}
        if of not in tables:
            raise ConfigurationError(f"of={of!r} is no figure of a price; expected one of: {', '.join(tables)}")
        if name not in self.names:
            raise ConfigurationError(f"there is no price of {name!r}; there are: {', '.join(self.names)}")
        disturbed = self.about.disturbed
        left_out = set(disturbed) if _few(disturbed, len(self.rounds)) else set()
        return [float(value) for number, value in tables[of][name].items() if number not in left_out]

    def _doubted(self, found: Interval) -> Interval:
        return replace(found, caveats=tuple(self.about.caveats))


def call_costs(
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    loop: str = "asyncio",
    busy_threads: int = 0,
    seed: int | None = None,
) -> CallCosts:
    """Measure what one call of a function that does nothing costs, in each way to call it, on the servers' cores.

    >>> call_costs(loop="uvloop").price("sync_to_async warm")

    Every way is measured once a round, in an order that chance decides, for as long as `seconds` for all of it allow; the
    defaults are 10 rounds and 12 s, and less in quick mode (`requestlab.system.quick`). There are fewer rounds where calls are so slow
    that more would not fit. `busy_threads` other threads of the process compute in Python meanwhile, and so want the GIL. A
    price is the median over the calls of a round; what is below a few µs is timed in groups of calls and holds a few ns of the
    loop that makes them.

    Raises ConfigurationError for values that cannot work, LabError where the process fails or does not end.

    Resources: one process, gone when this returns or raises, and when this process ends in any way.
    """
    machine.require_linux()
    settings: dict[str, Any] = {
        "loop": _loop(loop),
        "rounds": _whole("rounds", quick.rounds(ROUNDS) if rounds is None else rounds, 1, MAX_ROUNDS),
        "seconds": _seconds(quick.seconds(SECONDS) if seconds is None else seconds),
        "busy_threads": _whole("busy_threads", busy_threads, 0, MAX_BUSY_THREADS),
        "seed": random.SystemRandom().randrange(2**32) if seed is None else _whole("seed", seed, 0, 2**63),
    }
    cores = list(machine.split_cores().server)
    with Progress(f"pricing calls on {loop}", settings["seconds"] + STARTING_S) as progress:
        answer = _ask({**settings, "cores": cores}, progress.tick)
    return _understand(answer, settings, cores)


def _ask(plan: dict[str, Any], tick: Callable[[], None]) -> dict[str, Any]:
    """Let the process carry out the plan, and return what it answers; `tick` is called meanwhile."""
    deadline = time.monotonic() + plan["seconds"] + _PATIENCE_S
    output = bytearray()
    with _process(plan) as (process, words), selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(0.1):
                data = os.read(process.stdout.fileno(), 1 << 20)
                if not data:
                    break
                output += data
            tick()
            if time.monotonic() > deadline:
                raise LabError(
                    "the process that measures call costs did not finish in time; is the machine overloaded?"
                )
        status = process.wait()
        if status != 0 or not output:
            words.seek(0)
            raise LabError(f"the process that measures call costs failed with status {status}: {words.read().strip()}")
    return dict(json.loads(output))


@contextmanager
def _process(plan: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start the process; it is gone when the block is left, however that happens."""
    with tempfile.TemporaryFile("w+", errors="replace") as words:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "requestlab.comparison.call_costs_process",
            ],  # -P: the folder of the notebook may hold any names
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,  # an interrupt in the notebook reaches only the notebook
        )
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has died already, and its words say why
                process.stdin.write(json.dumps(plan).encode() + b"\n")
                process.stdin.flush()
            yield process, words
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()


def _understand(answer: dict[str, Any], settings: dict[str, Any], cores: list[int]) -> CallCosts:
    medians, means = (_table(answer.pop(key), list(answer["what"])) for key in ("medians_ns", "means_ns"))
    threads = {how: ThreadsUsed(**used) for how, used in answer.pop("threads").items()}
    disturbed = {number: why for number, shares in enumerate(answer.pop("outside"), 1) if (why := _outside(shares))}
    caveats = _caveats(disturbed, len(medians), settings["rounds"])
    asked = {"wanted" if name == "rounds" else name: value for name, value in settings.items()}
    about = CallCostsFacts(
        **answer,
        **asked,
        cores=tuple(cores),
        disturbed=disturbed,
        caveats=tuple(caveats),
        machine=machine.facts(),
    )
    return CallCosts(medians, means, threads, about)


def _table(rows_ns: list[dict[str, float]], names: list[str]) -> pd.DataFrame:
    index = pd.RangeIndex(1, len(rows_ns) + 1, name="round")
    return pd.DataFrame(rows_ns, columns=names, index=index) / 1000


def _outside(shares: Mapping[str, float]) -> str:
    """Return who took much of the cores' time in a round, in words; or nothing."""
    return ", ".join(f"{_EVIDENCE[name]} ({share:.0%})" for name, share in shares.items() if share > DISTURBED)


def _caveats(disturbed: Mapping[int, str], rounds: int, wanted: int) -> Iterator[str]:
    if disturbed and not _few(disturbed, rounds):
        first = next(iter(disturbed.values()))
        yield (
            f"in {len(disturbed)} of {rounds} rounds something else took time of the cores, as in the first of them {first}: "
            "calls that wait for a thread may have cost twice as much as they do otherwise"
        )
    if rounds < min(wanted, MIN_ROUNDS):
        yield f"calls took so long that only {rounds} of {wanted} rounds fitted; give more seconds"


def _few(disturbed: Mapping[int, str], rounds: int) -> bool:
    left = rounds - len(disturbed)
    return left >= MIN_ROUNDS and left >= MIN_LEFT * rounds


def _html_row(cell: str, style: str, first: str, *others: str) -> str:
    cells = f'<{cell} style="{_CELL.format(side="left")};{style}">{first}</{cell}>'
    cells += "".join(f'<{cell} style="{_CELL.format(side="right")};{style}">{other}</{cell}>' for other in others)
    return f'<tr style="border-top:1px solid #dddddd;background:#ffffff">{cells}</tr>'


def _us(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.3g}"


def _bounds(price: Interval) -> str:
    return f"{_us(price.low)} to {_us(price.high)}" if price.known else "unknown"


def _loop(loop: object) -> str:
    if loop not in LOOPS:
        raise ConfigurationError(f"call_costs(loop={loop!r}): expected one of: {', '.join(LOOPS)}")
    return str(loop)


def _whole(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"call_costs({name}={value!r}): expected a whole number from {least} to {most}")
    return value


def _seconds(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not MIN_SECONDS <= value <= MAX_SECONDS:  # type: ignore[operator]
        raise ConfigurationError(
            f"call_costs(seconds={value!r}): expected a number from {MIN_SECONDS:g} to {MAX_SECONDS:g}"
        )
    return float(value)  # type: ignore[arg-type]
