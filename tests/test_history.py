"""A record over versions: the order of versions, what flipped where, and one command that makes a row."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from requestlab.claims.ledger import append
from requestlab.errors import LedgerFormatError
from requestlab.system import machine
from requestlab.wall import history
from tests.test_wall import verdict


def keep(folder, django: str, word: str, python: str = "3.11.7", **more: str) -> None:
    versions = {**machine.facts().versions, "django": django, **more}
    append(folder / f"django{django}-python{python}", verdict(word, versions=versions, python=python))


def requestlab(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "requestlab.cli", *words], capture_output=True, text=True)


def test_reports_stand_in_the_order_of_versions_and_a_flip_names_both_and_what_changed(tmp_path):
    keep(tmp_path, "10.0", "refuted")
    keep(tmp_path, "5.2.19", "supported")
    keep(tmp_path, "6.0.1", "supported", uvicorn="9.9")
    (trail,) = history.trails(tmp_path)
    assert [one.entry.machine.versions["django"] for one in trail.found] == ["5.2.19", "6.0.1", "10.0"]
    (flip,) = trail.flips
    assert (flip.before.word, flip.after.word) == ("supported", "refuted")
    assert "supported with Django 6.0.1" in flip.words
    assert "refuted with Django 10.0" in flip.words
    assert "django 6.0.1 to 10.0" in flip.words
    assert f"uvicorn 9.9 to {machine.version('uvicorn')}" in flip.words


def test_what_cannot_be_told_flips_nothing(tmp_path):
    keep(tmp_path, "5.2", "supported")
    keep(tmp_path, "6.0", "cannot tell")
    keep(tmp_path, "6.1", "supported")
    (trail,) = history.trails(tmp_path)
    assert trail.flips == ()


def test_the_command_writes_the_page_and_says_what_flipped(tmp_path):
    keep(tmp_path, "5.2", "supported")
    keep(tmp_path, "6.1", "refuted")
    done = requestlab("history", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "many-requests-one-thread: supported with Django 5.2" in done.stdout
    page = (tmp_path / "history.html").read_text()
    assert "Verdicts that flipped" in page
    assert page.count("<circle") == 2
    nothing = requestlab("history", str(tmp_path / "nowhere"))
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "there is no ledger.jsonl below" in nothing.stderr
    assert "Traceback" not in nothing.stderr


def test_a_folder_without_ledgers_is_a_sentence(tmp_path):
    with pytest.raises(LedgerFormatError, match="requestlab report --output"):
        history.trails(tmp_path)


def test_an_environment_without_the_lab_and_one_given_twice_are_sentences(tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    missing = requestlab("report", "00", "--python", str(bare / "bin" / "python"), "--output", str(tmp_path / "out"))
    assert missing.returncode == 1
    assert "has no requestlab; install the lab there" in missing.stderr
    twice = requestlab("report", "00", *["--python", sys.executable] * 2, "--output", str(tmp_path / "out"))
    assert twice.returncode == 2
    assert "the same versions of Python and Django" in twice.stderr
    assert not (tmp_path / "out").exists()


def test_one_command_makes_a_report_in_an_environment_and_its_history(tmp_path, monkeypatch):
    notebook = tmp_path / "small.py"
    notebook.write_text("import requestlab as lab\nprint(lab.claim('many-requests-one-thread').judge(1).verdict)\n")
    done = requestlab(
        "report", str(notebook), "--python", os.path.relpath(sys.executable), "--output", str(tmp_path / "out")
    )
    assert done.returncode == 0, done.stderr
    facts = machine.facts()
    name = f"django{facts.versions['django']}-python{facts.python}"
    assert (tmp_path / "out" / name / "ledger.jsonl").exists()
    assert "No verdict flipped" in done.stdout
