"""`requestlab report`: execute notebooks, and write what they found as one page."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

from requestlab.cli.options import json_option
from requestlab.cli.tables import print_json, print_table
from requestlab.errors import LabError
from requestlab.notebooks import jupyter
from requestlab.notebooks.report import PAGE, Report, find_notebooks, make_report
from requestlab.serving.interpreters import interpreter
from requestlab.system import checks
from requestlab.system.progress import Progress

DEFAULT_FOLDER = "report"

_ENOUGH = 0.05
"""The share that must be done before the time left can be guessed."""


@click.command()
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--full", is_flag=True, help="Let the lessons measure as long as they say, not a quarter of it.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Folder to write; a report that is there is replaced.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Folder to which the figures that lessons name (cells tagged figure:NAME) are written as well, as NAME.png.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="Report in another environment, which has the lab, instead of this one; may be given several times: then each "
    "report goes into a folder of OUTPUT that is named by its versions, and history.html sets them beside each other.",
)
@json_option
def report(
    notebooks: tuple[str, ...],
    full: bool,
    output: Path,
    figures: Path | None,
    pythons: tuple[str, ...],
    as_json: bool,
) -> None:
    """Execute notebooks and write one page: the machine, the ledger of claims, the lessons.

    NOTEBOOK is a lesson such as 02-the-forum-test, its number, or a path, of a script too (examples/*.py); all lessons,
    unless said otherwise. Exits with 1 where one was not executed to its end; the page shows why.
    """
    paths = find_notebooks(notebooks, jupyter.where(None))
    if pythons:
        if figures or as_json:
            raise click.UsageError("--python takes neither --figures nor --json: make that report in that environment")
        _report_in_each(pythons, [*notebooks, *(["--full"] if full else [])], output)
        return
    began = time.monotonic()
    with Progress("executing") as progress:

        def tick(what: str, share: float) -> None:
            left_s = (time.monotonic() - began) * (1 - share) / share if share > _ENOUGH else None
            progress.step(f"executing {what}, {share:.0%} of all cells", left_s)

        made = make_report(paths, output, quick=not full, figures=figures, tick=tick)
    _print(made, as_json)
    if made.failed:
        sys.exit(1)


def _report_in_each(pythons: tuple[str, ...], words: list[str], output: Path) -> None:
    """Let each of these environments make a report of its own, and set them beside each other."""
    from requestlab.cli.history import history

    found = {}
    for python in (checks.interpreter("--python", given) for given in pythons):
        one = interpreter(python)
        if subprocess.run([python, "-c", "import requestlab.cli"], capture_output=True, cwd="/").returncode:
            raise LabError(f"{python} has no requestlab; install the lab there: {python} -m pip install requestlab")
        found[f"django{one.versions['django']}-python{one.python}{'' if one.gil else 't'}"] = python
    if len(found) < len(pythons):
        raise click.UsageError("two of these environments have the same versions of Python and Django")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise LabError(f"{str(output)!r} cannot be made: {problem.strerror}") from None
    failed = []
    for name, python in found.items():
        click.echo(f"{name}:", err=True)
        command = [python, "-m", "requestlab.cli", "report", *words, "--output", str(output / name)]
        if subprocess.run(command).returncode:
            failed.append(name)
    click.get_current_context().invoke(history, folder=output, file=None)
    if failed:
        raise LabError(f"not executed to the end: {', '.join(failed)}; the page of each shows why")


def _print(made: Report, as_json: bool) -> None:
    page = made.folder / PAGE
    if as_json:
        notebooks = [
            {"name": one.name, "seconds": one.seconds, "error": one.error, "cells": one.cell_seconds}
            for one in made.executed
        ]
        verdicts = [verdict for one in made.ledgers for verdict in one.verdicts]
        figures = [{"path": str(one.path), "lesson": one.lesson, "alt": one.alt} for one in made.figures]
        told = {"page": str(page), "machine": made.machine, "notebooks": notebooks, "verdicts": verdicts}
        print_json(told | {"figures": figures})
        return
    print_table([(one.name, one.error or f"{one.seconds:.0f} s") for one in made.executed])
    for one in made.ledgers:
        click.echo()
        judged = [(claim.id, one.word(claim.id)) for claim in one.claims if one.verdict(claim.id)]
        print_table(judged or [("claims", "none judged")])
    for saved in made.figures:
        click.echo(f"\n{saved.path}\n{saved.alt}")
    click.echo(f"\n{page}")
