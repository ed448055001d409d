"""What tests in a browser share: Chromium, and what looks for text that some readers cannot read."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.processes import started_for_all

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
CHROMIUM += ("--disable-component-update", "--disable-sync")

AXE = "axe-core@4.14.1"


def pytest_itemcollected(item: pytest.Item) -> None:
    """The tests of a file share a browser, so that one process runs them, beside others that wait less."""
    item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        why = "there is no Chromium on this machine (on Debian and Ubuntu: apt install chromium)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with started_for_all(), sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The script of axe-core, which looks for what some readers cannot read."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine, which fetches axe-core")
    folder = tmp_path_factory.mktemp("axe")
    subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, check=True, timeout=120, capture_output=True)
    with tarfile.open(next(folder.glob("*.tgz"))) as packed:
        found = packed.extractfile("package/axe.min.js")
        assert found is not None
        return found.read().decode()
