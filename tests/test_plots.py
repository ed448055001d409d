from __future__ import annotations

import base64
import html
import itertools
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, strategies as st
from matplotlib import image
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.plots import Picture, ecdf, marks, sheet, style, threads
from tests.made_runs import MACHINE
from tests.pictures import (
    GTHREAD,
    LOST,
    a_thread_each,
    assert_legible,
    close_runs,
    failing,
    made,
    on_one_loop,
    one_after_another,
    said,
    scheduled,
    took,
    words_of,
)


def marked(picture):
    """The lines that have a configuration's marker."""
    return [line for line in picture.figure.findobj(Line2D) if line.get_marker() in {"o", "s", "^"}]


# The finding in words


TITLES = """\
Half of the requests took less than 1.2 ms under sync, 3.4 ms under asgi.
Half of the requests took less than 5.0 ms under sync, server=gunicorn-gthread, threads=4; 7.0 ms under sync.
Half of the requests took less than 1.0 ms under sync, 9.0 ms under async.
Half of the requests took less than 5.0 ms (alone), 7.0 ms (beside others).
90% of the requests took less than 10 ms under sync."""


def test_the_title_tells_a_percentile_of_each_run_and_is_the_alternative_text():
    pictures = [
        ecdf(took(lab.SYNC, [1, 1.2, 9]), took(lab.ASGI, [3, 3.4, 1200])),
        ecdf(took(GTHREAD, [5]), took(lab.SYNC, [7])),
        ecdf(took(lab.SYNC, [1]), took(lab.ASGI, [3]), took(lab.ASYNC, [9])),  # of many, the fastest and the slowest
        ecdf({"alone": took(lab.SYNC, [5]), "beside others": took(lab.SYNC, [7])}),
        ecdf(took(lab.SYNC, range(1, 12)), finds=90),
    ]
    assert "\n".join(picture.alt for picture in pictures) == TITLES
    assert all(picture.alt.removesuffix(".") in said(picture) for picture in pictures)
    assert repr(pictures[-1]) == "<Picture: 90% of the requests took less than 10 ms under sync.>"


def test_failed_requests_are_told():
    picture = ecdf(made(lab.SYNC, [{"done": 4}, {"done": 6, "status": 500}, LOST]))
    assert picture.alt == "Half of the answered requests took less than 4.0 ms under sync (2 of 3 requests failed)."
    assert "● sync (suspect)" in words_of(picture)


@pytest.mark.parametrize("rows", [[], [LOST | {"done": 0}] * 2])
def test_runs_without_an_answer_say_so_and_draw(rows):
    picture = ecdf(made(lab.SYNC, rows), a_thread_each(3))
    assert "o request was answered under sync" in picture.alt
    assert {"no request was answered", "● sync (invalid)"} <= set(words_of(picture))
    picture._repr_mimebundle_()


# Percentiles and curves


@pytest.mark.parametrize(
    ("answers", "expected"),
    [(1, [50]), (20 * TAIL - 1, [50]), (20 * TAIL, [50, 95]), (100 * TAIL - 1, [50, 95]), (100 * TAIL, [50, 95, 99])],
)
def test_a_percentile_is_marked_only_where_enough_requests_lie_beyond(answers, expected):
    run = took(lab.SYNC, np.linspace(1, 100, answers))
    picture = ecdf(run)
    (line,) = marked(picture)
    assert line.get_xdata() == pytest.approx([run.summary[f"p{q}"] for q in expected])
    assert list(line.get_ydata()) == expected
    missing = [f"p{q}" for q in (50, 95, 99) if q not in expected]
    assert (f"too few requests for {' and '.join(missing)}" in words_of(picture)) == bool(missing)


def test_the_curve_is_the_share_that_took_no_longer():
    axes = ecdf(took(lab.SYNC, [30, 10, 20, 40])).figure.axes[0]
    curve = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
    assert curve.get_xdata().tolist() == [10, 10, 20, 30, 40]
    assert curve.get_ydata().tolist() == [0, 25, 50, 75, 100]
    assert (axes.get_xscale(), axes.get_xlim()[0]) == ("linear", 0)


@pytest.mark.parametrize(("times", "scale"), [([10, 20, 50], "linear"), ([10, 20, 51], "log")])
def test_the_axis_is_linear_where_all_times_lie_within_a_factor_of_five(times, scale):
    picture = ecdf(took(lab.SYNC, times))
    assert picture.figure.axes[0].get_xscale() == scale
    assert ("(logarithmic)" in said(picture)) == (scale == "log")


def test_an_open_loop_shows_response_and_service_time():
    picture = ecdf(scheduled())
    service, response = [line for line in picture.figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert set(service.get_xdata()) == {5.0}
    assert service.get_linewidth() < response.get_linewidth()
    assert set(response.get_xdata()) == {5.0, 45.0}
    for expected in (
        "response: p50 5.0 ms · p95 45 ms",
        "service: p50 5.0 ms · p95 5.0 ms (dotted)",
        "/sync/wait/, 1000 requests/s",
        "40 of 400 requests sent more than 1 ms after they were planned",
        "service time, from sent to answered",
    ):
        assert expected in said(picture)
    assert_legible(picture)


def test_an_open_loop_in_time_says_so_and_shows_one_curve_and_a_closed_loop_shows_neither():
    rows = [{"planned": i} for i in range(9)]
    picture = ecdf(made(lab.SYNC, rows, rate=9, each=None))
    assert "none sent more than 1 ms after" in said(picture)
    assert "service" not in said(picture)
    assert len([line for line in picture.figure.axes[0].lines if line.get_drawstyle() == "steps-post"]) == 1
    assert not {"sent", "service"} & set(said(ecdf(made(lab.SYNC, rows))).replace("from sent", "").split())


def test_predicted_medians_are_drawn():
    sync, asgi = took(lab.SYNC, [5, 6]), took(lab.ASGI, [50, 60])
    picture = ecdf(sync, asgi, predicted=0.5)
    assert "your prediction: half within 0.5 ms" in words_of(picture)
    assert picture.figure.axes[0].get_xlim()[0] < 0.5
    by_label = said(ecdf(sync, asgi, predicted={"sync": 5, "asgi": 70}))
    assert "your prediction for sync: half within 5 ms" in by_label
    assert "your prediction for asgi: half within 70 ms" in by_label
    assert "prediction" not in said(ecdf(sync, predicted={}))


# Looks


def test_each_named_configuration_has_one_colour_and_one_marker_in_every_figure():
    runs = {"sync": one_after_another(3), "asgi": a_thread_each(3), "async": on_one_loop(3)}
    seen = {name: set() for name in runs}
    for names in itertools.permutations(runs, 2):
        for figure in (threads, ecdf):
            picture = figure(*(runs[name] for name in names))
            for name, line in zip(names, marked(picture), strict=True):
                seen[name].add((line.get_color(), line.get_marker()))
    assert all(len(looks) == 1 for looks in seen.values())
    assert len(set.union(*seen.values())) == 3


def test_other_names_have_a_stable_look_that_is_nobody_elses():
    alone = style.looks([("http://127.0.0.1:8000", "http://127.0.0.1:8000")])[0]
    amid = style.looks([("sync", "sync"), ("async", "async"), ("http://127.0.0.1:8000", "http://127.0.0.1:8000")])
    assert amid[2] == alone
    many = style.looks([(name, name) for name in ("sync", "asgi", "async", "mine", "yours", "theirs", "ours")])
    assert len({(one.colour, one.marker) for one in many}) == 7


def test_looks_are_alike_in_every_process_and_figures_never_import_pyplot():
    told = (
        "import sys; from requestlab.plots import style; print([style.looks([(name, name)]) for name in 'abcdefgh']); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert shown == f"{[style.looks([(name, name)]) for name in 'abcdefgh']}\nFalse\n"


def test_variants_share_the_marker_and_differ_in_shade_or_line():
    labels = ["sync", "sync, workers=2", "sync, workers=4", "sync, middleware=none"]
    base, *variants = found = style.looks([("sync", label) for label in labels])
    assert {one.marker for one in found} == {base.marker}
    assert len({(one.line, one.colour) for one in found}) == 4
    assert (base.filled, base.line) == (True, "-")
    assert luminance(variants[0].colour) < luminance(base.colour) / 2  # the second reads as another at once
    assert not any(one.filled for one in variants)
    assert len({one.colour for one in style.looks([("aaa", "aaa"), ("aaa", "b")])}) == 2  # black ones, too
    assert style.looks([("sync", "sync, workers=2")])[0] == base  # alone, it has the look of its name
    assert style.looks([("sync", "sync"), ("sync", "threads")]) == style.looks(
        [("sync", "sync"), ("threads", "threads")]
    )


def luminance(colour):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(channels, (0.2126, 0.7152, 0.0722)))


def test_no_line_is_too_pale_and_text_in_colour_is_read_easily():
    faces = style.looks([(name, name) for name in ("sync", "asgi", "async", *"abcdef")])
    for one in faces:
        assert 1.05 / (luminance(one.colour) + 0.05) > 2  # Okabe and Ito's yellow has 1.3
    for one in faces[:3]:
        assert 1.05 / (luminance(one.ink) + 0.05) >= 4.5


def test_runs_of_one_configuration_are_told_apart():
    picture = ecdf(took(lab.ASGI, [5], path="/sync/page/"), took(lab.ASGI, [7], path="/async/page/"))
    assert {"■ asgi, /sync/page/", "□ asgi, /async/page/"} <= set(words_of(picture))
    assert "□ asgi, /sync/wait/ #2" in words_of(ecdf(took(lab.ASGI, [5]), took(lab.ASGI, [7])))
    assert {"● before", "■ after"} <= set(words_of(ecdf({"before": took(lab.SYNC, [5]), "after": took(lab.ASGI, [7])})))


# The sheet: text that is measured, and places that are spread


@given(st.lists(st.text("iW. $", min_size=1, max_size=30), min_size=1, max_size=8))
def test_no_line_of_a_text_is_wider_than_it_may_be_and_no_letter_is_lost(words):
    text = " ".join(words)
    lines = sheet.wrapped(text, 0.9, 9)
    assert all(sheet.width_in(line, 9) <= 0.9 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_number_is_not_parted_from_its_unit():
    lines = sheet.wrapped("it took 100 ms and 50%, in 10 rounds", sheet.width_in("it took 100", 9), 9)
    assert lines == ["it took", "100 ms", "and 50%,", "in 10", "rounds"]


@given(st.lists(st.floats(0, 8), max_size=30))
def test_labels_along_a_line_stand_apart_within_bounds_and_where_they_want_to_be_if_there_is_room(wanted):
    wanted = sorted(wanted)
    places = np.array(marks.spread(wanted, 0.2, 0.1, 8.0))
    assert len(places) == len(wanted)
    assert (np.diff(places) >= 0.2 - 1e-9).all()
    assert not len(places) or (places[0] >= 0.1 - 1e-9 and places[-1] <= 8.0 + 1e-9)
    if (np.diff(wanted) >= 0.2).all():
        assert marks.spread(wanted, 0.2, -1, 1000) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("runs", "predicted"),
    [
        ((*close_runs(), failing()), {"sync": 5, "asgi": 5.1, "async": 500}),
        (({"a name that is far too long " * 6: close_runs()[0], "x" * 90: close_runs()[1]},), None),
        ((scheduled(),), 7),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(runs, predicted):
    assert_legible(ecdf(*runs, predicted=predicted))


# The small print, and the details


def test_the_small_print_names_machine_versions_server_and_loop_and_who_could_hold_how_much():
    picture = ecdf(one_after_another(3), on_one_loop(3, lab.ASYNC.replace(loop="uvloop")), took(GTHREAD, [1]))
    for expected in (
        "a processor, 2 cores · Linux 6.1 · Python 3.13.0 · Django 6.0 · asgiref 3.13",
        "gunicorn 27.0 (gunicorn-sync), no event loop",
        "uvicorn 0.54 on uvloop 0.23",
        "capacity: 1 request at once",
        "capacity: 4 requests at once",
        "capacity: no limit of its own",
        "One run each shows no more than what happened once",
    ):
        assert expected in said(picture)


def test_runs_of_different_machines_are_not_passed_off_as_of_one():
    one = one_after_another(3)
    other = Run(one.samples, one.process_samples, replace(one.about, machine=replace(MACHINE, processor="another")))
    text = said(ecdf(a_thread_each(3), other))
    assert "These runs come from different machines or versions: a processor" in text
    assert "another" in text


def test_how_it_was_measured_stays_with_the_figure_as_a_folded_table_that_is_escaped():
    picture = ecdf({"<b>": took(lab.SYNC, [1, 2], users=2)})
    assert picture.details == (
        (
            "<b>",
            "2 requests; at most 1 s after 0 s of warm-up, seed 0; asked: /sync/wait/, 2 users; capacity: 1 request "
            "at once; gunicorn 27.0 (gunicorn-sync), no event loop; too few requests for p95 and p99: fewer than 20 lie beyond",
        ),
    )
    markup = picture._repr_mimebundle_()["text/html"]
    assert re.search(r"<details[^>]*>\s*<summary>How it was measured</summary>", markup)
    assert "&lt;b&gt;</th>" in markup
    assert "<b>" not in markup
    assert "warm-up" not in said(picture)
    assert "<details" not in Picture(picture.figure, picture.alt)._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("texts", [["one text " * 90], ["machine " * 60, "loads " * 60]])
def test_small_print_has_two_lines_at_most_and_what_was_cut_is_whole_in_the_details(texts):
    picture = sheet.Sheet("title").picture(texts, [("a", "b")])
    (written,) = [text for text in words_of(picture) if text.endswith("…")]
    assert written.count("\n") == 1
    assert picture.details == (("a", "b"), *(("small print", text) for text in texts))
    assert sheet.Sheet("title").picture(["short", "too"]).details == ()


# The picture


def pixels(picture, path):
    return image.imread(picture.save(path))


def test_the_background_is_opaque_white_and_the_figure_looks_alike_whatever_the_notebook_has_set(tmp_path):
    usual = pixels(ecdf(a_thread_each(3)), tmp_path / "usual.png")
    odd = {"figure.facecolor": "black", "savefig.facecolor": "none", "savefig.transparent": True, "font.size": 20}
    with matplotlib.rc_context(odd | {"axes.grid": True, "lines.marker": "*", "xtick.bottom": False}):
        unusual = pixels(ecdf(a_thread_each(3)), tmp_path / "unusual.png")
    assert np.array_equal(usual, unusual)
    assert usual[0, 0].tolist()[:3] == [1, 1, 1]
    assert usual.shape[1] == 1920
    assert (usual[..., 3:] == 1).all()


def test_the_html_has_an_escaped_alternative_text_and_a_crisp_image():
    picture = ecdf({'a "quoted" <b> & $x$': a_thread_each(3)})
    bundle = picture._repr_mimebundle_()
    markup = bundle["text/html"]
    assert bundle["text/plain"] == repr(picture)
    alt = re.search(r'alt="([^"]*)"', markup)
    assert "<" not in alt[1]
    assert html.unescape(alt[1]) == picture.alt
    assert "max-width: 100%" in markup
    raw = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', markup)[1])
    assert raw == bundle["image/png"]
    assert raw.startswith(b"\x89PNG")
    shown = int(re.search(r"width: (\d+)px", markup)[1])
    assert int.from_bytes(raw[16:20], "big") == 2 * shown


def test_a_png_is_small_and_no_colour_changes_by_more_than_can_be_seen(tmp_path):
    picture = ecdf({"a": a_thread_each(3), "b": one_after_another(3)})
    small = tmp_path / "small.png"
    after = pixels(picture, small)
    with style.applied():
        picture.figure.savefig(tmp_path / "whole.png")
    before = image.imread(tmp_path / "whole.png")
    assert small.stat().st_size < (tmp_path / "whole.png").stat().st_size / 2
    assert np.abs(after[..., :3] - before[..., :3]).max() * 255 < 3


@pytest.mark.parametrize(("suffix", "magic"), [("PNG", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_it_is_saved_as_the_suffix_says(tmp_path, suffix, magic):
    path = ecdf(one_after_another(3)).save(tmp_path / f"figure.{suffix}")
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png.txt", "nowhere/figure.png"])
def test_a_place_where_it_cannot_be_saved_is_refused_and_nothing_written(tmp_path, name):
    with pytest.raises(ConfigurationError, match=r"no folder|\.png, \.svg, \.pdf"):
        ecdf(one_after_another(3)).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_figures_leave_no_trace_in_matplotlib():
    before = dict(matplotlib.rcParams)
    ecdf(a_thread_each(3))._repr_mimebundle_()
    assert dict(matplotlib.rcParams) == before


# Wrong use


@pytest.mark.parametrize("figure", [threads, ecdf, lab.plots.lag, lab.plots.crossings, lab.plots.streams])
@pytest.mark.parametrize("wrong", [(), ({},), ([],), ("run",), ({"a": 1},), (None,)])
def test_what_is_not_a_run_is_refused(figure, wrong):
    with pytest.raises(ConfigurationError, match="takes runs of measure"):
        figure(*wrong)


@pytest.mark.parametrize("figure", [threads, ecdf])
@pytest.mark.parametrize("predicted", ["1", True, -1, float("nan"), float("inf"), {"sync": "1"}, {"nobody": 1}])
def test_a_prediction_that_is_no_number_is_refused(figure, predicted):
    with pytest.raises(ConfigurationError, match="predicted"):
        figure(one_after_another(3), predicted=predicted)


def test_a_median_of_nothing_and_a_percentile_that_there_is_not_are_refused():
    with pytest.raises(ConfigurationError, match="a median in ms above 0"):
        ecdf(one_after_another(3), predicted=0)
    with pytest.raises(ConfigurationError, match="a whole number from 1 to 99"):
        ecdf(one_after_another(3), finds=100)
