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
        "asgi": (lab.ASGI.replace(name="asgi"), {"per_s": min(99 / (1.15 - share / 100), 300)}),
        "async": (lab.ASYNC, {"per_s": min(99 / (1.1 - share / 100), 600)}),
    }
    paths = {label: f"/{label}/wait_and_burn/?wait={share / 10:g}&burn={10 - share / 10:g}" for label in contenders}
    return compared(contenders, noise=noise, **{"paths": paths} | kwargs)


def by_share(*shares, **kwargs):
    return {share: of_share(share, **kwargs) for share in shares or (0, 50, 90)}


def formula(holds):
    return lambda share: min(1000 / max(10 - share / 10, 1e-9), 100 * holds)


EXPECTED = {"sync": formula(1), "async": formula(20)}
THREE = by_share()


def test_the_title_says_where_each_contender_is_slower_and_where_it_is_faster_whatever_order_they_came_in():
    picture = crossover(dict(reversed(THREE.items())))
    assert picture.alt == "asgi and async cross sync between 0 and 50% of waiting."
    assert [tick.get_text() for tick in picture.figure.axes[0].get_xticklabels()] == ["0%", "50%", "90%"]
    text = said(picture)
    for words in (picture.alt.removesuffix("."), "● sync", "▲ async", "capacity: 1 request at once", "90%: 4."):
        assert words in text
    assert not {"Dotted", "prediction"} & set(text.split())
    assert crossover(by_share(0)).alt == "asgi and async: slower than sync at each share."
    assert crossover({0: of_share(0, rounds=3)}).alt == "asgi and async: cannot tell at each share."


def test_where_there_is_no_crossing_the_title_says_from_which_share_on_others_are_faster():
    told = "Faster than sync where a request waits – asgi and async from"
    assert crossover(by_share(5, 8, 9, 10, 90, noise=0.03)).alt == f"{told} 90% on."
    assert crossover(by_share(5, 9, 50, noise=0.08)).alt == f"{told} 50% on."


def test_a_crossing_is_named_where_it_is_and_with_a_number_only_between_shares_that_are_close():
    assert "cross between 0 and 50%" in words_of(crossover(THREE))
    close = crossover(by_share(0, 10, 30, noise=0.003))
    assert close.alt == "asgi crosses sync near 16%; async crosses sync between 0 and 30% of waiting."
    assert {"asgi crosses near 16%", "async crosses between 0 and 30%"} <= set(words_of(close))


def test_every_round_is_a_point_and_the_middle_of_each_share_is_marked():
    axes = crossover(THREE).figure.axes[0]
    faint = [line for line in axes.lines if line.get_alpha() == 0.25]
    assert sum(len(line.get_xdata()) for line in faint) == 3 * 3 * 8
    middles = [line.get_ydata() for line in axes.lines if line.get_marker() != "None" and line.get_alpha() is None]
    sync = [np.exp(np.log(THREE[share].figures("throughput")["sync"]).mean()) for share in (0, 50, 90)]
    assert any(np.allclose(each, sync) for each in middles if len(each) == 3)


def test_a_formula_is_drawn_dotted_over_the_whole_width_and_a_prediction_where_the_reader_put_it():
    picture = crossover(THREE, EXPECTED, 30)
    curves = [line for line in picture.figure.axes[0].lines if len(line.get_xdata()) == 200]
    assert [curve.get_ydata()[0] for curve in curves] == [100, 100]
    assert math.isclose(curves[1].get_ydata()[-1], 1000)
    assert "Dotted: what the formula says" in said(picture)
    assert "your prediction: faster from 30% on" in said(picture)
    assert any(list(line.get_xdata()) == [30, 30] for line in picture.figure.axes[0].lines)


def test_what_speaks_against_a_verdict_is_written_below():
    failing = {0: compared({"sync": (lab.SYNC, {}), "async": (lab.ASYNC, {"failed": 200})})}
    assert re.search("Against it speaks: at 0%, .* requests failed under async", said(crossover(failing)))


LONG = {"a long name " * 5: (lab.SYNC, {}), "another" * 9: (GTHREAD, {"per_s": 900})}


@pytest.mark.parametrize(
    "arguments",
    [
        lambda: (THREE, EXPECTED, 100),
        lambda: (by_share(0, 10, 20, 30, 50, 70, 80, 90, 95), EXPECTED, 0),
        lambda: ({share: compared(LONG) for share in (0, 50)},),
    ],
)
def test_no_text_is_cut_off_or_small_or_on_another(arguments):
    assert_legible(crossover(*arguments()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None,), "expected a mapping such as"),
        *((({key: two()},), "a share of waiting=") for key in ("a", True, 101, -1)),
        *(((wrong,), "takes a mapping of shares") for wrong in ({}, {0: 1})),
        (({0: two(), 50: of_share(50)},), "the same contenders"),
        (({0: compared({"sync": (lab.SYNC, {})}, control="sync again")},), "two at least"),
        ((THREE, {"nobody": math.sqrt}), "the contenders are sync"),
        ((THREE, {"sync": 100}), "functions of a share"),
        *(((THREE, None, wrong), "predicted") for wrong in ("1", -1, float("nan"))),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        crossover(*arguments)
