"""`requestlab claims`: what is on trial, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from requestlab.cli.options import json_option
from requestlab.cli.output import print_json

if TYPE_CHECKING:
    from requestlab.claims import Claim
    from requestlab.ledgers import Ledger


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(path_type=Path))
@json_option
def claims(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the claims on trial.

    With a FOLDER that `requestlab report` has written: the verdicts in it. With several: one table, machine by machine.
    """
    from requestlab.claims import claims

    if not folders:
        _print_claims(claims(), as_json)
        return
    from requestlab.ledgers import read_all

    found = read_all(folders)
    if as_json:
        print_json({"ledgers": [_as_json(one) for one in found]})
    elif len(found) == 1:
        click.echo(found[0])
    else:
        _print_merged(found)


def _print_claims(all_claims: tuple[Claim, ...], as_json: bool) -> None:
    from requestlab.cards import columns

    names = ("id", "question", "notebook", "kind", "sentence", "asked", "source", "url")
    if as_json:
        print_json(
            {"claims": [{name: getattr(one, name) for name in names} | {"rule": one.words} for one in all_claims]}
        )
        return
    rows = [("id", "lesson", "claim"), *((one.id, one.notebook, one.sentence) for one in all_claims)]
    click.echo("\n".join(columns(rows)))


def _print_merged(found: tuple[Ledger, ...]) -> None:
    from requestlab.cards import columns, word
    from requestlab.machine import caption

    rows = [(one.name, caption(one.machine) if one.machine else "no verdicts, machine not known") for one in found]
    click.echo("\n".join(columns(rows)) + "\n")
    heads = ("claim", *(one.name for one in found))
    table = [heads, *((claim.id, *(word(one, claim) for one in found)) for claim in found[0].claims)]
    click.echo("\n".join(columns(table)))


def _as_json(one: Ledger) -> dict[str, Any]:
    from requestlab.ledgers import as_json
    from requestlab.verdicts import NOT_TRIED

    verdicts = {}
    for claim in one.claims:
        verdict = one.verdict(claim.id)
        verdicts[claim.id] = (
            {**as_json(verdict), "earlier": one.opposite(claim.id) or None} if verdict else {"verdict": NOT_TRIED}
        )
    return {"name": one.name, "machine": one.machine, "verdicts": verdicts}
