"""`requestlab claims`: what is on trial, and what became of it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from requestlab.claims.ledger import Contradiction, Ledger, contradictions, read_all
from requestlab.claims.statement import statements
from requestlab.cli.options import json_option
from requestlab.cli.tables import print_json, print_table
from requestlab.system.files import write_text
from requestlab.system.wording import counted

_TOLD = ("id", "question", "notebook", "kind", "sentence", "asked", "source", "url")


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(path_type=Path))
@click.option(
    "--agree", is_flag=True, help="Say which reports of one machine contradict each other; exit with 1 if any do."
)
@click.option(
    "--html",
    "page_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page: each claim with every machine's interval on one axis, who disagrees, and what sets them apart.",
)
@json_option
def claims(folders: tuple[Path, ...], agree: bool, page_file: Path | None, as_json: bool) -> None:
    """List the claims on trial.

    With a FOLDER that `requestlab report` has written: the verdicts in it. With several: one table, machine by machine.
    """
    if agree and not folders:
        raise click.UsageError("--agree needs the folders of reports that are to agree")
    if page_file and not folders:
        raise click.UsageError("--html needs the folders of the reports that it is to show")
    if not folders:
        _print_claims(as_json)
        return
    if page_file:
        _write_page(page_file, folders)
    found = read_all(folders)
    for words in dict.fromkeys(line for one in found for line in one.damaged):
        click.echo(f"Left out: {words}.", err=True)
    opposite = contradictions(found) if agree else []
    if as_json:
        print_json({"ledgers": found, **({"contradictions": opposite} if agree else {})})
    else:
        _print_ledgers(found)
        if agree:
            _print_agreement(found, opposite)
    if opposite:
        sys.exit(1)


def _write_page(file: Path, folders: tuple[Path, ...]) -> None:
    from requestlab.wall.page import page, room_of

    write_text(file, page(room_of(folders), "What these machines found"))
    click.echo(f"Written: {file}", err=True)


def _print_claims(as_json: bool) -> None:
    if as_json:
        told = [{name: getattr(one, name) for name in _TOLD} | {"rule": one.words} for one in statements()]
        print_json({"claims": told})
        return
    print_table([("id", "lesson", "claim"), *((one.id, one.notebook, one.sentence) for one in statements())])


def _print_ledgers(found: tuple[Ledger, ...]) -> None:
    """Print the one ledger, or one table of all with a column for each."""
    if len(found) == 1:
        click.echo(found[0])
        return
    print_table([(one.name, one.machine.caption if one.machine else "no verdicts, machine not known") for one in found])
    click.echo()
    heads = ("claim", *(one.name for one in found))
    print_table([heads, *((claim.id, *(one.word(claim.id) for one in found)) for claim in found[0].claims)])


def _print_agreement(found: tuple[Ledger, ...], opposite: list[Contradiction]) -> None:
    lines = [f"Opposite verdicts on one machine: {one}." for one in opposite]
    machines = len({str(one.machine) for one in found})
    of = "" if machines == 1 else f" of {machines} machines, each compared with its own"
    agreed = f"No opposite verdicts in {counted(len(found), 'report')}{of}."
    click.echo("\n" + "\n".join(lines or [agreed]))
