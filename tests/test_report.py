"""The report: notebooks executed for real, in kernels of their own, and the page that comes of them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from nbformat import v4
from PIL import Image

from requestlab import cli
from requestlab.claims.ledger import FILE, MACHINE_FILE
from requestlab.claims.statement import statements
from requestlab.errors import ConfigurationError, ReportError
from requestlab.notebooks import execute, figures, page, report
from requestlab.notebooks.report import FILES, PAGE, find_notebooks, make_report
from requestlab.system.machine import Machine
from requestlab.system.values import from_plain
from tests.conftest import left_after

JUDGE = "from requestlab.claims.claim import claim\nclaim('Q4').judge(60)"


def notebook(path, *cells):
    """Write a notebook: strings that begin with a # and a space are text, others code; a pair is code and its tags."""
    made = []
    for cell in cells:
        source, tags = cell if isinstance(cell, tuple) else (cell, [])
        if source.startswith(("# ", "## ")):
            made.append(v4.new_markdown_cell(source))
        else:
            made.append(v4.new_code_cell(source, metadata={"tags": tags}))
    nbformat.write(v4.new_notebook(cells=made), path)
    return path


class Elements(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def ids(self):
        return [attributes["id"] for _, attributes in self.found if "id" in attributes]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of two lessons, the first of which fails half-way; and the share that was told."""
    folder = tmp_path_factory.mktemp("notebooks")
    first = notebook(
        folder / "02-first.ipynb",
        "# The first lesson\n\nTo [the other](03-second.ipynb), [its end](./03-second.ipynb#End), [Contents](README.md), "
        "[one not here](09-none.ipynb), [outside](https://www.djangoproject.com/), [here](#Key-points).\n\n"
        "![a picture](https://example.org/x.png)",
        "## Key points",
        JUDGE,
        "import sys, os; print('interpreter', sys.executable, os.getcwd(), repr(os.environ.get('REQUESTLAB_QUICK')))",
        ("print('the answer')", ["solution"]),
        "from IPython.display import HTML, Javascript, display\n"
        'display(HTML(\'<p onclick="x()">kept</p><script src="https://example.org/x.js"></script>\'\n'
        '    \'<link rel=stylesheet href="https://example.org/x.css"><iframe src="https://example.org"></iframe>\'\n'
        '    \'<style>@import "https://example.org/y.css";</style><img src="//example.org/y.png">\'\n'
        "    '<img src=\"data:image/png;base64,AAAA\">'))\ndisplay(Javascript('alert(1)'))",
        "import requestlab as lab\nserver = lab.serve(lab.NULL)",
        "raise lab.LabError('on <purpose>')",
        "print('never ' + 'reached')",
    )
    second = notebook(
        folder / "03-second.ipynb", "# The second lesson\n\n## Key points\n\n## End", "'kept in ' + 'memory'", JUDGE
    )
    told = []
    where = tmp_path_factory.mktemp("out") / "report"
    return make_report([first, second], where, tick=lambda what, share: told.append((what, share))), told


@pytest.fixture(scope="module")
def text(made):
    return (made[0].folder / PAGE).read_text()


def test_a_report_is_three_files_and_nothing_beside_them(made):
    folder = made[0].folder
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["report"]
    assert from_plain(Machine, json.loads((folder / MACHINE_FILE).read_text())) == made[0].machine
    assert len((folder / FILE).read_text().splitlines()) == 2


def test_a_lesson_that_fails_shows_its_error_and_the_next_is_executed(made, text):
    assert [one.name for one in made[0].failed] == ["02-first"]
    assert "LabError: on <purpose>" in made[0].executed[0].error
    assert "on &lt;purpose&gt;" in text
    assert "never reached" not in text
    assert "kept in memory" in text


def test_a_lesson_runs_in_this_interpreter_in_a_folder_of_its_own_in_quick_mode(made, text):
    outputs = "".join(output.get("text", "") for output in made[0].executed[0].notebook.cells[3].outputs)
    word, interpreter, folder, quick = outputs.split()
    assert (word, interpreter, quick) == ("interpreter", sys.executable, "'1'")
    assert not Path(folder).exists()
    assert not Path(folder).is_relative_to(Path.cwd())


def test_the_page_begins_with_the_machine_and_the_ledger_of_all_claims(made, text):
    places = [text.index(f'id="{anchor}"') for anchor in ("contents", "machine", "ledger", "lesson-02-first")]
    assert places == sorted(places)
    assert made[0].machine.python in text[places[1] : places[2]]
    ledger = text[places[2] : places[3]]
    assert all(f'id="claim-{one.id}"' in ledger for one in statements())
    assert "60 threads" in ledger
    assert "The first lesson" in text[places[0] : places[1]]


def test_the_page_loads_nothing_and_runs_nothing(text):
    elements = Elements(text)
    for tag in ("script", "link", "iframe", "object", "embed", "base"):  # the code that made them is shown, as text
        assert elements.of(tag) == []
    assert [image["src"] for image in elements.of("img")] == ["data:image/png;base64,AAAA"]
    assert len(elements.of("style")) == 1
    assert not [1 for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "a picture" in text
    assert ">kept</p>" in text


def test_links_between_lessons_lead_to_places_on_the_page(text):
    elements = Elements(text)
    targets = [link["href"] for link in elements.of("a") if "href" in link]
    inside = {target[1:] for target in targets if target.startswith("#")}
    assert inside <= set(elements.ids)
    assert {"lesson-03-second", "contents", "02-first--Key-points"} <= inside
    assert "https://www.djangoproject.com/" in targets
    here = [target for target in targets if not target.startswith("https://")]
    assert not [target for target in here if "ipynb" in target or ".md" in target]
    assert "one not here" in text


def test_no_anchor_is_there_twice(text):
    ids = Elements(text).ids
    assert len(ids) == len(set(ids))


def test_solutions_are_executed_and_folded(text):
    before, _, after = text.partition('<details class="solution">')
    assert "the answer" not in before
    folded = after.partition("</details>")[0]
    assert folded.startswith("<summary>Solution</summary>")
    assert folded.count("the answer") == 2


def test_each_heading_but_the_first_is_below_the_pages_own(text):
    assert len(Elements(text).of("h1")) == 1
    assert text.count("The second lesson</h2>") == 1


def test_what_is_being_done_is_told(made):
    told = made[1]
    assert {what for what, _ in told} == {"02-first", "03-second"}
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1


def test_outputs_of_a_notebook_on_disk_do_not_get_into_the_report(tmp_path):
    path = notebook(tmp_path / "01-old.ipynb", "'new'")
    old = nbformat.read(path, as_version=4)
    old.cells[0].outputs = [v4.new_output("stream", text="old output")]
    nbformat.write(old, path)
    assert execute.load(path).cells[0].outputs == []


# What becomes of the kernel, and of the folder


def test_a_kernel_that_dies_and_a_cell_that_takes_too_long_are_failures_of_their_lesson(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "CELL_TIMEOUT_S", 2)
    dies = notebook(tmp_path / "01-dies.ipynb", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    hangs = notebook(tmp_path / "02-hangs.ipynb", "import time; time.sleep(60)")
    made = make_report([dies, hangs], tmp_path / "out")
    assert [one.error for one in made.executed] == ["the kernel ended", "a cell took more than 2 s"]
    assert (tmp_path / "out" / PAGE).read_text().count("a cell took more than 2 s") >= 2


def test_a_kernel_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    [failed] = make_report([notebook(tmp_path / "01-a.ipynb", "1")], tmp_path / "out").executed
    assert "the kernel did not start" in failed.error
    assert "encodings" in failed.error


def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    lesson = notebook(tmp_path / "01-a.ipynb", "# A\n", "1")
    out = tmp_path / "out"
    out.mkdir()
    make_report([lesson], out)
    (out / FILE).write_text("an older ledger")
    make_report([lesson], out)
    assert (out / FILE).read_text() == ""
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ReportError, match="more than a report"):
        make_report([lesson], out)
    (out / "notes.txt").unlink()
    (out / PAGE).write_text("<html>somebody else's</html>")
    with pytest.raises(ReportError, match="more than a report"):
        make_report([lesson], out)
    with pytest.raises(ReportError, match="is a file"):
        make_report([lesson], lesson)
    with pytest.raises(ReportError, match="there is no folder"):
        make_report([lesson], tmp_path / "none" / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"01-a.ipynb", "out"}


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    lesson = notebook(tmp_path / "01-a.ipynb", "# A\n")
    make_report([lesson], tmp_path / "out")
    before = (tmp_path / "out" / PAGE).read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "render", fail)
    with pytest.raises(OSError, match="No space"):
        make_report([lesson], tmp_path / "out")
    assert (tmp_path / "out" / PAGE).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"01-a.ipynb", "out"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_running_and_no_half_a_report(tmp_path, number):
    mark = tmp_path / "begun"
    lessons = [
        notebook(
            tmp_path / f"0{n}-long.ipynb",
            "import requestlab as lab, pathlib, time\nserver = lab.serve(lab.NULL)\n"
            f"pathlib.Path({str(mark)!r}).touch()\ntime.sleep(60)",
        )
        for n in (1, 2)
    ]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "requestlab.cli", "report", *map(str, lessons), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)})
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    before = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert time.monotonic() - before < 2
    assert said == ""
    assert left_after(2.0) == []
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert [path.name for path in temporary.iterdir() if path.name.startswith("requestlab-")] == []


# Names of notebooks, and the command


def test_notebooks_are_found_by_name_number_and_path(tmp_path):
    one, two = (notebook(tmp_path / name, "1") for name in ("01-a.ipynb", "02-b.ipynb"))
    (tmp_path / "README.md").touch()
    assert find_notebooks([], tmp_path) == [one, two]
    assert find_notebooks(["02", "1"], tmp_path) == [two, one]
    assert find_notebooks(["02-b", str(one)], tmp_path) == [two, one]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        *((["07"], "there is no notebook '07'; there are: 01-a, 01-b"), (["01"], "several notebooks are '01'")),
        *((["x/y.ipynb"], "there is no notebook 'x/y.ipynb'"), (["01-a", "01-a"], "named more than once")),
        (["00-none.ipynb"], "there is no notebook '00-none.ipynb'"),
    ],
)
def test_a_name_that_is_no_notebooks_is_refused(tmp_path, names, message):
    notebook(tmp_path / "01-a.ipynb", "1")
    notebook(tmp_path / "01-b.ipynb", "1")
    with pytest.raises(ConfigurationError) as refused:
        find_notebooks(names, tmp_path)
    assert message in str(refused.value)


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no notebooks"):
        find_notebooks([], tmp_path)


def ran(*arguments):
    return CliRunner().invoke(cli.commands, ["report", *map(str, arguments)])


def test_the_command_says_what_it_made_and_exits_with_1_where_a_lesson_failed(tmp_path):
    good = notebook(tmp_path / "01-good.ipynb", "# Good\n", JUDGE)
    bad = notebook(tmp_path / "02-bad.ipynb", "# Bad\n", "1 / 0")
    one = ran(good, "--output", tmp_path / "one", "--json")
    assert one.exit_code == 0
    told = json.loads(one.stdout)
    assert told["page"] == str(tmp_path / "one" / PAGE)
    assert [(row["claim"], row["quick"]) for row in told["verdicts"]] == [("everything-in-one-thread", True)]
    two = ran(bad, "--full", "--output", tmp_path / "two")
    assert two.exit_code == 1
    assert "ZeroDivisionError: division by zero" in two.stdout
    page = (tmp_path / "one" / PAGE).read_text()
    assert "quick mode" in page
    assert page.count(">quick</span>") == 1
    assert "quick mode" not in (tmp_path / "two" / PAGE).read_text()


PICTURE = """
from IPython.display import HTML
from requestlab.plots import Picture
from matplotlib.figure import Figure
figure = Figure()
figure.add_subplot().plot([1, 2], [1, 2])
Picture(figure, "it goes up & up.")
"""


def test_figures_that_lessons_name_are_written_small_and_with_their_words(tmp_path):
    lesson = notebook(tmp_path / "01-a.ipynb", "# A\n", (PICTURE, ["figure:up", "solution"]), PICTURE, ("1", ["other"]))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.txt").write_text("mine")
    done = ran(lesson, "--output", tmp_path / "out", "--figures", tmp_path / "docs", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)["figures"]
    assert told == [{"path": str(tmp_path / "docs" / "up.png"), "lesson": "01-a", "alt": "it goes up & up."}]
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"notes.txt", "up.png"}
    written, shown = (tmp_path / "docs" / "up.png").read_bytes(), (tmp_path / "out" / PAGE).read_text()
    on_page = base64.b64decode(re.search(r'src="data:image/webp;base64,([^"]+)"', shown)[1])
    one, other = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int) for data in (written, on_page))
    assert one.shape == other.shape
    assert np.abs(one - other).max() < 26


@pytest.mark.parametrize(("kind", "smaller"), [("PNG", 2), ("WEBP", 1.5)])
def test_a_figure_is_made_small_and_no_colour_changes_by_more_than_can_be_seen(kind, smaller):
    figure = Figure(figsize=(10, 5))
    axes = figure.add_subplot(title="The quick brown fox")
    axes.fill_between(range(9), range(9), color="#dde6ee")
    axes.plot(range(9), "o-", label="jumps over")
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=192)
    small = figures.small(written.getvalue(), kind)
    before, after = (np.asarray(Image.open(io.BytesIO(one)).convert("RGB"), int) for one in (written.getvalue(), small))
    assert len(small) < len(written.getvalue()) / smaller
    assert np.abs(before - after).max() <= 8
    assert (before == after).mean() > 0.95


def test_a_cell_that_should_show_a_figure_and_does_not_is_an_error(tmp_path):
    lesson = notebook(tmp_path / "01-a.ipynb", "# A\n", ("'no figure'", ["figure:up"]))
    (tmp_path / "docs").mkdir()
    with pytest.raises(ReportError, match="tagged 'figure:up' and shows no figure"):
        make_report([lesson], tmp_path / "out", figures=tmp_path / "docs")
    done = ran(lesson, "--output", tmp_path / "out", "--figures", tmp_path / "nowhere")
    assert (done.exit_code, "there is no folder" in done.output) == (1, True)


def test_a_lesson_that_failed_has_no_figure_and_that_is_not_a_second_failure(tmp_path):
    lesson = notebook(tmp_path / "01-a.ipynb", "# A\n", "1 / 0", (PICTURE, ["figure:up"]))
    made = make_report([lesson], tmp_path / "out", figures=tmp_path)
    assert (len(made.failed), made.figures) == (1, ())


def test_what_cannot_be_a_report_is_one_message(tmp_path):
    (tmp_path / "02-text.ipynb").write_text("not a notebook")
    for arguments in (["99"], ["none.ipynb"], [tmp_path / "02-text.ipynb", "--output", tmp_path / "out"]):
        result = ran(*arguments)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
    assert {path.name for path in tmp_path.iterdir()} == {"02-text.ipynb"}


def test_a_heading_is_the_first_of_the_notebook():
    cells = [v4.new_markdown_cell("text"), v4.new_markdown_cell("# First\n\n# Second")]
    assert page.heading(v4.new_notebook(cells=cells), "name") == "First"
    assert page.heading(v4.new_notebook(cells=[]), "name") == "name"
