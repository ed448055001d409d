"""Every lesson runs from a fresh kernel, from any directory, has the shape of a lesson, and leaves nothing running."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

from requestlab.claims import ledger
from requestlab.claims.ledger import FILE
from requestlab.claims.statement import statements
from requestlab.serving.applications import DATABASE_VARIABLE
from requestlab.system.files import LEDGER_VARIABLE
from requestlab.system.quick import TRIAL
from tests.notebooks.lessons import (
    FOLDER,
    LESSONS,
    NAMES,
    code_cells,
    executed,
    minutes,
    read,
    said,
    tagged,
    text_of,
    with_cells,
)

MAX_MINUTES, MAX_CODE_CELLS, MAX_CODE_LINES, MAX_WIDTH = 30, 28, 85, 88
NONSENSE = ("'nonsense'", "-1", "[]")

ALL = bool(os.environ.get("REQUESTLAB_ALL_LESSONS"))
NEWER = sys.version_info >= (3, 12)
ELSEWHERE = ("00", "01", "02", "07", "05", "11")
"""The first four are executed by `make test-portable`, the next one in `test_sentences.py`, the last one below."""

EXECUTED = LESSONS if ALL else [path for path in LESSONS if path.stem[:2] not in ELSEWHERE][NEWER::2]
"""Every other lesson that is not executed elsewhere, and the others on a newer Python; `make test-lessons` executes
all."""

each_lesson = pytest.mark.parametrize("path", LESSONS, ids=NAMES)


def test_there_are_lessons():
    assert NAMES[:2] == ["00-start-here", "01-who-runs-my-view"]


@pytest.mark.parametrize("path", EXECUTED, ids=[path.stem for path in EXECUTED])
def test_a_lesson_runs_from_a_fresh_kernel_in_any_directory_and_judges_its_claims(path, tmp_path, monkeypatch):
    """Two lessons may run at the same time, and shorter than for a reader: what they find means nothing, and is not
    looked at. Whatever a reader answers gets a few words, and no traceback."""
    folder, ledger_folder = tmp_path / "anywhere", tmp_path / "ledger"
    folder.mkdir()
    ledger_folder.mkdir()
    (ledger_folder / FILE).touch()
    monkeypatch.setenv(LEDGER_VARIABLE, str(ledger_folder))
    notebook = read(path)
    if is_to_be_guessed_in(path):
        guess(notebook)
    checks = [cell.source for cell in tagged(notebook, "check")]
    tries = [(name, value, check) for check in checks for name in answers_to(check) for value in NONSENSE]
    asked = with_cells(notebook, [f"{name} = {value}\n{check}" for name, value, check in tries])
    executed(notebook, TRIAL, folder, monkeypatch)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    pictures = [output for output in outputs if "<img alt=" in output.get("data", {}).get("text/html", "")]
    assert len(pictures) >= 2
    assert list(folder.iterdir()) == []
    for (name, value, _), words in zip(tries, said(notebook, asked), strict=True):
        assert 1 <= len(words.strip().splitlines()) <= 4, (name, value, words)
    judged = {verdict.claim.id for one in ledger.read(ledger_folder) for verdict in one.verdicts}
    assert judged == {claim.id for claim in statements() if claim.notebook == path.stem}


@pytest.mark.skipif(NEWER and not ALL, reason="executed on the default Python, and by make test-lessons")
def test_the_lesson_on_the_database_runs_on_the_readers_postgresql_too(postgresql, tmp_path, monkeypatch):
    monkeypatch.setenv(DATABASE_VARIABLE, postgresql)
    notebook = read(FOLDER / "11-the-database.ipynb")
    executed(notebook, TRIAL, tmp_path, monkeypatch)
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    words = "".join(output.get("text", "") for output in outputs)
    assert "Database: PostgreSQL" in words
    assert re.search(r"^a pool opened [0-4] connections for 40 requests$", words, re.M)
    assert re.search(r"^eight users: \d+ ms with the pool, \d+ ms without$", words, re.M)
    assert "not-a-secret" not in str(outputs)


def is_to_be_guessed_in(path: Path) -> bool:
    """Every other one is run with guesses: a reader may leave them out or not."""
    return EXECUTED.index(path) % 2 == 0


def guess(notebook: nbformat.NotebookNode) -> None:
    """Fill in a number for each guess that a lesson leaves to its reader."""
    for cell in predictions(notebook):
        cell.source = cell.source.replace("None", "7")


def predictions(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(notebook) if cell.id.startswith("predict")]


def answers_to(check: str) -> list[str]:
    """The reader's variables that a check judges."""
    return sorted(set(re.findall(r"\bmy_\w+", check)))


@each_lesson
def test_a_lesson_has_the_shape_of_a_lesson(path):
    notebook = read(path)
    text = text_of(notebook)
    title = notebook.cells[0].source
    assert re.match(r"# [A-Z][^\n]+\n", title)
    for part in ("What you will do.", "What you will learn", "What you need.", "Time."):
        assert f"**{part}" in title
    assert len(re.findall(r"^\* ", title, re.M)) == 3
    headings = ["## Your turn", "## What do you think now?", "## Key points", "## In practice", "## On your own"]
    places = [text.index(f"\n\n{heading}\n") for heading in headings]
    assert places == sorted(places)
    assert "> **Claim" in text
    key_points = text.partition("## Key points")[2].partition("##")[0]
    assert len(re.findall(r"^\* ", key_points, re.M)) == 3
    assert 2 <= len(re.findall(r"^## \d\. ", text, re.M)) <= 5
    assert text.count("<details>") == text.count("</details>") >= 6
    assert not re.search(r"<summary>[^<]*[`*]", text)  # Markdown is not read there
    assert "(glossary.md)" in text
    assert code_cells(notebook)[-1].source == "lab.stop_all()"


@each_lesson
def test_a_lesson_ends_with_one_question_that_has_a_diagnosis_for_each_answer(path):
    question = text_of(read(path)).partition("## What do you think now?")[2].partition("\n## ")[0]
    answers = re.findall(
        r"<details><summary>([ABC])\. .+?</summary>\n\n\*\*(Right|No)\.\*\* .{40,}?</details>", question, re.S
    )
    assert [letter for letter, _ in answers] == ["A", "B", "C"]
    assert sorted(word for _, word in answers) == ["No", "No", "Right"]


@each_lesson
def test_a_lesson_takes_no_more_than_half_an_hour_and_says_how_long(path):
    notebook = read(path)
    stated = int(re.search(r"\*\*Time\.\*\* (\d+) minutes", notebook.cells[0].source)[1])
    assert minutes(notebook) <= MAX_MINUTES
    assert stated - 7.5 <= minutes(notebook) <= stated
    contents = (FOLDER / "README.md").read_text()
    assert re.search(rf"\({path.name}\) \| {stated} \+ \d+ \|", contents)
    cells = code_cells(notebook)
    assert len(cells) <= MAX_CODE_CELLS
    shown = [line for cell in cells if not cell.metadata.get("jupyter") for line in cell.source.splitlines()]
    assert len(shown) <= MAX_CODE_LINES
    assert [line for cell in cells for line in cell.source.splitlines() if len(line) > MAX_WIDTH] == []


@each_lesson
def test_solutions_and_checks_are_collapsed_and_leave_the_readers_answer_alone(path):
    notebook = read(path)
    checks, solutions = tagged(notebook, "check"), tagged(notebook, "solution")
    assert checks
    assert solutions
    assert all(cell.metadata["jupyter"]["source_hidden"] for cell in (*checks, *solutions))
    assert all(cell.source.startswith("# Solution:") for cell in solutions)  # JupyterLab shows the first line
    assert not any(re.search(r"^\s*my_\w+ *=[^=]", cell.source, re.M) for cell in (*checks, *solutions))


@each_lesson
def test_predictions_are_few_and_left_to_the_reader(path):
    cells = predictions(read(path))
    assert 1 <= len(cells) <= 3
    for cell in cells:
        assert re.search(r"^predicted\w* = .*None", cell.source, re.M)


@each_lesson
def test_the_kernel_of_a_lesson_never_imports_django(path):
    assert not re.search(r"^(import|from) (django|labapp)", "\n".join(c.source for c in code_cells(read(path))), re.M)


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
