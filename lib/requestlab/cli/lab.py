"""`requestlab lab`: open JupyterLab on the notebooks."""

from __future__ import annotations

from pathlib import Path

import click

from requestlab.notebooks import jupyter

_MORE = "requestlab.more"


class _PassingOn(click.Command):
    """Keeps what follows `--` for another program."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        own, more = (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        context.meta[_MORE] = more
        return super().parse_args(context, own)


@click.command(cls=_PassingOn, options_metavar="", epilog="What follows -- is passed on to JupyterLab.")
@click.argument("folder", required=False, metavar="[FOLDER] [-- ARGUMENT...]", type=click.Path(path_type=Path))
@click.pass_context
def lab(context: click.Context, folder: Path | None) -> None:
    """Open JupyterLab on FOLDER: the notebooks, unless said otherwise. Ctrl-C ends it."""
    jupyter.start(folder, context.meta[_MORE])
