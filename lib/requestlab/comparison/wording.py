"""A comparison in words, told once: the command line prints these, and the figure of ratios has them in title, rows and
small print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER, Comparison, Ratio
from requestlab.comparison.intervals import Interval
from requestlab.system.wording import counted, listed, often, times

MAX_WORDS = 15
"""The words of a title; the numbers stand beside what is drawn."""

MAX_TOLD = 3
"""Contenders whose ratios a title gives; of more, it says only which way they went."""

NEARLY = 0.08
"""By how much a ratio may miss the round number that a title gives in its place."""

WIDE = 2.0
"""From an interval as wide as this factor on, a title gives its two ends in place of the ratio."""

_PARTS = ("half", "a third", "a quarter", "a fifth", "a sixth", "a seventh", "an eighth", "a ninth", "a tenth")

MAX_KINDS = 3
"""Kinds of disturbance that are named; what is rarer is counted together."""


@dataclass(frozen=True)
class Phrases:
    """How one metric is put: as a heading, at the two ends of an axis, with a ratio in a sentence (`times`) or a title
    (`about`); and the `verdicts` that it words otherwise."""

    heading: str
    less: str
    more: str
    times: str
    about: str
    verdicts: Mapping[str, str] = field(default_factory=dict)


def _of_time(what: str, short: str) -> Phrases:
    times, about = f"has {{}} times the {what} of", f"takes {{}} as long as {{}} ({short})"
    return Phrases(what, "shorter: faster", "longer: slower", times, about)


PHRASES = {
    "throughput": Phrases(
        "requests per second",
        "fewer: slower",
        "more: faster",
        "answers {} times as many requests per second as",
        "answers {} as many as {}",
    ),
    "p50": _of_time("median response time (p50)", "median"),
    "p95": _of_time("95th percentile of time (p95)", "p95"),
    "p99": _of_time("99th percentile of time (p99)", "p99"),
    "cpu_per_request": Phrases(
        "CPU time per request",
        "less CPU",
        "more CPU",
        "spends {} times the CPU time per request of",
        "spends {} as much CPU time as {}",
        {FASTER: "less CPU", SLOWER: "more CPU"},
    ),
}
"""Each metric of a comparison in words."""


# One ratio


def verdict(ratio: Ratio) -> str:
    """Return the verdict on a ratio as its metric has it: `faster`, `less CPU`."""
    return PHRASES[ratio.metric].verdicts.get(ratio.verdict, ratio.verdict)


def found(ratio: Ratio) -> str:
    """Return `1.42 × (1.36 to 1.48)`, or as much of it as is known."""
    if ratio.interval.known:
        return f"{times(ratio.value)} × ({_bounds(ratio)})"
    return f"{times(ratio.value)} ×, no interval" if ratio.interval.rounds else "no figure"


def reason(ratio: Ratio) -> str:
    """Return why there is no verdict: the first reason is enough."""
    return ratio.reason.partition("; ")[0]


def sentence(ratio: Ratio) -> str:
    """Return a finding as a reader would say it, with the reason where there is no verdict."""
    phrases = PHRASES[ratio.metric]
    said = f"{ratio.over} {phrases.times.format(times(ratio.value))} {ratio.under}"
    if ratio.interval.known:
        said += f" ({_bounds(ratio)})"
    elif ratio.interval.rounds == 0:
        said = f"{ratio.over} against {ratio.under}, {phrases.heading}"
    if ratio.verdict != CANNOT_TELL:
        return f"{said}: {verdict(ratio)}"
    return f"{said}: {CANNOT_TELL}, {'for the caveats below' if ratio.caveats else reason(ratio)}"


def control_sentence(ratio: Ratio) -> str:
    """Return what became of a baseline against itself (A/A), and what follows."""
    if ratio.verdict != CANNOT_TELL:
        return f"{sentence(ratio)}, {TRUST_NOTHING}"
    return f"{sentence(ratio)}; as it should be" if ratio.interval.known else sentence(ratio)


TRUST_NOTHING = "though it is the same: trust no difference as small"
"""What is to be said of a control that won against itself."""


def _bounds(ratio: Ratio) -> str:
    return f"{times(ratio.low)} to {times(ratio.high)}"


# The title of a figure: several ratios, of one comparison or of several


@dataclass(frozen=True)
class Finding:
    """One ratio in a figure: in which `case` of several comparisons, and whether it is the A/A `control`."""

    ratio: Ratio
    case: str = ""
    control: bool = False


def remark(one: Finding, notes: Sequence[str]) -> str:
    """Return what a row of the figure says below its ratio, or nothing; `notes` are the caveats that are numbered
    there."""
    ratio = one.ratio
    if ratio.verdict != CANNOT_TELL:
        return TRUST_NOTHING if one.control else ""
    if ratio.caveats:
        numbers = [str(notes.index(caveat) + 1) for caveat in ratio.caveats]
        return f"{CANNOT_TELL}: see note{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"
    if one.control and ratio.interval.known:
        return f"{CANNOT_TELL}, as it should be"
    why = reason(ratio).partition(",")[0] if ratio.interval.known else reason(ratio)
    return f"{CANNOT_TELL}: {why}"


def brief(*titles: str) -> str:
    """Return the first of these titles that has no more than `MAX_WORDS`, or else the last."""
    return next((one for one in titles if len(one.split()) <= MAX_WORDS), titles[-1])


def about(value: float) -> str:
    """Return a ratio as one says it, to go before `as many`: `about a third`, `about twice`, `1.4 times`."""
    whole, part = round(value), round(1 / value)
    if value > 1.9 and abs(value / whole - 1) < NEARLY:
        return "about twice" if whole == 2 else f"about {whole:,} times"
    if 2 <= part <= len(_PARTS) + 1 and abs(value * part - 1) < NEARLY:
        return f"about {_PARTS[part - 2]}"
    return f"{_short(value)} times"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}" if 0.9 < value < 1.1 else f"{value:.2g}"


def title(
    findings: Sequence[Finding],
    baseline: str,
    load: str = "",
    several: bool = False,
    controls: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return what the ratios of one metric say, as one sentence without its full stop.

    `load` is what all contenders were under, if that is alike; `several` says that there is more than one comparison;
    `controls` are, for each case, those in which the cause of its gain is missing.
    """
    judged = [one for one in findings if not one.control] or list(findings)
    occasion = f", {load}" if load and not several else ""
    if controls:
        return _without_the_cause(judged, controls)
    if len(judged) == 1:
        return brief(*_titles_of_one(judged[0], occasion))
    return brief(*(_titles_of_cases(judged, baseline) if several else _titles_of_many(judged, baseline, occasion)))


def _told(ratio: Ratio, size: str = "") -> str:
    return f"{ratio.over} {PHRASES[ratio.metric].about.format(size or _size(ratio), ratio.under)}"


def _size(ratio: Ratio) -> str:
    if ratio.interval.known and ratio.high > WIDE * ratio.low:
        return f"{_short(ratio.low)} to {_short(ratio.high)} times"
    return about(ratio.value)


def _titles_of_one(one: Finding, occasion: str) -> Sequence[str]:
    ratio = one.ratio
    if ratio.verdict != CANNOT_TELL:
        told = f"{_told(ratio)} (A/A), though it is the same" if one.control else _told(ratio)
        return f"{told}{occasion}", told
    names = f"Cannot tell {ratio.under} from {'itself (A/A)' if one.control else ratio.over}"
    said = f"{names} by {PHRASES[ratio.metric].heading}"
    if ratio.caveats or not ratio.interval.known:
        return f"{said}{occasion}", said, names
    apart = f"at most {max(ratio.high, 1 / ratio.low) - 1:.0%} apart"
    return f"{said}{occasion}: {apart}", f"{said}: {apart}", f"{names}: {apart}", names


def _titles_of_many(judged: Sequence[Finding], baseline: str, occasion: str) -> Iterator[str]:
    """Yield what became of several contenders of one comparison, at ever less length."""
    ratios = [one.ratio for one in judged]
    if len(ratios) <= MAX_TOLD and all(ratio.verdict != CANNOT_TELL for ratio in ratios):
        told = ", ".join([_told(ratios[0]), *(f"{one.over} {_size(one)}" for one in ratios[1:])])
        yield f"{told}{occasion}"
        yield told
    groups = _by_verdict(judged, lambda one: one.ratio.over)
    named = "; ".join(f"{word}: {listed(who)}" for word, who in groups)
    yield f"Against {baseline}{occasion} – {named}"
    yield f"Against {baseline} – {named}"
    if {ratio.verdict for ratio in ratios} == {CANNOT_TELL}:
        yield f"Cannot tell any of {len(judged)} contenders from {baseline}"
    counts = ", ".join(f"{len(who)} {word}" for word, who in groups)
    yield f"Of {len(judged)} contenders, against {baseline}: {counts}"
    yield f"Of {len(judged)} contenders, against the first: {counts}"


def _titles_of_cases(judged: Sequence[Finding], baseline: str) -> Iterator[str]:
    """Yield what became of contenders in several comparisons, at ever less length."""
    by_label = _by_label(judged)
    cases = list(dict.fromkeys(one.case for one in judged))
    ratios = [one.ratio for one in judged]
    if len(by_label) == 1 and {ratio.verdict for ratio in ratios} in ({FASTER}, {SLOWER}):
        low, high = (end(ratio.value for ratio in ratios) for end in (min, max))
        told = _told(ratios[0], "" if about(low) == about(high) else f"{_short(low)} to {_short(high)} times")
        yield f"{told}, {_all_of(cases)}"
        yield f"{told}, in all {len(cases)} cases"
    for named in (True, False):
        said: dict[str, list[str]] = {}
        for label, own in by_label.items():
            groups = _by_verdict(own, lambda one: one.case)
            where = [f"({listed(who)})" if named else f"in {len(who)} of {len(own)}" for _, who in groups]
            where = ["in all"] if len(groups) == 1 and len(own) == len(cases) else where
            how = ", ".join(f"{word} {place}" for (word, _), place in zip(groups, where, strict=True))
            said.setdefault(how, []).append(label)
        yield f"Against {baseline} – {'; '.join(f'{listed(labels)}: {how}' for how, labels in said.items())}"
    counts = ", ".join(f"{word} {often(len(who))}" for word, who in _by_verdict(judged, lambda one: one.case))
    yield f"Against {baseline}: {counts}"
    yield counts


def _without_the_cause(judged: Sequence[Finding], controls: Mapping[str, Sequence[str]]) -> str:
    """Return in how many cases each contender is faster, and in how many of these it no longer is without the cause."""
    said: dict[str, list[str]] = {}
    short = []
    for label, own in _by_label(judged).items():
        ratios = {one.case: one.ratio for one in own}
        cases = [case for case in controls if case in ratios]
        faster = [case for case in cases if ratios[case].verdict == FASTER]
        fates = [_fate(ratios[case], [ratios[one] for one in controls[case] if one in ratios]) for case in faster]
        counts = Counter(GONE if fate == SLOWER else fate for fate in fates)
        some = [word for word in (GONE, SMALLER, STILL_THERE, CANNOT_TELL) if counts[word]]
        where = "in every case" if len(faster) == len(cases) else f"in {len(faster)} of {len(cases)}"
        none = CANNOT_TELL if any(ratios[case].verdict == CANNOT_TELL for case in cases) else "no gain"
        if not faster:
            how = none if len(cases) == 1 else f"{none} in any of {len(cases)} cases"
        elif set(fates) == {SLOWER}:
            how = f"faster {where}, and without its cause slower"
        else:
            each = some if len(some) == 1 else [f"{word} in {counts[word]}" for word in some]
            how = f"faster {where}; without its cause {', '.join(each)}"
        said.setdefault(how, []).append(label)
        first = some[0] if some else none
        number = f" in {counts[first]} of {len(faster)}" if some and len(faster) > 1 else ""
        short.append(f"{label}: {first}{number}")
    told = [f"{listed(labels)}: {how}" for how, labels in said.items()]
    return brief("; ".join(told), *(said if len(said) == 1 else ()), f"The gain without its cause – {'; '.join(short)}")


GONE, SMALLER, STILL_THERE = "gone", "smaller", "still there"


def _fate(gain: Ratio, without: Sequence[Ratio]) -> str:
    """Return what became of a gain where its cause is missing: SLOWER, GONE (equals), SMALLER (all of the interval lies
    below that of the gain), STILL_THERE, or CANNOT_TELL."""
    if not without:
        return CANNOT_TELL
    if all(ratio.verdict == SLOWER for ratio in without):
        return SLOWER
    if all(ratio.settled and ratio.verdict != FASTER for ratio in without):
        return GONE
    if all(ratio.interval.known and ratio.high < gain.low for ratio in without):
        return SMALLER
    return STILL_THERE if any(ratio.verdict == FASTER for ratio in without) else CANNOT_TELL


def _by_label(judged: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in judged:
        found.setdefault(one.ratio.over, []).append(one)
    return found


def _by_verdict(judged: Sequence[Finding], name: Callable[[Finding], str]) -> list[tuple[str, list[str]]]:
    groups = ([one for one in judged if one.ratio.verdict == word] for word in (FASTER, SLOWER, CANNOT_TELL))
    return [(verdict(some[0].ratio), [name(one) for one in some]) for some in groups if some]


def _all_of(cases: Sequence[str]) -> str:
    """Return the names of all cases: `with 1, 10 and 50 users`."""
    heads, units = zip(*(case.rpartition(" ")[::2] for case in cases), strict=True)
    return f"with {listed(heads)} users" if {unit.removesuffix("s") for unit in units} == {"user"} else listed(cases)


def resolved(results: Iterable[Comparison]) -> str:
    """Return how far apart the throughputs of equals came out in these comparisons, by their A/A controls."""
    known = [one for result in results if (one := result.resolution) is not None and one.known]
    if not known:
        return "There were too few rounds to say how far apart equals come out today"
    low, high = times(min(one.low for one in known)), times(max(one.high for one in known))
    return f"On this machine today, equals come out at {low} to {high} times each other in requests per second"


# How it was measured


def circumstances(result: Comparison) -> dict[str, str]:
    """Return how a comparison was measured, as names and values."""
    about = result.about
    paths, loads = (each_or_all({label: of[label] for label in result.labels}) for of in (about.paths, about.loads))
    tried = len({part.round for part in result.slices})
    whole = "" if result.complete == tried else f", {result.complete} of them whole"
    suspect = [part.run for part in result.slices if not part.dropped and part.run.summary["validity"] == "suspect"]
    told = {
        "asked": f"{paths} under {loads}",
        "rounds": f"{tried}{whole}, slices of {_lengths(result)} s, order shuffled, seed {about.seed}",
        "wanted": listed(about.asked) if about.asked else "",
        "stopped": f"because {about.stopped}",
        "dependent": _of_intervals(result, lambda found: found.dependent),
        "held up": _of_intervals(result, lambda found: found.held_up),
        "borrowed": f"{about.borrowed:.1f} s that clearer comparisons did not need" if about.borrowed else "",
        "dropped": dropped(result),
        "disturbed": f"but counted, since so many are: {kinds(result.disturbed)}" if result.disturbed else "",
        "suspect": suspect and f"{len(suspect):,} slices, one because {suspect[0].summary['reasons'][0]}",
        "connections": each_or_all({label: _connections(result, label) for label in result.labels}, ": "),
        "throughput after rounds": each_or_all({label: course(result, label) for label in result.labels[1:]}, ": "),
    }
    return {name: str(value) for name, value in told.items() if value}


def _of_intervals(result: Comparison, words: Callable[[Interval], str]) -> str:
    """Return what there is to say of the intervals over the baseline, by contender."""
    said = {label: words(result.ratio(label, result.labels[0]).interval) for label in result.all_labels[1:]}
    return "; ".join(f"{label}: {why}" for label, why in said.items() if why)


def _lengths(result: Comparison) -> str:
    """Return how long the slices were, `0.5` or `0.5 to 1.2`."""
    ends = [min, max]
    lengths = [f"{end(part.run.seconds for part in result.slices):.2g}" for end in ends] if result.slices else []
    return " to ".join(dict.fromkeys(lengths)) or f"{result.about.seconds:g}"


SHOWN_ROUNDS = (4, 5, 6, 8, 12, 20, 40, 80, 160, 320)
"""After so many rounds, and at the end, it is shown how far an interval had shrunk."""


def course(result: Comparison, label: str) -> str:
    """Return how the interval of throughput over the baseline's shrank: `4: 0.61 to 2.9, 5: 0.97 to 1.8`."""
    table = result.course(label, result.labels[0])
    shown = table[table.index.isin(SHOWN_ROUNDS) | (table.index == table.index.max())]
    bounds = zip(shown.index, shown["low"].tolist(), shown["high"].tolist(), strict=True)
    return ", ".join(f"{rounds}: {times(low)} to {times(high)}" for rounds, low, high in bounds)


def circumstances_of(results: Mapping[str, Comparison]) -> dict[str, str]:
    """Return that of several comparisons by name; what is alike in all of them is said once."""
    told = {case: circumstances(result) for case, result in results.items()}
    names = dict.fromkeys(name for facts in told.values() for name in facts)
    return {name: each_or_all({case: facts.get(name, "none") for case, facts in told.items()}, ": ") for name in names}


def dropped(result: Comparison) -> str:
    """Return how many slices do not count, and why."""
    why = f", for evidence from outside: {kinds(result.dropped_why)}" if result.dropped else ""
    return f"{result.dropped:,} of {len(result.slices):,} slices{why}"


def kinds(counts: Mapping[str, int]) -> str:
    """Return `steal (12), other processes (3)`, the most frequent first."""
    said = [f"{why.replace(', ', ' and ')} ({number:,})" for why, number in Counter(counts).most_common(MAX_KINDS)]
    if len(counts) > MAX_KINDS:
        said.append(f"other reasons ({sum(sorted(counts.values())[:-MAX_KINDS]):,})")
    return ", ".join(said)


def _connections(result: Comparison, label: str) -> str:
    runs = result.runs(label)
    opened, sent = sum(run.connections for run in runs), sum(len(run.samples) for run in runs)
    return f"{opened:,} for {counted(sent, 'request')}"


def common_load(result: Comparison) -> str:
    """Return the load that all contenders were under, or nothing where they differ."""
    loads = set(result.about.loads.values())
    return loads.pop() if len(loads) == 1 else ""


def each_or_all(texts: Mapping[str, str], between: str = " ") -> str:
    """Return `10 users`, or `sync 1 user; async 10 users` where they differ; names with the same text stand
    together. Nothing, of nothing."""
    alike: dict[str, list[str]] = {}
    for name, text in texts.items():
        alike.setdefault(text, []).append(name)
    if len(alike) <= 1:
        return next(iter(alike), "")
    parts = [f"{' and '.join(names)}{between}{text}" for text, names in alike.items()]
    return (" · " if between == ": " else "; ").join(parts)
