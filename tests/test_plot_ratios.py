from __future__ import annotations

import re

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
        "asgi": (lab.ASGI, {"per_s": 800, "ms": 5}),
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


HALF = compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"per_s": 200})}, noise=0.001)
QUICK, SLOW = {"sync": 400, "asgi": 800}, {"sync": 400, "asgi": 100}
FAR_APART = {"a": (lab.SYNC, {}), "b": (lab.ASGI, {"per_s": 12_000}), "c": (lab.ASYNC, {"per_s": 12})}

TITLES = """\
async answers 0.71 times as many as sync, 10 users.
async spends 1.3 times as much CPU time as sync, 10 users.
async takes 1.4 times as long as sync (median), 10 users.
Cannot tell sync from async by requests per second, 10 users.
Cannot tell sync from itself (A/A) by requests per second: at most 4% apart.
b answers about 30 times as many as a, c 0.03 times, 10 users.
Against sync – async: faster (50 users), slower (1 user), cannot tell (10 users).
async answers about half as many as sync, with 1, 10 and 50 users.
asgi answers 1.5 to 2 times as many as sync, a and b.
Against sync – asgi: faster in all; threads: faster (a).
Against sync – asgi: faster (a, b, d and e), slower (c); threads: faster (e)."""


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
        ratios(dict.fromkeys(by_users(), HALF), one),
        ratios(apart(QUICK, {"sync": 400, "asgi": 600}), one),
        ratios(apart(QUICK | {"threads": 900}, QUICK), one),
        ratios(apart(QUICK, QUICK, SLOW, QUICK, QUICK | {"threads": 900}), one),
    ]
    assert "\n".join(picture.alt for picture in pictures) == TITLES
    assert all(len(title.split()) <= wording.MAX_WORDS for title in TITLES.splitlines())
    assert pictures[0].alt.removesuffix(".") in said(pictures[0])


def test_where_the_interval_is_wide_the_title_gives_both_of_its_ends():
    rough = compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"per_s": 4000})}, noise=0.3)
    ratio = rough.ratio("async", "sync")
    assert ratio.verdict == "faster"
    assert ratio.high > 2 * ratio.low
    ends = re.search(r"async answers (\S+) to (\S+) times as many as sync", ratios(rough, ("throughput",)).alt)
    assert [float(end) for end in ends.groups()] == pytest.approx([ratio.low, ratio.high], rel=0.05)


def test_many_contenders_are_told_by_verdict():
    assert ratios(many(), ("throughput",)).alt == "Of 4 contenders, against sync: 2 faster, 2 cannot tell."
    silent = {"a": (lab.SYNC, {}), **{name: (lab.ASGI, {"per_s": 400}) for name in "bcd"}}
    assert ratios(compared(silent, rounds=3)).alt == "Against a, 10 users – cannot tell: b, c and d."


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.034, "0.034 times"),
        (0.1, "about a tenth"),
        (0.31, "about a third"),
        (0.48, "about half"),
        (0.71, "0.71 times"),
        (1.04, "1.04 times"),
        (1.55, "1.6 times"),
        (2.1, "about twice"),
        (3.5, "3.5 times"),
        (2310.4, "about 2,310 times"),
    ],
)
def test_a_title_says_a_ratio_as_one_says_it(value, words):
    assert wording.about(value) == words


# Cases and their controls


def controlled(*, gone=100, third=(400, 800), rounds=8):
    """Two cases in which asgi is faster, each with its control, and one case more without a control of its own."""
    figures = {"waits": (400, 1200), "idle": (400, gone), "slow": third, "quick": (400, 300)}
    return {
        name: compared(
            {"sync": (lab.SYNC, {"per_s": sync}), "asgi": (lab.ASGI, {"per_s": asgi})}, noise=0.001, rounds=rounds
        )
        for name, (sync, asgi) in figures.items()
    }


PAIRS = {"slow": "quick", "waits": ["idle"]}


@pytest.mark.parametrize(
    ("result", "title"),
    [
        (controlled(), "asgi: faster in every case, and without its cause slower."),
        (controlled(gone=401), "asgi: faster in every case; without its cause gone."),
        (controlled(gone=900), "asgi: faster in every case; without its cause gone in 1, smaller in 1."),
        (controlled(gone=1200), "asgi: faster in every case; without its cause gone in 1, still there in 1."),
        (controlled(third=(400, 300)), "asgi: faster in 1 of 2, and without its cause slower."),
        (controlled(rounds=3), "asgi: cannot tell in any of 2 cases."),
        (
            controlled() | {"idle": controlled(rounds=3)["idle"]},
            "asgi: faster in every case; without its cause gone in 1, cannot tell in 1.",
        ),
    ],
)
def test_with_controls_the_title_says_in_how_many_cases_the_gain_is_gone_without_its_cause(result, title):
    picture = ratios(result, ("throughput",), controls=PAIRS)
    assert picture.alt == title
    assert len(title.split()) <= wording.MAX_WORDS


def test_contenders_that_fare_otherwise_without_the_cause_are_counted():
    more = {name: {"threads": per_s} for name, per_s in {"a": 900, "b": 800}.items()}
    result = apart(QUICK | more["a"], SLOW | more["b"])
    picture = ratios(result, ("throughput",), controls={"a": "b"})
    assert picture.alt == "The gain without its cause – asgi: gone; threads: smaller."
    assert "prediction" not in said(ratios(result, ("throughput",), {"b": None}, controls={"a": "b"}))


def test_a_control_stands_right_below_its_case_and_an_arrow_leads_to_it():
    picture = ratios(controlled(), ("throughput",), 3, controls=PAIRS)
    (axes,) = picture.figure.axes
    names = [text.get_text() for text in axes.texts if text.get_text().removeprefix("↳ ") in controlled()]
    assert names == ["waits", "↳ idle", "slow", "↳ quick"]
    arrows = [text for text in axes.texts if text.arrow_patch is not None]
    assert [round(text.xyann[0]) for text in arrows] == [3, 2]
    assert [text.xy[0] for text in arrows] == pytest.approx([0.25, 0.75], rel=0.01)
    assert guesses(axes) == [3.0, 3.0]  # a prediction is of what has the cause


def test_a_metric_without_any_figure_has_no_panel():
    picture = ratios(compared({"a": (lab.SYNC, {"per_s": 15}), "b": (lab.ASYNC, {"per_s": 30})}), ("p95", "throughput"))
    assert len(picture.figure.axes) == 1
    assert "p95 needs " in dict(picture.details)["95th percentile of time (p95)"]
    assert picture.alt.startswith("b answers about twice as many as a")


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
    assert "cannot tell: see note 1" in said(picture)
    assert "Note 1: the A/A control found a winner where there is none: 1.33 (1.33 to 1.3" in said(picture)
    assert picture.alt == "Cannot tell sync from async by requests per second, 10 users."
    alone = ratios(Comparison(three.slices, ("sync",), "again", three.about), ("throughput",))
    assert alone.alt == "again answers 1.3 times as many as sync (A/A), though it is the same."


def test_where_there_is_no_verdict_the_row_says_why():
    close = {"a": (lab.SYNC, {}), "b": (lab.ASYNC, {"per_s": 410})}
    disturbed = {(0, "a"): "steal", (1, "b"): "steal"}
    for shaken in ({}, {"disturbed": disturbed, "drop": False}):
        picture = ratios(compared(close, noise=0.002, **shaken), metrics=("throughput",))
        assert f"cannot tell: the interval comes within {ALIKE:.0%} of 1 " in said(picture)
        told = dict(picture.details).get("disturbed")
        assert told == ("but counted, since so many are: steal (2)" if shaken else None)
    unknown = compared({"a": (lab.SYNC, {"cpu_ms": None, "per_s": 15}), "b": (lab.ASYNC, {"per_s": 600})}, rounds=4)
    told = dict(ratios(unknown).details)
    assert told["CPU time per request"] == (
        "CPU time is not known for addresses, beside other loads, nor where a worker ended"
    )
    assert told["95th percentile of time (p95)"] == (
        "p95 needs 400 answers in a slice, and a gave 15: longer slices would have them"
    )
    both = said(ratios(compared({"a": (lab.SYNC, {"per_s": 15}), "b": (lab.ASYNC, {"per_s": 30})}), metrics=("p95",)))
    assert both.count("and b gave ") == 1
    assert "and a gave" not in both


def test_doubts_are_notes_in_the_table_and_the_first_of_them_stands_below_the_figure():
    picture = ratios(many())
    text = said(picture)
    assert text.count("cannot tell: see note 1") == 4
    assert "Note 1: 320 of " in text
    assert dict(picture.details)["note 1"].startswith("320 of ")
    slow = {"per_s": 426, "ms": 14.0, "cpu_ms": 1.3}
    some = compared({"sync": (lab.SYNC, {"per_s": 600, "failed": 4}), "async": (lab.ASYNC, slow)}, noise=0.0)
    text = said(ratios(some))  # so few move no figure but a percentile far out
    assert text.count("cannot tell: see note 1") == 1
    assert "Note 1: 32 of 4,800 requests failed under sync." in text
    silent = ratios(compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"per_s": 0})}))
    assert "8 of 8 slices of async are invalid: no request was answered" in dict(silent.details)["note 1"]
    assert "no figure" in said(silent)


def test_what_is_written_below_takes_two_lines():
    for picture in (ratios(many()), ratios(by_users(control="sync again")), ratios(controlled(), controls=PAIRS)):
        below = [text for text in words_of(picture) if text.startswith("Faint points")]
        assert len(below) == 1
        assert below[0].count("\n") <= 1


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
        (many(), {"asgi": 3, "async": None}, [3.0]),
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
        (lambda: {name * 9: result for name, result in controlled().items()}, None),
        (lambda: {"a name that is far too long " * 3: two(), "x" * 60: many(rounds=4)}, None),
        (lambda: compared({"s" * 90: (lab.SYNC, {}), "b " * 40: (lab.ASYNC, {"per_s": 1})}, noise=0.5), None),
    ],
)
@pytest.mark.some(2)
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
        (by_users, {"controls": {"1 user": "nobody"}}, "controls has no comparison called 'nobody'"),
        *(
            (by_users, {"controls": it}, "each comparison once")
            for it in ({"1 user": "1 user"}, {"1 user": ["10 users"] * 2})
        ),
        (lambda: compared({"sync": (lab.SYNC, {})}), {}, "needs two contenders"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(result, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        ratios(result(), **arguments)
