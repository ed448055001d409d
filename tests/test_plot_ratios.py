from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

import requestlab as lab
from requestlab.comparison import wording
from requestlab.comparison.comparison import ALIKE, METRICS, Comparison
from requestlab.errors import ConfigurationError
from requestlab.plots import ratios, style
from tests.pictures import GTHREAD, assert_legible, compared, said, two, words_of


def by_users(**kwargs):
    """Three comparisons, in which async is slower, alike and faster."""
    figures = {"1 user": (280, 14), "10 users": (402, 10), "50 users": (800, 4)}
    return {
        load: compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"per_s": per_s, "ms": ms})}, load=load, **kwargs)
        for load, (per_s, ms) in figures.items()
    }


def many(**kwargs):
    workers = lab.ASYNC.replace(workers=4, loop="uvloop", middleware="startproject")
    contenders = {
        "sync": (lab.SYNC, {}),
        "mixed": (lab.MIXED, {"per_s": 800, "ms": 5}),
        "async": (lab.ASYNC, {"per_s": 398}),
        GTHREAD.label: (GTHREAD, {"per_s": 500, "ms": 8, "cpu_ms": None}),
        workers.label: (workers, {"per_s": 1200, "ms": 3, "failed": 40}),
    }
    return compared(contenders, noise=0.05, control="sync again", **kwargs)


def points(axes):
    """The ratios of the rounds, row by row."""
    return [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o" and line.get_markersize() < 4]


def bars(axes):
    """The intervals drawn, row by row."""
    return [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() > 3]


# The finding in words: the title has it, and the alternative text


def apart(*cases):
    """Comparisons of noiseless contenders by name: for each case, label -> answers per second."""
    configurations = {"sync": lab.SYNC, "asgi": lab.ASYNC, "threads": GTHREAD}
    return {
        name: compared({label: (configurations[label], {"per_s": n}) for label, n in case.items()}, noise=0.001)
        for name, case in zip("abcde", cases, strict=False)
    }


QUICK, SLOW = {"sync": 400, "asgi": 800}, {"sync": 400, "asgi": 100}
FAR_APART = {"a": (lab.SYNC, {}), "b": (lab.MIXED, {"per_s": 12_000}), "c": (lab.ASYNC, {"per_s": 12})}

TITLES = """\
async answers 0.710 times as many requests per second as sync (0.709 to 0.711), 10 users.
async spends 1.30 times the CPU time per request of sync (1.30 to 1.30), 10 users.
async has 1.40 times the median response time (p50) of sync (1.40 to 1.40), 10 users.
Cannot tell which of async and sync answers more requests per second, 10 users: 3 rounds have a figure, and an interval needs 4.
sync cannot be told from itself (A/A) by its requests per second (0.966 to 1.04 times), 10 users.
Requests per second, against a, 10 users – b: 30.0 × (29.9 to 30.1), faster; c: 0.0300 × (0.0299 to 0.0301), slower.
Requests per second, async over sync – 1 user: 0.700 × (0.699 to 0.702), slower; 10 users: cannot tell; 50 users: 2.00 × (2.00 to 2.01), faster.
Requests per second, against sync – asgi: faster in all; threads: faster (a).
Requests per second, against sync – asgi: faster in 4 of 5, slower in 1 of 5; threads: faster in 1 of 1."""


def test_the_title_and_the_alternative_text_say_what_was_found():
    clear, one = two(noise=0.001), ("throughput",)
    pictures = [
        ratios(clear, one),
        ratios(clear, ("cpu_per_request", "throughput")),
        ratios(clear, ("p50",)),
        ratios(two(rounds=3), one),
        ratios(compared({"sync": (lab.SYNC, {})}, control="sync again"), one),
        ratios(compared(FAR_APART, noise=0.001), one),
        ratios(by_users(noise=0.001), one),
        ratios(apart(QUICK | {"threads": 900}, QUICK), one),
        ratios(apart(QUICK, QUICK, SLOW, QUICK, QUICK | {"threads": 900}), one),
    ]
    assert "\n".join(picture.alt for picture in pictures) == TITLES
    assert pictures[0].alt.removesuffix(".") in said(pictures[0])


def test_many_contenders_are_told_by_verdict():
    alt = ratios(many(), ("throughput",)).alt
    assert (
        f"against sync, 10 users – faster: mixed and “{GTHREAD.label}”; cannot tell: async and “async, workers=4" in alt
    )


# Rows


def test_each_round_is_a_point_and_the_interval_a_bar():
    result = two(control="sync again")
    picture = ratios(result)
    assert len(picture.figure.axes) == 4
    for axes, metric in zip(picture.figure.axes, ("throughput", "p50", "p95", "cpu_per_request"), strict=True):
        figures, ratio = result.figures(metric), result.ratio("async", "sync", metric)
        assert points(axes)[0] == pytest.approx((figures["async"] / figures["sync"]).tolist())
        assert len(points(axes)[1]) == 8
        assert bars(axes)[0] == pytest.approx((ratio.low, ratio.high))
        assert axes.get_xscale() == "log"
        assert axes.get_xlim() == picture.figure.axes[0].get_xlim()


def test_the_ends_of_the_axes_say_what_they_mean_and_the_faster_side_is_tinted():
    axes = ratios(two(), metrics=("throughput", "p50", "cpu_per_request")).figure.axes
    ends = [
        ({"◀ fewer: slower", "more: faster ▶"}, True),
        ({"◀ shorter: faster", "longer: slower ▶"}, False),
        ({"◀ less CPU", "more CPU ▶"}, False),
    ]
    for one, (words, above) in zip(axes, ends, strict=True):
        assert words <= {text.get_text() for text in one.texts}
        tinted = next(patch for patch in one.patches if to_hex(patch.get_facecolor()) == "#edf5ec")
        assert (tinted.get_x() >= 1) == above


def test_the_verdict_stands_in_words_beside_each_row():
    text = said(ratios(two(noise=0.001)))
    for expected in (
        "0.710 × (0.709 to 0.711), slower",
        "1.40 × (1.40 to 1.40), slower",
        "more CPU",
        "the same as sync",
    ):
        assert expected in text
    assert "A/A" not in text
    assert "prediction" not in text


def test_the_control_is_a_grey_row_of_its_own():
    result = two(control="sync again")
    picture = ratios(result)
    label = next(text for text in picture.figure.axes[0].texts if text.get_text() == "sync again (A/A)")
    assert label.get_color() == style.GREY
    assert "cannot tell, as it should be" in said(picture)
    low, high = wording.times(result.resolution.low), wording.times(result.resolution.high)
    assert f"equals come out at {low} to {high} times each other in requests per second" in said(picture)


def test_a_control_that_wins_against_itself_is_pointed_out_and_speaks_against_every_other_row():
    figures = {
        "sync": (lab.SYNC, {"per_s": 600}),
        "async": (lab.ASYNC, {"per_s": 426}),
        "again": (lab.SYNC, {"per_s": 800}),
    }
    three = compared(figures, noise=0.001)
    picture = ratios(Comparison(three.slices, ("sync", "async"), "again", three.about), metrics=("throughput",))
    assert wording.TRUST_NOTHING in said(picture)
    assert "cannot tell: see note 1 below" in said(picture)
    assert "Note 1: the A/A control found a winner where there is none: 1.33 (1.33 to 1.3" in said(picture)
    assert picture.alt.startswith("Cannot tell which of async and sync answers more requests per second")
    alone = ratios(Comparison(three.slices, ("sync",), "again", three.about), ("throughput",))
    assert alone.alt.startswith("again (A/A) answers 1.33 times as many requests per second as sync")


def test_where_there_is_no_verdict_the_row_says_why():
    close = {"a": (lab.SYNC, {}), "b": (lab.ASYNC, {"per_s": 410})}
    disturbed = {(0, "a"): "steal", (1, "b"): "steal"}
    for shaken in ({}, {"disturbed": disturbed, "drop": False}):
        text = said(ratios(compared(close, noise=0.002, **shaken), metrics=("throughput",)))
        assert f"cannot tell: the interval comes within {ALIKE:.0%} of 1 " in text
        assert ("Disturbed slices: but counted, since so many are: steal (2)." in text) == bool(shaken)
    unknown = compared({"a": (lab.SYNC, {"cpu_ms": None, "per_s": 15}), "b": (lab.ASYNC, {"per_s": 600})}, rounds=4)
    text = said(ratios(unknown))
    assert (
        "no figure cannot tell: CPU time is not known for addresses, beside other loads, nor where a worker ended"
        in text
    )
    assert "cannot tell: p95 needs 400 answers in a slice, and a gave 15: longer slices would have them" in text
    both = said(ratios(compared({"a": (lab.SYNC, {"per_s": 15}), "b": (lab.ASYNC, {"per_s": 30})}), metrics=("p95",)))
    assert both.count("and b gave ") == 2  # in the title, and beside the row
    assert "and a gave" not in both


def test_doubts_are_notes():
    text = said(ratios(many()))
    assert text.count("cannot tell: see note 1 below") == 4
    assert "Note 1: 320 of " in text
    slow = {"per_s": 426, "ms": 14.0, "cpu_ms": 1.3}
    some = compared({"sync": (lab.SYNC, {"per_s": 600, "failed": 4}), "async": (lab.ASYNC, slow)}, noise=0.0)
    text = said(ratios(some))  # so few move no figure but a percentile far out
    assert text.count("cannot tell: see note 1 below") == 1
    assert "Note 1: 32 of 4,800 requests failed under sync." in text
    silent = ratios(compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"per_s": 0})}))
    assert "10 users: 8 of 8 slices of async are invalid: no request was answered" in silent.alt
    assert "no figure" in said(silent)


def test_a_contender_of_which_nothing_was_measured_is_a_row_too():
    whole = two()
    part = Comparison(tuple(one for one in whole.slices if one.label == "sync"), whole.labels, None, whole.about)
    assert "no slice of async counts" in said(ratios(part))


def test_an_interval_far_wider_than_the_rounds_is_cut_off():
    picture = ratios(two(rounds=4, noise=0.7), metrics=("throughput",))
    (axes,) = picture.figure.axes
    ratio = two(rounds=4, noise=0.7).ratio("async", "sync")
    assert ratio.low < axes.get_xlim()[0]
    assert "<" in [line.get_marker() for line in axes.lines]
    assert f"({wording.times(ratio.low)} to " in said(picture)


# Predictions


def guesses(axes):
    return [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "x"]


def test_a_prediction_is_drawn_in_the_rows_of_throughput():
    picture = ratios(two(control="sync again"), predicted=5)
    assert [guesses(axes) for axes in picture.figure.axes] == [[5.0], [], [], []]
    assert "your prediction: 5 ×" in words_of(picture)
    assert picture.figure.axes[0].get_xlim()[1] > 5


@pytest.mark.parametrize(
    ("result", "predicted", "drawn"),
    [
        (many(), {"mixed": 3, "async": None}, [3.0]),
        (by_users(), {"1 user": 0.5, "50 users": 2}, [0.5, 2.0]),
        (by_users(), {"async": 2}, [2.0, 2.0, 2.0]),
    ],
)
def test_predictions_go_by_label_or_by_comparison(result, predicted, drawn):
    assert guesses(ratios(result, ("throughput",), predicted).figure.axes[0]) == drawn


# The small print, and the details


def test_capacity_and_loads_are_small_print_and_how_it_was_measured_stays_with_the_figure():
    picture = ratios(two(seed=11))
    assert "capacity: sync 1 request at once; async no limit of its own · asked: /async/page/ under 10 users" in said(
        picture
    )
    assert "sync: gunicorn 27.0 (gunicorn-sync), no event loop · async: uvicorn 0.54 on asyncio" in said(picture)
    told = dict(picture.details)
    assert told["rounds"] == "8, slices of 1 s, order shuffled, seed 11"
    assert told["stopped"] == "because 8 rounds were wanted"
    assert told["connections"].startswith("sync: 80 for ")
    assert "seed" not in said(picture)


def test_dropped_slices_are_counted_with_the_evidence():
    disturbed = {(0, "sync"): "steal", (2, "async"): "steal", (3, "async"): "steal, other processes"}
    picture = ratios(two(disturbed=disturbed))
    told = dict(picture.details)
    assert told["rounds"].startswith("8, 5 of them whole")
    assert told["dropped"] == "3 of 16 slices, for evidence from outside: steal (2), steal and other processes (1)"
    assert len(points(picture.figure.axes[0])[0]) == 5


def test_what_differs_between_comparisons_is_told_for_each_and_what_is_alike_once():
    told = dict(ratios(by_users()).details)
    assert told["rounds"].count("8, slices of 1 s") == 1
    assert "1 user: /async/page/ under 1 user · 10 users: /async/page/ under 10 users" in told["asked"]


# Legibility


@pytest.mark.parametrize(
    ("result", "predicted"),
    [
        (lambda: many(), 1),
        (lambda: by_users(control="sync again", rounds=15, noise=0.1), 2),
        (lambda: {"a name that is far too long " * 3: two(), "x" * 60: many(rounds=4)}, None),
        (lambda: compared({"s" * 90: (lab.SYNC, {}), "b " * 40: (lab.ASYNC, {"per_s": 1})}, noise=0.5), None),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(result, predicted):
    assert_legible(ratios(result(), predicted=predicted))


# Wrong use


def other_way():
    return {"one": two(), "other": compared({"async": (lab.ASYNC, {}), "sync": (lab.SYNC, {})})}


@pytest.mark.parametrize(
    ("result", "arguments", "words"),
    [
        *((lambda it=it: it, {}, "takes a comparison of compare") for it in (None, {}, "result", {"a": 1})),
        *((two, {"metrics": it}, f"expected one of: {', '.join(METRICS)}") for it in ("speed", ("p50", "p42"))),
        (other_way, {}, "several baselines"),
        *((two, {"predicted": it}, "predicted") for it in ("1", True, -1, 0, {"sync": 1}, {"async": 0}, {"nobody": 1})),
        (two, {"metrics": ("p50",), "predicted": 2}, "add 'throughput' to metrics"),
        (lambda: compared({"sync": (lab.SYNC, {})}), {}, "needs two contenders"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(result, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        ratios(result(), **arguments)
