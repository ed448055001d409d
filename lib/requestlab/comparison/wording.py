"""A comparison in words, told once: the command line prints these, and the figure of ratios has them in title, rows and
small print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from requestlab.comparison.comparison import ANSWERED, CANNOT_TELL, FASTER, SLOWER, Comparison, Ratio
from requestlab.comparison.intervals import Interval
from requestlab.system.wording import counted, listed, times

MAX_INTERVALS = 3
"""Findings whose intervals a title gives; of more, it says only which way they went."""

MAX_NAMED = 4
"""Comparisons that a title calls by name; of more, it says only in how many."""

MAX_KINDS = 3
"""Kinds of disturbance that are named; what is rarer is counted together."""


@dataclass(frozen=True)
class Phrases:
    """How one metric is put: as a heading, at the two ends of an axis, with a ratio (`times`), without one (`better`);
    and the `verdicts` that it words otherwise."""

    heading: str
    less: str
    more: str
    times: str
    better: str
    verdicts: Mapping[str, str] = field(default_factory=dict)


def _of_time(what: str) -> Phrases:
    return Phrases(
        what, "shorter: faster", "longer: slower", f"has {{}} times the {what} of", f"has the shorter {what}"
    )


PHRASES = {
    "throughput": Phrases(
        "requests per second",
        "fewer: slower",
        "more: faster",
        "answers {} times as many requests per second as",
        "answers more requests per second",
    ),
    "p50": _of_time("median response time (p50)"),
    "p95": _of_time("95th percentile of time (p95)"),
    "p99": _of_time("99th percentile of time (p99)"),
    "cpu_per_request": Phrases(
        "CPU time per request",
        "less CPU",
        "more CPU",
        "spends {} times the CPU time per request of",
        "spends less CPU time per request",
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
    """Return what a row of the figure says below its ratio, or nothing; `notes` are the caveats that stand below the
    figure."""
    ratio = one.ratio
    if ratio.verdict != CANNOT_TELL:
        return TRUST_NOTHING if one.control else ""
    if ratio.caveats:
        numbers = [str(notes.index(caveat) + 1) for caveat in ratio.caveats]
        return f"{CANNOT_TELL}: see note{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)} below"
    if one.control and ratio.interval.known:
        return f"{CANNOT_TELL}, as it should be"
    why = reason(ratio).partition(",")[0] if ratio.interval.known else reason(ratio)
    return f"{CANNOT_TELL}: {why}"


def title(findings: Sequence[Finding], baseline: str, load: str = "", several: bool = False) -> str:
    """Return what the ratios of one metric say, as one sentence without its full stop.

    `load` is what all contenders were under, if that is alike; `several` says that there is more than one comparison.
    """
    judged = [one for one in findings if not one.control] or list(findings)
    ratios = [one.ratio for one in judged]
    occasion = f", {load}" if load and not several else ""
    if len(judged) == 1:
        return _title_of_one(judged[0], occasion)
    heading = PHRASES[ratios[0].metric].heading
    heading = heading[0].upper() + heading[1:]
    exact = len(judged) <= MAX_INTERVALS
    if len({ratio.over for ratio in ratios}) == 1:
        parts = [f"{one.case}: {_outcome(one.ratio, exact)}" for one in judged]
        return f"{heading}, {ratios[0].over} over {ratios[0].under} – {'; '.join(parts)}"
    if several:
        parts = _by_contender(judged)
    elif exact:
        parts = [f"{ratio.over}: {_outcome(ratio, exact)}" for ratio in ratios]
    else:
        parts = [f"{word}: {listed(who)}" for word, who in _by_verdict(judged, lambda one: one.ratio.over)]
    return f"{heading}, against {baseline}{occasion} – {'; '.join(parts)}"


def _title_of_one(one: Finding, occasion: str) -> str:
    ratio, phrases = one.ratio, PHRASES[one.ratio.metric]
    if ratio.verdict != CANNOT_TELL:
        over = f"{ratio.over} (A/A)" if one.control else ratio.over
        return f"{over} {phrases.times.format(times(ratio.value))} {ratio.under} ({_bounds(ratio)}){occasion}"
    if ratio.caveats or not ratio.interval.known:
        rest = f"{occasion}: {ratio.caveats[0] if ratio.caveats else reason(ratio)}"
    else:
        rest = f" ({_bounds(ratio)} times){occasion}"
    if one.control:
        return f"{ratio.under} cannot be told from itself (A/A) by its {phrases.heading}{rest}"
    return f"Cannot tell which of {ratio.over} and {ratio.under} {phrases.better}{rest}"


def _outcome(ratio: Ratio, exact: bool) -> str:
    if ratio.verdict == CANNOT_TELL:
        return CANNOT_TELL
    return f"{found(ratio) if exact else f'{times(ratio.value)} ×'}, {verdict(ratio)}"


def _by_verdict(judged: Sequence[Finding], name: Callable[[Finding], str]) -> list[tuple[str, list[str]]]:
    groups = ([one for one in judged if one.ratio.verdict == word] for word in (FASTER, SLOWER, CANNOT_TELL))
    return [(verdict(some[0].ratio), [name(one) for one in some]) for some in groups if some]


def _by_contender(judged: Sequence[Finding]) -> list[str]:
    cases = len({one.case for one in judged})
    return [
        f"{label}: {_in_which_cases([one for one in judged if one.ratio.over == label], cases)}"
        for label in dict.fromkeys(one.ratio.over for one in judged)
    ]


def _in_which_cases(judged: Sequence[Finding], cases: int) -> str:
    groups = _by_verdict(judged, lambda one: one.case)
    if len(groups) == 1 and len(judged) == cases:
        return f"{groups[0][0]} in all"
    if cases > MAX_NAMED:
        return ", ".join(f"{word} in {len(names)} of {len(judged)}" for word, names in groups)
    return ", ".join(f"{word} ({listed(names)})" for word, names in groups)


def along(label: str, judged: Sequence[tuple[str, Ratio]]) -> str:
    """Return how a contender fares at several places: `async is slower at 0 %, faster at 50 % and 90 % (up to 4.97
    times)`."""
    words = {SLOWER: "slower at", CANNOT_TELL: "not told apart at", FASTER: "faster at"}
    where = {word: [place for place, ratio in judged if ratio.verdict == word] for word in words}
    parts = [f"{words[word]} {listed(places)}" for word, places in where.items() if places]
    if faster := where[FASTER]:
        most = times(max(ratio.value for _, ratio in judged if ratio.verdict == FASTER))
        parts[-1] += f" ({'up to ' if len(faster) > 1 else ''}{most} times)"
    return f"{label} is {', '.join(parts)}"


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
        "borrowed": f"{about.borrowed:.1f} s that others left over" if about.borrowed else "",
        "dropped": dropped(result),
        "disturbed": f"but counted, since so many are: {kinds(result.disturbed)}" if result.disturbed else "",
        "suspect": suspect and f"{len(suspect):,} slices, one because {suspect[0].summary['reasons'][0]}",
        "connections": each_or_all({label: _connections(result, label) for label in result.labels}, ": "),
        "interval after rounds": each_or_all({label: course(result, label) for label in result.labels[1:]}, ": "),
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


def ended(results: Iterable[Comparison]) -> str:
    """Return in a few words whether what was asked is answered, and after how many rounds."""
    several = list(results)
    tried = [len({part.round for part in result.slices}) for result in several]
    rounds = " to ".join(dict.fromkeys(str(end(tried, default=0)) for end in (min, max)))
    words = f"{rounds} round{'' if rounds == '1' else 's'}"
    asked = [result for result in several if result.about.asked]
    answered = sum(result.about.stopped == ANSWERED for result in asked)
    if not asked:
        return words
    if answered == len(asked):
        return f"what was asked is answered after {words}"
    if answered == 0:
        return f"what was asked is not answered in {words}"
    return f"what was asked is answered in {answered} of {len(asked)}, after {words}"


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
