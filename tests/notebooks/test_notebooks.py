"""Every lesson runs from a fresh kernel, from any directory, has the shape of a lesson, and leaves nothing running."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from requestlab.claims import ledger
from requestlab.claims.ledger import FILE, LEDGER_VARIABLE
from requestlab.claims.statement import statements
from requestlab.serving.applications import DATABASE_VARIABLE
from requestlab.system.quick import QUICK_VARIABLE, TRIAL

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in LESSONS]
MAX_CODE_CELLS, MAX_CODE_LINES, MAX_WORDS = 28, 85, 1700


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_lessons():
    assert NAMES[:2] == ["00-start-here", "01-who-runs-my-view"]


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_runs_from_a_fresh_kernel_in_any_directory_and_judges_its_claims(path, tmp_path, monkeypatch):
    """Two lessons may run at the same time, and shorter than for a reader: what they find means nothing, and is not
    looked at."""
    folder, ledger_folder = tmp_path / "anywhere", tmp_path / "ledger"
    folder.mkdir()
    ledger_folder.mkdir()
    (ledger_folder / FILE).touch()
    monkeypatch.setenv(LEDGER_VARIABLE, str(ledger_folder))
    notebook = read(path)
    if is_to_be_guessed_in(path):
        guess(notebook)
    outputs = outputs_of(notebook, folder, monkeypatch)
    pictures = [output for output in outputs if "<img alt=" in output.get("data", {}).get("text/html", "")]
    assert len(pictures) >= 2
    assert list(folder.iterdir()) == []
    judged = {verdict.claim.id for one in ledger.read(ledger_folder) for verdict in one.verdicts}
    assert judged == {claim.id for claim in statements() if claim.notebook == path.stem}


def test_the_lesson_on_the_database_runs_on_the_readers_postgresql_too(postgresql, tmp_path, monkeypatch):
    monkeypatch.setenv(DATABASE_VARIABLE, postgresql)
    notebook = read(FOLDER / "08-the-database.ipynb")
    after = [cell.id for cell in notebook.cells].index("run-5")  # what follows is the same on any database
    notebook.cells = notebook.cells[:after]
    outputs = outputs_of(notebook, tmp_path, monkeypatch)
    said = "".join(output.get("text", "") for output in outputs)
    assert "Database: PostgreSQL" in said
    assert re.search(r"^ASGI, pool +opened +[0-4], holds ", said, re.M)
    assert "asked for 50 writes, failed 0, rows in the table: 50\n" in said
    assert "not-a-secret" not in str(outputs)


def outputs_of(notebook: nbformat.NotebookNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Execute a notebook for as short as it runs at all; return what its cells put out, without any on standard
    error."""
    monkeypatch.setenv(QUICK_VARIABLE, TRIAL)
    resources = {"metadata": {"path": str(folder)}}
    executed = NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in code_cells(executed) for output in cell.outputs]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    return outputs


def is_to_be_guessed_in(path: Path) -> bool:
    """Every other lesson is run with guesses, and on a newer Python the others: a reader may leave them out or not."""
    return LESSONS.index(path) % 2 == (sys.version_info >= (3, 12))


def guess(notebook: nbformat.NotebookNode) -> None:
    """Fill in a number for each guess that a lesson leaves to its reader."""
    guesses = [cell for cell in code_cells(notebook) if cell.id.startswith("predict")]
    assert guesses
    for cell in guesses:
        cell.source = cell.source.replace("None", "7")


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_has_the_shape_of_a_lesson(path):
    notebook = read(path)
    text = text_of(notebook)
    title = notebook.cells[0].source
    assert re.match(r"# [A-Z][^\n]+\n", title)
    for part in ("What you will do.", "What you will learn", "What you need.", "Time."):
        assert f"**{part}" in title
    assert len(re.findall(r"^\* ", title, re.M)) == 3
    for heading in ("## Your turn", "## Key points", "## In practice", "## On your own"):
        assert heading in text
    assert "> **Claim" in text
    key_points = text.partition("## Key points")[2].partition("##")[0]
    assert len(re.findall(r"^\* ", key_points, re.M)) == 3
    assert 3 <= len(re.findall(r"^## \d\. ", text, re.M)) <= 5
    assert text.count("<details>") == text.count("</details>") >= 3
    assert code_cells(notebook)[-1].source == "lab.stop_all()"


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_can_be_finished_in_one_sitting(path):
    notebook = read(path)
    cells = code_cells(notebook)
    assert len(cells) <= MAX_CODE_CELLS
    assert sum(len(cell.source.splitlines()) for cell in cells) <= MAX_CODE_LINES
    notebook.cells.pop()  # links to its neighbours are not read
    assert len(text_of(notebook).split()) <= MAX_WORDS


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_solutions_are_collapsed_and_guesses_are_left_to_the_reader(path):
    cells = code_cells(read(path))
    solutions = [cell for cell in cells if "solution" in cell.metadata.get("tags", [])]
    assert solutions
    assert all(cell.metadata["jupyter"]["source_hidden"] for cell in solutions)
    assert all(cell.source.startswith("# Solution:") for cell in solutions)  # JupyterLab shows the first line
    for cell in cells:
        if cell.id.startswith("predict"):
            assert "None" in cell.source


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_the_kernel_of_a_lesson_never_imports_django(path):
    assert not re.search(
        r"^\s*(import|from) (django|labapp)", "\n".join(c.source for c in code_cells(read(path))), re.M
    )


@pytest.mark.parametrize("position", range(len(LESSONS)), ids=NAMES)
def test_a_lesson_leads_to_its_neighbours_and_to_the_contents(position):
    last = read(LESSONS[position]).cells[-1].source
    before = f"({LESSONS[position - 1].name})" if position else None
    after = f"({LESSONS[position + 1].name})" if position + 1 < len(LESSONS) else None
    assert "(README.md)" in last
    links = re.findall(r"\(([^)]*\.ipynb)\)", last)
    assert [f"({link})" for link in links] == [link for link in (before, after) if link]


def test_the_contents_and_the_readme_name_every_lesson():
    contents = (FOLDER / "README.md").read_text()
    readme = (FOLDER.parent / "README.md").read_text()
    for path in LESSONS:
        title = read(path).cells[0].source.partition("\n")[0].removeprefix("# ")
        assert f"[{title}]({path.name})" in contents
        assert f"[{title}](notebooks/{path.name})" in readme
