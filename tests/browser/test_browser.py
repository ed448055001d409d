"""The lessons in a real browser: JupyterLab in Chromium, as a reader sees it.

Chromium is Debian's package; where there is none, these tests are left out, but with CI=true they fail. `make
test-browser` opens every lesson, in both themes, at two widths and at 200%; CI does less. The screenshots are kept in
the folder that REQUESTLAB_SCREENSHOTS names.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Error

from tests.browser.jupyter import NOTEBOOKS, JupyterLab, Reader, jupyterlab, output
from tests.conftest import marked_processes
from tests.notebooks.lessons import NAMES
from tests.processes import started_for_all

ALL = bool(os.environ.get("REQUESTLAB_ALL_IN_BROWSER"))
RUN = [name for name in NAMES if name[:2] in (("00", "03", "04", "12") if ALL else ("00",))]
SHOTS = os.environ.get("REQUESTLAB_SCREENSHOTS")
COMPLAINTS = """async () => {
    const ours = [...document.querySelectorAll('.jp-RenderedHTMLCommon')].filter(one => one.offsetParent);
    const rules = ['color-contrast', 'image-alt', 'link-name', 'list', 'listitem', 'empty-heading', 'td-headers-attr'];
    const found = await axe.run({include: ours}, {runOnly: rules});
    const words = one => one.nodes.map(node => `${one.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`);
    return [found.passes.flatMap(one => one.nodes).length, found.violations.flatMap(words)];
}"""
"""What is said of text and outputs of lessons; JupyterLab's own parts are not looked at."""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[JupyterLab]:
    """One JupyterLab for all tests of this file."""
    with started_for_all(), jupyterlab(tmp_path_factory.mktemp("home")) as started:
        yield started


@pytest.fixture
def reader(browser, lab) -> Iterator[Reader]:
    lab.forget_workspace()
    with Reader(browser, lab) as one:
        yield one
        with suppress(Error):  # a kernel that is just going already
            one.page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")


def keep(reader: Reader, name: str) -> None:
    """Keep a screenshot, to be looked at: of the first figure, where there is one."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        if (figure := reader.page.locator(".jp-OutputArea-output img")).count():
            figure.first.scroll_into_view_if_needed()
        reader.page.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_the_first_page_is_the_contents_with_nothing_in_the_way(reader):
    shown = reader.opens()
    assert shown.locator("h1").first.inner_text().startswith("The lessons")
    assert shown.locator("table a[href*='.ipynb']").count() == len(NAMES)
    time.sleep(2)  # what would ask about news comes late
    assert reader.page.locator(".Toastify__toast, .jp-Dialog").count() == 0
    keep(reader, "contents")


def test_links_lead_from_the_contents_through_a_lesson_to_the_glossary_and_on(reader):
    shown = reader.opens()
    shown.locator("a", has_text="Start a server, measure a request").click()
    lesson = reader.shown("00-start-here.ipynb")
    lesson.locator("a", has_text="the glossary").first.click()
    glossary = reader.shown("glossary.md")
    assert glossary.locator("h1").first.inner_text().startswith("Glossary")
    assert glossary.locator("table tr").count() > 20  # a page, not its source
    keep(reader, "glossary")


@pytest.mark.parametrize("name", RUN)
def test_all_cells_run_and_their_figures_and_verdicts_are_there(reader, name):
    reader.opens(f"{name}.ipynb")
    cells = [cell for cell in reader.runs_all() if cell["cell_type"] == "code"]
    errors = [one for cell in cells for one in cell["outputs"] if one["output_type"] == "error"]
    assert errors == []
    pages = ["".join(one["data"].get("text/html", "")) for cell in cells for one in cell["outputs"] if "data" in one]
    assert sum("<img alt=" in page for page in pages) >= 2
    if name[:2] == "00":
        assert not any("Claim" in page for page in pages)
    else:
        assert any("cannot tell" in page or "supported" in page or "refuted" in page for page in pages)
    keep(reader, name)


@pytest.mark.parametrize("name", NAMES if ALL else NAMES[1:2])
def test_every_lesson_opens_with_solutions_hidden_and_its_folds_closed(reader, name):
    lesson = reader.opens(f"{name}.ipynb")
    sources = [cell for cell in reader.cells() if "check" in cell["metadata"].get("tags", [])]
    assert sources
    assert all(cell["metadata"]["jupyter"]["source_hidden"] for cell in sources)
    fold = lesson.locator("details").first
    fold.scroll_into_view_if_needed()
    assert not fold.evaluate("one => one.open")
    fold.locator("summary").click()
    assert fold.evaluate("one => one.open")
    assert fold.inner_text().count("\n") >= 1
    fold.locator("summary").click()
    assert not fold.evaluate("one => one.open")


LONG = """import requestlab as lab
with lab.serve(lab.SYNC) as server:
    run = lab.measure(server, "/sync/page/", lab.closed(2), seconds=60)"""


def test_a_long_cell_shows_progress_is_interrupted_in_a_few_lines_and_the_next_one_works(reader):
    reader.opens("00-start-here.ipynb")
    reader.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
    reader.runs(LONG)
    reader.page.wait_for_function("() => document.body.innerText.includes('s left')")
    reader.chooses("Kernel", "Interrupt Kernel")
    assert reader.waits_until_idle() < 5
    said = output(reader.cells()[-1])
    assert said.strip() == "Interrupted: the measurement; there is no run of it"
    assert gone()
    reader.runs("print('still', 'here')")
    reader.page.wait_for_function("() => document.body.innerText.includes('still here')")


def servers() -> list[str]:
    """Return the command lines of servers and load processes that run."""
    words = ("requestlab.serving.supervisor", "requestlab.load.generator")
    lines = []
    for process in marked_processes(shared=True):
        with suppress(psutil.Error):  # it has just ended
            lines.append(" ".join(process.cmdline()))
    return [line for line in lines if any(word in line for word in words)]


def gone(within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while servers() and time.monotonic() < deadline:
        time.sleep(0.1)
    return servers() == []


def some(within_s: float = 10.0) -> bool:
    """Whether a server is seen, in time: of a process that was just started the system does not tell all yet."""
    deadline = time.monotonic() + within_s
    while not servers() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(servers())


def test_a_lesson_that_was_only_opened_and_saved_is_as_it_was(reader, lab):
    name = "01-who-runs-my-view.ipynb"
    before = (lab.folder / name).stat().st_mtime_ns
    reader.opens(name)
    reader.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
    reader.chooses("File", "Save Notebook")
    deadline = time.monotonic() + 20
    while (lab.folder / name).stat().st_mtime_ns == before:
        assert time.monotonic() < deadline, "it was not saved"
        time.sleep(0.1)
    while (lab.folder / name).read_bytes() != (NOTEBOOKS / name).read_bytes():
        assert time.monotonic() < deadline, "it was saved otherwise"
        time.sleep(0.1)


def test_a_kernel_that_is_restarted_leaves_no_server(reader):
    reader.opens("00-start-here.ipynb")
    reader.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
    reader.runs("import requestlab as lab\nserver = lab.serve(lab.SYNC)\nprint('server', 'runs')")
    reader.page.wait_for_function("() => document.body.innerText.includes('server runs')")
    assert some()
    reader.chooses("Kernel", "Restart Kernel…")
    reader.page.locator(".jp-Dialog .jp-mod-accept").click()
    assert gone()
    reader.waits_until_idle()  # a kernel that is just starting cannot be shut down


def test_who_closes_the_tab_during_a_measurement_and_comes_back_can_go_on(browser, lab):
    with Reader(browser, lab) as first:
        first.opens("00-start-here.ipynb")
        first.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
        first.runs(LONG.replace("seconds=60", "seconds=4"))
        first.page.wait_for_function("() => document.body.innerText.includes('s left')")
    with Reader(browser, lab) as again:
        again.opens("00-start-here.ipynb")
        again.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
        again.waits_until_idle()
        again.runs("print('as many as', run.about.started)")
        again.page.wait_for_function("() => /as many as [1-9]/.test(document.body.innerText)")
        assert gone()
        again.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")


@pytest.mark.parametrize(
    ("theme", "width", "zoom"),
    [
        ("Dark", 1280, 1),
        *([("Light", 1280, 1), ("Light", 1920, 1), ("Dark", 1920, 1), ("Light", 1280, 2)] if ALL else []),
    ],
)
def test_a_lesson_can_be_read_in_both_themes_at_any_width(browser, lab, axe, theme, width, zoom):
    with Reader(browser, lab, width, zoom) as reader:
        reader.opens("00-start-here.ipynb")
        command = {"theme": f"JupyterLab {theme}"}
        reader.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', theme)", command)
        reader.page.wait_for_function(f"() => document.body.dataset.jpThemeLight == '{str(theme == 'Light').lower()}'")
        reader.runs_all()
        keep(reader, f"00-{theme}-{width}-{zoom}")
        wide: list[dict[str, Any]] = reader.page.evaluate(
            "() => [...document.querySelectorAll('.jp-OutputArea-output img, .jp-RenderedMarkdown img')]"
            ".map(one => ({alt: one.alt, wide: one.getBoundingClientRect().width,"
            " room: one.closest('.jp-OutputArea-output, .jp-RenderedMarkdown').clientWidth}))"
        )
        assert all(one["alt"] for one in wide)
        assert all(one["wide"] <= one["room"] + 1 for one in wide)
        reader.page.add_script_tag(content=axe)
        looked_at, complaints = reader.page.evaluate(COMPLAINTS)
        assert complaints == []
        assert looked_at > 20
        reader.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")


@pytest.mark.parametrize("number", [signal.SIGINT, *([signal.SIGTERM] if ALL else [])])
def test_without_a_terminal_one_signal_ends_it_within_five_seconds_with_all_it_started(tmp_path, browser, number):
    with jupyterlab(tmp_path) as own, Reader(browser, own) as reader:
        reader.opens("00-start-here.ipynb")
        reader.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.isReady")
        reader.runs("import requestlab as lab\nserver = lab.serve(lab.SYNC)\nprint('server', 'runs')")
        reader.page.wait_for_function("() => document.body.innerText.includes('server runs')")
        assert own.end(number) < 5
        assert gone(5)


def test_nothing_of_the_lessons_was_changed_in_the_checkout():
    assert not list(NOTEBOOKS.glob(".ipynb_checkpoints"))
