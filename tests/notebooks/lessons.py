"""The lessons, as the tests see them: their cells, their minutes, and how they are executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import v4

from requestlab.system.quick import QUICK_VARIABLE

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9]*.ipynb"))
NAMES = [path.stem for path in LESSONS]

WORDS_A_MINUTE, CELLS_A_MINUTE = 130, 4
WAITING = re.compile(r"lab\.(?:budget|seconds)\((\d+(?:\.\d+)?)\)")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(notebook) if tag in cell.metadata.get("tags", [])]


def minutes(notebook: nbformat.NotebookNode) -> float:
    """How long a lesson takes without its exercise: to read it, to run its cells, and to wait for them.

    130 words and four cells a minute, and the seconds that the cells name in `lab.budget` and `lab.seconds`. What
    belongs to the exercise, the cells of its check and solution, is not counted.
    """
    left_out = {cell.id for tag in ("check", "solution") for cell in tagged(notebook, tag)}
    cells = [cell for cell in code_cells(notebook) if cell.id not in left_out]
    waiting_s = sum(float(seconds) for cell in cells for seconds in WAITING.findall(cell.source))
    words = len(text_of(notebook).split())
    return words / WORDS_A_MINUTE + len(cells) / CELLS_A_MINUTE + waiting_s / 60


def executed(
    notebook: nbformat.NotebookNode, mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch, timeout: int = 100
) -> nbformat.NotebookNode:
    """Execute a notebook in quick or trial mode, in a folder."""
    monkeypatch.setenv(QUICK_VARIABLE, mode)
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=resources).execute()


def with_cells(notebook: nbformat.NotebookNode, sources: Iterable[str]) -> list[str]:
    """Put code cells before the last one, which stops all servers, and return their ids."""
    made = [v4.new_code_cell(source) for source in sources]
    last = notebook.cells.index(code_cells(notebook)[-1])
    notebook.cells[last:last] = made
    return [cell.id for cell in made]


def said(notebook: nbformat.NotebookNode, ids: Sequence[str]) -> list[str]:
    """Return what these cells printed or showed, as text."""
    cells = {cell.id: cell for cell in notebook.cells}
    return ["".join(_text(output) for output in cells[one].outputs) for one in ids]


def _text(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text) if output.name == "stdout" else ""
    return str(output.get("data", {}).get("text/plain", "")) + "\n"
