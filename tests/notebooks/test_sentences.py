"""What a lesson says, and what it answers, on a machine that is made noisy on purpose: in quick mode, beside a process
that burns half a core, no sentence is contradicted, and no right answer is called wrong.

`make test-lessons` tries all lessons; CI some of them. With `REQUESTLAB_ALL_LESSONS=full` they measure as long as they
say: `make tests ARGS='tests/notebooks/test_sentences.py -k 14'`, say.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from tests.burner import half_a_core_burnt
from tests.notebooks.lessons import LESSONS, NAMES, executed, read, said, tagged, text_of, with_cells

HERE = Path(__file__).parent
LISTED = tomllib.loads((HERE / "sentences.toml").read_text(encoding="utf-8"))
ALL = bool(os.environ.get("REQUESTLAB_ALL_LESSONS"))
MODE = "" if os.environ.get("REQUESTLAB_ALL_LESSONS") == "full" else "1"
SOME = ("05-count-the-crossings",)


def of(kind: str, lesson: str) -> list[dict[str, str]]:
    return [one for one in LISTED[kind] if one["lesson"] == lesson]


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_each_lesson_has_sentences_and_answers_to_be_tried(path):
    text = " ".join(text_of(read(path)).split())
    sentences = of("sentence", path.stem)
    assert len(sentences) >= 5
    assert [one["text"] for one in sentences if " ".join(one["text"].split()) not in text] == []
    checks = {cell.id for cell in tagged(read(path), "check")}
    answers = of("answer", path.stem)
    assert {one["check"] for one in answers} <= checks
    assert {one["says"] for one in answers} >= {"Right", "Not yet"}


@pytest.mark.measuring
@pytest.mark.timeout(900 if MODE else 3_000)
@pytest.mark.parametrize("lesson", NAMES if ALL else SOME)
def test_no_sentence_is_contradicted_and_no_right_answer_called_wrong_on_a_noisy_machine(lesson, tmp_path, monkeypatch):
    notebook = read(LESSONS[NAMES.index(lesson)])
    checks = {cell.id: cell.source for cell in tagged(notebook, "check")}
    sentences, answers = of("sentence", lesson), of("answer", lesson)
    tried = with_cells(notebook, [f"print(bool({one['holds']}))" for one in sentences])
    given = with_cells(notebook, [f"{one['set']}\n{checks[one['check']]}" for one in answers])
    with half_a_core_burnt():
        executed(notebook, MODE, tmp_path, monkeypatch, timeout=300 if MODE else 900)
    found = dict(zip((one["text"] for one in sentences), said(notebook, tried), strict=True))
    assert {text: words for text, words in found.items() if words != "True\n"} == {}
    for one, words in zip(answers, said(notebook, given), strict=True):
        contrary = {"Right": "Not yet", "Not yet": "Right"}[one["says"]]
        assert contrary not in words, (one["set"], words)
        assert one["says"] in words or "Cannot tell" in words, (one["set"], words)
