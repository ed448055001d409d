"""Loads as values: what is accepted, what is refused, and how they are put into words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.load import connection, loads
from requestlab.load.misbehaving import KINDS

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lab.open(1_000), "1,000 requests/s"),
        (
            lab.open(2.5, arrivals="poisson", keep_alive=False),
            "2.5 requests/s, poisson arrivals, a new connection for each request",
        ),
        (lab.open([10, 20, 40]), "10 requests/s to 40 requests/s in 3 steps"),
        (lab.closed([1, 5]), "1 user to 5 users in 2 steps"),
        (lab.silent(), "1 silent client"),
        (lab.silent(20), "20 silent clients"),
        (lab.slow_senders(2, per_s=1e3), "2 slow senders of 100,000 bytes at 1,000 bytes/s"),
        (lab.slow_senders(1, per_s=0.5, head=True), "1 sender of 4,000 bytes of head at 0.5 bytes/s"),
        (lab.slow_readers(3, per_s=2_000), "3 slow readers at 2,000 bytes/s"),
        (lab.idle(4), "4 idle clients"),
        (lab.disconnecting(1, after_ms=50), "1 client leaving after 50 ms"),
    ],
)
def test_a_load_says_in_words_what_it_is(load, words):
    assert str(load) == words
    assert getattr(load, "way", "idle") in KINDS
    assert eval(repr(load), vars(loads)) == load


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lab.open(0), "above 0 and up to 20,000"),
        (lambda: lab.open(20_001), "requests per second above 0 and up to 20,000"),
        (lambda: lab.open(10, arrivals="bursts"), "constant, poisson"),
        (lambda: lab.open(10, seed=1.5), "a whole number"),
        (lambda: lab.open(10, keep_alive=1), "True or False"),
        (lambda: lab.open([]), "1 to 30 steps"),
        (lambda: lab.open([10] * 31), "1 to 30 steps"),
        (lambda: lab.open([10, 0]), "above 0"),
        (lambda: lab.closed([1, 0]), "from 1 to 5,000"),
        (lambda: lab.closed([]), "1 to 30 steps"),
        (lambda: lab.closed(np.float64(2)), "from 1 to 5,000"),
        (lambda: lab.closed(np.bool_(True)), "from 1 to 5,000"),
        (lambda: lab.closed(np.int64(0)), "from 1 to 5,000"),
        (lambda: lab.closed(np.array([1.5])), "from 1 to 5,000"),
        (lambda: lab.silent(0), "silent.clients=0.: expected a whole number from 1 to 1,000"),
        (lambda: lab.idle(1_001), "idle.clients=1001"),
        (lambda: lab.slow_senders(1, per_s=0), "per_s=0.: expected a number above 0"),
        (lambda: lab.slow_senders(1, per_s=1, size=0), "size=0.: expected a whole number from 1 to 10,000,000"),
        (lambda: lab.slow_senders(1, per_s=1, size=8_001, head=True), "size=8001.: expected .* from 1 to 8,000"),
        (lambda: lab.slow_readers(1, per_s=-1), "per_s=-1"),
        (lambda: lab.disconnecting(1, after_ms=0), "after_ms=0"),
        (lambda: lab.compare({"a": lab.SYNC, "b": lab.ASYNC}, "/", lab.silent()), "compare.. takes one load"),
        (lambda: lab.measure(NOWHERE, "/", lab.silent(), client="httpx"), "closed loops with kept connections only"),
    ],
)
def test_loads_that_cannot_work_are_refused_with_what_was_expected(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_numbers_arrays_and_ranges_of_any_library_are_loads_of_plain_numbers():
    assert lab.closed(np.int64(3), each=np.int32(2)) == lab.closed(3, each=2)
    assert lab.open(np.float64(2.5)) == lab.open(np.float32(2.5)) == lab.open(2.5)
    assert lab.closed(np.array([1, 3])) == lab.closed(users=[1, 3])
    assert lab.closed(range(1, 4)) == lab.closed((1, 2, 3)) == lab.closed(pd.Series([1, 2, 3]))
    assert lab.open(np.linspace(10, 30, 3)) == lab.open(rate=[10, 20, 30])
    numbers = [lab.closed(np.int64(3), each=np.int32(2)).users, lab.closed(np.arange(1, 3)).loads[1].users]
    assert [type(number) for number in [*numbers, lab.open(np.float64(2)).rate]] == [int, int, float]


def test_the_words_for_how_a_request_ended_keep_their_places_in_saved_runs():
    assert connection.ERRORS[connection.EXHAUSTED :] == ("no free port or file here", "left", "closed by the server")
