"""Notebooks are executed: each in a kernel of its own, of this very interpreter, which ends with it."""

from __future__ import annotations

import ast
import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async
from nbformat import v4

from requestlab.errors import ReportError
from requestlab.plots.guesses import NOTEBOOK_VARIABLE
from requestlab.system.folders import prefix

CELL_TIMEOUT_S = 600
"""A cell that takes longer has failed."""

STARTUP_TIMEOUT_S = 60

_TICK_S = 0.2

_MAX_SOCKET_PATH = 90
"""The system takes paths of sockets up to 107 characters, and a kernel adds some to the name of its file."""

Tick = Callable[[str, float], None]
"""Called several times a second with the name of the notebook, and the share of all cells that are done, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Executed:
    """A notebook with its outputs. `error` says why it was not executed to its end; empty: it was."""

    name: str
    notebook: nbformat.NotebookNode
    seconds: float
    error: str

    @property
    def cell_seconds(self) -> dict[str, float]:
        """How long each cell took that was executed, by its id."""
        times = {cell.id: cell.metadata.get("execution", {}) for cell in self.notebook.cells}
        return {id: _between(one) for id, one in times.items() if one.keys() >= {BEGAN, ENDED}}


BEGAN, ENDED = "iopub.status.busy", "iopub.status.idle"
"""What nbclient calls the times of a cell."""


def _between(times: Mapping[str, str]) -> float:
    return (datetime.fromisoformat(times[ENDED]) - datetime.fromisoformat(times[BEGAN])).total_seconds()


def load(path: Path) -> nbformat.NotebookNode:
    """Read a notebook, without the outputs it may have, or a script, as one; raises ReportError for anything else."""
    if path.suffix == ".py":
        return _script(path)
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except Exception:  # nbformat passes on whatever JSON, its schema or the file system raise
        raise ReportError(f"{str(path)!r} is not a notebook that can be read; expected an .ipynb file") from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _script(path: Path) -> nbformat.NotebookNode:
    """Return a script as a notebook: what it says of itself, its code, and a cell that runs it."""
    try:
        code = path.read_text(encoding="utf-8")
        said = ast.get_docstring(ast.parse(code)) or ""
    except (OSError, SyntaxError, ValueError) as problem:
        raise ReportError(f"{str(path)!r} is not a script that can be read: {problem}") from None
    title, _, rest = said.partition("\n")
    text = f"# {title or path.stem}\n{rest}\n\n```python\n{code}\n```\n"
    cells = [v4.new_markdown_cell(text), v4.new_code_cell(f'%run "{path.resolve()}"')]  # type: ignore[no-untyped-call]
    return v4.new_notebook(cells=cells)  # type: ignore[no-any-return, no-untyped-call]


def execute(
    paths: Sequence[Path], variables: Mapping[str, str], tick: Tick = lambda name, share: None
) -> list[Executed]:
    """Execute notebooks one after another, with these environment variables; one that fails does not stop the others.

    An interrupt ends the kernel at once, and with it, within two seconds, every server that was started from it.
    """
    notebooks = {path.stem: load(path) for path in paths}
    return asyncio.run(_all(notebooks, variables, tick))


async def _all(
    notebooks: Mapping[str, nbformat.NotebookNode], variables: Mapping[str, str], tick: Tick
) -> list[Executed]:
    state = _State(sum(len(notebook.cells) for notebook in notebooks.values()) or 1)
    ticking = asyncio.create_task(_keep_ticking(state, tick))
    executed = []
    try:
        for state.name, notebook in notebooks.items():
            start = time.monotonic()
            error = await _one(notebook, {**variables, NOTEBOOK_VARIABLE: state.name}, state)
            executed.append(Executed(state.name, notebook, time.monotonic() - start, error))
    finally:
        ticking.cancel()
    return executed


@dataclass
class _State:
    """How far it is."""

    cells: int
    done: int = 0
    name: str = ""


async def _keep_ticking(state: _State, tick: Tick) -> None:
    while True:
        tick(state.name, state.done / state.cells)
        await asyncio.sleep(_TICK_S)


async def _one(notebook: nbformat.NotebookNode, variables: Mapping[str, str], state: _State) -> str:
    """Execute one notebook; return what went wrong, or nothing."""
    after = state.done + len(notebook.cells)
    try:
        async with _kernel(notebook, {**os.environ, **variables}) as client:
            for index, cell in enumerate(notebook.cells):
                await _execute_cell(client, cell, index)
                state.done += 1
    except _Failed as problem:
        return str(problem)
    finally:
        state.done = after
    return ""


class _Failed(Exception):
    """A cell that did not come to its end, or a kernel that did not start; the message is for the reader."""


@asynccontextmanager
async def _kernel(notebook: nbformat.NotebookNode, environment: Mapping[str, str]) -> AsyncIterator[NotebookClient]:
    """Start a kernel for a notebook, in an empty folder. At the end of the block it is ended at once; the servers that
    it left behind notice, and end with it."""
    with TemporaryDirectory(prefix=prefix()) as scratch:
        manager = _manager(Path(scratch, "kernel.json"))
        client = NotebookClient(notebook, km=manager, timeout=CELL_TIMEOUT_S, startup_timeout=STARTUP_TIMEOUT_S)
        try:
            await _start(client, Path(scratch), environment)
            yield client
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)
            await ensure_async(manager.cleanup_resources())


def _manager(connection: Path) -> AsyncKernelManager:
    """Return the manager of a kernel, not yet started, of this interpreter."""
    # Without folders to look for kernels in, `python3` is the one that ipykernel describes: sys.executable.
    specs = KernelSpecManager(kernel_dirs=[])
    transport = "ipc" if len(str(connection)) < _MAX_SOCKET_PATH else "tcp"
    return AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=specs, connection_file=str(connection), transport=transport
    )


async def _start(client: NotebookClient, scratch: Path, environment: Mapping[str, str]) -> None:
    """Start the kernel. Its standard error is kept for the message where it does not start; later, nbclient collects
    it.

    nbclient's own execute() would take over SIGINT and SIGTERM for good; its parts leave them alone.
    """
    work, log = scratch / "work", scratch / "kernel.log"
    work.mkdir()
    try:
        with log.open("wb") as words:
            await client.async_start_new_kernel(cwd=str(work), env=environment, stderr=words)
        await client.async_start_new_kernel_client()
    except RuntimeError as problem:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-6:]
        raise _Failed("; ".join([f"the kernel did not start: {problem}", *last])) from None


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
        reason = "the kernel ended"
    except CellTimeoutError:
        reason = f"a cell took more than {CELL_TIMEOUT_S} s"
    shown = {"output_type": "error", "ename": "LabError", "evalue": reason, "traceback": [reason]}
    cell.outputs.append(nbformat.NotebookNode(shown))  # type: ignore[no-untyped-call]
    raise _Failed(reason)
