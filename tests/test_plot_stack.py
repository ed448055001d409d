from __future__ import annotations

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots import stack, style
from tests.pictures import assert_legible, compared, said, words_of

PATHS = {
    "sync": {"HTTP server": "sync bare", "Django": "sync"},
    "asgi": {"HTTP server": "asgi bare", "Django": "asgi none", "middleware": "asgi"},
}


def layered(**kwargs):
    costs = {"sync bare": 0.1, "sync": 0.5, "asgi bare": 0.05, "asgi none": 0.7, "asgi": 1.5}
    contenders = {
        name: (lab.SYNC if name.startswith("sync") else lab.ASGI, {"cpu_ms": ms}) for name, ms in costs.items()
    }
    return compared(contenders, noise=0.0, **kwargs)


def test_the_title_says_how_far_apart_the_bars_are_and_each_layer_is_what_its_contender_has_more():
    picture = stack(layered(), PATHS)
    assert picture.alt == ("asgi takes about 3 times the CPU time of sync, mostly for middleware.")
    text = said(picture)
    for words in ("HTTP server 0.1 ms", "Django 0.4 ms", "HTTP server 0.05 ms", "Django 0.65 ms", "middleware 0.8 ms"):
        assert words in text
    assert {"0.5 ms", "1.5 ms"} <= set(words_of(picture))


def test_bars_that_cannot_be_told_apart_are_said_to_be_so():
    close = {"one": (lab.SYNC, {"cpu_ms": 1.0}), "other": (lab.ASGI, {"cpu_ms": 1.01})}
    picture = stack(compared(close, noise=0.1), {name: {"all": name} for name in close})
    assert picture.alt.startswith("Cannot tell ")


def test_the_axis_holds_the_whole_interval():
    wide = compared({"sync": (lab.SYNC, {"cpu_ms": 1.0})}, noise=0.5, rounds=4)
    (axes,) = stack(wide, {"sync": {"all": "sync"}}).figure.axes
    (line,) = [line for line in axes.lines if line.get_linewidth() > 3]
    assert line.get_xdata()[1] < axes.get_xlim()[1]
    assert line.get_color() == style.INK


def test_a_single_bar_names_its_largest_layer_and_one_that_takes_time_away_is_said_to_be_negative():
    assert stack(layered(), {"asgi": PATHS["asgi"]}).alt.endswith("most of it middleware.")
    assert "less −1.0 ms" in said(stack(layered(), {"odd": {"more": "asgi", "less": "sync"}}))


def test_a_prediction_stands_beside_the_bar_it_is_of():
    assert said(stack(layered(), PATHS, predicted={"asgi": 1.2})).count("your prediction: 1.2 ms") == 1
    assert said(stack(layered(), PATHS, predicted=2)).count("your prediction: 2 ms") == 2


def test_rounds_in_which_a_contender_was_dropped_do_not_count():
    picture = stack(layered(disturbed={(0, "asgi"): "steal", (1, "sync bare"): "steal"}), PATHS)
    assert "over 6 rounds" in said(picture)


@pytest.mark.parametrize("paths", [PATHS, dict.fromkeys("abcdef", PATHS["sync"])])
def test_nothing_overlaps_or_is_cut_off(paths):
    assert_legible(stack(layered(), paths, predicted=1.4))


@pytest.mark.parametrize(
    ("result", "layers", "predicted", "words"),
    [
        (None, PATHS, None, "takes a comparison"),
        (layered(), {}, None, "expected a mapping such as"),
        (layered(), {"sync": "sync"}, None, "expected a mapping such as"),
        (layered(), {"sync": {"all": "nobody"}}, None, "the contenders are sync bare, sync"),
        (layered(), PATHS, {"nobody": 3}, "the bars are sync, asgi"),
        (layered(), PATHS, "much", "a sum in ms, at least 0, or None"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(result, layers, predicted, words):
    with pytest.raises(ConfigurationError, match=words):
        stack(result, layers, predicted=predicted)
