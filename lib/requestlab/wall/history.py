"""A record over versions: each claim's figure from report to report, and at which version its verdict flipped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup

from requestlab.claims import cards
from requestlab.claims.ledger import FILE, Ledger, read_all
from requestlab.claims.statement import REFUTED, SUPPORTED, Statement
from requestlab.errors import LedgerFormatError
from requestlab.system import html
from requestlab.system.machine import Machine
from requestlab.system.wording import listed
from requestlab.wall.axis import axis
from requestlab.wall.room import Entry, Found, Judged

NAMED = {"django": "Django", "asgiref": "asgiref"}
"""The packages by which a column is named, besides Python; others are told where they changed."""


@dataclass(frozen=True)
class Flip:
    """Where a verdict turned into its opposite from one version to the next: the two columns, and what changed between
    them."""

    claim: Statement
    before: Found
    after: Found

    @property
    def words(self) -> str:
        changed = listed_changes(self.before.entry.machine, self.after.entry.machine)
        turned = f"{self.claim.id}: {self.before.word} with {self.before.entry.name}, {self.after.word} with {self.after.entry.name}"
        return f"{turned}; what changed: {changed or 'nothing that is known'}"


@dataclass(frozen=True)
class Trail:
    """A claim, and what was found on it, in the order of versions."""

    claim: Statement
    found: tuple[Found, ...]

    @property
    def judged(self) -> Judged:
        return Judged(self.claim, self.found)

    @property
    def flips(self) -> tuple[Flip, ...]:
        decided = [one for one in self.found if one.word in (SUPPORTED, REFUTED)]
        return tuple(Flip(self.claim, *pair) for pair in pairwise(decided) if pair[0].word != pair[1].word)


def trails(folder: Path) -> tuple[Trail, ...]:
    """Return what the ledgers below a folder say, claim by claim; raises LedgerFormatError where there is none."""
    places = sorted({found.parent for found in folder.rglob(FILE)})
    if not places:
        raise LedgerFormatError(
            f"there is no {FILE} below {str(folder)!r}; `requestlab report --output {folder}/NAME` writes one"
        )
    ledgers = sorted((one for one in read_all(places) if one.verdicts), key=_order)
    entries = [Entry(name, one) for name, one in zip(names(ledgers), ledgers, strict=True)]
    claims = {claim.id: claim for entry in entries for claim in entry.ledger.claims}
    all_ = [Trail(claim, tuple(_found(claim, entries))) for claim in claims.values()]
    return tuple(sorted((one for one in all_ if one.found), key=lambda one: not one.flips))


def names(ledgers: Sequence[Ledger]) -> list[str]:
    """Return how each column is called: by Django's version, and by those of the others that are not the same in
    all."""
    told = [_versions(one.machine) if one.machine else {"Django": "unknown"} for one in ledgers]
    differ = [
        what for what in dict.fromkeys(what for one in told for what in one) if len({one.get(what) for one in told}) > 1
    ]
    return [", ".join(f"{what} {one[what]}" for what in one if what == "Django" or what in differ) for one in told]


def _versions(facts: Machine) -> dict[str, str]:
    packages = {shown: str(facts.versions.get(package)) for package, shown in NAMED.items()}
    return {"Django": packages.pop("Django"), "Python": f"{facts.python}{'' if facts.gil else 't'}", **packages}


def columns(all_: Sequence[Trail]) -> list[str]:
    """Return the names of all versions, in their order."""
    return list(dict.fromkeys(found.entry.name for one in all_ for found in one.found))


def page(all_: Sequence[Trail]) -> Markup:
    """Return the page of all trails."""
    drawn = [(one, axis(one.judged)) for one in all_]
    flips = [flip.words for one in all_ for flip in one.flips]
    told = {"drawn": drawn, "flips": flips, "columns": columns(all_)}
    return html.render("wall/history.html.j2", COLOURS=cards.COLOURS, **told)


def listed_changes(before: Machine | None, after: Machine | None) -> str:
    """Return what differs between two machines, in words: versions first."""
    return listed(list(_changes(before, after))) if before and after else ""


def _changes(before: Machine, after: Machine) -> Iterator[str]:
    if before.python != after.python:
        yield f"Python {before.python} to {after.python}"
    for package in dict.fromkeys([*before.versions, *after.versions]):
        old, new = before.versions.get(package), after.versions.get(package)
        if old != new:
            yield f"{package} {old or 'absent'} to {new or 'absent'}"
    for fact in ("processor", "system", "usable_cores"):
        if getattr(before, fact) != getattr(after, fact):
            yield f"{fact.replace('_', ' ')} {getattr(before, fact)} to {getattr(after, fact)}"


def _found(claim: Statement, entries: Sequence[Entry]) -> Iterator[Found]:
    for entry in entries:
        if verdict := entry.ledger.verdict(claim.id):
            yield Found(entry, verdict)


def _order(ledger: Ledger) -> tuple[object, ...]:
    """Sort by the version of Django, then of Python, then by the time of the last verdict."""
    facts = ledger.machine
    versions = (facts.versions.get("django") or "", facts.python) if facts else ("", "")
    return (*map(_numbers, versions), ledger.verdicts[-1].time)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
