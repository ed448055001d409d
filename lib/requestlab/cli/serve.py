"""`requestlab serve`: one configuration, until somebody stops it."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from requestlab.cli.options import configuration, json_option, project_options, serving_options
from requestlab.cli.tables import print_json, print_table
from requestlab.cli.targets import default_path
from requestlab.serving import server as serving, servers
from requestlab.serving.configuration import NAMED
from requestlab.serving.server import Server

_LOOK_S = 0.1


@click.command()
@click.argument("name", metavar=f"[{'|'.join(NAMED)}]", type=click.Choice(list(NAMED)), default="sync")
@project_options
@serving_options
@json_option
def serve(name: str, as_json: bool, **options: Any) -> None:
    """Run one configuration until Ctrl-C, for a browser or another load tool.

    sync is WSGI, asgi is ASGI with Django's default middleware, async is ASGI without middleware, null no application
    at all, upstream the external API and object store that some views call: give them its address with --upstream.

    Exits with 1 where the server ends by itself.
    """
    with serving.serve(configuration(name, options)) as server:
        _print_server(server, as_json)
        while server.alive:
            time.sleep(_LOOK_S)
        server.check()


def _print_server(server: Server, as_json: bool) -> None:
    asked = server.configuration
    if as_json:
        facts = {"url": server.url, "pids": list(server.pids), "pid": os.getpid(), "label": asked.label}
        facts |= {"headers": server.headers}
        print_json({**facts, "configuration": asked.shown()})
        return
    rows = {
        "serving": f"{asked.label} ({servers.find(asked.server).title})",
        "address": server.url + default_path(asked),
        "workers": ", ".join(map(str, server.pids)),
        **{f"header {name}": f"{value} (others share this machine: send it)" for name, value in server.headers.items()},
        "to stop": f"Ctrl-C, or: kill {os.getpid()}",
    }
    print_table(rows.items())
