"""A lesson that was opened and saved without a change is as it was, byte for byte."""

from __future__ import annotations

import shutil

import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager

from requestlab.notebooks.saving import as_it_was
from tests.notebooks.lessons import LESSONS, NAMES

OPENED = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "version": "3.99.1", "file_extension": ".py", "mimetype": "text/x-python"},
}
"""What JupyterLab notes down of the kernel."""


@pytest.fixture
def contents(tmp_path) -> FileContentsManager:
    manager = FileContentsManager(root_dir=str(tmp_path))
    manager.register_pre_save_hook(as_it_was)
    return manager


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_a_lesson_that_nobody_changed_stays_as_it_is(path, contents, tmp_path):
    shutil.copyfile(path, tmp_path / path.name)
    model = contents.get(path.name)
    model["content"]["metadata"] |= OPENED
    contents.save(model, path.name)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_what_a_reader_writes_is_saved(contents, tmp_path):
    shutil.copyfile(LESSONS[0], tmp_path / "a.ipynb")
    model = contents.get("a.ipynb")
    model["content"]["cells"][1]["source"] = "mine"
    contents.save(model, "a.ipynb")
    assert contents.get("a.ipynb")["content"]["cells"][1]["source"] == "mine"


def test_a_new_notebook_says_what_it_is_of(contents):
    model = contents.get(contents.new(path="new.ipynb")["path"])
    model["content"]["metadata"] |= OPENED
    assert contents.save(model, "other.ipynb")["type"] == "notebook"
    assert contents.get("other.ipynb")["content"]["metadata"]["language_info"]["version"] == "3.99.1"
