from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import requestlab as lab
from requestlab.errors import RunFormatError
from requestlab.load.plan import COLUMNS, PROCESS_COLUMNS
from requestlab.measurement.run import FORMAT, Run
from requestlab.serving.upstream.statistics import UpstreamUse
from tests.made_runs import ABOUT, END, MS, START, closed_loop, made


def test_the_summary_is_computed_from_the_rows():
    times_ms = range(1, 101)
    run = made([{"planned": START, "done": START + ms * 1_000_000} for ms in times_ms])
    summary = run.summary
    assert summary["throughput"] == 100
    assert summary["p50"] == pytest.approx(50.5)
    assert summary["max"] == 100
    assert summary["errors"] == 0
    assert summary["cpu_per_request"] == 5.0
    assert made([{"sent": START + 9 * MS}]).summary["p50"] == 10  # from planned, not from sent
    assert set(summary) == {
        *("throughput", "p50", "p95", "p99", "max", "service_p50", "service_p95", "service_p99", "late", "late_p99"),
        *("errors", "cpu_per_request", "validity", "reasons"),
    }


def test_an_answer_counts_by_the_share_of_its_time_that_lies_in_the_stretch():
    run = made(
        [
            {"planned": START - 30 * MS, "done": START + 10 * MS},
            {"planned": END - 30 * MS, "done": END + 10 * MS},
            {"planned": START - 500 * MS, "done": END + 500 * MS},
            {"planned": START, "done": END},
            {"planned": START - 10 * MS, "done": START},
            {"planned": END, "done": END + 10 * MS},
            {"planned": START, "done": START + 5, "error": 3},
            {"planned": START, "done": START + 5, "status": 500},
        ],
        server_cpu_ns=500 * MS,
    )
    assert run.answers == pytest.approx(0.25 + 0.75 + 0.5 + 1, rel=1e-12)
    assert run.summary["throughput"] == run.answers
    assert run.summary["cpu_per_request"] == pytest.approx(500 / 2.5)


@pytest.mark.parametrize("each_ms", [10, 300, 700, 1_600])
@pytest.mark.parametrize("before_ms", [0, 333])
@pytest.mark.parametrize("users", [1, 3])
def test_users_who_go_in_step_have_their_throughput_exactly_wherever_the_stretch_begins(users, each_ms, before_ms):
    run = closed_loop(users, each_ms, before_ms=before_ms)
    assert run.summary["throughput"] == pytest.approx(users * 1_000 / each_ms, rel=1e-12)
    assert run.summary["p50"] == each_ms
    assert run.mean_under_way() == pytest.approx(users)


def test_times_are_those_of_requests_planned_in_the_stretch_or_the_long_ones_would_be_too_many():
    """Four thousand users, one after another's exponential times of 200 ms on average."""
    chance, rows = np.random.default_rng(5), []
    for user in range(4_000):
        at = START - 250 * MS
        while at < END:
            done = at + int(chance.exponential(200) * MS)
            rows.append({"user": user, "planned": at, "sent": at, "done": done})
            at = done
    run = made(rows, users=4_000)
    error = 200 / len(run.response_ms) ** 0.5
    assert run.summary["p50"] == pytest.approx(200 * math.log(2), abs=4 * error)
    assert run.response_ms.mean() == pytest.approx(200, abs=4 * error)
    assert run.summary["service_p50"] == run.summary["p50"]
    assert run.summary["throughput"] == pytest.approx(4_000 / 0.2, rel=0.02)


def test_where_no_request_was_planned_in_the_stretch_the_times_are_those_that_ended_after_its_beginning():
    run = made([{"planned": START - 100 * MS, "sent": START - 100 * MS, "done": END + 100 * MS}])
    assert run.summary["p50"] == 1_200
    assert run.summary["throughput"] == pytest.approx(1 / 1.2)
    assert len(made([{"planned": START - 100 * MS, "done": END + 100 * MS}, {}]).response_ms) == 1


def test_failures_are_in_no_percentile_and_in_the_count_of_errors():
    run = made([{}, {"error": 1, "done": START + 900_000_000}, {"status": 500, "done": START + 900_000_000}])
    assert run.summary["max"] == 10
    assert run.summary["errors"] == 2
    assert run.summary["validity"] == "suspect"
    assert "2 of 3 requests failed" in run.summary["reasons"]


def test_a_run_without_answers_has_no_figures_and_is_invalid():
    summary = made([{"error": 3, "done": START}]).summary
    assert math.isnan(summary["p50"])
    assert math.isnan(summary["cpu_per_request"])
    assert math.isnan(made([{}], server_cpu_ns=None).summary["cpu_per_request"])
    assert summary["throughput"] == 0
    assert summary["validity"] == "invalid"


def test_a_request_planned_in_the_warm_up_that_ends_later_is_a_row_whose_failure_counts_and_whose_time_does_not():
    frozen = made([{"planned": START - 500_000_000, "done": START + 500_000_000}, {}])
    assert len(frozen.requests) == 2
    assert frozen.summary["max"] == 10
    assert frozen.summary["throughput"] == 1.5
    assert frozen.summary["validity"] == "valid"
    late = made([{"planned": START - 500_000_000, "done": START + 500_000_000, "error": 1}, {}])
    assert late.summary["errors"] == 1
    assert len(made([{"planned": START - 5, "done": START - 1}, {}]).warmup) == 1


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(0, 30), st.just(len(COLUMNS)))),
    hnp.arrays(np.int64, st.tuples(st.integers(0, 5), st.just(len(PROCESS_COLUMNS)))),
    st.text(max_size=5),
    st.dictionaries(st.integers(1, 2**22), st.integers(0, 2**53), max_size=3),
)
def test_a_saved_run_comes_back_without_loss(tmp_path_factory, samples, threads, text, counts):
    about = replace(ABOUT, path=text, counts=counts, configuration=lab.SYNC, upstream=UpstreamUse(text, 7))
    run = Run(samples, threads, about)
    path = run.save(tmp_path_factory.mktemp("runs") / "some.run")
    back = lab.load_run(path)
    assert np.array_equal(back.samples, samples)
    assert np.array_equal(back.process_samples, threads)
    assert back.about == about


def test_a_real_run_comes_back_with_the_same_table_and_summary(tmp_path):
    with lab.serve(lab.ASYNC, probe=True) as server:
        run = lab.measure(server, "/async/page/", lab.closed(3, each=20))
    back = lab.load_run(run.save(tmp_path / "real.run"))
    pd.testing.assert_frame_equal(back.requests, run.requests)
    pd.testing.assert_frame_equal(back.threads, run.threads)
    pd.testing.assert_frame_equal(back.spans, run.spans)
    assert back.summary == run.summary
    assert repr(back) == repr(run)


def test_a_run_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "kept.run"
    made([{}]).save(path)
    before = path.read_bytes()

    def fail_half_way(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail_half_way)
    with pytest.raises(OSError, match="No space left"):
        made([{}, {}]).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.run"]


FORMAT_99 = {"about": np.frombuffer(json.dumps({"format": 99}).encode(), dtype=np.uint8)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"there is no file '.*some\.run'"),
        (b"", r"some\.run' is not a saved run"),
        (b"hello", r"some\.run' is not a saved run"),
        (b"PK\x03\x04 not a zip", r"some\.run' is not a saved run"),
        (b"\x93NUMPY\x01\x00", r"some\.run' is not a saved run"),
        ("cut", r"some\.run' is not a saved run"),
        ("new", f"format 99; this version of the lab reads format {FORMAT}: measure it again"),
    ],
)
def test_a_file_that_is_no_run_of_this_version_is_refused_by_name_in_a_sentence(tmp_path, content, words):
    path = tmp_path / "some.run"
    if content == "new":
        with path.open("wb") as file:
            np.savez_compressed(file, **FORMAT_99)
    elif content == "cut":
        path.write_bytes(made([{}] * 50).save(path).read_bytes()[:-40])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFormatError, match=words):
        lab.load_run(path)
