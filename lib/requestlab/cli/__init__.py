"""The command line: `requestlab lab | doctor | serve | measure | compare | advise | report | claims | history | wall`.

Figures go to standard output, as a table or with `--json` as one line of strict JSON; all else goes to standard error.
Commands are imported when they are asked for: some need what is slow to import.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from requestlab.errors import LabError
from requestlab.system import machine
from requestlab.system.interrupts import held_back
from requestlab.system.wording import without_passwords

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line of this process."""
    _open_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without × is no reason to fail
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, _leave)
    commands(prog_name="requestlab")


def _open_standard_descriptors() -> None:
    """Stand in for what the caller has closed (`2>&-`): a server's listener must not become somebody's standard
    error."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)  # as an exception, so that servers are stopped on the way out


COMMANDS = {
    "lab": "Open JupyterLab on the notebooks.",
    "doctor": "Look at this machine, and at what it can tell today.",
    "serve": "Run one configuration until Ctrl-C.",
    "measure": "Put one load on one target, and say how it fared.",
    "compare": "Say how many times as fast as the first target others are.",
    "advise": "Say whether a Django project should switch to ASGI.",
    "report": "Execute notebooks and write one page.",
    "claims": "List the claims on trial, or their verdicts.",
    "history": "Draw each claim's figure from version to version.",
    "wall": "Show what a room of machines finds, on one page.",
}
"""Each is the function of that name in a module of that name, which is imported where the command is asked for."""

_ANYWHERE = ("lab", "claims")


class _Commands(click.Group):
    """Finds commands, and turns what a user can act on into one message and an exit status; a traceback is left for
    defects."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        if name not in _ANYWHERE:
            machine.require_unix()
        with held_back():
            command: click.Command = getattr(import_module(f"requestlab.cli.{name}"), name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List them from the table: nothing need be imported for that."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.UsageError as problem:
            raise click.UsageError(without_passwords(problem.format_message()), problem.ctx) from None
        except LabError as problem:
            raise click.ClickException(without_passwords(str(problem))) from None
        except UnicodeError as problem:  # of a host or a path that no encoding allows
            raise click.ClickException(f"that cannot be part of an address: {problem}") from None
        except OSError as problem:
            if problem.errno == errno.EPIPE:  # the reader of a pipe has left; click knows what to do
                raise
            raise click.ClickException(str(problem)) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="requestlab")
def commands() -> None:
    """Measure what a Django request costs under WSGI and ASGI, on this machine."""
