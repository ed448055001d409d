"""The ledger: all claims, with the latest verdict on each; kept in this process, and on disk where a folder is named.

Two ledgers of one machine that say the opposite of a claim show that its verdict is not to be relied on.

On disk it is one line of JSON for each verdict, in the order in which they were given. Ledgers of different machines,
or of different versions of what was measured, are never made one: each stays a column of its own.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from markupsafe import Markup

from requestlab.claims import cards
from requestlab.claims.statement import (
    NOT_TRIED,
    OWN,
    REFUTED,
    SUPPORTED,
    WORDS,
    Rule,
    Statement,
    find,
    is_own,
    statements,
)
from requestlab.claims.verdict import Finding, Verdict
from requestlab.errors import ConfigurationError, LabError, LedgerFormatError
from requestlab.system import html, wording
from requestlab.system.files import LEDGER_VARIABLE, append_line
from requestlab.system.machine import Machine
from requestlab.system.values import from_plain, to_json, to_plain

FORMAT = 2
"""Version of the lines; a reader refuses any other."""

FILE = "ledger.jsonl"
MACHINE_FILE = "machine.json"

_OPPOSITE = {SUPPORTED: REFUTED, REFUTED: SUPPORTED}
_given: list[Verdict] = []


@dataclass(frozen=True, repr=False)
class Ledger:
    """All claims with their verdicts on one machine. `verdicts` are in the order in which they were given.

    `name` tells it from others (empty: this process's own), `machine` holds the machine's facts, None where there is no
    verdict. `damaged` names the lines that could not be read. In a notebook it shows as a table.
    """

    verdicts: tuple[Verdict, ...]
    name: str = ""
    machine: Machine | None = None
    damaged: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[Statement, ...]:
        """All claims there are, judged or not."""
        own = {one.claim.id: one.claim for one in self.verdicts if is_own(one.claim)}
        return (*statements(), *own.values())

    def verdict(self, id: str) -> Verdict | None:
        """Return the latest verdict on a claim, or None where it was not yet tried."""
        return next((one for one in reversed(self.verdicts) if one.claim.id == id), None)

    def opposite(self, id: str) -> str:
        """Return the opposite of the latest verdict on a claim where that was given earlier; else an empty string."""
        latest = self.verdict(id)
        wanted = _OPPOSITE.get(latest.verdict, "") if latest else ""
        return wanted if any(one.claim.id == id and one.verdict == wanted for one in self.verdicts) else ""

    def marks(self, id: str) -> Iterator[str]:
        """Yield what is to be known of the latest verdict on a claim: it is of quick mode, an earlier one said the
        opposite."""
        verdict = self.verdict(id)
        if verdict is not None and verdict.quick:
            yield "quick"
        if opposite := self.opposite(id):
            yield f"earlier: {opposite}"

    def word(self, id: str) -> str:
        """Return the latest verdict on a claim in a word, with its marks: `refuted (quick)`."""
        verdict, marks = self.verdict(id), "; ".join(self.marks(id))
        word = verdict.verdict if verdict else NOT_TRIED
        return f"{word} ({marks})" if marks else word

    def html(self, links: Mapping[str, str] | None = None) -> Markup:
        """Return it as a table; `links` are the addresses of lessons, by name."""
        more = {"badge": cards.badge, "source": cards.source, "not_tried": NOT_TRIED}
        return html.render("claims/ledger.html.j2", ledger=self, links=links or {}, **more)

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        verdicts: dict[str, Any] = {claim.id: {"verdict": NOT_TRIED} for claim in self.claims}
        for id in verdicts:
            if verdict := self.verdict(id):
                verdicts[id] = {**verdict.to_plain(), "earlier": self.opposite(id) or None}
        return {"name": self.name, "machine": to_plain(self.machine), "verdicts": verdicts}

    def __repr__(self) -> str:
        found = [(claim.id, self.word(claim.id), self.verdict(claim.id)) for claim in self.claims]
        rows = [(id, word, "; ".join(verdict.measured) if verdict else "") for id, word, verdict in found]
        return "\n".join(wording.columns(rows))

    def _repr_html_(self) -> str:
        return self.html()


def ledger() -> Ledger:
    """Return all claims, with the verdicts that were given in this process."""
    return Ledger(tuple(_given), machine=_given[-1].machine if _given else None)


def record(verdict: Verdict) -> None:
    """Keep a verdict in this process, and in the folder that REQUESTLAB_LEDGER names; raises LabError where it
    cannot."""
    _given.append(verdict)
    if folder := os.environ.get(LEDGER_VARIABLE):
        try:
            append(Path(folder), verdict)
        except OSError as problem:
            raise LabError(
                f"the verdict on {verdict.claim.id!r} could not be recorded in {folder!r}: {problem.strerror}; "
                f"let {LEDGER_VARIABLE} name a folder that can be written to, or unset it"
            ) from None


def append(folder: Path, verdict: Verdict) -> None:
    """Add a verdict to the ledger in a folder, which is made where it is missing."""
    append_line(folder, FILE, to_json({"format": FORMAT, **verdict.to_plain()}))


def read(folder: Path) -> tuple[Ledger, ...]:
    """Return the ledgers in a folder, one for each machine that has verdicts in it, or one without any.

    Lines that are damaged are left out, and named. Raises LedgerFormatError where there is no ledger, nor any line that
    is whole, or where one is of another version.
    """
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except OSError:
        raise LedgerFormatError(
            f"there is no {FILE} in {str(folder)!r}; expected a folder that `requestlab report` has written, or one that "
            f"{LEDGER_VARIABLE} named"
        ) from None
    verdicts, damaged = verdicts_of(lines, repr(str(folder / FILE)))
    if damaged and not verdicts:
        raise LedgerFormatError(damaged[0])
    machines = {identity(one.machine): one.machine for one in verdicts}
    name = folder.resolve().name
    if not machines:
        return (Ledger((), name, _machine_of(folder)),)
    return tuple(
        Ledger(tuple(one for one in verdicts if identity(one.machine) == machine_id), name, facts, tuple(damaged))
        for machine_id, facts in machines.items()
    )


def to_lines(ledger: Ledger) -> list[Any]:
    """Return the verdicts of a ledger as its file has them, one value for each line."""
    return [json.loads(to_json({"format": FORMAT, **verdict.to_plain()})) for verdict in ledger.verdicts]


def verdicts_of(lines: Sequence[bytes], where: str) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts in the lines of a ledger, and what there is to say of those that are damaged; `where` names
    the whole. Raises LedgerFormatError where one is of another version."""
    verdicts, damaged = [], []
    for number, line in enumerate(lines, 1):
        try:
            verdicts.append(_parsed(line, f"line {number} of {where}"))
        except _DamagedLine as problem:
            damaged.append(str(problem))
    return verdicts, damaged


class _DamagedLine(LedgerFormatError):
    """A line that is no verdict."""


def read_all(folders: Sequence[Path]) -> tuple[Ledger, ...]:
    """Return the ledgers of several folders, each machine of each folder by itself, with names that differ."""
    once = list({folder.resolve(): folder for folder in folders}.values())
    names = [folder.resolve().name for folder in once]
    found = []
    for folder, name in zip(once, names, strict=True):
        of_folder = read(folder)
        longer = name if names.count(name) == 1 else str(folder)
        for number, one in enumerate(of_folder, 1):
            found.append(replace(one, name=longer if len(of_folder) == 1 else f"{longer} #{number}"))
    return tuple(found)


def _parsed(line: bytes, where: str) -> Verdict:
    try:
        row = json.loads(line, parse_constant=_refuse)
        if row["format"] != FORMAT:
            expected = f"this version of the lab reads format {FORMAT}"
            raise LedgerFormatError(f"{where} has format {row['format']}; {expected}")
        own = row.get("own")
        return _verdict(find(row["claim"]) if own is None else _own(row["claim"], own), row)
    except ConfigurationError as problem:
        raise LedgerFormatError(f"{where} is of another version of the lab: {problem}") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise _DamagedLine(f"{where} is not a verdict that the lab has written: it is damaged") from None


def _own(id: str, words: dict[str, Any]) -> Statement:
    """Return a claim of a reader's own, as a verdict on it tells it."""
    rule = from_plain(Rule, _infinite(words["rule"]))
    return Statement(id, words["sentence"], words["source"], "", OWN, rule, url=words["url"])


def _infinite(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule with the ends of its regions, where JSON has nothing for infinity."""
    ends = {"low": -math.inf, "high": math.inf}
    for name in ("supported", "refuted"):
        if region := rule[name]:
            rule = rule | {name: {end: ends[end] if value is None else value for end, value in region.items()}}
    return rule


def _verdict(judged: Statement, row: dict[str, Any]) -> Verdict:
    findings = tuple(from_plain(Finding, one) for one in row["findings"])
    texts = {name: str(row[name]) for name in ("verdict", "reason", "note", "time")}
    found = Verdict(
        claim=judged, findings=findings, machine=from_plain(Machine, row["machine"]), quick=row["quick"], **texts
    )
    words = {one.verdict for one in findings}
    names = {one.name for one in findings} == set(judged.cases) if judged.rule is None else bool(findings)
    datetime.fromisoformat(found.time)
    if not (names and found.verdict in words <= set(WORDS) and isinstance(found.quick, bool)):
        raise ValueError(row)
    return found


def _machine_of(folder: Path) -> Machine | None:
    """Return the facts that a report keeps beside its ledger, where they are there to be read."""
    try:
        return from_plain(Machine, json.loads((folder / MACHINE_FILE).read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def identity(facts: Machine) -> str:
    """Return what tells one machine, with all its versions, from another."""
    return json.dumps(to_plain(facts), sort_keys=True)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


# Do ledgers agree?


@dataclass(frozen=True)
class Contradiction:
    """A claim with opposite verdicts on one machine, and the names of the ledgers that gave them."""

    claim: Statement
    machine: Machine
    supported: tuple[str, ...]
    refuted: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        names = {"supported": list(self.supported), "refuted": list(self.refuted)}
        return {"claim": self.claim.id, "machine": to_plain(self.machine), **names}

    def __str__(self) -> str:
        return f"{self.claim.id}: supported in {', '.join(self.supported)}; refuted in {', '.join(self.refuted)}"


def contradictions(found: Sequence[Ledger]) -> list[Contradiction]:
    """Return the claims on which ledgers of one machine contradict each other, or one contradicts itself.

    A machine is its facts, versions included: another version of Django may well decide a claim otherwise. Every
    verdict counts, not only the latest; "cannot tell" contradicts nothing.
    """
    machines: dict[str, Machine] = {}
    names: defaultdict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
    for one in found:
        for verdict in one.verdicts:
            machine_id = identity(verdict.machine)
            machines[machine_id] = verdict.machine
            names[machine_id, verdict.claim.id, verdict.verdict][one.name] = None
    return [
        Contradiction(claim, machine, tuple(supported), tuple(refuted))
        for machine_id, machine in sorted(machines.items())
        for claim in {claim.id: claim for one in found for claim in one.claims}.values()
        if (supported := names[machine_id, claim.id, SUPPORTED]) and (refuted := names[machine_id, claim.id, REFUTED])
    ]
