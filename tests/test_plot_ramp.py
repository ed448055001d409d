from __future__ import annotations

import numpy as np
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.measurement.ramp import Ramp
from requestlab.measurement.validity import TAIL
from requestlab.plots import ramp
from tests.pictures import GTHREAD, assert_legible, said, slice_of, words_of


def ramp_of(configuration, steps, *, rates=False, **about):
    """A ramp of hand-made runs: steps are load -> what `slice_of` takes."""
    unit = "requests/s" if rates else "users"
    asked = {load: {"users": None, "rate": load, "each": None} if rates else {"users": load} for load in steps}
    return Ramp(
        tuple(
            slice_of(configuration, load=f"{load:,g} {unit}", **asked[load] | takes | about)
            for load, takes in steps.items()
        )
    )


def saturating(configuration, most, loads=(1, 2, 5, 10, 20, 50, 100), alone_ms=5.0, **about):
    """A ramp that climbs until `most` answers per second, as a server with so much capacity does."""
    steps = {}
    for users in loads:
        per_s = min(users * 1000 / alone_ms, most)
        steps[users] = {"per_s": per_s, "ms": 1000 * users / per_s if users * 1000 / per_s < 90 else 90.0}
    return ramp_of(configuration, steps, **about)


def by_rate(configuration, most):
    loads = (100, 200, 300, 400, 600, 800)
    return ramp_of(configuration, {rate: {"per_s": min(rate, most), "ms": 3.0} for rate in loads}, rates=True)


def faulty():
    """A ramp whose last three steps are invalid, suspect, and invalid again."""
    steps = {users: {"per_s": 200 * users} for users in (1, 2)}
    return ramp_of(lab.SYNC, steps | {5: {"per_s": 0}, 10: {"failed": 300}, 20: {"per_s": 900, "server_ended": True}})


def crosses(axes):
    lines = [line for line in axes.lines if line.get_marker() == "x"]
    return sorted({float(x) for line in lines for x, y in zip(*line.get_data(), strict=True) if np.isfinite(y)})


# The finding in words


TITLES = """\
Throughput: sync stops growing at 5 users, async still grows at 5 users.
Throughput: sync stops growing at 1 user.
Throughput: sync keeps up with 400 requests/s; async keeps up with the highest, 800 requests/s.
Throughput: asgi falls behind 100 requests/s.
Throughput: sync 400 requests/s at 10 users.
Throughput: sync answered nothing.
Throughput: sync stops growing at 2 users.
Peaks from 300 requests/s (server 300) to 600 (server 600)."""


def test_the_title_and_the_alternative_text_say_where_throughput_stops_growing():
    nothing = ramp(ramp_of(lab.SYNC, {1: {"per_s": 0}, 4: {"per_s": 0}}))
    pictures = [
        ramp(saturating(lab.SYNC, 900), saturating(lab.ASYNC, 20_000, loads=(1, 2, 5))),
        ramp(ramp_of(lab.SYNC, {1: {"per_s": 1000}, 2: {"per_s": 1040}, 5: {"per_s": 1030}})),  # 4% more is no growth
        ramp(by_rate(lab.SYNC, 420), by_rate(lab.ASYNC, 900)),
        ramp(by_rate(lab.ASGI, 50)),
        ramp(ramp_of(lab.SYNC, {10: {}})),
        nothing,
        ramp(faulty()),  # an invalid step is no peak
        ramp({f"server {most}": saturating(lab.SYNC, most, loads=(1, 20)) for most in (300, 400, 500, 600)}),
    ]
    assert "\n".join(picture.alt for picture in pictures) == TITLES
    assert all(picture.alt.removesuffix(".") in said(picture) for picture in pictures)
    assert "no request was answered" in words_of(nothing)


# What is drawn


def test_both_panels_show_each_step_on_one_axis_of_load_that_is_logarithmic_only_where_it_spans_much():
    climbing = saturating(lab.SYNC, 900)
    above, below = ramp(climbing).figure.axes
    assert above.get_xlim() == below.get_xlim()
    assert above.lines[0].get_xdata().tolist() == climbing.steps
    assert above.lines[0].get_ydata() == pytest.approx(climbing.table["throughput"].tolist())
    assert below.lines[0].get_ydata() == pytest.approx(climbing.table["p50"].tolist())
    assert above.get_xscale() == "log"
    assert [tick.get_text() for tick in below.get_xticklabels()] == ["1", "2", "5", "10", "20", "50", "100"]
    assert ramp(saturating(lab.SYNC, 900, loads=(1, 5, 10))).figure.axes[0].get_xscale() == "linear"


def test_the_95th_percentile_is_drawn_only_where_enough_requests_lie_beyond():
    weak = ramp(ramp_of(lab.SYNC, {1: {"per_s": 20 * TAIL - 1}, 2: {"per_s": 20 * TAIL}})).figure.axes[1]
    tail = next(line for line in weak.lines if line.get_linewidth() < 1.5)
    assert np.isfinite(tail.get_ydata()).tolist() == [False, True]


def test_the_curves_are_named_at_their_ends_and_the_planned_rate_is_drawn_for_open_loops_only():
    text = said(ramp(saturating(lab.SYNC, 900), saturating(lab.ASYNC, 2400)))
    for expected in ("● sync", "▲ async", "p50 90 ms ● sync", "p95 130 ms ● sync", "capacity: 1 request at once"):
        assert expected in text
    assert "planned rate" not in text
    assert "planned rate" in words_of(ramp(by_rate(lab.SYNC, 420)))


def test_steps_that_are_not_to_be_trusted_are_crossed_and_explained():
    picture = ramp(faulty())
    assert [crosses(axes) for axes in picture.figure.axes] == [[5.0, 10.0, 20.0], [10.0, 20.0]]
    text = said(picture)
    assert "crossed: 5 users, 10 users, 20 users" in text
    assert "× sync, 10 users: suspect, 300 of 400 requests failed." in text
    assert "× sync, 20 users: invalid, the server ended during the run." in text


def test_steps_that_did_not_keep_up_are_named_once_with_one_reason():
    steps = {rate: {"per_s": min(rate, 420), "ms": 3.0 if rate < 420 else 2500.0} for rate in (200, 400, 600, 800)}
    text = said(ramp(ramp_of(lab.SYNC, steps, rates=True)))
    assert "× sync, 600 and 800 requests/s: did not keep up." in text
    assert text.count("did not keep up") == 2  # at the first of them, and below


def test_predictions_of_the_peak_are_drawn():
    picture = ramp(saturating(lab.SYNC, 900), predicted=5000)
    assert "your prediction: peak 5,000 requests/s" in words_of(picture)
    assert picture.figure.axes[0].get_ylim()[1] > 5000
    by_label = ramp(saturating(lab.SYNC, 900), saturating(lab.ASYNC, 2400), predicted={"async": 100})
    assert "your prediction for async: peak 100 requests/s" in words_of(by_label)
    assert "prediction" not in said(ramp(saturating(lab.SYNC, 900)))


FIVE = (
    *(saturating(one, 900, alone_ms=ms) for ms, one in enumerate((lab.SYNC, lab.ASGI, lab.ASYNC, GTHREAD), 4)),
    saturating(lab.ASYNC.replace(workers=4, loop="uvloop", middleware="startproject"), 3000),
)
LONG = {"a name that is far too long " * 4: saturating(lab.SYNC, 9), "x" * 80: ramp_of(lab.ASGI, {7: {}})}


@pytest.mark.parametrize(
    ("ramps", "predicted"),
    [
        ((by_rate(lab.SYNC, 420), by_rate(lab.ASYNC, 900)), {"sync": 500, "async": 510}),
        ((faulty(), saturating(lab.ASGI, 600, loads=range(1, 31))), 1200),
        (FIVE, None),
        ((LONG,), None),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(ramps, predicted):
    assert_legible(ramp(*ramps, predicted=predicted))


@pytest.mark.parametrize(
    ("ramps", "predicted", "words"),
    [
        *(
            (wrong, None, "takes ramps, as measure")
            for wrong in ((), ({},), (None,), (slice_of(lab.SYNC),), ({"a": 1},))
        ),
        ((saturating(lab.SYNC, 900), by_rate(lab.SYNC, 420)), None, "either users or requests/s"),
        *(((saturating(lab.SYNC, 900),), wrong, "predicted") for wrong in ("1", -1, float("nan"), {"nobody": 1})),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(ramps, predicted, words):
    with pytest.raises(ConfigurationError, match=words):
        ramp(*ramps, predicted=predicted)
