from __future__ import annotations

import math
import re

import numpy as np
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots import crossover
from tests.pictures import GTHREAD, assert_legible, compared, said, two, words_of


def of_share(share, *, noise=0.01, **kwargs):
    """A comparison in which async loses without waiting, and wins the more the larger its share is."""
    contenders = {
        "sync": (lab.SYNC, {"per_s": 100}),
        "asgi": (lab.MIXED.replace(name="asgi"), {"per_s": min(99 / (1.15 - share / 100), 300)}),
        "async": (lab.ASYNC, {"per_s": min(99 / (1.1 - share / 100), 600)}),
    }
    paths = {label: f"/{label}/wait_and_burn/?wait={share / 10:g}&burn={10 - share / 10:g}" for label in contenders}
    return compared(contenders, noise=noise, **{"paths": paths} | kwargs)


def by_share(*shares, **kwargs):
    return {share: of_share(share, **kwargs) for share in shares or (0, 50, 90)}


def formula(holds):
    return lambda share: min(1000 / max(10 - share / 10, 1e-9), 100 * holds)


EXPECTED = {"sync": formula(1), "async": formula(20)}


# The finding in words


def test_the_title_and_the_alternative_text_say_where_each_contender_is_slower_and_where_it_is_faster():
    picture = crossover(by_share())
    expected = (
        r"Against sync, by the share of waiting: asgi is slower at 0 %, faster at 50 % and 90 % \(up to 3\.\d\d times\); "
        r"async is slower at 0 %, faster at 50 % and 90 % \(up to 4\.\d\d times\)\."
    )
    assert re.fullmatch(expected, picture.alt)
    assert picture.alt.removesuffix(".") in said(picture)
    assert "async is not told apart at 10 %" in crossover(by_share(10)).alt


# What is drawn


def test_every_round_is_a_point_and_the_middle_of_each_share_is_marked():
    results = by_share()
    axes = crossover(results).figure.axes[0]
    faint = [line for line in axes.lines if line.get_alpha() == 0.25]
    assert sum(len(line.get_xdata()) for line in faint) == 3 * 3 * 8
    middles = [line.get_ydata() for line in axes.lines if line.get_marker() != "None" and line.get_alpha() is None]
    sync = [np.exp(np.log(results[share].figures("throughput")["sync"]).mean()) for share in (0, 50, 90)]
    assert any(np.allclose(each, sync) for each in middles if len(each) == 3)


def test_shares_stand_in_their_order_whatever_order_they_were_given_in():
    picture = crossover(dict(reversed(by_share().items())))
    assert picture.alt == crossover(by_share()).alt
    assert [tick.get_text() for tick in picture.figure.axes[0].get_xticklabels()] == ["0 %", "50 %", "90 %"]


def test_what_a_formula_expects_is_drawn_dotted_over_the_whole_width():
    axes = crossover(by_share(), expected=EXPECTED).figure.axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == 200]
    assert len(curves) == 2
    assert [curve.get_ydata()[0] for curve in curves] == [100, 100]
    assert math.isclose(curves[1].get_ydata()[-1], 1000)
    assert "Dotted: what the formula says" in said(crossover(by_share(), expected=EXPECTED))
    assert "Dotted" not in said(crossover(by_share()))


def test_each_curve_is_named_with_its_ratios_and_with_what_it_can_hold():
    text = said(crossover(by_share()))
    for expected in ("● sync", "▲ async", "capacity: 1 request at once", "capacity: no limit of its own"):
        assert expected in text
    assert "90 %: 4." in text or "90 %: 5." in text


def test_a_prediction_is_drawn_where_the_reader_put_it():
    picture = crossover(by_share(), predicted=30)
    assert "your prediction: faster from 30 % on" in words_of(picture)
    assert any(list(line.get_xdata()) == [30, 30] for line in picture.figure.axes[0].lines)
    assert "prediction" not in said(crossover(by_share()))


def test_what_speaks_against_a_verdict_is_written_below():
    failing = {0: compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"failed": 200})})}
    text = said(crossover(failing))
    assert "Against it speaks:" in text
    assert "requests failed under async" in text


@pytest.mark.parametrize(
    "picture",
    [
        lambda: crossover(by_share(), EXPECTED, 30),
        lambda: crossover(by_share(), EXPECTED, 100),
        lambda: crossover(by_share(0)),
        lambda: crossover({0: two(), 100: two()}, predicted=50),
        lambda: crossover(by_share(0, 10, 20, 30, 50, 70, 80, 90, 95), EXPECTED, 0),
        lambda: crossover({share: two(noise=0.3) for share in (0, 50)}),
        lambda: crossover(
            {
                share: compared({"a long name " * 5: (lab.SYNC, {}), "another" * 9: (GTHREAD, {"per_s": 900})})
                for share in (0, 50)
            }
        ),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(picture):
    assert_legible(picture())


# Wrong use


@pytest.mark.parametrize("wrong", [None, {}, two(), {"a": two()}, {True: two()}, {101: two()}, {-1: two()}, {0: 1}])
def test_what_is_not_comparisons_by_share_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="takes a mapping of shares of waiting"):
        crossover(wrong)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (({0: two(), 50: of_share(50)},), "the same contenders"),
        (({0: compared({"sync": (lab.SYNC, {})}, control="sync again")},), "needs two contenders"),
        *(((by_share(), wrong), "it maps contenders") for wrong in ({"nobody": math.sqrt}, {"sync": 100})),
        *(((by_share(), None, wrong), "predicted") for wrong in ("1", -1, float("nan"))),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        crossover(*arguments)
