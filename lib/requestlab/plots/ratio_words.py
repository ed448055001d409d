"""What the figure of ratios says in words: its title, and each row's finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER
from requestlab.plots import style
from requestlab.plots.headings import Line, lines
from requestlab.plots.ratio_rows import Cases, Row
from requestlab.system import wording

MAX_INTERVALS = 3
"""Findings whose intervals the title gives; of more, it says only which way they went."""


MAX_NAMED = 4
"""Comparisons that the title calls by name; of more, it says only in how many."""


@dataclass(frozen=True)
class Wording:
    """How one metric is put: over its panel, at the ends of its axis, in a title; `verdicts` that it words otherwise."""

    heading: str
    less: str
    more: str
    times: str
    better: str
    verdicts: Mapping[str, str] = field(default_factory=dict)


_VERDICTS = (FASTER, SLOWER, CANNOT_TELL)
_SHORTER, _LONGER = "shorter: faster", "longer: slower"

WORDINGS = {
    "throughput": Wording(
        "requests per second",
        "fewer: slower",
        "more: faster",
        "answers {} times as many requests per second as",
        "answers more requests per second",
    ),
    **{
        name: Wording(
            f"{what} ({name})",
            _SHORTER,
            _LONGER,
            f"has {{}} times the {what} ({name}) of",
            f"has the shorter {what} ({name})",
        )
        for name, what in {
            "p50": "median response time",
            "p95": "95th percentile of time",
            "p99": "99th percentile of time",
        }.items()
    },
    "cpu_per_request": Wording(
        "CPU time per request",
        "less CPU",
        "more CPU",
        "spends {} times the CPU time per request of",
        "spends less CPU time per request",
        {FASTER: "less CPU", SLOWER: "more CPU"},
    ),
}

_NO_CPU = "the server's CPU time is not known"


def times(value: float) -> str:
    """A ratio with as many digits as mean something: `0.033`, `0.71`, `1.42`, `30.1`, `1,200`."""
    if value < 0.0995:
        return f"{value:#.2g}"
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def found(row: Row) -> str:
    """`1.42 × (1.36 to 1.48)`, or as much of it as is known."""
    ratio = row.ratio
    if ratio.interval.known:
        return f"{times(ratio.value)} × ({times(ratio.low)} to {times(ratio.high)})"
    return f"{times(ratio.value)} ×, no interval" if len(row.each) else "no figure"


def beside(row: Row, metric: str, notes: Sequence[str], most_in: float) -> list[Line]:
    """Return what stands to the right of a row: its ratio and verdict, why there is none, the reader's prediction.

    Where caveats speak against a verdict, their numbers among the `notes` of the figure stand for them.
    """
    ink = style.GREY if row.control else row.face.ink
    bold = row.ratio.verdict != CANNOT_TELL
    text = f"{found(row)}, {_verdict(row.ratio.verdict, metric)}" if bold else found(row)
    said = lines(text, most_in, 9, ink, bold)
    said += [line for part in _remarks(row, metric, notes) for line in lines(part, most_in, color=style.GREY)]
    if row.predicted is not None:
        said += lines(f"your prediction: {wording.number(row.predicted)} ×", most_in)
    return said


def _remarks(row: Row, metric: str, notes: Sequence[str]) -> list[str]:
    if row.ratio.verdict != CANNOT_TELL:
        return ["though it is the same: trust no difference as small"] if row.control else []
    if row.caveats:
        numbers = [str(notes.index(caveat) + 1) for caveat in row.caveats]
        return [f"cannot tell: see note{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)} below"]
    if not row.ratio.interval.known:
        return [f"cannot tell: {_lacking(row, metric)}"]
    if row.control:
        return ["cannot tell, as it should be"]
    return [f"cannot tell: {row.ratio.reason.partition(';')[0].partition(',')[0]}"]


def _lacking(row: Row, metric: str) -> str:
    """Say why there is no interval; where both contenders lack the same, what one of them lacks is enough."""
    why = row.ratio.interval.why.partition("; ")[0]
    return f"{why} ({_NO_CPU})" if row.ratio.interval.rounds == 0 and metric == "cpu_per_request" else why


def title(given: Cases, metric: str, drawn: Sequence[Row], load: str) -> str:
    """Return the finding in the rows of one metric, as one sentence without its full stop."""
    judged = [row for row in drawn if not row.control] or list(drawn)
    occasion = f", {load}" if load and not given.several else ""
    if len(judged) == 1:
        return _sentence(judged[0], metric, occasion)
    heading = WORDINGS[metric].heading
    heading = heading[0].upper() + heading[1:]
    exact = len(judged) <= MAX_INTERVALS
    if len({row.ratio.over for row in judged}) == 1:
        parts = [f"{row.case}: {_outcome(row, metric, exact)}" for row in judged]
        return f"{heading}, {judged[0].ratio.over} over {judged[0].ratio.under} – {'; '.join(parts)}"
    if exact and not given.several:
        parts = [f"{row.ratio.over}: {_outcome(row, metric, exact)}" for row in judged]
    else:
        parts = _by_case(judged, metric) if given.several else _by_verdict(judged, metric)
    return f"{heading}, against {given.baseline}{occasion} – {'; '.join(parts)}"


def _sentence(row: Row, metric: str, occasion: str) -> str:
    wording, ratio = WORDINGS[metric], row.ratio
    bounds = f"({times(ratio.low)} to {times(ratio.high)}"
    if ratio.verdict != CANNOT_TELL:
        over = f"{ratio.over} (A/A)" if row.control else ratio.over
        return f"{over} {wording.times.format(times(ratio.value))} {ratio.under} {bounds}){occasion}"
    if row.caveats or not ratio.interval.known:
        bounds, occasion = "", f"{occasion}: {row.caveats[0] if row.caveats else _lacking(row, metric)}"
    else:
        bounds = f" {bounds} times)"
    if row.control:
        return f"{ratio.under} cannot be told from itself (A/A) by its {wording.heading}{bounds}{occasion}"
    return f"Cannot tell which of {ratio.over} and {ratio.under} {wording.better}{bounds}{occasion}"


def _outcome(row: Row, metric: str, exact: bool) -> str:
    ratio = row.ratio
    if ratio.verdict == CANNOT_TELL:
        return CANNOT_TELL
    bounds = f" ({times(ratio.low)} to {times(ratio.high)})" if exact else ""
    return f"{times(ratio.value)} ×{bounds}, {_verdict(ratio.verdict, metric)}"


def _by_verdict(judged: Sequence[Row], metric: str) -> list[str]:
    """Return for each verdict which contenders have it."""
    groups = [(said, [row.ratio.over for row in judged if row.ratio.verdict == said]) for said in _VERDICTS]
    return [f"{_verdict(said, metric)}: {_listed(who)}" for said, who in groups if who]


def _by_case(judged: Sequence[Row], metric: str) -> list[str]:
    """Return for each contender which verdict it has in which case."""
    cases = len({row.case for row in judged})
    return [
        f"{label}: {_cases_of([row for row in judged if row.ratio.over == label], metric, cases)}"
        for label in dict.fromkeys(row.ratio.over for row in judged)
    ]


def _cases_of(judged: Sequence[Row], metric: str, cases: int) -> str:
    groups = [(said, [row.case for row in judged if row.ratio.verdict == said]) for said in _VERDICTS]
    groups = [(said, names) for said, names in groups if names]
    if len(groups) == 1 and len(judged) == cases:
        return f"{_verdict(groups[0][0], metric)} in all"
    if cases > MAX_NAMED:
        return ", ".join(f"{_verdict(said, metric)} in {len(names)} of {len(judged)}" for said, names in groups)
    return ", ".join(f"{_verdict(said, metric)} ({_listed(names)})" for said, names in groups)


def _verdict(said: str, metric: str) -> str:
    return WORDINGS[metric].verdicts.get(said, said)


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`; a name with a comma of its own in quotation marks."""
    *others, last = [f"“{name}”" if ", " in name else name for name in names]
    return f"{', '.join(others)} and {last}" if others else last
