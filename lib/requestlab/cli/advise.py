"""requestlab advise: should this Django project switch to ASGI?"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from requestlab.cli.options import Variables, json_option
from requestlab.system.values import to_json


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--settings", default="", help="Module of its settings.  [default: as manage.py names it]")
@click.option("--wsgi", default="", help="Its WSGI application, module.attribute.")
@click.option("--asgi", default="", help="Its ASGI application, module.attribute.")
@click.option("--python", default="", help="Its interpreter.  [default: that in its .venv, else the lab's]")
@click.option("--env", type=Variables(), help="Variables that it needs: 'NAME=VALUE NAME=VALUE'.")
@click.option(
    "--urls", type=click.Path(path_type=Path), help="What visitors ask: lines, JSON, an access log, or a HAR file."
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="How many requests a second they send.")
@click.option("--login", default="", metavar="USER", help="Make a session of that user in the copied database.")
@click.option("--cookie", default="", help="What else to send as cookies.")
@click.option("--migrate", is_flag=True, help="Apply migrations to the copied database.")
@click.option("--network", is_flag=True, help="Let it connect to other machines.")
@click.option("--allow-writes", is_flag=True, help="Send requests of --urls that may change data, too.")
@click.option("--minutes", type=float, default=5.0, show_default=True, help="How long it may take.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the page and the runs.  [default: advice]")
@json_option
def advise(
    directory: Path,
    urls: Path | None,
    allow_writes: bool,
    minutes: float,
    rate: float | None,
    output: Path | None,
    as_json: bool,
    **about: Any,
) -> None:
    """Say whether the Django project in DIR should switch to ASGI, and what to do first.

    It is copied, with its SQLite files, and served in its own interpreter under gunicorn's sync and gthread workers and
    under uvicorn; nothing of it is changed, and no mail is sent. Pages that answer 200 are looked for, unless --urls
    says what is asked. Only GET and HEAD are sent unless --allow-writes.
    """
    from requestlab.advice.advise import MIN_MINUTES, advise as give, check_minutes
    from requestlab.advice.asked import requests_in
    from requestlab.advice.page import write
    from requestlab.serving.project import found_in, project

    check_minutes(minutes)
    began = time.monotonic()
    folder = output or Path("advice")
    about["env"] = about["env"] or {}
    mine = project(directory, **about)
    asked = requests_in(urls, found_in(mine)["hosts"], allow_writes) if urls else None
    left = max(MIN_MINUTES, minutes - (time.monotonic() - began) / 60)
    report = give(mine, asked, minutes=left, rate=rate)
    page = write(report, folder)
    if as_json:
        click.echo(to_json(report.to_plain() | {"page": str(page)}))
        return
    for one in report.advice:
        click.echo(f"{one.kind}: {one.sentence}")
        click.echo(f"    {one.evidence}")
    click.echo(f"\n{page}", err=not sys.stdout.isatty())
