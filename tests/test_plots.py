from __future__ import annotations

import base64
import html
import itertools
import re
import subprocess
import sys
from dataclasses import replace
from importlib import resources

import matplotlib
import numpy as np
import pytest
from matplotlib import image
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.load.generator import COLUMNS
from requestlab.measurement.facts import CoreUse
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.plots import Picture, ecdf, style, threads
from tests.made_runs import ABOUT, MACHINE

START = 5_000_000_000
MS = 1_000_000
GTHREAD = lab.SYNC.replace(server="gunicorn-gthread", threads=4)


def made(configuration, rows, *, alive=(), users=None, each=1, rate=None, path="/sync/wait/", probe=True):
    """A run of hand-made rows: dicts with times in ms from the start, the rest as in a good answer after 10 ms."""
    filled = []
    for user, row in enumerate(rows):
        cells = {
            "user": user,
            "planned": 0,
            "status": 200,
            "error": 0,
            "size": 5,
            "body": 0,
            "opened": 0,
            "pid": 7,
            "thread": 7,
            "number": 0,
        }
        cells |= {"on_loop": 0 if probe else -1} | row
        cells.setdefault("sent", cells["planned"])
        cells.setdefault("done", cells["sent"] + 10)
        cells["first_byte"] = cells["first_body"] = cells["done"]
        for name in ("planned", "sent", "first_byte", "first_body", "done"):
            cells[name] = START + round(cells[name] * MS)
        filled.append([cells[name] for name in COLUMNS])
    samples = np.array(filled, dtype=np.int64).reshape(-1, len(COLUMNS))
    counted = np.array([[START + round(ms * MS), pid, count] for ms, pid, count in alive], dtype=np.int64).reshape(
        -1, 3
    )
    users = users or max(1, len(filled))
    about = {
        "label": configuration.label,
        "configuration": configuration.replace(probe=probe),
        "capacity": configuration.capacity,
        "path": path,
        "load": f"{rate:g} requests/s" if rate else f"{users} users",
        "users": None if rate else users,
        "rate": rate,
        "each": each,
        "nonce": True,
        "counts": {},
        "started": len(filled),
        "held_back": 0,
        "connections": users,
        "cores_shared": False,
        "cores_watched": 1,
        "cores_ns": CoreUse(busy=0, idle=1000 * MS, steal=0),
        "pressure_ns": None,
        "throttled_ns": None,
        "pids": tuple(sorted({row.get("pid", 7) for row in rows if row.get("pid", 7)})),
        "start": START,
        "end": START + 1000 * MS,
        "generator_cpu_ns": 100 * MS,
        "generator_wait_ns": 0,
        "worker_ended": False,
        "server_cpu_ns": 100 * MS,
        "server_ended": False,
        "machine": MACHINE,
    }
    return Run(samples, counted, replace(ABOUT, **about))


def one_after_another(number, configuration=lab.SYNC):
    return made(configuration, [{"done": 10 + 10 * i} for i in range(number)], alive=[(-5, 7, 1), (5, 7, 1)])


def a_thread_each(number, configuration=lab.MIXED):
    return made(configuration, [{"thread": 10 + i} for i in range(number)], alive=[(-5, 7, 1), (5, 7, number + 1)])


def on_one_loop(number, configuration=lab.ASYNC):
    rows = [{"on_loop": 1} for _ in range(number)]
    return made(configuration, rows, alive=[(-5, 7, 1), (5, 7, number + 1)], path="/async/wait/")


def took(configuration, times_ms, **kwargs):
    return made(configuration, [{"done": time} for time in times_ms], **kwargs)


def words_of(picture):
    return [text.get_text() for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def drawn_texts(picture):
    """Every text of the PNG, with its place as shares of the image; ticks beyond an axis's limits exist but are not drawn."""
    drawn = []
    original = Text.draw

    def noting(self, renderer):
        original(self, renderer)
        if self.get_visible() and self.get_text().strip():
            box = Text.get_window_extent(self, renderer)
            drawn.append((self, box.transformed(Affine2D().scale(1 / renderer.width, 1 / renderer.height))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", noting)
        picture._repr_html_()
    return drawn


def marks(picture):
    """What is marked by a configuration's marker: (x, y) of the data."""
    lines = [line for line in picture.figure.findobj(Line2D) if line.get_marker() in {"o", "s", "^"}]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


# The finding in words


def test_the_ecdf_title_tells_the_medians():
    picture = ecdf(took(lab.SYNC, [1, 1.2, 9]), took(lab.MIXED, [3, 3.4, 1200]))
    assert picture.alt == "Half of the requests took less than 1.2 ms under sync, 3.4 ms under mixed."


def test_labels_with_commas_are_parted_by_semicolons():
    picture = ecdf(took(GTHREAD, [5]), took(lab.SYNC, [7]))
    assert "5.0 ms under sync, server=gunicorn-gthread, threads=4; 7.0 ms under sync." in picture.alt


def test_failed_requests_are_told():
    rows = [{"done": 4}, {"done": 6, "status": 500}, {"error": 1, "status": 0, "pid": 0, "thread": 0, "on_loop": -1}]
    run = made(lab.SYNC, rows)
    assert ecdf(run).alt == "Half of the answered requests took less than 4.0 ms under sync (2 of 3 requests failed)."
    assert threads(run).alt == "3 requests at once: 1 thread under sync (2 of 3 requests failed)."
    assert "● sync (suspect)" in words_of(ecdf(run))
    assert "● sync (suspect)" in words_of(threads(run))


def test_runs_without_an_answer_say_so_and_draw():
    lost = {"error": 2, "status": 0, "pid": 0, "thread": 0, "on_loop": -1, "done": 0}
    for run in (made(lab.SYNC, [lost, lost]), made(lab.SYNC, [])):
        assert "no thread under sync" in threads(run).alt
        assert ecdf(run).alt.startswith("No request was answered under sync")
        for picture in (threads(run), ecdf(run), threads(run, a_thread_each(3)), ecdf(run, a_thread_each(3))):
            assert "no request was answered" in words_of(picture)
            assert "● sync (invalid)" in words_of(picture)
            picture._repr_html_()


def test_capacity_is_stated():
    pictures = [show(one_after_another(2), on_one_loop(2), took(GTHREAD, [1, 2])) for show in (threads, ecdf)]
    for picture in pictures:
        assert {"capacity: 1 request at once", "capacity: 4 requests at once", "capacity: no limit of its own"} <= set(
            words_of(picture)
        )


# Percentiles


@pytest.mark.parametrize(
    ("answers", "expected"),
    [(1, [50]), (20 * TAIL - 1, [50]), (20 * TAIL, [50, 95]), (100 * TAIL - 1, [50, 95]), (100 * TAIL, [50, 95, 99])],
)
def test_a_percentile_is_marked_only_where_enough_requests_lie_beyond(answers, expected):
    run = took(lab.SYNC, np.linspace(1, 100, answers))
    picture = ecdf(run)
    assert [y for _, y in marks(picture)] == expected
    for (x, _), name in zip(marks(picture), [f"p{q}" for q in expected], strict=True):
        assert x == pytest.approx(run.summary[name])
    missing = [f"p{q}" for q in (50, 95, 99) if q not in expected]
    assert (f"too few requests for {' and '.join(missing)}" in words_of(picture)) == bool(missing)


def test_the_curve_is_the_share_that_took_no_longer():
    picture = ecdf(took(lab.SYNC, [30, 10, 20, 40]))
    curve = next(line for line in picture.figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    assert curve.get_xdata().tolist() == [10, 10, 20, 30, 40]
    assert curve.get_ydata().tolist() == [0, 25, 50, 75, 100]
    assert picture.figure.axes[0].get_xscale() == "log"


# Open loops


def scheduled(**kwargs):
    """An open loop in which every tenth request is sent 40 ms late and is answered 5 ms later."""
    rows = [{"planned": i, "sent": i + (40 if i % 10 == 0 else 0)} for i in range(20 * TAIL)]
    rows = [row | {"done": row["sent"] + 5} for row in rows]
    return made(lab.SYNC, rows, rate=1000, each=None, **kwargs)


def test_an_open_loop_shows_response_and_service_time():
    picture = ecdf(scheduled())
    service, response = [line for line in picture.figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert set(service.get_xdata()) == {5.0}
    assert service.get_linewidth() < response.get_linewidth()
    assert set(response.get_xdata()) == {5.0, 45.0}
    text = " ".join(words_of(picture))
    assert "response: p50 5.0 ms · p95 45 ms" in text
    assert "service: p50 5.0 ms · p95 5.0 ms (dotted)" in text
    assert "/sync/wait/, 1000 requests/s" in text
    assert "40 of 400 requests sent more than 1 ms after they were" in text
    assert "from sent to answered" in picture.figure.axes[0].get_xlabel()
    assert_legible(picture)


def test_an_open_loop_in_time_says_so_and_a_closed_loop_shows_neither():
    rows = [{"planned": i} for i in range(9)]
    assert any(
        "none sent more than 1 ms after" in text for text in words_of(ecdf(made(lab.SYNC, rows, rate=9, each=None)))
    )
    assert not any("sent more" in text or "service" in text for text in words_of(ecdf(made(lab.SYNC, rows))))


# Predictions


def test_no_prediction_draws_none():
    for picture in (threads(a_thread_each(3)), ecdf(a_thread_each(3)), threads(a_thread_each(3), predicted={})):
        assert not any("prediction" in text for text in words_of(picture))


def test_predicted_medians_are_drawn():
    sync, mixed = took(lab.SYNC, [5, 6]), took(lab.MIXED, [50, 60])
    assert "your prediction: half within 0.5 ms" in words_of(ecdf(sync, mixed, predicted=0.5))
    assert ecdf(sync, predicted=0.5).figure.axes[0].get_xlim()[0] < 0.5
    by_label = words_of(ecdf(sync, mixed, predicted={"sync": 5, "mixed": 70}))
    assert "your prediction for sync: half within 5 ms" in by_label
    assert "your prediction for mixed: half within 70 ms" in by_label


# Looks


def test_each_named_configuration_has_one_colour_and_one_marker_in_every_figure():
    runs = {"sync": one_after_another(3), "mixed": a_thread_each(3), "async": on_one_loop(3)}
    seen = {name: set() for name in runs}
    for names in itertools.permutations(runs, 2):
        for figure in (threads, ecdf):
            picture = figure(*(runs[name] for name in names))
            lines = [line for line in picture.figure.findobj(Line2D) if line.get_marker() in {"o", "s", "^"}]
            assert len(lines) == 2
            for name, line in zip(names, lines, strict=True):
                seen[name].add((line.get_color(), line.get_marker()))
    assert all(len(looks) == 1 for looks in seen.values())
    assert len(set.union(*seen.values())) == 3


def test_other_names_have_a_stable_look_that_is_nobody_elses():
    alone = style.looks([("http://127.0.0.1:8000", "http://127.0.0.1:8000")])[0]
    amid = style.looks([("sync", "sync"), ("async", "async"), ("http://127.0.0.1:8000", "http://127.0.0.1:8000")])
    assert amid[2] == alone
    many = style.looks([(name, name) for name in ("sync", "mixed", "async", "mine", "yours", "theirs", "ours")])
    assert len({(one.colour, one.marker) for one in many}) == 7
    told = "from requestlab.plots import style; print([style.looks([(name, name)]) for name in 'abcdefgh'])"
    again = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.strip()
    assert again == str([style.looks([(name, name)]) for name in "abcdefgh"])


def test_variants_share_the_colour_and_differ_in_line_and_marker():
    labels = ["sync", "sync, workers=2", "sync, workers=4", "sync, middleware=none"]
    base, *variants = found = style.looks([("sync", label) for label in labels])
    assert {(one.colour, one.marker) for one in found} == {(base.colour, base.marker)}
    assert len({(one.line, one.filled) for one in found}) == 4
    assert base.filled
    assert base.line == "-"
    assert style.looks([("sync", "sync, workers=2")])[0] == variants[0]


def luminance(colour):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(channels, (0.2126, 0.7152, 0.0722)))


def test_no_line_is_too_pale_and_text_in_colour_is_read_easily():
    faces = style.looks([(name, name) for name in ("sync", "mixed", "async", *"abcdef")])
    for one in faces:
        assert 1.05 / (luminance(one.colour) + 0.05) > 2  # Okabe and Ito's yellow has 1.3
    for one in faces[:3]:
        assert 1.05 / (luminance(one.ink) + 0.05) >= 4.5


def test_runs_of_one_configuration_are_told_apart():
    picture = ecdf(took(lab.MIXED, [5], path="/sync/page/"), took(lab.MIXED, [7], path="/async/page/"))
    assert {"■ mixed, /sync/page/", "□ mixed, /async/page/"} <= set(words_of(picture))
    twice = ecdf(took(lab.MIXED, [5]), took(lab.MIXED, [7]))
    assert "□ mixed, /sync/wait/ #2" in words_of(twice)


def test_one_mapping_gives_the_labels():
    picture = threads({"before": one_after_another(3), "after": a_thread_each(3)}, predicted={"after": 2})
    assert picture.alt == "3 requests at once: 1 thread under before, 3 threads under after."
    assert {"● before", "■ after"} <= set(words_of(picture))


# Legibility


def busy_pictures():
    close = [
        took(configuration, np.linspace(5, 5.2, 50)) for configuration in (lab.SYNC, lab.MIXED, lab.ASYNC, GTHREAD)
    ]
    lost = {"error": 1, "status": 0, "pid": 0, "thread": 0, "on_loop": -1}
    failing = made(lab.SYNC.replace(workers=2), [{"pid": 7 + i % 2} for i in range(9)] + [lost] * 3)
    yield ecdf(*close)
    yield ecdf(*close, failing, predicted={"sync": 5, "mixed": 5.1, "async": 500})


@pytest.mark.parametrize("number", range(2))
def test_no_text_is_cut_off_or_small_or_on_another(number):
    assert_legible(next(itertools.islice(busy_pictures(), number, None)))


def assert_legible(picture):
    """No text of the picture is cut off, small, or on another."""
    placed = drawn_texts(picture)
    points = 72 * picture.figure.get_size_inches()
    for text, box in placed:
        assert text.get_fontsize() >= 8, text
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= 1, text
        assert box.y1 <= 1, text
    for (one, mine), (other, its) in itertools.combinations(placed, 2):
        across = points[0] * (min(mine.x1, its.x1) - max(mine.x0, its.x0))
        upright = points[1] * (min(mine.y1, its.y1) - max(mine.y0, its.y0))
        assert across <= 1 or upright <= 1, (one, other)


def test_the_caption_names_machine_versions_server_and_loop():
    picture = threads(one_after_another(3), on_one_loop(3, lab.ASYNC.replace(loop="uvloop")))
    small_print = next(text for text in words_of(picture) if "a processor" in text)
    for expected in ("Python 3.13.0", "Django 6.0", "gunicorn 27.0 (gunicorn-sync)", "uvicorn 0.54 on uvloop 0.23"):
        assert expected in small_print.replace("\n", " ")


def test_runs_of_different_machines_are_not_passed_off_as_of_one():
    other = one_after_another(3)
    other = Run(
        other.samples, other.thread_samples, replace(other.about, machine=replace(MACHINE, processor="another"))
    )
    text = " ".join(words_of(ecdf(a_thread_each(3), other)))
    assert "different machines" in text
    assert "a processor" in text
    assert "another" in text


# The picture


def pixels(picture, path):
    return image.imread(picture.save(path))


def test_the_background_is_opaque_white_whatever_the_notebook_has_set(tmp_path):
    with matplotlib.rc_context({"figure.facecolor": "black", "savefig.facecolor": "none", "savefig.transparent": True}):
        drawn = pixels(threads(a_thread_each(3)), tmp_path / "threads.png")
    assert drawn[0, 0].tolist() == [1, 1, 1, 1]
    assert (drawn[..., 3] == 1).all()
    assert drawn.shape[1] == 1920


def test_a_figure_looks_alike_whatever_the_notebook_has_set(tmp_path):
    usual = pixels(ecdf(a_thread_each(3)), tmp_path / "usual.png")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "lines.marker": "*", "xtick.bottom": False}):
        unusual = pixels(ecdf(a_thread_each(3)), tmp_path / "unusual.png")
    assert np.array_equal(usual, unusual)


def test_the_html_has_an_escaped_alternative_text_and_a_crisp_image():
    picture = threads({'a "quoted" <b> & $x$': a_thread_each(3)})
    markup = picture._repr_html_()
    alt = re.search(r'alt="([^"]*)"', markup)
    assert alt is not None
    assert "<" not in alt[1]
    assert html.unescape(alt[1]) == picture.alt
    assert "max-width: 100%" in markup
    data = re.search(r'src="data:image/png;base64,([^"]+)"', markup)
    assert data is not None
    raw = base64.b64decode(data[1])
    assert raw.startswith(b"\x89PNG")
    shown = int(re.search(r"width: (\d+)px", markup)[1])
    assert int.from_bytes(raw[16:20], "big") == 2 * shown


def test_the_title_can_tell_of_another_percentile():
    run = took(lab.SYNC, range(1, 12))
    assert ecdf(run, finds=90).alt == "90 % of the requests took less than 10 ms under sync."
    for wrong in (0, 100, 99.9, True, "p99"):
        with pytest.raises(ConfigurationError, match="a whole number from 1 to 99"):
            ecdf(run, finds=wrong)


def test_the_repr_is_the_finding():
    assert repr(threads(one_after_another(2))) == "<Picture: 2 requests at once: 1 thread under sync.>"


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("PNG", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_it_is_saved_as_the_suffix_says(tmp_path, suffix, magic):
    path = ecdf(one_after_another(3)).save(tmp_path / f"figure.{suffix}")
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png.txt"])
def test_an_unknown_suffix_is_refused_and_writes_nothing(tmp_path, name):
    with pytest.raises(ConfigurationError, match=r"\.png, \.svg, \.pdf"):
        ecdf(one_after_another(3)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no folder"):
        ecdf(one_after_another(3)).save(tmp_path / "nowhere" / "figure.png")


def test_figures_leave_no_trace_in_matplotlib():
    before = dict(matplotlib.rcParams)
    threads(a_thread_each(3))._repr_html_()
    ecdf(a_thread_each(3))._repr_html_()
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_imported():
    told = "import sys, requestlab.plots; print('matplotlib.pyplot' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
    threads(a_thread_each(3))._repr_html_()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_the_style_file_is_in_the_package():
    assert "savefig.facecolor: white" in resources.files("requestlab.plots").joinpath("requestlab.mplstyle").read_text()


# Wrong use


def test_a_run_without_the_probe_says_how_to_measure():
    bare = made(lab.SYNC, [{"pid": 0, "thread": 0}], probe=False)
    with pytest.raises(ConfigurationError, match=r"serve\(\.\.\., probe=True\)"):
        threads(a_thread_each(3), bare)
    assert isinstance(ecdf(bare), Picture)


@pytest.mark.parametrize("figure", [threads, ecdf])
@pytest.mark.parametrize("wrong", [(), ({},), ([],), ("run",), ({"a": 1},), (None,)])
def test_what_is_not_a_run_is_refused(figure, wrong):
    with pytest.raises(ConfigurationError, match="takes runs of measure"):
        figure(*wrong)


@pytest.mark.parametrize("figure", [threads, ecdf])
@pytest.mark.parametrize("predicted", ["1", True, -1, float("nan"), float("inf"), {"sync": "1"}, {"nobody": 1}])
def test_a_prediction_that_is_no_number_is_refused(figure, predicted):
    with pytest.raises(ConfigurationError, match="predicted"):
        figure(one_after_another(3), predicted=predicted)


def test_a_median_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="above 0"):
        ecdf(one_after_another(3), predicted=0)
