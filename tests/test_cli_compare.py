"""`requestlab compare`: how contenders are written, what is said of them, how it ends."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import time
from collections.abc import Iterator

import click
import psutil
import pytest
from hypothesis import example, given, strategies as st

from requestlab.cli import targets
from requestlab.cli.compare import why_not
from requestlab.cli.targets import FIELDS, Contender, contender, contenders
from requestlab.comparison.comparison import ANSWERED, METRICS, Comparison, Ratio
from requestlab.comparison.intervals import MIN_ROUNDS, Interval
from requestlab.comparison.wording import PHRASES, sentence
from requestlab.load import target
from requestlab.measurement import validity
from requestlab.serving.applications import PARTS
from requestlab.serving.configuration import ASGI, ASYNC, NAMED, SYNC, Configuration
from tests.known_server import known_server
from tests.made_runs import COMPARED
from tests.test_cli import GONE_S, HANG_S, assert_refused, left_of, requestlab, running, strict, wait_for
from tests.tiny_server import answering, read_request, tiny_server

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
QUICK = ("--rounds", "4", "--seconds", "0.1", "--warmup", "0.05")
SHORT = ("--rounds", "1", "--seconds", "0.05", "--warmup", "0")
BRIEF = ("--seconds", "0.1", "--warmup", "0")


# Targets


@pytest.mark.parametrize(
    ("text", "label", "target", "path"),
    [
        ("sync", "sync", SYNC, "/sync/page/"),
        ("a=async", "a", ASYNC, "/async/page/"),
        (
            "asgi=asgi:server=gunicorn-uvicorn,workers=2",
            "asgi",
            ASGI.replace(server="gunicorn-uvicorn", workers=2),
            "/sync/page/",
        ),
        ("asgi:probe=0.1", "asgi:probe=0.1", ASGI.replace(probe=0.1), "/sync/page/"),
        (
            "x=asgi:middleware=sync,startproject,asyncio_debug=yes,switch_interval_ms=0.5/async/hop/?n=1,2",
            "x",
            ASGI.replace(middleware=("sync", "startproject"), asyncio_debug=True, switch_interval_ms=0.5),
            "/async/hop/?n=1,2",
        ),
        ("x=asgi:workers=2/a/?b=c:d,e=http://f", "x", ASGI.replace(workers=2), "/a/?b=c:d,e=http://f"),
        ("asgi/a/?b=c", "asgi/a/?b=c", ASGI, "/a/?b=c"),
        (
            "s=asgi:upstream=127.0.0.1:8001/sync/fetch/?n=2",
            "s",
            ASGI.replace(upstream="http://127.0.0.1:8001"),
            "/sync/fetch/?n=2",
        ),
        (
            f"s=asgi:workers=2,upstream=127.0.0.1:8001/~{'0f' * 16}/sync/fetch/?n=2",
            "s",
            ASGI.replace(workers=2, upstream=f"http://127.0.0.1:8001/~{'0f' * 16}"),
            "/sync/fetch/?n=2",
        ),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "http://127.0.0.1:8000", "/"),
        ("http://127.0.0.1:8000/a/?b=c:d", "http://127.0.0.1:8000/a/?b=c:d", "http://127.0.0.1:8000", "/a/?b=c:d"),
        ("new=http://[::1]:80/?x=y=z", "new", "http://[::1]:80", "/?x=y=z"),
        ("old=HTTP://localhost/", "old", "http://localhost", "/"),
    ],
)
def test_a_target_is_read_as_label_what_to_ask_and_path(text, label, target, path):
    assert contender(text, None) == Contender(label, target, path)


def test_a_common_path_is_for_all_that_have_none_of_their_own():
    found = contenders(["sync", "http://127.0.0.1:1/"], "/a/")
    assert [one.path for one in found.values()] == ["/a/", "/a/"]
    for text in ("sync/b/", "http://127.0.0.1:1/b/"):
        with pytest.raises(click.UsageError, match="has a path already"):
            contender(text, "/a/")


def test_each_field_of_a_configuration_can_be_varied_but_for_its_name_and_what_may_hold_a_password():
    fields = {field.name for field in dataclasses.fields(Configuration)} | set(PARTS)
    assert {"name", "database", *FIELDS} == fields


@given(
    st.text(st.characters(exclude_characters=":/=", exclude_categories=("C", "Z")), min_size=1),
    st.sampled_from([*NAMED, "http://127.0.0.1:8000"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#@[]")),
)
@example("a", "http://127.0.0.1:8000", "?")
def test_any_label_and_any_path_come_back_as_they_were_written(label, target, path):
    found = contender(f"{label}={target}/{path}", None)
    assert (found.label, found.path) == (label, f"/{path}")
    assert found.target == NAMED.get(target, target)


@given(st.text())
def test_free_text_is_a_contender_or_a_usage_error(text):
    try:
        found = contender(text, None)
    except (click.UsageError, ValueError):
        return
    assert found.label
    assert found.path.startswith("/")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "Missing argument 'TARGET"),
        (["sync"], 2, "there is one target; give two or more, or --control"),
        (["sync", "sync"], 2, "'sync' stands there twice; give one of them a label (again=sync), or use --control"),
        (["x=sync", "x=asgi"], 2, "two contenders are called 'x'"),
        (["=sync", "asgi"], 2, "expected a label before the =, as in again=sync"),
        (
            ["a = sync", "asgi"],
            2,
            "' sync' is neither a configuration (sync, threads, asgi, async, null, upstream) nor an",
        ),
        (["sync:", "asgi"], 2, "'' is not FIELD=VALUE"),
        (["sync:name=x", "asgi"], 2, "'name=x' is not FIELD=VALUE; expected, as in sync:workers=2"),
        (["sync:workers=99", "asgi"], 2, "workers: 99 is not in the range 1<=x<=32"),
        (["sync:workers=1,workers=2", "asgi"], 2, "'workers' stands there twice"),
        (["sync:probe=maybe", "asgi"], 2, "probe: 'maybe' is not a valid boolean"),
        (["sync:workers=2,many", "asgi"], 2, "'sync:workers=2,many': workers: '2,many' is not a valid integer"),
        (["asgi:middleware=sync,none", "sync"], 2, "middleware='sync,none' is not known"),
        (["sync", "a\rb=asgi"], 2, "control characters"),
        (["sync", "http://127.0.0.1:0/"], 1, "expected an address such as"),
        (["sync", "http://127.0.0.1:1/"], 1, "nobody answers at http://127.0.0.1:1: Connection refused"),
        (["sync", "asgi", "--path", "page"], 1, "path='page'"),
        (["sync", "asgi", "--users", "1,2"], 2, "'1,2' is not a valid integer"),
        (["sync", "asgi", "--rounds", "501"], 1, "rounds=501: expected a whole number from 1 to 500"),
        (["sync", "asgi", "--budget", "-1"], 1, "budget=-1.0"),
        (["sync", "asgi", "--width", "0"], 1, "width=0.0"),
        (["sync", "asgi", "--seconds", "0"], 1, "seconds=0.0"),
        (["sync", "asgi", "--save-figure", "x.gif"], 2, "expected a name that ends in .png, .svg, .pdf"),
        (["sync", "sync again=asgi", "--control"], 1, "is what the control is called"),
        (["sync", *(f"{letter}=sync" for letter in "abcdefghijkl")], 1, "2 to 12 contenders, not 13"),
    ],
)
def test_bad_input_is_one_message_before_anything_is_started(arguments, status, message, monkeypatch):
    assert_refused(["compare", *arguments], status, message, monkeypatch)


# What is said


NAN = float("nan")
FEW = "p99 needs 2,000 answers in a slice, and sync gave 300: longer slices would have them"
KEPT = "3 of 16 slices were disturbed from outside and count, since so many were"


def ratio(metric: str, value: float, low: float, high: float, verdict: str, reason: str = "", rounds: int = 8) -> Ratio:
    why = "" if rounds else reason
    return Ratio("asgi", "sync", metric, Interval(value, low, high, rounds, why=why), verdict, reason)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            ratio("throughput", 0.31, 0.29, 0.33, "slower"),
            "asgi answers 0.310 times as many requests per second as sync (0.290 to 0.330): slower",
        ),
        (
            ratio("cpu_per_request", 3.0, 2.9, 3.1, "slower"),
            "asgi spends 3.00 times the CPU time per request of sync (2.90 to 3.10): more CPU",
        ),
        (
            ratio("p50", 1.0, 0.9, 1.1, "cannot tell", f"the interval holds 1; {KEPT}"),
            "asgi has 1.00 times the median response time (p50) of sync (0.900 to 1.10): cannot tell, the interval holds 1",
        ),
        (
            ratio("p99", NAN, NAN, NAN, "cannot tell", f"{FEW}; {FEW.replace('sync', 'asgi')}", rounds=0),
            f"asgi against sync, 99th percentile of time (p99): cannot tell, {FEW}",
        ),
    ],
)
def test_a_finding_is_a_sentence_that_ends_with_a_verdict_and_says_once_what_is_missing(found, words):
    assert sentence(found) == words


def test_a_server_that_ends_between_two_slices_makes_none_invalid_and_is_a_failure_all_the_same():
    class Whole(Comparison):
        complete = 8

    ended = "the server of asgi has ended"
    for stopped, said in ((ended, f"the comparison ended early: {ended}"), ("8 rounds were wanted", "")):
        about = dataclasses.replace(COMPARED, stopped=stopped)
        assert why_not(Whole((), ("sync", "asgi"), None, about)) == said


def test_every_metric_has_its_words():
    assert set(PHRASES) == set(METRICS)


def unhurried(connection: socket.socket) -> None:
    """Answer after 10 ms: slow enough for the generator to be idle for most of the time."""
    while read_request(connection):
        time.sleep(0.01)
        connection.sendall(ANSWER)


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with tiny_server(unhurried) as one, tiny_server(unhurried) as two:
        yield one.url, two.url


def test_two_configurations_are_compared_and_everything_is_told_in_strict_json():
    done = requestlab("compare", "sync", "asgi=asgi", "--users", "3", "--control", "--seed", "5", "--json", *QUICK)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    told = strict(done.stdout)
    assert list(told["contenders"]) == ["sync", "asgi", "sync again"]
    assert (told["baseline"], told["control"], told["seed"]) == ("sync", "sync again", 5)
    assert told["contenders"]["asgi"]["configuration"]["server"] == "uvicorn"
    assert (told["contenders"]["sync"]["capacity"], told["contenders"]["asgi"]["capacity"]) == (1, None)
    assert {(row["over"], row["metric"]) for row in told["ratios"]} == {
        (label, metric) for label in ("asgi", "sync again") for metric in METRICS
    }
    for row in told["ratios"]:
        assert row["verdict"] in ("faster", "slower", "cannot tell")
        assert row["reason"]
    throughput = next(row for row in told["ratios"] if row["metric"] == "throughput")
    for found in (throughput, told["resolution"]):
        if found["low"] is None:  # only where something else on this machine cost it rounds
            assert told["dropped"] > 0
        else:
            assert found["low"] < found["value"] < found["high"]
    assert len(told["rounds"]) == 3 * max(row["round"] for row in told["rounds"])
    assert told["dropped"] == sum(told["dropped_why"].values())
    assert told["machine"]["versions"]["django"]
    assert told["stopped"]


@pytest.mark.patient
def test_the_table_has_a_row_for_each_contender_and_a_sentence_for_each_metric(urls, tmp_path):
    figure = tmp_path / "ratios.svg"
    done = requestlab("compare", f"old={urls[0]}", f"new={urls[1]}/a/", "--save-figure", str(figure), *QUICK)
    assert (done.exit_code, done.stderr) == (0, "")
    table, sentences, rest = done.stdout.split("\n\n")
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["old", "new"]
    assert sentences.count("\n") == len(METRICS) - 1
    assert sentences.startswith("new answers ")
    assert "CPU time per request: cannot tell, CPU time is not known for addresses" in sentences
    for row in ("asked ", "rounds ", "stopped ", "dropped ", "machine ", "figure "):
        assert re.search(f"^{row}", rest, re.MULTILINE)
    assert "old /; new /a/ under 1 user" in rest
    assert figure.read_text().startswith("<?xml")


def test_too_few_rounds_cannot_tell_and_that_is_no_failure(urls, monkeypatch):
    monkeypatch.setattr(validity, "outside", lambda run: "")  # or what disturbs one slice of two is the reason
    done = requestlab("compare", *urls, *SHORT)
    assert done.exit_code == 0
    assert re.search(r": cannot tell, 1 round has a figure, and an interval needs 4$", done.stdout, re.MULTILINE)


def test_a_contender_whose_slices_are_invalid_ends_with_1_and_its_failures(urls):
    missing = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with tiny_server(missing) as server:
        done = requestlab("compare", urls[0], f"gone={server.url}", *SHORT)
    assert done.exit_code == 1
    assert "cannot tell, for the caveats below" in done.stdout
    assert re.search(
        r"^Error: 1 of 1 slices of gone are invalid: no request was answered .*× status 404\)$", done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.patient
def test_a_budget_allows_as_many_rounds_as_fit_and_ends_them(urls):
    begin = time.monotonic()
    told = strict(requestlab("compare", *urls, "--budget", "3", "--width", "0.0001", *BRIEF, "--json").stdout)
    assert time.monotonic() - begin < 15
    assert "budget of 3 s" in told["stopped"]
    assert (told["wanted"], told["budget"], told["asked"]) == (None, 3, ["intervals no wider than 0.01%"])


def test_it_ends_as_soon_as_what_was_asked_is_answered_and_shows_how_the_interval_shrank():
    ask = ("--ask", "p50", "--ask", "throughput")
    with known_server("delay", 5) as quick, known_server("delay", 50) as known:
        done = requestlab("compare", quick.url, f"slow={known.url}", *ask, *BRIEF, "--json")
    told = strict(done.stdout)
    assert told["stopped"] == ANSWERED
    assert told["asked"] == ["p50 against the first", "throughput against the first"]
    assert MIN_ROUNDS <= told["complete"] < 20
    assert [row["rounds"] for row in told["course"]["slow"]] == list(range(MIN_ROUNDS, told["complete"] + 1))
    assert all(row["low"] < row["value"] < row["high"] for row in told["course"]["slow"])


def test_load_on_another_machine_is_announced_before_the_first_connection(monkeypatch):
    for module in (target, targets):
        monkeypatch.setattr(module, "on_this_machine", lambda host: False)
    with tiny_server(answering(ANSWER)) as server:
        refused = requestlab("compare", server.url, f"b={server.url}", *SHORT)
        assert server.accepted == 0
        assert (refused.exit_code, refused.stdout) == (1, "")
        done = requestlab("compare", server.url, f"b={server.url}", "--remote", *SHORT)
    assert done.exit_code == 0
    line = "About to load another machine, 127.0.0.1 (127.0.0.1): 1 user, in 1 rounds of 0.05 s each. Ctrl-C stops it."
    assert done.stderr.splitlines() == [line, line]


# How it ends


@pytest.mark.parametrize("words", [["requestlab.serving.supervisor"], ["requestlab.load.generator", "uvicorn"]])
@pytest.mark.some(1)
def test_ctrl_c_leaves_nothing(words):
    with running("compare", "sync", "async", "--users", "5") as process:
        wait_for(process, *words)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=GONE_S) == ("", "")
    assert process.returncode == 130
    assert left_of(family) == []


def test_a_server_killed_half_way_is_said_and_ends_with_1():
    with running("compare", "sync", "async", "--rounds", "4", "--seconds", "0.3") as process:
        family = wait_for(process, "requestlab.load.generator", "uvicorn")
        [server] = [one for one in family if "uvicorn" in one.cmdline()]
        time.sleep(2.0)  # well past the ramp
        server.kill()
        said, problem = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    during = r"\d of \d slices of async are invalid: (the server|a worker of the server) ended"
    between = "the comparison ended early: the server of async has ended"
    assert re.match(rf"Error: ({during}|{between}$)", problem)
    assert "for the caveats below" in said or between in problem
    assert "Traceback" not in problem


def test_a_figure_that_cannot_be_saved_is_said_after_the_report(urls):
    done = requestlab("compare", *urls, "--save-figure", "/proc/no.svg", "--json", *SHORT)
    assert done.exit_code == 1
    assert strict(done.stdout)["figure"] is None
    assert done.stderr.startswith("Error: the figure could not be saved in '/proc/no.svg': ")
