"""JupyterLab on a copy of the lessons, and a reader in front of it: a real Chromium."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Locator, Page

from requestlab.system.quick import QUICK_VARIABLE, TRIAL

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATIENCE_MS = 60_000
"""How long a page may take to show something."""


class JupyterLab:
    """`requestlab lab`, started in a folder of its own as a reader would, without a terminal, in the background of a
    script."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.folder, self._log = home / "notebooks", home / "jupyter.log"
        self._workspaces = home / ".jupyter/lab/workspaces"
        shutil.copytree(NOTEBOOKS, self.folder)
        settings = home / ".jupyter/lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text('{"windowingMode": "none"}')  # all cells are there to be looked at, not only those in sight
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        self._token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{port}"
        arguments = [f"--ServerApp.port={port}", f"--IdentityProvider.token={self._token}", "--no-browser"]
        arguments += ["--LabApp.expose_app_in_browser=True"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "requestlab.cli", "lab", str(self.folder), "--", *arguments],
            env=os.environ | {QUICK_VARIABLE: TRIAL, "HOME": str(home), "PYTHONFAULTHANDLER": "1"} | variables,
            preexec_fn=_ignore_interrupts,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log.open("wb"),
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def address(self, name: str = "") -> str:
        """Return where a reader finds a file, or the page that JupyterLab opens first."""
        return f"{self.url}/{f'lab/tree/{name}' if name else ''}?token={self._token}"

    def forget_workspace(self) -> None:
        """Forget what was open: JupyterLab brings it back, and then turns to what was asked for once more, whatever a
        reader has clicked meanwhile."""
        shutil.rmtree(self._workspaces, ignore_errors=True)

    def end(self, number: int = signal.SIGINT) -> float:
        """Send a signal, and return how many seconds it took to end."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # its stacks go to the log
            self.process.wait()
            raise AssertionError(f"JupyterLab did not end:\n{self._log.read_text()[-6000:]}") from None
        return time.monotonic() - began


def _ignore_interrupts() -> None:
    """As a shell without job control has it for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def jupyterlab(home: Path, **variables: str) -> Iterator[JupyterLab]:
    lab = JupyterLab(home, **variables)
    try:
        yield lab
    finally:
        if lab.process.poll() is None:
            lab.end()


class Reader:
    """Somebody with a window open on JupyterLab; what they see is asked of the page, what a notebook holds of its
    model."""

    def __init__(self, browser: Browser, lab: JupyterLab, width: int = 1280, zoom: float = 1.0) -> None:
        size = {"width": round(width / zoom), "height": round(800 / zoom)}
        self._context = browser.new_context(viewport=size, device_scale_factor=zoom)  # type: ignore[arg-type]
        self._lab = lab
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def opens(self, name: str = "") -> Locator:
        """Open a file, and return what shows it."""
        self.page.goto(self._lab.address(name))
        return self.shown(name or "README.md")

    def shown(self, name: str) -> Locator:
        """Wait until a file is open and its content there, and return what shows it."""
        kind = ".jp-NotebookPanel" if name.endswith(".ipynb") else ".jp-MarkdownViewer"
        self.page.locator(f".lm-TabBar-tab.jp-mod-current[title*='{name}']").first.wait_for()
        shown = self.page.locator(f"{kind}:visible")
        shown.locator(".jp-RenderedMarkdown h1").first.wait_for()
        return shown

    def chooses(self, menu: str, item: str) -> None:
        """Choose an item of a menu."""
        self.page.locator("#jp-MainMenu .lm-MenuBar-itemLabel", has_text=menu).first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text=item).first.click()

    def runs_all(self, timeout_s: float = 120) -> list[dict[str, Any]]:
        """Run all cells, wait for the last one, and return the cells."""
        self.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
        self.chooses("Run", "Run All Cells")
        last = "cells => cells.filter(one => one.cell_type == 'code').at(-1).execution_count"
        self.page.wait_for_function(f"() => ({last})({_CELLS})", timeout=1000 * timeout_s)
        return self.cells()

    def cells(self) -> list[dict[str, Any]]:
        """Return the cells of the notebook in front, as they would be saved."""
        found: list[dict[str, Any]] = self.page.evaluate(f"() => {_CELLS}")
        return found

    def is_busy(self) -> bool:
        """Whether the kernel works."""
        return bool(self.page.evaluate(f"() => {_KERNEL}.status == 'busy'"))

    def waits_until_idle(self, timeout_s: float = 60) -> float:
        """Return after how many seconds the kernel has nothing to do."""
        began = time.monotonic()
        self.page.wait_for_function(f"() => {_KERNEL}?.status == 'idle'", timeout=1000 * timeout_s)
        return time.monotonic() - began

    def runs(self, source: str) -> None:
        """Write a cell below the others and run it; do not wait for it."""
        self.page.evaluate(
            "source => { const content = window.jupyterapp.shell.currentWidget.content;"
            " content.activeCellIndex = content.widgets.length - 1; }",
            source,
        )
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:insert-cell-below')")
        self.page.evaluate(
            "source => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource(source)",
            source,
        )
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")


_CELLS = "window.jupyterapp.shell.currentWidget.context.model.toJSON().cells"
_KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"


def output(cell: dict[str, Any]) -> str:
    """Return the text that a cell has printed, and its error."""
    said = []
    for one in cell.get("outputs", ()):
        text = one.get("text") or one.get("traceback") or ""
        said.append("".join(text) if isinstance(text, list) else text)
    return "\n".join(said)
