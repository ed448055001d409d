"""Notebooks are executed: each in a kernel of its own, of this very interpreter, which ends with it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async

from requestlab.errors import ReportError

CELL_TIMEOUT_S = 600
"""A cell that takes longer has failed."""

STARTUP_TIMEOUT_S = 60

_TICK_S = 0.2

_LONGEST_SOCKET = 90
"""The system takes paths of sockets up to 107 characters, and a kernel adds some to the name of its file."""

Tick = Callable[[str, float], None]
"""Called several times a second with what is being done, and which share of the cells was done before it, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Executed:
    """A notebook with its outputs. `error` says why it was not executed to its end; empty: it was."""

    name: str
    notebook: nbformat.NotebookNode
    seconds: float
    error: str


def load(path: Path) -> nbformat.NotebookNode:
    """Read a notebook, without the outputs it may have; raises ReportError for anything else."""
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except Exception:  # nbformat passes on whatever JSON, its schema or the file system raise
        raise ReportError(f"{str(path)!r} is not a notebook that can be read; expected an .ipynb file") from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def execute(
    paths: Sequence[Path], variables: Mapping[str, str], tick: Tick = lambda what, share: None
) -> list[Executed]:
    """Execute notebooks one after another, with these environment variables; one that fails does not stop the others.

    An interrupt ends the kernel at once, and with it, within two seconds, every server that was started from it.
    """
    notebooks = [(path.stem, load(path)) for path in paths]
    return asyncio.run(_all(notebooks, variables, tick))


async def _all(
    notebooks: Sequence[tuple[str, nbformat.NotebookNode]], variables: Mapping[str, str], tick: Tick
) -> list[Executed]:
    whole = sum(len(notebook.cells) for _, notebook in notebooks) or 1
    done, found = 0, []
    for name, notebook in notebooks:
        state = _State(tick, name, done, whole)
        ticking = asyncio.create_task(state.go_on())
        start = time.monotonic()
        try:
            error = await _one(notebook, variables, state)
        finally:
            ticking.cancel()
        found.append(Executed(name, notebook, time.monotonic() - start, error))
        done += len(notebook.cells)
    return found


@dataclass
class _State:
    """Where it stands, told to whoever looks."""

    tick: Tick
    name: str
    before: int
    whole: int
    cell: int = 0

    async def go_on(self) -> None:
        while True:
            self.tick(self.name, (self.before + self.cell) / self.whole)
            await asyncio.sleep(_TICK_S)


async def _one(notebook: nbformat.NotebookNode, variables: Mapping[str, str], state: _State) -> str:
    """Execute one notebook; return what went wrong, empty: nothing."""
    with TemporaryDirectory(prefix="requestlab-") as scratch:
        work = Path(scratch, "work")
        work.mkdir()
        kernel = _kernel(Path(scratch, "kernel.json"))
        client = NotebookClient(notebook, km=kernel, timeout=CELL_TIMEOUT_S, startup_timeout=STARTUP_TIMEOUT_S)
        try:
            await _start(client, work, {**os.environ, **variables})
            for state.cell, cell in enumerate(notebook.cells):
                await _execute_cell(client, cell, state.cell)
        except _Failed as problem:
            return str(problem)
        finally:
            await _end(client, kernel)
    return ""


async def _start(client: NotebookClient, work: Path, environment: dict[str, str]) -> None:
    """Start the kernel, its standard error kept for when it does not: what cells write there comes with their outputs.

    nbclient's own execute() would take over SIGINT and SIGTERM for good; its parts leave them alone.
    """
    log = work.with_name("kernel.log")
    try:
        with log.open("wb") as said:
            await client.async_start_new_kernel(cwd=str(work), env=environment, stderr=said)
        await client.async_start_new_kernel_client()
    except RuntimeError as problem:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-6:]
        raise _Failed("; ".join([f"the kernel did not start: {problem}", *last])) from None


def _kernel(connection: Path) -> AsyncKernelManager:
    """Return the manager of a kernel, not yet started, of this interpreter."""
    # Without folders to look for kernels in, `python3` is the one that ipykernel describes: sys.executable.
    specs = KernelSpecManager(kernel_dirs=[])
    transport = "ipc" if len(str(connection)) < _LONGEST_SOCKET else "tcp"
    return AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=specs, connection_file=str(connection), transport=transport
    )


class _Failed(Exception):
    """A cell that did not come to its end; the message is for the reader."""


async def _execute_cell(client: NotebookClient, cell: nbformat.NotebookNode, index: int) -> None:
    try:
        await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
        return
    except CellExecutionError as problem:
        raise _Failed(f"{problem.ename}: {problem.evalue}") from None
    except DeadKernelError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # nbclient takes an interrupt for a dead kernel
            raise asyncio.CancelledError from None
        what = "the kernel ended"
    except CellTimeoutError:
        what = f"a cell took more than {CELL_TIMEOUT_S} s"
    shown = {"output_type": "error", "ename": "LabError", "evalue": what, "traceback": [what]}
    cell.outputs.append(nbformat.NotebookNode(shown))  # type: ignore[no-untyped-call]
    raise _Failed(what)


async def _end(client: NotebookClient, kernel: AsyncKernelManager) -> None:
    """End the kernel at once; the servers that it left behind notice, and end with it."""
    if client.kc is not None:
        client.kc.stop_channels()
    if kernel.has_kernel:
        await kernel.shutdown_kernel(now=True)
    await ensure_async(kernel.cleanup_resources())
