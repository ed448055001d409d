"""What the figure of counts says: in its title, and by its bars."""

from __future__ import annotations

import pytest

from requestlab.errors import ConfigurationError
from requestlab.plots.counts import counts
from tests.pictures import assert_legible, bars_of, said


@pytest.mark.parametrize(
    ("found", "title"),
    [
        ({"sync": 1, "threads": 4, "asgi": 20}, "Things: 20 under asgi, at most 4 under the others."),
        ({"sync": 1, "asgi": 2}, "Things: 2 under asgi, 1 under the other."),
        ({"sync": 3, "asgi": 3}, "Things: 3 under sync and asgi."),
        ({"sync": 3, "threads": 3, "asgi": 3, "async": 0}, "Things: 3 each, but 0 (async)."),
        (
            {"sync": 40, "sync, kept": 1, "threads": 40, "asgi": 40, "async": 4},
            "Things: 40 each, but 1 (sync, kept) and 4 (async).",
        ),
    ],
)
def test_the_title_says_where_there_are_most(found, title):
    assert counts(found, "things").alt == title


def test_each_bar_is_as_long_as_its_number_and_a_prediction_is_drawn():
    found = {"sync": 1, "asgi": 2, "asgi, kept": 40}
    picture = counts(found, "open connections", predicted={"asgi, kept": 4})
    bars = picture.figure.axes[0].patches
    assert [bars_of(bar) for bar in bars] == [[(0, 1)], [(0, 2)], [(0, 40)]]
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True]
    assert said(picture).count("your prediction: 4") == 1
    assert_legible(picture)


@pytest.mark.parametrize("found", [5, {}, {"sync": -1}, {"sync": "many"}])
def test_what_cannot_be_drawn_is_refused(found):
    with pytest.raises(ConfigurationError):
        counts(found, "things")
