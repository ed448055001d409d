"""Every example runs as a script, in any directory, ends with a verdict, leaves nothing, and says what it is about."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from requestlab.claims.statement import WORDS
from requestlab.system.quick import QUICK_VARIABLE, TRIAL

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("report_*.py"))
OWN = FOLDER / "own_experiment.py"
"""Not of somebody's report, but for the reader to change."""

WALL = FOLDER / "advise_on_the_wall.py"
"""Advice on an app of the lab's own, which takes a minute."""

ALL = bool(os.environ.get("REQUESTLAB_ALL_EXAMPLES"))
"""`make test-examples` runs all of them; else one that takes a few seconds stands for the rest."""

QUICK = [path for path in EXAMPLES if ALL or path.stem.split("_")[1] in ("04",)]
RUN = [*QUICK, OWN, *([WALL] if ALL else [])]

each_example = pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])


def test_there_are_examples():
    assert EXAMPLES[0].name.startswith("report_01_")


@pytest.mark.parametrize("path", RUN, ids=[path.stem for path in RUN])
def test_an_example_runs_in_any_directory_and_ends_with_a_verdict(path, tmp_path, monkeypatch):
    """It runs for a tenth of its time: what it finds means nothing, and is not looked at."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    environment = os.environ | {QUICK_VARIABLE: TRIAL, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(path)], cwd=here, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^verdict +({'|'.join(WORDS)}), in quick mode: ", done.stdout, re.M), done.stdout
    assert not list(here.iterdir())
    assert not list(temporary.iterdir())


@each_example
def test_an_example_says_its_source_its_claim_what_decides_and_what_was_measured(path):
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert re.match(rf"Report {int(path.stem.split('_')[1])}: .+\?\n\nSource: https://", said)
    for paragraph in "Claim: ", "What decides: ", "Measured on one machine (":
        assert f"\n\n{paragraph}" in said
    assert "Django" in said.partition("Measured on ")[2]


@each_example
def test_an_example_uses_the_public_library_only(path):
    imported = {name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for name in names_of(node)}
    assert {name for name in imported if name.partition(".")[0] in ("requestlab", "labapp")} == {"requestlab"}


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
