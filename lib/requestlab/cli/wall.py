"""`requestlab wall`: what the room finds, on one page that changes as ledgers come in."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click


@click.command()
@click.option(
    "--host", default="0.0.0.0", show_default=True, help="Where to listen; 0.0.0.0 lets the whole network in."
)
@click.option("--port", type=click.IntRange(0, 65_535), default=8765, show_default=True, help="0: any that is free.")
@click.option("--code", default="", help="What lets people in, in the address; without, a random one.")
@click.option("--title", default="What this room found", show_default=True, help="What stands above the page.")
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to keep it in; without, it goes at the end.",
)
def wall(host: str, port: int, code: str, title: str, keep: Path | None) -> None:
    """Show what a room of machines finds: each claim with every machine's interval on one axis.

    Open the address that it prints, on the screen of the room. Learners send theirs by
    `lab.ledger().send("http://HOST:PORT/CODE")`. It asks nothing of the internet.
    """
    from requestlab.wall import site

    chosen = code.strip() or site.new_code()
    if not chosen.replace("-", "").isalnum() or not chosen.isascii() or len(chosen) > 40:
        raise click.UsageError(f"--code {code!r}: expected up to 40 letters, digits and dashes")
    with ExitStack() as stack:
        file = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="requestlab-wall-")), "wall.sqlite3")
        listening = stack.enter_context(site.listener(host, port))
        site.prepare(file.resolve(), chosen, title)
        first, *others = site.addresses(host, listening.getsockname()[1], chosen)
        click.echo(f"The wall: {first}/")
        for other in others:
            click.echo(f"      or: {other}/")
        click.echo(f'Learners: lab.ledger().send("{first}")')
        click.echo("Ctrl-C ends it.")
        site.serve(listening)
