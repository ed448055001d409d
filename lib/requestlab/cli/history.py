"""`requestlab history`: each claim's figure from version to version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from requestlab.cli.tables import print_table
from requestlab.system.files import write_text

if TYPE_CHECKING:
    from requestlab.wall.history import Trail


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the page; history.html in that folder, unless said otherwise.",
)
def history(folder: Path, file: Path | None) -> None:
    """Draw each claim's figure over the reports below FOLDER, in the order of versions, and say which verdicts flipped.

    `requestlab report --python A --python B --output FOLDER` makes a report of each of several environments.
    """
    from requestlab.wall import history as record

    all_ = record.trails(folder)
    target = file or folder / "history.html"
    write_text(target, record.page(all_))
    columns = record.columns(all_)
    print_table([("claim", *columns), *(_row(one, columns) for one in all_)])
    flips = [flip.words for one in all_ for flip in one.flips]
    click.echo("\n" + "\n".join(flips or ["No verdict flipped from one version to another."]))
    click.echo(f"\n{target}", err=True)


def _row(trail: Trail, columns: list[str]) -> tuple[str, ...]:
    words = {found.entry.name: found.word for found in trail.found}
    return (trail.claim.id, *(words.get(column, "") for column in columns))
