"""The command line: `requestlab lab | doctor | serve | measure | compare | report | claims`.

Figures go to standard output, as a table or with `--json` as one line of strict JSON; all else goes to standard error. What
is slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import Any, NoReturn

import click

from requestlab.cli import claims, compare, doctor, lab, measure, report, serve
from requestlab.errors import LabError

INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line of this process."""
    _open_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without × is no reason to fail
    signal.signal(signal.SIGTERM, _leave)
    commands(prog_name="requestlab")


def _open_standard_descriptors() -> None:
    """Stand in for what the caller has closed (`2>&-`): a server's listener must not become somebody's standard error."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)  # as an exception, so that servers are stopped on the way out


class _Commands(click.Group):
    """Turns what a user can act on into one message and an exit status; a traceback is left for defects."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except LabError as problem:
            raise click.ClickException(str(problem)) from None
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


for _command in (lab.lab, doctor.doctor, serve.serve, measure.measure, compare.compare, report.report, claims.claims):
    commands.add_command(_command)
