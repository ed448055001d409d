"""What the figure of streams says: in its title, its alternative text, beside its bars, and by the bars themselves."""

from __future__ import annotations

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.load.connection import RESET
from requestlab.plots.streams import streams
from tests.made_runs import MACHINE, MS, START, made
from tests.pictures import assert_legible, bars_of, said, words_of


def run(*times_ms, label="asgi", error=0):
    """A run of streams: for each, when head, first byte of the body and last byte came."""
    rows = [
        {"first_byte": START + head * MS, "first_body": START + first * MS, "done": START + last * MS, "error": error}
        for head, first, last in times_ms
    ]
    return made(rows, label=label, machine=MACHINE, path="/sync/stream/", each=1, load="3 users")


BUFFERED, FLOWING = run((2, 190, 200), (2, 200, 200), (2, 200, 200)), run((4, 10, 200), (4, 4, 200))


def test_the_title_says_after_which_share_of_the_time_the_first_byte_of_the_body_came():
    picture = streams({"sync iterator": BUFFERED, "async iterator": FLOWING})
    assert picture.alt == "Bodies begin after 100% of the time under sync iterator, 4% elsewhere."
    assert streams(FLOWING).alt == "asgi: the body begins after 4% of the time."
    long = {f"a label of rather {word} words": run for word, run in (("many", BUFFERED), ("numerous", FLOWING))}
    assert streams(long).alt == "Bodies begin after 100% of the time under 1 of 2, 4% elsewhere."
    assert "medians: first byte 200 ms, last 200 ms 3 streams of /sync/stream/" in said(picture)


def test_a_bar_is_hatched_until_the_first_byte_of_the_body_and_solid_from_there_to_the_last():
    hatched, solid = streams(BUFFERED).figure.axes[0].patches
    assert (bool(hatched.get_hatch()), bool(solid.get_hatch())) == (True, False)
    assert bars_of(hatched) == [(0, 190), (0, 200), (0, 200)]
    assert bars_of(solid) == [(190, 200), (200, 200), (200, 200)]


def test_head_and_first_byte_of_the_body_are_named_at_their_marks_and_together_where_they_came_together():
    assert {"200 OK", "first byte of the body"} <= set(words_of(streams(BUFFERED)))
    assert "200 OK, and first byte of the body" in words_of(streams(run((4, 5, 200))))


def test_of_many_streams_the_first_few_are_drawn_and_all_are_counted():
    picture = streams(run(*[(1, 20, 100)] * 40))
    assert [len(bars_of(patch)) for patch in picture.figure.axes[0].patches] == [5, 5]
    assert "40 streams" in said(picture)
    assert "20%" in picture.alt


def test_a_prediction_is_drawn_at_its_share_of_the_time_and_written_beside():
    picture = streams({"a": BUFFERED, "b": FLOWING}, predicted={"a": 10, "b": None})
    dashed = [line.get_xdata()[0] for line in picture.figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [20]
    assert said(picture).count("your prediction: 10%") == 1


@pytest.mark.parametrize(
    ("runs", "predicted", "words"),
    [
        (run((1, 2, 3), error=RESET), None, "no answer with a body came under asgi"),
        (5, None, "takes runs of measure"),
        (BUFFERED, -1, "a share in percent"),
    ],
)
def test_streams_that_failed_are_left_out_and_a_run_without_any_is_refused(runs, predicted, words):
    with pytest.raises(ConfigurationError, match=words):
        streams(runs, predicted=predicted)


def test_any_number_of_runs_with_any_label_can_be_read():
    label = "a label that goes on and on " * 5
    assert_legible(streams({f"{label} {number}": FLOWING for number in range(8)}, predicted=1_000))


def test_it_draws_what_was_measured():
    load = lab.closed(1, each=3)
    with lab.serve(lab.ASGI) as server:
        measured = {mode: lab.measure(server, f"/{mode}/stream/?n=4&ms=25", load) for mode in ("sync", "async")}
        warned = server.log.count("StreamingHttpResponse must consume synchronous iterators")
    tables = {mode: run.requests for mode, run in measured.items()}
    shares = {mode: (one["first_body"] - one["sent"]) / (one["done"] - one["sent"]) for mode, one in tables.items()}
    assert shares["sync"].min() > 0.9
    assert shares["async"].min() < 0.5
    assert warned == 1
    assert all((one["first_byte"] < one["done"]).all() for one in tables.values())
    assert streams(measured).alt.startswith("Bodies begin after 100% of the time under sync, ")
