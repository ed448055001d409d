"""claim(): one of the statements on trial, and how evidence measured on this machine becomes a verdict on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from numbers import Real
from typing import Any

from requestlab.claims import ledger
from requestlab.claims.statement import (
    CANNOT_TELL,
    MEASURES,
    NEITHER,
    OWN,
    REFUTED,
    SUPPORTED,
    Region,
    Rule,
    Statement,
    find,
    remember,
)
from requestlab.claims.verdict import Finding, Verdict
from requestlab.comparison.comparison import ALIKE, METRICS, Comparison, Ratio
from requestlab.comparison.intervals import Interval
from requestlab.errors import ConfigurationError
from requestlab.system import checks, limits, machine
from requestlab.system.quick import is_quick
from requestlab.worker import kernel


class Claim(Statement):
    """A statement that can be judged: `lab.claim("sync-wins-static").judge(result)`.

    It is a question, too, that a comparison can be asked: `lab.compare(…, ask=lab.claim("sync-wins-static"))`.
    """

    def judge(self, evidence: Any, note: str = "") -> Verdict:
        """Return the verdict on this machine, and record it in the ledger.

        `evidence` is a number (of counts), an `Interval`, a `Ratio`, a `Comparison`, or a mapping from the names of
        cases to any of these. An interval wholly where the claim is supported supports it, one wholly where it is
        refuted refutes it, one wholly between the two is neither; else it cannot be told. Of several cases all must be
        supported, and one that is refuted refutes. `note` is kept with the verdict. Raises ConfigurationError for
        evidence that says nothing about this claim.
        """
        findings = tuple(_find(self, name, part, rule) for name, part, rule in _cases(self, evidence))
        word = _overall([finding.verdict for finding in findings], self.any_case)
        time = datetime.now(UTC).isoformat("T", "seconds")
        statement, reason = find(self.id), _reason(findings, word)
        verdict = Verdict(statement, word, findings, reason, note, machine.facts(), time, is_quick())
        ledger.record(verdict)
        return verdict

    def answered(self, evidence: Any) -> bool:
        """Return whether this evidence would decide it: the cases that are given, or every case where they are not
        told apart.

        Raises ConfigurationError for evidence that says nothing about this claim.
        """
        if self.cases and not isinstance(evidence, Mapping):
            evidence = dict.fromkeys(self.cases, evidence)
        parts = _cases(self, evidence, some=True)
        return all(_find(self, name, part, rule).verdict != CANNOT_TELL for name, part, rule in parts)

    def by(self, evidence: Callable[[Comparison], Any]) -> Part:
        """Return the claim as a question about something that is taken from a comparison.

        >>> compare(contenders, ask=claim("one-run-is-enough").by(lambda result: result.scatter("b", "a")))
        """
        return Part(self, evidence)

    def case(self, name: str) -> Part:
        """Return one of its cases as a question; raises ConfigurationError for one that there is not."""
        checks.one_of(f"claim({self.id!r}).case", name, self.cases)
        return Part(self, lambda result: {name: result})


@dataclass(frozen=True)
class Part:
    """A claim as a question about what is taken from a comparison; or some of its cases."""

    claim: Claim
    evidence: Callable[[Comparison], Any]

    @property
    def words(self) -> str:
        return self.claim.words

    def answered(self, result: Comparison, /) -> bool:
        return self.claim.answered(self.evidence(result))


def claim(
    id: str,
    sentence: str | None = None,
    *,
    source: str = "",
    url: str = "",
    of: str = "",
    what: str = "count",
    supported: tuple[float, float] | None = None,
    refuted: tuple[float, float] | None = None,
    unit: str = "",
    metric: str = "",
    over: str = "",
    under: str = "",
) -> Claim:
    """Return the claim of that name, such as `sync-wins-static`, or of that question, such as `Q3`; or, with a
    `sentence`, one of the reader's own, which from then on is found by its name, in the ledger and in the report.

    >>> claim("mine", "The null server is faster.", metric="throughput", over="null", under="sync", supported=(1, inf))
    >>> claim("loops", "There are two event loops.", of="event loops", supported=(2, 2)).judge(len(run.event_loops))

    It is supported where the figure lies in `supported`, from and to, refuted in `refuted` (None: everywhere else), and
    neither between the two. With a `metric` of a comparison, the figure is its ratio of the contender `over` to
    `under`. Without, it is what `of` says in words, in that `unit`: a `count`, or `what="value"`, `"difference"` or
    `"ratio"`, which want an interval. `source` and `url` say whose claim it is.

    Raises ConfigurationError for one that there is not, naming those that are near, and for a rule that cannot work.
    """
    if sentence is None:
        return _to_judge(find(id))
    given = {"sentence": sentence, "source": source, "url": url, "of": of, "what": what, "unit": unit}
    for name, value in (given | {"id": id, "metric": metric, "over": over, "under": under}).items():
        checks.writable(f"claim({name})", value)
    if not id.strip() or supported is None:
        raise ConfigurationError(f"claim({id!r}): expected a name, and supported=(from, to) for the figure")
    if metric:
        checks.one_of("claim(metric)", metric, METRICS)
        what, of = "ratio", of or metric
        if not (over and under):
            raise ConfigurationError(f"claim({id!r}): a metric wants two contenders by their labels, over= and under=")
    checks.one_of("claim(what)", what, MEASURES)
    regions = [None if one is None else _region(id, one) for one in (supported, refuted)]
    contenders = {"over": (over,) if over else (), "under": (under,) if under else ()}
    rule = Rule(what, of or "the figure", regions[0], unit, regions[1], metric, **contenders)  # type: ignore[arg-type]
    made = Claim(id, sentence, source or "the reader", "", OWN, rule, url=url)
    remember(made)
    return made


def _region(id: str, ends: object) -> Region:
    if isinstance(ends, tuple | list) and len(ends) == 2 and all(_is_number(end) for end in ends):
        low, high = map(_as_float, ends)
        if low <= high:
            return Region(low, high)
    raise ConfigurationError(f"claim({id!r}): {checks.shown(ends)} is no pair (from, to) of numbers")


@cache
def _to_judge(statement: Statement) -> Claim:
    return Claim(**vars(statement))


def _reason(findings: Sequence[Finding], verdict: str) -> str:
    """Return why, each reason once, after the names of its cases."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        if finding.verdict == verdict:
            reasons.setdefault(finding.reason, []).append(finding.name)
    return "; ".join(f"{', '.join(names)}: {why}" if any(names) else why for why, names in reasons.items())


def _cases(claim: Statement, evidence: Any, some: bool = False) -> list[tuple[str, Any, Rule]]:
    """Return name, evidence and rule of each case; all must be there, unless `some` are enough."""
    if not isinstance(evidence, Mapping):
        if claim.rule is None:
            raise ConfigurationError(f"{_wants(claim)}; this is {_kind_of(evidence)}")
        return [("", evidence, claim.rule)]
    if claim.rule is None and not (set(evidence) <= set(claim.cases) if some else set(evidence) == set(claim.cases)):
        raise ConfigurationError(f"{_wants(claim)}; these are: {', '.join(map(str, evidence)) or 'none'}")
    if not evidence:
        raise ConfigurationError(f"{_wants(claim)}; this mapping is empty")
    return [(str(name), part, claim.rule or claim.cases[name]) for name, part in evidence.items()]


def _overall(verdicts: Sequence[str], any_case: bool) -> str:
    decisive, other = (SUPPORTED, REFUTED) if any_case else (REFUTED, SUPPORTED)
    if decisive in verdicts:
        return decisive
    if CANNOT_TELL in verdicts:
        return CANNOT_TELL
    return other if set(verdicts) == {other} else NEITHER


def _find(claim: Statement, name: str, evidence: Any, rule: Rule) -> Finding:
    found, taken = _figure(claim, evidence, rule)
    found = replace(found, caveats=(*found.caveats, *_too_few_cores(evidence, rule)))
    word, reason = _judge(found, rule)
    return Finding(name, found.value, found.low, found.high, rule.unit, found.rounds, word, reason, taken)


def _judge(found: Interval, rule: Rule) -> tuple[str, str]:
    if found.caveats:
        return CANNOT_TELL, "; ".join(found.caveats)
    if not found.known:
        return CANNOT_TELL, found.why or "there is no figure"
    apart = 1 + ALIKE if rule.what == "ratio" else 1
    word = rule.judge(found.low / apart, found.high * apart)
    if word != CANNOT_TELL:
        return word, rule.found(word, found.value)
    if rule.judge(found.low, found.high) != CANNOT_TELL:
        return (
            CANNOT_TELL,
            f"the interval comes within {ALIKE:.0%} of the limit, as far as two equal processes may lie apart",
        )
    return CANNOT_TELL, f"the interval leaves more than one answer open: {rule.limits}"


def _figure(claim: Statement, evidence: Any, rule: Rule) -> tuple[Interval, str]:
    """Return what the rule takes from the evidence, and the contenders that it is of."""
    if isinstance(evidence, Interval) and rule.what != "count":
        return evidence, ""
    if isinstance(evidence, Ratio) and rule.what == "ratio":
        return _of_ratio(claim, evidence, rule)
    if isinstance(evidence, Comparison) and rule.metric:
        return _of_comparison(claim, evidence, rule)
    if _is_number(evidence) and (rule.what == "count" or rule.alone):
        return _counted(evidence), ""
    raise ConfigurationError(f"{_wants(claim)}; this is {_kind_of(evidence)}")


def _too_few_cores(evidence: Any, rule: Rule) -> Iterator[str]:
    """Say so where the servers, or this machine where no servers are known, had fewer cores than the rule demands."""
    runs = [part.run for part in evidence.slices] if isinstance(evidence, Comparison) else []
    known = [len(run.about.cores.server) for run in runs if run.about.cores]
    limit = limits.cpu_limit()
    cores = min([*known, limit] if limit else known or [len(machine.all_cores().server)])
    if kernel.PORTABLE:
        cores -= 1  # which the load takes, whichever it is
    if cores < rule.cores:
        yield f"the servers had {cores:g} core{'' if cores == 1 else 's'}, and it takes {rule.cores} to try this"


def _counted(evidence: Any) -> Interval:
    number = _as_float(evidence) if isinstance(evidence, Real) else math.nan
    known = math.isfinite(number)
    bound = number if known else math.nan
    return Interval(
        bound, bound, bound, 0, 1.0, "" if known else f"{checks.shown(evidence)} is no figure: nothing was counted"
    )


def _of_ratio(claim: Statement, evidence: Ratio, rule: Rule) -> tuple[Interval, str]:
    fits = evidence.metric == rule.metric and evidence.over in rule.over and evidence.under in rule.under
    if rule.metric and not fits:
        raise ConfigurationError(
            f"{_wants(claim)}; this is the ratio of {evidence.metric}, {evidence.over} / {evidence.under}"
        )
    return evidence.interval, f"{evidence.over} / {evidence.under}"


def _of_comparison(claim: Statement, evidence: Comparison, rule: Rule) -> tuple[Interval, str]:
    over = next((label for label in rule.over if label in evidence.labels), None)
    under = next((label for label in rule.under if label in evidence.labels), None)
    if over is None or under is None:
        raise ConfigurationError(f"{_wants(claim)}; this comparison is of {', '.join(evidence.labels)}")
    if rule.what == "ratio":
        return _of_ratio(claim, evidence.ratio(over, under, rule.metric), rule)
    return evidence.difference(over, under, rule.metric), f"{over} − {under}"


def _as_float(number: Any) -> float:
    """Return a number as a float; NaN where it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.nan


def _is_number(evidence: Any) -> bool:
    """Return whether it is a number; pandas' NA, the mean of nothing, is one that is not known."""
    missing = type(evidence).__name__ == "NAType"
    return missing or (isinstance(evidence, Real) and not isinstance(evidence, bool))


def _wants(claim: Statement) -> str:
    if claim.rule is None:
        cases = ", ".join(f"{name!r}: {_kinds_for(rule)}" for name, rule in claim.cases.items())
        return f"the claim {claim.id!r} wants a mapping with these cases: {{{cases}}}"
    return f"the claim {claim.id!r} wants {_kinds_for(claim.rule)}, or a mapping of such, case by case"


def _kinds_for(rule: Rule) -> str:
    if rule.what == "count":
        return f"a number: {rule.of}"
    kinds = ["an Interval over rounds"]
    if rule.what == "ratio":
        kinds.append("a Ratio")
    if rule.metric:
        kinds.append(f"a Comparison of {' or '.join(rule.over)} with {' or '.join(rule.under)}")
    if rule.alone:
        kinds.append("a number")
    return f"{' or '.join(kinds)}: {rule.figure.rstrip(',')}"


def _kind_of(evidence: Any) -> str:
    return f"the bare number {checks.shown(evidence)}" if _is_number(evidence) else f"a {type(evidence).__name__}"
