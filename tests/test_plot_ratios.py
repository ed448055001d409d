from __future__ import annotations

import dataclasses
import functools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

import requestlab as lab
from requestlab.comparison.comparison import ALIKE, METRICS, Comparison, ComparisonFacts, Slice
from requestlab.errors import ConfigurationError
from requestlab.load.generator import COLUMNS
from requestlab.measurement.facts import CoreUse
from requestlab.measurement.run import Run
from requestlab.plots import ratios, style
from tests.made_runs import ABOUT
from tests.test_plots import MACHINE, MS, START, assert_legible, words_of

THREADS = lab.SYNC.replace(server="gunicorn-gthread", threads=4)


@functools.cache
def slice_of(configuration, *, per_s=400, ms=10.0, cpu_ms=1.0, failed=0, **about):
    """A run of one second with so many answers, each after about `ms`, at `cpu_ms` of the workers' time."""
    count = max(0, round(per_s))
    rows = np.zeros((count, len(COLUMNS)), dtype=np.int64)
    planned = START + (np.arange(count) * 0.9 / max(1, count) * 1e9).astype(np.int64)
    took = (ms * np.linspace(0.5, 1.5, count) * MS).astype(np.int64)
    for name, values in {
        "planned": planned,
        "sent": planned,
        "first_byte": planned + took,
        "done": planned + took,
        "status": 200,
    }.items():
        rows[:, COLUMNS.index(name)] = values
    rows[:, COLUMNS.index("on_loop")] = -1
    rows[:failed, COLUMNS.index("error")] = 1
    rows[:10, COLUMNS.index("opened")] = 1
    known = {
        "label": configuration.label,
        "configuration": configuration,
        "capacity": configuration.capacity,
        "path": "/async/page/",
        "load": "10 users",
        "users": 10,
        "rate": None,
        "each": 1,
        "pids": (7,),
        "nonce": True,
        "counts": {},
        "started": count,
        "held_back": 0,
        "connections": 10,
        "cores_shared": False,
        "cores_watched": 1,
        "cores_ns": CoreUse(busy=0, idle=1000 * MS, steal=0),
        "pressure_ns": None,
        "throttled_ns": None,
        "start": START,
        "end": START + 1000 * MS,
        "generator_cpu_ns": 100 * MS,
        "generator_wait_ns": 0,
        "worker_ended": False,
        "server_cpu_ns": None if cpu_ms is None else round(cpu_ms * count * MS),
        "server_ended": False,
        "machine": MACHINE,
    }
    return Run(rows, np.zeros((0, 3), dtype=np.int64), replace(ABOUT, **known | about))


def compared(
    contenders, *, rounds=8, control=None, noise=0.02, disturbed=None, drop=True, load="10 users", seed=7, **about
):
    """A comparison of hand-made slices: contenders are label -> (configuration, what `slice_of` takes)."""
    chance = np.random.default_rng(seed)
    labels = tuple(contenders)
    every = contenders | ({control: contenders[labels[0]]} if control else {})
    slices = []
    for number in range(rounds):
        for position, (label, (configuration, takes)) in enumerate(every.items()):
            shaken = {
                name: value * float(np.exp(chance.normal(0, noise)))
                for name, value in ({"per_s": 400, "ms": 10.0, "cpu_ms": 1.0} | takes).items()
                if name in ("per_s", "ms", "cpu_ms") and value is not None
            }
            why = (disturbed or {}).get((number, label), "")
            slices.append(
                Slice(number, position, label, slice_of(configuration, **takes | shaken), why, bool(why) and drop)
            )
    known = {
        "paths": dict.fromkeys(every, "/async/page/"),
        "loads": dict.fromkeys(every, load),
        "seed": seed,
        "stopped": "8 rounds were wanted",
        "seconds": 1.0,
        "beside": {},
        "wanted": rounds,
        "budget": None,
        "width": None,
        "machine": MACHINE,
    }
    return Comparison(tuple(slices), labels, control, ComparisonFacts(**known | about))


BUSY = {"per_s": 426, "ms": 14.0, "cpu_ms": 1.3}


def two(**kwargs):
    return compared({"sync": (lab.SYNC, {"per_s": 600}), "async": (lab.ASYNC, BUSY)}, **kwargs)


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
        THREADS.label: (THREADS, {"per_s": 500, "ms": 8, "cpu_ms": None}),
        workers.label: (workers, {"per_s": 1200, "ms": 3, "failed": 40}),
    }
    return compared(contenders, noise=0.05, control="sync again", **kwargs)


def said(picture):
    return " ".join(text.replace("\n", " ") for text in words_of(picture))


def points(axes):
    """The ratios of the rounds, row by row."""
    return [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o" and line.get_markersize() < 4]


def bars(axes):
    """The intervals drawn, row by row."""
    return [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() > 3]


# The finding in words


def test_the_title_says_how_many_times_as_many_requests():
    result = two()
    ratio = result.ratio("async", "sync", "throughput")
    bounds = f"({ratio.low:.2f} to {ratio.high:.2f})"
    finding = f"async answers {ratio.value:.2f} times as many requests per second as sync {bounds}, 10 users"
    picture = ratios(result)
    assert picture.alt == f"{finding}."
    assert finding in said(picture)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("p50", "async has 1.40 times the median response time (p50) of sync"),
        ("p95", "async has 1.40 times the 95th percentile of time (p95) of sync"),
        ("p99", "async has 1.40 times the 99th percentile of time (p99) of sync"),
        ("cpu_per_request", "async spends 1.30 times the CPU time per request of sync"),
    ],
)
def test_the_title_is_about_the_first_metric(metric, expected):
    result = compared({"sync": (lab.SYNC, {"per_s": 3000}), "async": (lab.ASYNC, BUSY | {"per_s": 2130})}, noise=0.001)
    assert ratios(result, metrics=(metric, "throughput")).alt.startswith(expected)


def test_what_cannot_be_told_is_said_so():
    assert ratios(two(noise=0.3)).alt.startswith(
        "Cannot tell which of async and sync answers more requests per second ("
    )
    picture = ratios(two(rounds=3))
    assert picture.alt.endswith("requests per second, 10 users: 3 rounds have a figure, and an interval needs 4.")
    assert "cannot tell: 3 rounds have a figure, and an interval needs 4" in said(picture)
    close = {"a": (lab.SYNC, {}), "b": (lab.ASYNC, {"per_s": 410})}
    disturbed = {(0, "a"): "steal", (1, "b"): "steal"}
    for shaken in ({}, {"disturbed": disturbed, "drop": False}):
        text = said(ratios(compared(close, noise=0.002, **shaken), metrics=("throughput",)))
        assert f"cannot tell: the interval comes within {ALIKE:.0%} of 1 " in text
        assert text.count("disturbed, but counted") == bool(shaken)
        assert "disturbed from outside" not in text


def test_several_comparisons_are_told_one_by_one():
    alt = ratios(by_users(noise=0.001)).alt
    assert alt.startswith("Requests per second, async over sync – 1 user: 0.70 × (0.70 to 0.70), slower; 10 users: ")
    assert alt.endswith("10 users: cannot tell; 50 users: 2.00 × (2.00 to 2.00), faster.")


def test_who_took_part_in_one_comparison_of_several_is_not_said_to_be_faster_in_all():
    three = {"sync": (lab.SYNC, {}), "asgi": (lab.ASYNC, {"per_s": 800}), "threads": (THREADS, {"per_s": 900})}
    two = {name: three[name] for name in ("sync", "asgi")}
    alt = ratios({"slow": compared(three, noise=0.001), "fast": compared(two, noise=0.001)}).alt
    assert "asgi: faster in all" in alt
    assert "threads: faster (slow)" in alt


def test_of_many_comparisons_the_title_tells_in_how_many():
    quick, slow, three = ({"asgi": (lab.ASYNC, {"per_s": per_s}), "sync": (lab.SYNC, {})} for per_s in (800, 100, 900))
    three["threads"] = (THREADS, {"per_s": 900})
    cases = {"a": quick, "b": quick, "c": slow, "d": quick, "e": three}
    alt = ratios({name: compared(one, noise=0.001) for name, one in cases.items()}, baseline="sync").alt
    assert "asgi: faster in 4 of 5, slower in 1 of 5; threads: faster in 1 of 1" in alt


def test_many_contenders_are_told_by_verdict():
    alt = ratios(many()).alt
    assert f"against sync, 10 users – faster: mixed and “{THREADS.label}”; cannot tell: async and " in alt


def test_two_contenders_are_told_with_their_intervals():
    contenders = {"a": (lab.SYNC, {}), "b": (lab.MIXED, {"per_s": 12_000}), "c": (lab.ASYNC, {"per_s": 12})}
    alt = ratios(compared(contenders, noise=0.001)).alt
    assert "b: 30.0 × (30.0 to 30.1), faster; c: 0.030 × (0.0" in alt


def test_a_control_alone_is_a_finding():
    picture = ratios(compared({"sync": (lab.SYNC, {})}, control="sync again"))
    assert picture.alt.startswith("sync cannot be told from itself (A/A) by its requests per second (")


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


def test_the_ends_of_the_axes_say_what_they_mean():
    throughput, p50, cpu = ratios(two(), metrics=("throughput", "p50", "cpu_per_request")).figure.axes
    texts = [[text.get_text() for text in axes.texts] for axes in (throughput, p50, cpu)]
    assert {"◀ fewer: slower", "more: faster ▶"} <= set(texts[0])
    assert {"◀ shorter: faster", "longer: slower ▶"} <= set(texts[1])
    assert {"◀ less CPU", "more CPU ▶"} <= set(texts[2])
    tinted = [
        next(p for p in axes.patches if to_hex(p.get_facecolor()) == "#edf5ec") for axes in (throughput, p50, cpu)
    ]
    assert [patch.get_x() >= 1 for patch in tinted] == [True, False, False]


def test_the_verdict_stands_in_words_beside_each_row():
    text = said(ratios(two(noise=0.001)))
    assert "0.71 × (0.71 to 0.71), slower" in text
    assert "1.40 × (1.40 to 1.40), slower" in text
    assert "1.30 × (1.30 to 1.30), more CPU" in text
    assert "the same as sync" in text


def test_the_control_is_a_grey_row_of_its_own():
    picture = ratios(two(control="sync again"))
    label = next(text for text in picture.figure.axes[0].texts if text.get_text() == "sync again (A/A)")
    assert label.get_color() == style.GREY
    assert "cannot tell, as it should be" in said(picture)
    low, high = (
        f"{bound:.2f}"
        for bound in (two(control="sync again").resolution.low, two(control="sync again").resolution.high)
    )
    assert f"equals come out at {low} to {high} times each other in requests per second" in said(picture)
    assert "A/A" not in said(ratios(two()))


def test_a_control_that_wins_against_itself_is_pointed_out():
    odd = two(noise=0.001)
    slices = tuple(
        dataclasses.replace(part, label={"async": "sync again"}.get(part.label, part.label)) for part in odd.slices
    )
    about = replace(odd.about, paths={"sync": "/"}, loads={"sync": "1 user"})
    picture = ratios(Comparison(slices, ("sync",), "sync again", about))
    assert "though it is the same: trust no difference as small" in said(picture)
    assert picture.alt.startswith("sync again (A/A) answers 0.71 times as many requests per second as sync")


def test_a_control_that_wins_against_itself_speaks_against_every_other_row():
    three = compared(
        {"sync": (lab.SYNC, {"per_s": 600}), "async": (lab.ASYNC, BUSY), "again": (lab.SYNC, {"per_s": 800})},
        noise=0.001,
    )
    picture = ratios(Comparison(three.slices, ("sync", "async"), "again", three.about), metrics=("throughput",))
    assert "cannot tell: see note 1 below" in said(picture)
    assert "Note 1: the A/A control found a winner where there is none: 1.33 (1.33 to 1.3" in said(picture)
    assert picture.alt.startswith("Cannot tell which of async and sync answers more requests per second")


def test_any_contender_can_be_the_baseline():
    picture = ratios(two(noise=0.001), baseline="async")
    assert picture.alt.startswith("sync answers 1.41 times as many requests per second as async")


def test_figures_without_evidence_say_why():
    unknown = compared({"a": (lab.SYNC, {"cpu_ms": None, "per_s": 15}), "b": (lab.ASYNC, {"per_s": 600})}, rounds=4)
    text = said(ratios(unknown))
    assert "cannot tell: no round has a figure (the server's CPU time is not known)" in text
    assert "cannot tell: p95 needs 400 answers in a slice, and a gave 15: longer slices would have them" in text
    assert "lie beyond it" not in text
    both = said(ratios(compared({"a": (lab.SYNC, {"per_s": 15}), "b": (lab.ASYNC, {"per_s": 30})}), metrics=("p95",)))
    assert both.count("and b gave ") == 2  # in the title, and beside the row
    assert "and a gave" not in both


def test_doubts_are_notes():
    text = said(ratios(many()))
    assert text.count("cannot tell: see note 1 below") == 4
    assert "Note 1: 320 of " in text
    some = compared({"sync": (lab.SYNC, {"per_s": 600, "failed": 4}), "async": (lab.ASYNC, BUSY)}, noise=0.0)
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
    assert f"({ratio.low:.3f}"[:5] in said(picture)


# Predictions


def guesses(axes):
    return [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "x"]


def test_a_prediction_is_drawn_in_the_rows_of_throughput():
    picture = ratios(two(control="sync again"), predicted=5)
    assert [guesses(axes) for axes in picture.figure.axes] == [[5.0], [], [], []]
    assert "your prediction: 5 ×" in words_of(picture)
    assert picture.figure.axes[0].get_xlim()[1] > 5


def test_predictions_go_by_label_or_by_comparison():
    assert guesses(ratios(many(), predicted={"mixed": 3, "async": None}).figure.axes[0]) == [3.0]
    assert guesses(ratios(by_users(), predicted={"1 user": 0.5, "50 users": 2}).figure.axes[0]) == [0.5, 2.0]
    assert guesses(ratios(by_users(), predicted={"async": 2}).figure.axes[0]) == [2.0, 2.0, 2.0]
    assert "prediction" not in said(ratios(two()))


# The small print


def test_the_small_print_tells_rounds_seed_end_connections_and_capacity():
    text = said(ratios(two(seed=11)))
    for expected in (
        "8 rounds, slices of 1 s, order shuffled, seed 11; ended because 8 rounds were wanted",
        "slices dropped: 0 of 16",
        "asked: /async/page/ under 10 users",
        "connections opened: sync 80 for ",
        "capacity: sync 1 request at once; async no limit of its own",
        "Python 3.13.0",
        "sync: gunicorn 27.0 (gunicorn-sync), no event loop · async: uvicorn 0.54 on asyncio",
    ):
        assert expected in text


def test_dropped_slices_are_counted_with_the_evidence():
    disturbed = {(0, "sync"): "steal", (2, "async"): "steal", (3, "async"): "steal, other processes"}
    result = two(disturbed=disturbed)
    text = said(ratios(result))
    assert "8 rounds, 5 of them whole" in text
    assert "slices dropped: 3 of 16, because of steal (2), steal and other processes (1)" in text
    assert len(points(ratios(result).figure.axes[0])[0]) == 5
    counted = said(ratios(two(disturbed=disturbed, drop=False)))
    assert "slices dropped: 0 of 16; disturbed, but counted, since so many are: steal (2), steal and other" in counted


def test_what_differs_between_comparisons_is_told_for_each():
    text = said(ratios(by_users()))
    assert text.count("8 rounds, slices of 1 s") == 1
    assert "asked: 1 user: /async/page/ under 1 user · 10 users: /async/page/ under 10 users" in text


# Legibility


@pytest.mark.parametrize(
    "picture",
    [
        lambda: ratios(two(control="sync again"), predicted=1.5),
        lambda: ratios(many(), predicted=1),
        lambda: ratios(by_users(control="sync again", rounds=15, noise=0.1), predicted=2),
        lambda: ratios({"a name that is far too long " * 3: two(), "x" * 60: many(rounds=4)}),
        lambda: ratios(compared({"s" * 90: (lab.SYNC, {}), "b " * 40: (lab.ASYNC, {"per_s": 1})}, noise=0.5)),
        lambda: ratios(compared({"a": (lab.SYNC, {"per_s": 40}), "b": (lab.ASYNC, {"per_s": 1200, "ms": 0.3})})),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(picture):
    assert_legible(picture())


# Wrong use


@pytest.mark.parametrize("wrong", [None, {}, [], "result", {"a": 1}, slice_of(lab.SYNC)])
def test_what_is_not_a_comparison_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="takes a comparison of compare"):
        ratios(wrong)


@pytest.mark.parametrize("metrics", [(), "speed", ("throughput", "p42"), None, 3])
def test_unknown_metrics_are_refused(metrics):
    with pytest.raises(ConfigurationError, match=f"expected some of: {', '.join(METRICS)}"):
        ratios(two(), metrics=metrics)


def test_a_baseline_that_takes_no_part_is_refused():
    with pytest.raises(ConfigurationError, match="one of the contenders: sync, async"):
        ratios(two(), baseline="mixed")


def test_comparisons_with_several_baselines_need_to_be_told_one():
    other = compared({"async": (lab.ASYNC, {}), "sync": (lab.SYNC, {})})
    with pytest.raises(ConfigurationError, match="say baseline="):
        ratios({"one": two(), "other": other})
    assert ratios({"one": two(), "other": other}, baseline="sync").alt.startswith(
        "Requests per second, async over sync"
    )


@pytest.mark.parametrize("predicted", ["1", True, -1, 0, float("nan"), {"sync": 1}, {"async": 0}, {"nobody": 1}])
def test_a_prediction_that_is_no_ratio_is_refused(predicted):
    with pytest.raises(ConfigurationError, match="predicted"):
        ratios(two(), predicted=predicted)


def test_a_prediction_without_its_panel_is_refused():
    with pytest.raises(ConfigurationError, match="add 'throughput' to metrics"):
        ratios(two(), metrics=("p50",), predicted=2)


def test_one_contender_without_a_control_is_refused():
    with pytest.raises(ConfigurationError, match="needs two contenders"):
        ratios(compared({"sync": (lab.SYNC, {})}))
