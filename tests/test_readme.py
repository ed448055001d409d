from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "notebooks" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]
    assert links
    for link in links:
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("name", ["sixty-at-once.png", "one-request.png"])
def test_a_figure_is_kept_and_not_large(name):
    figure = ROOT / "docs" / name
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.stat().st_size < 400_000


def test_the_map_names_every_folder_that_is_kept():
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {line.partition("/")[0] for line in kept.splitlines() if "/" in line and not line.startswith(".")}
    readme = (ROOT / "README.md").read_text()
    assert folders
    for folder in folders:
        assert re.search(rf"^    {folder}/", readme, re.M), folder
