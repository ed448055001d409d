"""The report: notebooks executed for real, in kernels of their own, and the page that comes of them."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from nbformat import v4
from PIL import Image

from requestlab import cli
from requestlab.claims.ledger import FILE, MACHINE_FILE
from requestlab.claims.statement import statements
from requestlab.errors import ConfigurationError, ReportError
from requestlab.notebooks import execute, figures, page, report
from requestlab.notebooks.report import FILES, PAGE, find_notebooks, make_report
from requestlab.plots import guesses
from requestlab.system.machine import Machine
from requestlab.system.values import from_plain
from tests.conftest import left_after

JUDGE = "from requestlab.claims.judging import claim\nclaim('Q4').judge(60)"


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


GUESSED = """
import requestlab as lab
with lab.serve(lab.NULL) as server:
    run = lab.measure(server, "/", lab.closed(users=1, each=5))
lab.plots.ecdf(run, predicted=7)
"""


def test_a_script_is_shown_and_run_like_a_lesson_and_what_was_guessed_stands_beside_what_was_found(tmp_path):
    script = tmp_path / "report_99_mine.py"
    script.write_text(
        f'"""What is it?\n\nIt is *mine*.\n"""\nimport sys\n{JUDGE}\n{GUESSED}\nprint("ran", __name__, sys.argv[1:])'
    )
    made = make_report(find_notebooks([str(script)], tmp_path), tmp_path / "report")
    assert made.failed == []
    text = (made.folder / PAGE).read_text()
    assert "What is it?" in text
    assert "ran __main__ []" in text
    assert [one.guess for one in made.guessed.all] == ["7"]
    assert 'id="guesses"' in text
    assert {path.name for path in made.folder.iterdir()} == FILES | {guesses.FILE}
    make_report([notebook(tmp_path / "01-a.ipynb", "1")], tmp_path / "report")  # it takes its place
    (tmp_path / "bad.py").write_text("if")
    with pytest.raises(ReportError, match=r"bad\.py' is not a script that can be read"):
        make_report([tmp_path / "bad.py"], tmp_path / "report")


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


def test_the_page_loads_nothing_runs_nothing_and_has_one_heading_above_those_of_lessons(text):
    elements = Elements(text)
    for tag in ("script", "link", "iframe", "object", "embed", "base"):  # the code that made them is shown, as text
        assert elements.of(tag) == []
    assert [image["src"] for image in elements.of("img")] == ["data:image/png;base64,AAAA"]
    assert len(elements.of("style")) == 1
    assert not [1 for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "a picture" in text
    assert ">kept</p>" in text
    assert len(elements.of("h1")) == 1
    assert text.count("The second lesson</h2>") == 1


def test_links_between_lessons_lead_to_places_on_the_page_of_which_none_is_there_twice(text):
    elements = Elements(text)
    targets = [link["href"] for link in elements.of("a") if "href" in link]
    inside = {target[1:] for target in targets if target.startswith("#")}
    assert inside <= set(elements.ids)
    assert len(elements.ids) == len(set(elements.ids))
    assert {"lesson-03-second", "contents", "02-first--Key-points"} <= inside
    assert "https://www.djangoproject.com/" in targets
    here = [target for target in targets if not target.startswith("https://")]
    assert not [target for target in here if "ipynb" in target or ".md" in target]
    assert "one not here" in text


def test_solutions_are_executed_and_folded(text):
    before, _, after = text.partition('<details class="solution">')
    assert "the answer" not in before
    folded = after.partition("</details>")[0]
    assert folded.startswith("<summary>Solution</summary>")
    assert folded.count("the answer") == 2


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
    out, file = tmp_path / "out", tmp_path / "file"
    out.mkdir()
    file.touch()
    make_report([], out)
    (out / FILE).write_text("an older ledger")
    make_report([], out)
    assert (out / FILE).read_text() == ""
    refused = [(file, "is a file"), (tmp_path / "none" / "out", "there is no folder")]
    for folder, why in [(out, "more than a report"), *refused]:
        (out / "notes.txt").write_text("mine")
        with pytest.raises(ReportError, match=why):
            make_report([], folder)
    (out / "notes.txt").unlink()
    (out / PAGE).write_text("<html>somebody else's</html>")
    with pytest.raises(ReportError, match="more than a report"):
        make_report([], out)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "out"}


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    make_report([], tmp_path / "out")
    before = (tmp_path / "out" / PAGE).read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "render", fail)
    with pytest.raises(OSError, match="No space"):
        make_report([], tmp_path / "out")
    assert (tmp_path / "out" / PAGE).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.patient
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.some(1)
def test_an_interrupt_leaves_nothing_running_and_no_half_a_report(tmp_path, number):
    mark, temporary = tmp_path / "begun", tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)  # from a try before
    mark.unlink(missing_ok=True)
    lesson = notebook(
        tmp_path / "01-long.ipynb",
        "import requestlab as lab, pathlib, time\nserver = lab.serve(lab.NULL)\n"
        f"pathlib.Path({str(mark)!r}).touch()\ntime.sleep(60)",
    )
    command = [sys.executable, "-m", "requestlab.cli", "report", str(lesson), "--output", str(tmp_path / "out")]
    heard = functools.partial(signal.signal, number, signal.SIG_DFL)  # where the tests were started to survive it
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)}, preexec_fn=heard
    )
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
    assert {path.name for path in tmp_path.iterdir()} == {"01-long.ipynb", "begun", "tmp"}
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
    with pytest.raises(ConfigurationError, match="no notebooks"):
        find_notebooks([], tmp_path)
    notebook(tmp_path / "01-a.ipynb", "1")
    notebook(tmp_path / "01-b.ipynb", "1")
    with pytest.raises(ConfigurationError) as refused:
        find_notebooks(names, tmp_path)
    assert message in str(refused.value)


def ran(*arguments):
    return CliRunner().invoke(cli.commands, ["report", *map(str, arguments)])


PICTURE = """
from IPython.display import HTML
from requestlab.plots import Picture
from matplotlib.figure import Figure
figure = Figure()
figure.add_subplot().plot([1, 2], [1, 2])
Picture(figure, "it goes up & up.")
"""


def test_the_command_writes_a_report_and_the_figures_that_lessons_name_and_says_what_it_made(tmp_path):
    cells = ["# Good\n", JUDGE, (PICTURE, ["figure:up", "solution"]), PICTURE, ("1", ["other"])]
    lesson = notebook(tmp_path / "01-good.ipynb", *cells)
    docs, out = tmp_path / "docs", tmp_path / "out"
    docs.mkdir()
    (docs / "notes.txt").write_text("mine")
    done = ran(lesson, "--output", out, "--figures", docs, "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["page"] == str(out / PAGE)
    assert [(row["claim"], row["quick"]) for row in told["verdicts"]] == [("everything-in-one-thread", True)]
    assert told["figures"] == [{"path": str(docs / "up.png"), "lesson": "01-good", "alt": "it goes up & up."}]
    assert {path.name for path in docs.iterdir()} == {"notes.txt", "up.png"}
    page = (out / PAGE).read_text()
    pictures = [image["src"] for image in BeautifulSoup(page, "html.parser").find_all("img")]
    shown = [base64.b64decode(source.removeprefix("data:image/webp;base64,")) for source in pictures]
    drawn = Image.open(docs / "up.png").convert("RGB").tobytes()
    assert [Image.open(io.BytesIO(each)).convert("RGB").tobytes() == drawn for each in shown] == [True, True]
    assert "quick mode" in page
    assert page.count(">quick</span>") == 1


def test_the_command_exits_with_1_where_a_lesson_failed_and_its_missing_figure_is_no_second_failure(tmp_path):
    bad = notebook(tmp_path / "02-bad.ipynb", "# Bad\n", "1 / 0", (PICTURE, ["figure:up"]))
    done = ran(bad, "--full", "--output", tmp_path / "out", "--figures", tmp_path)
    assert done.exit_code == 1
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "quick mode" not in (tmp_path / "out" / PAGE).read_text()
    assert list(tmp_path.glob("*.png")) == []


def test_a_cell_that_should_show_a_figure_and_does_not_is_an_error(tmp_path):
    lesson = execute.load(notebook(tmp_path / "01-a.ipynb", ("'no figure'", ["figure:up"])))
    with pytest.raises(ReportError, match="tagged 'figure:up' and shows no figure"):
        figures.save_figures([execute.Executed("01-a", lesson, 1.0, "")], tmp_path)


def test_what_cannot_be_a_report_is_one_message(tmp_path):
    (tmp_path / "02-text.ipynb").write_text("not a notebook")
    good = notebook(tmp_path / "01-a.ipynb", "1")
    for arguments in (
        ["99"],
        ["none.ipynb"],
        [tmp_path / "02-text.ipynb", "--output", tmp_path / "out"],
        [good, "--output", tmp_path / "out", "--figures", tmp_path / "nowhere"],
    ):
        result = ran(*arguments)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
    assert {path.name for path in tmp_path.iterdir()} == {"01-a.ipynb", "02-text.ipynb"}


def test_a_heading_is_the_first_of_the_notebook():
    cells = [v4.new_markdown_cell("text"), v4.new_markdown_cell("# First\n\n# Second")]
    assert page.heading(v4.new_notebook(cells=cells), "name") == "First"
    assert page.heading(v4.new_notebook(cells=[]), "name") == "name"


def test_a_figure_is_smaller_on_the_page_and_has_the_same_pixels():
    drawn, png = Image.effect_noise((60, 40), 30).quantize(8).convert("RGB"), io.BytesIO()
    drawn.save(png, "PNG")
    html = f'<img alt="a" src="{figures.PNG}{base64.b64encode(png.getvalue()).decode()}">'
    cell = v4.new_code_cell("x", outputs=[v4.new_output("display_data", {"text/html": html})])
    (image,) = BeautifulSoup(page.fragment(v4.new_notebook(cells=[cell]), "00", {}), "html.parser").find_all("img")
    written = base64.b64decode(image["src"].removeprefix("data:image/webp;base64,"))
    assert len(written) < len(png.getvalue())
    assert Image.open(io.BytesIO(written)).convert("RGB").tobytes() == drawn.tobytes()
