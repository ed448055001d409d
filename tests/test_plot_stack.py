from __future__ import annotations

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.plots import stack
from tests.pictures import assert_legible, compared, said

PATHS = {
    "sync": {"HTTP server": "sync bare", "Django": "sync"},
    "asgi": {"HTTP server": "asgi bare", "Django": "asgi none", "middleware": "asgi"},
}


def layered(**kwargs):
    contenders = {
        "sync bare": (lab.SYNC, {"cpu_ms": 0.1}),
        "sync": (lab.SYNC, {"cpu_ms": 0.5}),
        "asgi bare": (lab.MIXED, {"cpu_ms": 0.05}),
        "asgi none": (lab.MIXED, {"cpu_ms": 0.7}),
        "asgi": (lab.MIXED, {"cpu_ms": 1.5}),
    }
    return compared(contenders, noise=0.0, **kwargs)


def test_the_title_says_how_far_apart_the_bars_are_and_which_layer_makes_the_most_of_it():
    assert "asgi takes 3 times the CPU time per request of sync" in stack(layered(), PATHS).alt
    assert "is middleware, with 0.8 ms" in stack(layered(), PATHS).alt


def test_each_layer_is_what_its_contender_has_more_than_the_one_below():
    text = said(stack(layered(), PATHS))
    for words in ("HTTP server 0.1 ms", "Django 0.4 ms", "HTTP server 0.05", "Django 0.65 ms", "middleware 0.8 ms"):
        assert words in text
    assert "in all 0.5 ms" in text
    assert "in all 1.5 ms" in text


def test_a_layer_that_takes_time_away_is_said_to_be_negative():
    text = said(stack(layered(), {"odd": {"more": "asgi", "less": "sync"}}))
    assert "less −1.0 ms" in text


def test_a_single_bar_names_its_largest_layer():
    assert stack(layered(), {"asgi": PATHS["asgi"]}).alt.endswith("most of it middleware.")


def test_a_prediction_stands_beside_the_bar_it_is_of():
    assert said(stack(layered(), PATHS, predicted={"asgi": 1.2})).count("your prediction: 1.2 ms") == 1
    assert said(stack(layered(), PATHS, predicted=2)).count("your prediction: 2 ms") == 2


def test_rounds_in_which_a_contender_was_dropped_do_not_count():
    picture = stack(layered(disturbed={(0, "asgi"): "steal", (1, "sync bare"): "steal"}), PATHS)
    assert "over 6 rounds" in said(picture)


@pytest.mark.parametrize("paths", [PATHS, {"asgi": PATHS["asgi"]}, dict.fromkeys("abcdef", PATHS["sync"])])
def test_nothing_overlaps_or_is_cut_off(paths):
    assert_legible(stack(layered(), paths, predicted=1.4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"result": None}, "takes a comparison"),
        ({"layers": {}}, "expected a mapping such as"),
        ({"layers": {"sync": "sync"}}, "expected a mapping such as"),
        ({"layers": {"sync": {"all": "nobody"}}}, "the contenders are sync bare, sync"),
        ({"metric": "p99"}, "cpu_per_request, p50"),
        ({"predicted": {"nobody": 3}}, "the bars are sync, asgi"),
        ({"predicted": "much"}, "a sum in ms, at least 0, or None"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_was_expected(change, words):
    arguments = {"result": layered(), "layers": PATHS} | change
    with pytest.raises(ConfigurationError, match=words):
        stack(arguments.pop("result"), arguments.pop("layers"), **arguments)
