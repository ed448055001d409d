"""`requestlab claims`: what is on trial, and what became of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from requestlab.cli.options import json_option
from requestlab.cli.tables import print_json

if TYPE_CHECKING:
    from requestlab.claims.agreeing import Contradiction
    from requestlab.claims.ledger import Ledger
    from requestlab.claims.statement import Claim


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(path_type=Path))
@click.option(
    "--agree", is_flag=True, help="Say which reports of one machine contradict each other; exit with 1 if any do."
)
@json_option
def claims(folders: tuple[Path, ...], agree: bool, as_json: bool) -> None:
    """List the claims on trial.

    With a FOLDER that `requestlab report` has written: the verdicts in it. With several: one table, machine by machine.
    """
    if agree and not folders:
        raise click.UsageError("--agree needs the folders of reports that are to agree")
    from requestlab.claims.statement import claims

    if not folders:
        _print_claims(claims(), as_json)
        return
    from requestlab.claims.agreeing import contradictions
    from requestlab.claims.ledger import read_all

    found = read_all(folders)
    opposite = contradictions(found) if agree else []
    if as_json:
        told = {"ledgers": [_as_json(one) for one in found]}
        print_json(told | ({"contradictions": [_told(one) for one in opposite]} if agree else {}))
    elif len(found) == 1:
        click.echo(found[0])
    else:
        _print_merged(found)
    if agree and not as_json:
        _print_agreement(found, opposite)
    if opposite:
        sys.exit(1)


def _print_claims(all_claims: tuple[Claim, ...], as_json: bool) -> None:
    from requestlab.claims.cards import columns

    names = ("id", "question", "notebook", "kind", "sentence", "asked", "source", "url")
    if as_json:
        print_json(
            {"claims": [{name: getattr(one, name) for name in names} | {"rule": one.words} for one in all_claims]}
        )
        return
    rows = [("id", "lesson", "claim"), *((one.id, one.notebook, one.sentence) for one in all_claims)]
    click.echo("\n".join(columns(rows)))


def _print_merged(found: tuple[Ledger, ...]) -> None:
    from requestlab.claims.cards import columns, word

    rows = [(one.name, one.machine.caption if one.machine else "no verdicts, machine not known") for one in found]
    click.echo("\n".join(columns(rows)) + "\n")
    heads = ("claim", *(one.name for one in found))
    table = [heads, *((claim.id, *(word(one, claim) for one in found)) for claim in found[0].claims)]
    click.echo("\n".join(columns(table)))


def _print_agreement(found: tuple[Ledger, ...], opposite: list[Contradiction]) -> None:
    lines = [f"Opposite verdicts on one machine: {one}." for one in opposite]
    machines = len({str(one.machine) for one in found})
    agreed = f"No opposite verdicts in {len(found)} report{'' if len(found) == 1 else 's'}"
    of = "" if machines == 1 else f" of {machines} machines, each compared with its own"
    click.echo("\n" + "\n".join(lines or [f"{agreed}{of}."]))


def _told(one: Contradiction) -> dict[str, Any]:
    return {
        "claim": one.claim.id,
        "machine": one.machine,
        "supported": list(one.supported),
        "refuted": list(one.refuted),
    }


def _as_json(one: Ledger) -> dict[str, Any]:
    from requestlab.claims.ledger import as_json
    from requestlab.claims.verdict import NOT_TRIED

    verdicts = {}
    for claim in one.claims:
        verdict = one.verdict(claim.id)
        verdicts[claim.id] = (
            {**as_json(verdict), "earlier": one.opposite(claim.id) or None} if verdict else {"verdict": NOT_TRIED}
        )
    return {"name": one.name, "machine": one.machine, "verdicts": verdicts}
