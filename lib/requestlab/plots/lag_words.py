"""What the lag figure says in words: its title, the verdict with advice, and how it is to be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from requestlab.measurement.lag import MAXIMUM_LIMIT_MS, MEDIAN_LIMIT_MS, NOT_SCHEDULED, Block, Culprit, Loop, culprits
from requestlab.system import wording
from requestlab.worker.heartbeat import EVERY_NS

NEGLIGIBLE = 0.01
"""A culprit that caused less than this share of the waiting that the first one caused is not in the title."""

MUCH = 0.1
"""A loop that was held up for more than this share of the time gets advice even where no limit is reached."""

_VERBS = {"blocking code": "blocked", "blocking call": "blocked"}

_ADVICE = {
    "blocking code": "compute in another process; a thread (sync_to_async) frees the loop too, but shares the GIL with it.",
    "blocking call": (
        "await the call's async twin (asyncio.sleep for time.sleep, an async client), or hand it to a thread with sync_to_async."
    ),
    "GIL held elsewhere": (
        "leave the loop's code alone and move the computation of the other thread to another process: each time the loop wants "
        "to run, that thread keeps the GIL for up to a switch interval, 5 ms unless set."
    ),
    NOT_SCHEDULED: "before blaming code, measure on a quieter machine or with fewer workers: this one had no core to spare.",
    "unknown": "measure again, for longer: too little is known of these stretches.",
}
_NO_CULPRIT = "measure again, for longer: nothing that held it up has been seen."

LIMITS = (
    f"Limits as in Clinic.js Doctor: a median of {MEDIAN_LIMIT_MS:g} ms, for then nobody is served for so long, again and again; a "
    f"maximum of {MAXIMUM_LIMIT_MS:g} ms, for even one such stop is felt by every request of the worker."
)
_SHADED = (
    "Shaded, the loop was held up: solid orange, its own thread computed; hatched orange, it waited in a call; grey, it could "
    "not run, or nobody knows. "
)


@dataclass(frozen=True)
class LagFinding:
    """The loops of one run, with the run's label."""

    label: str
    loops: Sequence[Loop]

    @property
    def worst(self) -> Loop:
        return max(self.loops, key=lambda loop: loop.max_ms)

    @property
    def troubled(self) -> bool:
        """Whether a loop reaches a limit."""
        return any(any(loop.too_late) for loop in self.loops)

    @property
    def much(self) -> bool:
        """Whether a loop was held up for much of the time."""
        return any(loop.held_up > MUCH for loop in self.loops)

    @property
    def culprits(self) -> list[Culprit]:
        return culprits(self.loops)


def title(told: Sequence[LagFinding]) -> str:
    """Return the finding, one sentence without its full stop."""
    if len(told) > 1:
        return f"How long the event loop was held up at most: {wording.joined([_of_several(one) for one in told])}"
    one = told[0]
    if not one.culprits:
        which = "The event loop was never" if len(one.loops) == 1 else f"None of {len(one.loops)} event loops was"
        return f"{which} held up: no callback would have waited longer than {shown_ms(one.worst.max_ms)}"
    first = one.culprits[0]
    more = [block for culprit in weighty(one.culprits)[1:] for block in culprit.blocks]
    otherwise = f"; {_times(more)} otherwise" if more else ""
    happened = f"{_VERBS.get(first.cause, 'held up')} {_times(first.blocks)} by {_blame(first)}{otherwise}"
    return f"{_subject(one, first)} {happened}{'' if one.troubled or one.much else ': no problem'}"


def _subject(one: LagFinding, culprit: Culprit) -> str:
    if len(one.loops) == 1:
        return "The event loop was"
    stuck = sum(any(block in culprit.blocks for block in loop.blocks) for loop in one.loops)
    which = f"All {stuck}" if stuck == len(one.loops) else f"{stuck} of {len(one.loops)}"
    return f"{which} event loops {'was' if stuck == 1 else 'were'}"


def _times(blocks: Sequence[Block]) -> str:
    longest = wording.ms(max(block.ms for block in blocks))
    return f"once for {longest} ms" if len(blocks) == 1 else f"{_often(len(blocks))} for up to {longest} ms"


def _often(number: int) -> str:
    return "twice" if number == 2 else f"{number:,} times"


def _blame(culprit: Culprit) -> str:
    block = culprit.seen
    place = f"{block.function} ({block.where})" if block.function and block.where else block.function or block.where
    place = f"{place}{_in_view(block)}" if culprit.placed else ""
    if culprit.cause == NOT_SCHEDULED:
        return f"the operating system, which gave it no core{f' while it was in {place}' if place else ''}"
    if culprit.cause == "GIL held elsewhere":
        return f"{place}, on another thread that held the GIL" if place else "another thread that held the GIL"
    if culprit.cause == "blocking call":
        return f"a blocking call in {place}" if place else "a blocking call"
    if culprit.cause == "blocking code":
        return place or "code that computed on it"
    return f"something unknown in {place}" if place else "something unknown"


def weighty(found: Sequence[Culprit]) -> list[Culprit]:
    """Return the culprits that caused more than a negligible part of the waiting that the first one caused."""
    return [culprit for culprit in found if culprit.cost > NEGLIGIBLE * found[0].cost]


def _of_several(one: LagFinding) -> str:
    if not one.culprits:
        return f"never under {one.label}"
    culprit = max(one.culprits, key=lambda culprit: culprit.longest.ms)
    reason = label_of(culprit, length=False)
    return f"{wording.ms(culprit.longest.ms)} ms under {one.label} ({reason})"


def place_of(block: Block) -> str:
    """Return function, file and line in words, as far as they are known."""
    return ", ".join(part for part in (block.function, block.where) if part) + _in_view(block)


def _in_view(block: Block) -> str:
    """Say in which view it was, unless the function is the view."""
    view = block.view.rpartition(".")[2]
    return f" in view {view}" if view and view != block.function else ""


def label_of(culprit: Culprit, length: bool = True) -> str:
    """Return what stands beside the longest block of a culprit: place, cause and length in two lines, or without length in one."""
    number, longest = len(culprit.blocks), culprit.longest
    place = place_of(culprit.seen) if culprit.placed else ""
    if not length:
        return f"{longest.cause} in {place}" if place else longest.cause
    often = "" if number == 1 else f"{_often(number)}, up to "
    return (
        f"{place}\n{longest.cause}: {often}{wording.ms(longest.ms)} ms"
        if place
        else f"{longest.cause}:\n{often}{wording.ms(longest.ms)} ms"
    )


def verdict(loop: Loop) -> str:
    """Return whether a loop has a problem by the limits, and why: `a problem: maximum 301 ms (limit 100 ms)`."""
    median, maximum = loop.percentile(50), loop.max_ms
    figures = [
        f"median {shown_ms(median)} (limit {MEDIAN_LIMIT_MS:g} ms)",
        f"maximum {'over ' if loop.pending.any() else ''}{shown_ms(maximum)} (limit {MAXIMUM_LIMIT_MS:g} ms)",
    ]
    over = [text for text, too_late in zip(figures, loop.too_late, strict=True) if too_late]
    share = f"held up for {percent(loop.held_up)} of the time"
    if over:
        return f"a problem: {' and '.join(over)}{f'; {share}' if loop.blocks else ''}"
    if loop.held_up > MUCH:
        return f"below the limits: {', '.join(figures)}; but {share}"
    return f"no problem: {', '.join(figures)}"


def shown_ms(value: float) -> str:
    """A lateness with its unit; timers that fire early, and what is too short to mean anything, are on time."""
    return f"{wording.ms(value)} ms" if value >= 0.005 else "0 ms"


def advice(told: Sequence[LagFinding]) -> str:
    """Return one sentence of advice for the run whose loop was latest, or that there is nothing to do."""
    troubled, much = [one for one in told if one.troubled], [one for one in told if one.much]
    if not troubled and not much:
        return "Nothing to do: no limit is reached."
    worst = max(troubled or much, key=lambda one: one.worst.max_ms)
    under = f" under {worst.label}" if len(told) > 1 else ""
    found = worst.culprits
    do = _ADVICE.get(found[0].cause, _ADVICE["unknown"]) if found else _NO_CULPRIT
    share = percent(max(loop.held_up for loop in worst.loops))
    prefix = "" if troubled else f"No limit is reached, but for {share} of the time something held up the loop. "
    return f"{prefix}What to do{under}: {do}"


def tied(text: str) -> str:
    """Return a text that is not broken between a number and its unit."""
    return re.sub(r"(?<=\d) (?=ms\b)", "\N{NO-BREAK SPACE}", text)


def percent(share: float) -> str:
    """A share of 0 to 1 in percent."""
    return f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def explanation(told: Sequence[LagFinding]) -> str:
    """Return how the figure is to be read."""
    return (
        f"A dot is one tick of a heartbeat, a callback due on the loop every {EVERY_NS / 1e6:g} ms; any other callback due at that "
        "moment would have run as late. Right: the same sorted, that is, for which share of the time a callback would have waited "
        f"no longer. {_SHADED if any(one.culprits for one in told) else ''}{LIMITS}"
    )
