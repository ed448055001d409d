"""The command line: what it prints, how it ends, what it leaves behind; as a process of its own where that is the
point."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx
import psutil
import pytest
from click.testing import CliRunner, Result

from requestlab import cli
from requestlab.cli import measure, serve, targets
from requestlab.cli.options import configuration, serving_options
from requestlab.cli.targets import DEFAULT_PATH
from requestlab.errors import ConfigurationError
from requestlab.load import target
from requestlab.measurement import measure as measuring
from requestlab.measurement.run import load_run
from requestlab.notebooks import jupyter
from requestlab.serving.applications import APPLICATIONS, MIDDLEWARE, PARTS
from requestlab.serving.configuration import LOOPS, NAMED, Configuration
from requestlab.serving.servers import SERVERS
from requestlab.worker.lifeline import SUPERVISOR_VARIABLE
from tests.conftest import is_alive, nobody_listens_on
from tests.tiny_server import answering, read_request, tiny_server

COMMAND = [sys.executable, "-m", "requestlab.cli"]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HANG_S = 60.0
GONE_S = 2.0
"""The promise: after an interrupt nothing is left for longer."""

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
SHORT = ("--seconds", "0.2")


def requestlab(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.commands, arguments)


def as_process(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=HANG_S, check=False, **more)


@contextmanager
def running(*arguments: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the command as a terminal would, in a process group of its own, and end it by its pid."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen([*COMMAND, *arguments], **pipes | more) as process:
        try:
            yield process
        finally:
            process.kill()


def assert_refused(arguments: list[str], status: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that the command ends with one message, before anything is started."""

    def refuse(line: list[str], **more: Any) -> NoReturn:
        raise AssertionError(f"started: {line}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    done = requestlab(*arguments)
    assert (done.exit_code, done.stdout) == (status, ""), done.exception
    assert message in done.stderr
    assert len(re.findall(r"^Error: ", done.stderr, re.MULTILINE)) == (1 if arguments else 0)


def strict(text: str) -> Any:
    """Read JSON as strict readers do: NaN and Infinity are no numbers."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def get(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> bytes:
    return httpx.request(method, url, headers=headers, timeout=30, trust_env=False).raise_for_status().content


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def of_a_server(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if SUPERVISOR_VARIABLE in process.environ()]


def left_of(family: list[psutil.Process]) -> list[psutil.Process]:
    """Return who outlives the promise, at once where nobody does: the kernel ends the last a moment after the
    command."""
    deadline = time.monotonic() + GONE_S
    while (left := [one for one in family if is_alive(one)]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return left


def wait_for(process: subprocess.Popen[str], *words: str) -> list[psutil.Process]:
    """Return the descendants as soon as each of `words` is in the command of one of them."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        try:
            found = descendants(process)
            lines = [" ".join(one.cmdline()) for one in found]
        except psutil.NoSuchProcess:
            continue
        if all(any(word in line for line in lines) for word in words):
            return found
        time.sleep(0.02)
    raise AssertionError(f"it never started {words}")


def rows_of(table: str) -> dict[str, str]:
    return dict(re.split(r"\s{2,}", line, maxsplit=1) for line in table.splitlines() if line[0] != " ")


# The command itself


SLOW = {"numpy", "pandas", "scipy", "matplotlib", "httpx", "psutil", "asyncio"}
SLOW |= {"requestlab.measurement.measure", "requestlab.serving.server"}


@pytest.mark.parametrize(
    ("code", "slow"),
    [
        ("from requestlab import cli; cli.commands(['--help'], standalone_mode=False)", SLOW),
        ("import requestlab.cli.serve", {"numpy", "pandas", "scipy", "matplotlib"}),
    ],
)
def test_help_imports_nothing_slow_and_serving_no_tables_of_figures(code, slow):
    code = f"{code}; import sys; print(sorted({slow!r} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("[]\n")


def test_help_lists_the_commands():
    told = requestlab("--help").stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in told.splitlines()] == list(cli.COMMANDS)


@pytest.mark.parametrize("command", [serve.serve, measure.measure])
def test_each_field_of_a_configuration_is_an_option_with_the_choices_of_its_table(command):
    choices = {parameter.name: getattr(parameter.type, "choices", None) for parameter in command.params}
    assert {field.name for field in dataclasses.fields(Configuration)} - {"name"} | set(PARTS) <= set(choices)
    for name, known in {
        "server": SERVERS,
        "application": APPLICATIONS,
        "loop": LOOPS,
        "middleware": MIDDLEWARE,
    }.items():
        assert choices[name] == tuple(known)


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ([], {}),
        (["--probe"], {"probe": True}),
        (["--probe-share", "0.1"], {"probe": 0.1}),
        (["--probe", "--probe-share", "0.1"], {"probe": 0.1}),
        (["--middleware", "sync,startproject"], {"middleware": ("sync", "startproject")}),
        (["--all-cores"], {"all_cores": True}),
        (["--asyncio-debug", "--switch-interval-ms", "1"], {"asyncio_debug": True, "switch_interval_ms": 1.0}),
    ],
)
def test_options_make_the_configuration_that_they_name(arguments, changes):
    made = []

    @click.command()
    @serving_options
    def command(**options):
        made.append(configuration("asgi", options))

    command(arguments, standalone_mode=False)
    assert made == [NAMED["asgi"].replace(**changes)]


def test_every_named_configuration_has_a_default_path():
    assert set(DEFAULT_PATH) == set(NAMED)


def test_the_console_script_is_the_same_command():
    [script] = entry_points(group="console_scripts", name="requestlab")
    assert script.load() is cli.main


def test_on_windows_one_sentence_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    for arguments in (["doctor"], ["serve"], ["measure", "sync"], ["measure", "http://127.0.0.1:1/"]):
        result = requestlab(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: the lab runs on Linux and macOS, and this is win32")


# measure: what it measures


@pytest.mark.parametrize(
    ("name", "path"), [("sync", "/sync/page/"), ("asgi", "/sync/page/"), ("async", "/async/page/")]
)
@pytest.mark.some(1)
def test_measuring_a_configuration_serves_it_and_reports_strict_json(name, path):
    done = requestlab("measure", name, "--users", "3", "--json", *SHORT)
    assert (done.exit_code, done.stderr) == (0, "")
    told = strict(done.stdout)
    assert done.stdout.count("\n") == 1
    assert (told["label"], told["path"], told["load"], told["errors"]) == (name, path, "3 users", 0)
    assert told["throughput"] > 0
    assert 0 < told["p50"] <= told["p95"] <= told["p99"] <= told["max"]
    assert told["cpu_per_request"] > 0
    assert told["seconds"] >= 0.8 * 0.2
    assert told["connections"] >= 3
    assert sum(told["counts"].values()) >= told["sent"] == told["planned"]
    assert told["validity"] in ("valid", "suspect")
    assert told["machine"]["versions"]["django"]


def test_the_table_says_units_and_why_a_figure_is_weak():
    with listening() as (url, _):
        done = requestlab("measure", url, "/a/", "--each", "5")
    rows = rows_of(done.stdout)
    assert rows["run"].startswith(f"{url}, /a/, 1 user, 5 requests each, ")
    assert rows["throughput"].endswith(" answers/s")
    assert all(rows[name].endswith(" ms") for name in ("p50", "p95", "p99", "max"))
    assert (rows["errors"], rows["connections"]) == ("0 of 5 requests", "1 opened, warm-up included")
    assert rows["validity"] in ("valid", "suspect")
    assert "too few requests for p95 and p99" in done.stdout
    assert done.exit_code == 0


def test_options_make_another_configuration():
    done = requestlab(
        *("measure", "sync", "--server", "gunicorn-gthread", "--workers", "2", "--threads", "3"),
        *("--middleware", "none", "--application", "bare", "--probe", "--users", "8", "--json", *SHORT),
    )
    told = strict(done.stdout)
    changes = "server=gunicorn-gthread, workers=2, threads=3, application=bare"
    assert told["label"] == f"sync, {changes}"
    assert told["errors"] == 0
    assert 1 <= len(told["workers"]) <= 2
    assert sum(told["workers"].values()) == pytest.approx(1)


PLANNED = 113
"""Poisson arrivals of that seed in 0.5 s; without a warm-up, none of before is still under way."""


def test_an_open_loop_tells_planned_sent_and_late_requests_and_both_times():
    asked = ("--rate", "200", "--arrivals", "poisson", "--seed", "7", "--seconds", "0.5", "--warmup", "0")
    with listening() as (url, _):
        rows = rows_of(requestlab("measure", url, *asked).stdout)
        told = strict(requestlab("measure", url, *asked, "--json").stdout)
    assert rows["planned"] == f"{PLANNED} requests"
    assert re.fullmatch(rf"{PLANNED}, \d+ of them more than 1 ms late, 99% within [\d.]+ ms", rows["sent"])
    for name in ("p50", "p95", "p99"):
        assert re.fullmatch(r"[\d,.]+ ms response, [\d,.]+ ms service", rows[name])
    assert (told["rate"], told["arrivals"], told["seed"], told["planned"]) == (200, "poisson", 7, PLANNED)
    assert told["service_p50"] <= told["p50"]
    assert told["late_p99"] >= 0


def test_without_the_probe_each_worker_says_how_many_requests_it_has_counted():
    done = requestlab("measure", "sync", "--workers", "2", "--users", "8", "--each", "10")
    counted = re.findall(
        r"^worker \d+ +counted (\d+) requests(?: \(\d+%\))?, warm-up included$", done.stdout, re.MULTILINE
    )
    assert len(counted) == 2
    assert sum(map(int, counted)) == 80


def test_without_keep_alive_each_request_has_a_connection_of_its_own():
    with listening() as (url, _):
        told = strict(requestlab("measure", url, "--each", "6", "--no-keep-alive", "--json").stdout)
    assert (told["connections"], told["errors"], told["keep_alive"]) == (6, 0, False)


def test_an_answer_without_what_was_expected_has_failed():
    with listening() as (url, _):
        good = requestlab("measure", url, "--each", "3", "--expect", "ok")
        bad = requestlab("measure", url, "--each", "3", "--expect", "welcome")
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "errors         3 of 3 requests" in bad.stdout


@pytest.mark.parametrize(
    ("option", "steps", "unit", "late"),
    [("--users=1,3", ["1", "3"], "users", ""), ("--rate=50, 99.5", ["50", "99.5"], "requests/s", "late > 1 ms  ")],
)
def test_several_users_or_rates_make_a_table_with_a_row_for_each(option, steps, unit, late):
    with listening() as (url, _):
        table = requestlab("measure", url, option, *SHORT).stdout.splitlines()
        told = strict(requestlab("measure", url, option, *SHORT, "--json").stdout)
    assert table[1].startswith(f"{unit}  answers/s  p50 ms  p95 ms  p99 ms  errors  {late}")
    assert [line.split()[0] for line in table[2:4]] == steps
    assert told["unit"] == unit
    assert [str(step["users"] or f"{step['rate']:g}") for step in told["steps"]] == steps


def test_where_one_step_is_invalid_it_is_named_and_the_status_is_1():
    done = requestlab("measure", "http://127.0.0.1:1/", "--users", "1,2", *SHORT)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the run with 1 users is invalid: no request was answered")
    assert "; the run with 2 users is invalid" in done.stderr


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A server that keeps the first line of every request."""
    asked: list[bytes] = []

    def behave(connection: Any) -> None:
        while request := read_request(connection):
            asked.append(request.split(b"\r\n")[0])
            connection.sendall(ANSWER)

    with tiny_server(behave) as server:
        yield server.url, asked


@pytest.mark.parametrize(
    ("end", "more", "line"),
    [
        ("", [], b"GET / HTTP/1.1"),
        ("/", [], b"GET / HTTP/1.1"),
        ("/a/b/?c=1&d=%20", [], b"GET /a/b/?c=1&d=%20 HTTP/1.1"),
        ("?c=1", [], b"GET /?c=1 HTTP/1.1"),
        ("/a/#part", [], b"GET /a/ HTTP/1.1"),
        ("", ["/a/?b=1"], b"GET /a/?b=1 HTTP/1.1"),
        ("/", ["/a/"], b"GET /a/ HTTP/1.1"),
    ],
)
def test_an_address_is_asked_for_what_it_says_and_as_often_as_it_was_told(end, more, line):
    with listening() as (url, asked):
        done = requestlab("measure", url + end, *more, "--users", "2", "--each", "3", "--json")
    assert asked == [line] * 6
    assert (done.exit_code, strict(done.stdout)["errors"]) == (0, 0)


def test_a_saved_run_is_the_run_that_was_reported(tmp_path):
    file = tmp_path / "page.run"
    with listening() as (url, _):
        told = strict(requestlab("measure", url, "--save", str(file), "--json", *SHORT).stdout)
    summary = load_run(file).summary
    assert told["saved"] == str(file)
    assert {name: told[name] for name in ("throughput", "p50", "errors")}.items() <= summary.items()


def test_a_run_that_cannot_be_saved_is_reported_all_the_same():
    with listening() as (url, _):
        done = requestlab("measure", url, "--each", "1", "--save", "/proc/no.run", "--json")
    assert done.exit_code == 1
    assert strict(done.stdout)["saved"] is None
    assert done.stderr.startswith("Error: the run could not be saved in '/proc/no.run': ")


# measure: what goes wrong


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["http://127.0.0.1:1/", *SHORT], r"\d+ × connection refused"),
        (["sync", "/nowhere/", "--each", "4"], "4 × status 404"),
    ],
)
def test_where_nothing_is_answered_the_run_is_all_errors_invalid_and_says_of_what_kind(arguments, kind):
    done = requestlab("measure", *arguments, "--json")
    told = strict(done.stdout)
    assert done.exit_code == 1
    assert told["errors"] > 0
    assert (told["throughput"], told["p50"], told["validity"]) == (0, None, "invalid")
    assert re.fullmatch(rf"Error: the run is invalid: no request was answered .* \({kind}\)\n", done.stderr)


def test_where_only_some_requests_fail_the_run_is_suspect_and_the_exit_status_0():
    answers = [ANSWER, ANSWER.replace(b"200 OK", b"503 Service Unavailable")]

    def behave(connection: Any) -> None:
        while read_request(connection):
            connection.sendall(answers[0])
            answers.reverse()

    with tiny_server(behave) as server:
        done = requestlab("measure", server.url, "--each", "6")
    assert done.exit_code == 0
    assert re.search(r"^errors +3 of 6 requests\n +3 × status 503$", done.stdout, re.MULTILINE)
    assert re.search(r"^validity +suspect$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["measure", "nonsense"],
            2,
            "'nonsense' is neither a configuration (sync, threads, asgi, async, null, upstream) nor an address",
        ),
        (["measure", "127.0.0.1:8000"], 2, "nor an address such as http://127.0.0.1:8000/"),
        (["measure"], 2, "Missing argument 'TARGET'"),
        (["measure", "ftp://127.0.0.1/"], 1, "plain HTTP only"),
        (["measure", "http://"], 1, "expected an address such as http://127.0.0.1:8000/"),
        (["measure", "http://127.0.0.1:99999/"], 1, "expected an address such as"),
        (["measure", "http://127.0.0.1:0/"], 1, "expected an address such as"),
        (["measure", "http://[::1/"], 1, "is not an address"),
        (["measure", "http://127.0.0.1/a\rb/"], 1, "is not an address"),
        (["measure", "sync", "/a\rb/"], 1, "is not an address"),
        (["measure", "http://me:secret@127.0.0.1/"], 1, "sends no credentials"),
        (["measure", f"http://{'a' * 80}/"], 1, "label too long"),
        (["measure", "http://127.0.0.1/\udcff/"], 1, "surrogates not allowed"),
        (["measure", "sync", "/\udcff/"], 1, "surrogates not allowed"),
        (["measure", "http://no.such.host.invalid/"], 1, "the host 'no.such.host.invalid' cannot be found"),
        (["measure", "http://192.0.2.1/"], 1, "192.0.2.1 is not this machine"),
        (["measure", "http://127.0.0.1/a/", "/b/"], 2, "has a path already"),
        (["measure", "http://127.0.0.1/", "--workers", "2"], 2, "--workers is for a configuration"),
        (["measure", "http://127.0.0.1/", "--asyncio-debug"], 2, "--asyncio-debug is for a configuration"),
        (["measure", "asgi", "--probe-share", "2"], 2, "2 is not a share, from 0 to 1"),
        (["measure", "asgi", "--middleware", "sync,other"], 2, "'other' is not one of"),
        (["measure", "sync", "page"], 1, "path='page': expected a path that begins with a slash"),
        (["measure", "sync", "--remote"], 2, "--remote is for an address"),
        (["measure", "sync", "--users", "0"], 2, "--users"),
        (["measure", "sync", "--users", "1,,2"], 2, "--users"),
        (["measure", "sync", "--users", ",".join(["1"] * 31)], 1, "expected a list of 1 to 30 steps"),
        (["measure", "sync", "--users", "1,2", "--save", "x.run"], 2, "--save keeps one run, and this ramp makes 2"),
        (["measure", "sync", "--users", "2", "--rate", "5"], 2, "--users makes a closed loop and --rate an open one"),
        (["measure", "sync", "--each", "2", "--rate", "5"], 2, "--each is for the --users of a closed loop"),
        (["measure", "sync", "--rate", "0"], 2, "--rate"),
        (["measure", "sync", "--rate", "nan"], 1, "open(rate=nan)"),
        (["measure", "sync", "--arrivals", "poisson"], 2, "--arrivals is for an open loop; give it a --rate"),
        (["measure", "sync", "--rate", "5", "--arrivals", "late"], 2, "'late' is not one of"),
        (["measure", "sync", "--rate", "5", "--seed", "1"], 2, "--seed is for --arrivals poisson"),
        (["measure", "sync", "--expect", ""], 1, "expect=''"),
        (["measure", "sync", "--each", "0"], 2, "--each"),
        (["measure", "sync", "--seconds", "0"], 1, "Error: seconds=0.0: expected seconds from 0.01 to 600"),
        (["measure", "sync", "--warmup", "-1"], 1, "warmup=-1.0: expected seconds from 0 to 600"),
        (["measure", "sync", "--timeout", "0"], 1, "timeout=0.0: expected seconds from 0.01 to 120"),
        (["measure", "sync", "--save", "/no/such/folder/x.run"], 2, "there is no folder '/no/such/folder'"),
        (["measure", "sync", "--save", ""], 2, "that is a folder"),
        (["serve", "sync", "--loop", "uvloop"], 1, "runs no event loop"),
        (["serve", "sync", "--server", "apache"], 2, "'apache' is not one of"),
        (["serve", "wsgi"], 2, "'wsgi' is not one of"),
        (["lab", "/no/such/folder"], 1, "there is no folder '/no/such/folder'"),
        (["lab", "--port", "1"], 2, "--port"),
        (["doctor", "now"], 2, "now"),
        (["heal"], 2, "No such command 'heal'"),
        ([], 2, "Usage: "),
    ],
)
def test_bad_input_is_one_message_before_anything_is_started(arguments, status, message, monkeypatch):
    assert_refused(arguments, status, message, monkeypatch)


def test_bad_input_to_the_process_leaves_no_traceback():
    for arguments, status in ((["heal"], 2), (["measure", "sync", "/\udcff/"], 1)):
        done = as_process(*arguments)
        assert (done.returncode, done.stdout) == (status, "")
        assert "Traceback" not in done.stderr


def test_a_server_that_does_not_start_is_one_message_with_the_end_of_its_log():
    broken = Path(__file__).parent / "broken"  # a uvloop that cannot be imported
    done = as_process("serve", "async", "--loop", "uvloop", env={**os.environ, "PYTHONPATH": str(broken)})
    assert (done.returncode, done.stdout) == (1, "")
    why = "ImportError: uvloop is broken on purpose"
    assert done.stderr.startswith(f"Error: the server 'async, loop=uvloop' ended before it was ready: {why}")
    assert "last lines of its log:" in done.stderr


# measure: other machines


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes this machine's loopback count as another machine, so that no test loads a real one."""
    for module in (target, targets):
        monkeypatch.setattr(module, "on_this_machine", lambda host: False)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SHORT, "127.0.0.1 is not this machine; load on others needs remote=True (--remote)"),
        (("--remote", "--seconds", "0"), "seconds=0.0: expected seconds from 0.01 to 600"),
    ],
)
def test_another_machine_is_left_alone_unless_remote_is_said_of_a_load_that_can_work(options, message):
    with tiny_server(answering(ANSWER)) as server:
        result = requestlab("measure", server.url, *options)
        assert server.accepted == 0
    assert (result.exit_code, result.output) == (1, f"Error: {message}\n")


@pytest.mark.usefixtures("elsewhere")
def test_load_on_another_machine_is_announced_before_it_starts(monkeypatch):
    original = measuring.measure
    said_before: list[str] = []

    def watched(*arguments: Any, **more: Any) -> Any:
        said_before.append(sys.stderr.buffer.getvalue().decode())  # type: ignore[attr-defined]
        assert server.accepted == 0
        return original(*arguments, **more)

    monkeypatch.setattr(measuring, "measure", watched)
    with tiny_server(answering(ANSWER)) as server:
        address = server.url.replace("127.0.0.1", "localhost")
        assert requestlab("measure", address, "--remote", "--users", "3", *SHORT).exit_code == 0
        assert server.accepted == 3
    expected = "About to load another machine, localhost (127.0.0.1): 3 users, for 0.2 s and the warm-up before."
    assert said_before == [f"{expected} Ctrl-C stops it.\n"]


def test_load_on_this_machine_is_not_announced():
    with tiny_server(answering(ANSWER)) as server:
        assert requestlab("measure", server.url, "--remote", "--each", "1").stderr == ""


# serve


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with running("serve", *arguments, "--json") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        yield process, strict(line)


def test_serve_says_how_to_reach_and_how_to_stop_it():
    with running("serve") as process:
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(4))
        address = re.search(r"^address  (http://127\.0\.0\.1:\d+/sync/page/)$", said, re.MULTILINE)
        assert address
        assert get(address[1])
        assert re.search(r"^serving  sync \(gunicorn, sync worker\)$", said, re.MULTILINE)
        assert said.endswith(f"Ctrl-C, or: kill {process.pid}\n")
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=HANG_S) == ("", "")


@pytest.mark.parametrize(
    ("name", "number", "status"),
    [("sync", signal.SIGINT, 130), ("async", signal.SIGINT, 130), ("sync", signal.SIGTERM, 143)],
)
@pytest.mark.some(1)
def test_serve_answers_at_the_address_it_prints_and_a_signal_ends_everything_it_started(name, number, status):
    with served(name, "--workers", "2") as (process, told):
        assert b"</dt>" in get(told["url"] + DEFAULT_PATH[name])
        family = descendants(process)
        assert set(told["pids"]) < {one.pid for one in of_a_server(family)}
        assert len(told["pids"]) == told["configuration"]["workers"] == 2
        assert told["pid"] == process.pid
        os.killpg(process.pid, number)
        assert process.communicate(timeout=GONE_S) == ("", "")
    assert process.returncode == status
    assert left_of(family) == []


def test_on_a_machine_that_others_share_serve_says_which_header_opens(monkeypatch):
    monkeypatch.setenv("REQUESTLAB_SHARED", "1")
    with served("async") as (process, told):
        path = told["url"] + DEFAULT_PATH["async"]
        assert httpx.get(path, trust_env=False).status_code == 403
        assert httpx.get(path, headers=told["headers"], trust_env=False).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_S)


def test_serve_ends_with_1_and_the_reason_when_its_server_dies():
    with served("async") as (process, told):
        [server] = [one for one in of_a_server(descendants(process)) if one.pid == told["pids"][0]]
        server.kill()
        _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert said.startswith(f"Error: the server 'async' at {told['url']} ended by itself.")
    assert "killed by signal 9" in said


# Interrupts and pipes


@pytest.mark.parametrize("arguments", [["async", "--workers", "2"], ["asgi", "/sync/wait/?ms=50"]])
@pytest.mark.some(1)
def test_ctrl_c_ends_measure_its_server_and_its_load(arguments):
    with running("measure", *arguments, "--users", "5", "--seconds", "60") as process:
        family = wait_for(process, "requestlab.load.generator", "requestlab.serving.supervisor")
        assert of_a_server(family)
        time.sleep(0.3)  # well into the load
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=GONE_S) == ("", "")
    assert process.returncode == 130
    assert left_of(family) == []


def test_ctrl_c_ends_a_measurement_of_an_address_and_the_server_stays():
    with tiny_server(answering(ANSWER)) as server, running("measure", server.url, "--seconds", "60") as process:
        family = wait_for(process, "requestlab.load.generator")
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=GONE_S) == ("", "")
        assert get(server.url) == b"ok"
    assert process.returncode == 130
    assert left_of(family) == []


def test_ctrl_c_ends_the_doctor():
    with running("doctor") as process:
        family = wait_for(process, "requestlab.serving.null", "uvicorn", "requestlab.load.generator")
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=GONE_S) == ("", "")
    assert process.returncode == 130
    assert left_of(family) == []


@pytest.mark.parametrize("arguments", [["measure", "null", *SHORT], ["claims", "--json"], ["--help"]])
def test_a_reader_that_leaves_early_sees_no_traceback(arguments):
    with running(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(HANG_S) == 1


def test_a_full_disk_behind_standard_output_is_one_message():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "claims"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_cannot_show_a_dash_gets_the_whole_table():
    western = {"env": {**os.environ, "PYTHONIOENCODING": "latin-1"}, "encoding": "latin-1"}
    done = as_process("measure", "http://127.0.0.1:1/", "--each", "2", **western)
    assert re.search(r"^p50 +\\u2013 ms$", done.stdout, re.MULTILINE)
    assert "2 × connection refused" in done.stdout
    assert "Traceback" not in done.stderr


def test_closed_standard_descriptors_do_no_harm():
    for closing in ("2>&-", "<&- 2>&-"):
        line = ["sh", "-c", f'exec "$@" {closing}', "sh", *COMMAND, "measure", "null", "--json", *SHORT]
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, timeout=HANG_S)
        assert strict(done.stdout)["errors"] == 0


# lab


@pytest.mark.parametrize(("root", "root_flags"), [(False, []), (True, ["--allow-root"])])
@pytest.mark.parametrize(("browser", "browser_flags"), [(True, []), (False, ["--no-browser"])])
def test_jupyterlab_is_run_by_this_interpreter_on_the_folder(root, root_flags, browser, browser_flags):
    line = jupyter.command(Path("/some/notebooks"), ["--port", "9"], root=root, browser=browser)
    start = [sys.executable, "-m", "requestlab.notebooks.lab_process", "-y", "--ServerApp.root_dir=/some/notebooks"]
    settings = f"--LabApp.app_settings_dir={jupyter.SETTINGS}"
    saving = "--ContentsManager.pre_save_hook=requestlab.notebooks.saving.as_it_was"
    assert line == [*start, settings, saving, *root_flags, *browser_flags, "--port", "9"]


def test_jupyterlab_opens_the_contents_as_a_page_and_asks_for_no_news(tmp_path):
    (tmp_path / "README.md").touch()
    assert "--LabApp.default_url=/lab/tree/README.md" in jupyter.command(tmp_path, [], root=False, browser=True)
    told = json.loads((jupyter.SETTINGS / "overrides.json").read_text())
    assert told["@jupyterlab/docmanager-extension:plugin"] == {"defaultViewers": {"markdown": "Markdown Preview"}}
    assert told["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


@pytest.mark.parametrize(
    ("arguments", "folder", "more"),
    [
        ([], None, []),
        (["there"], Path("there"), []),
        (["--", "--port", "9", "--", "x"], None, ["--port", "9", "--", "x"]),
        (["there", "--", "--debug"], Path("there"), ["--debug"]),
    ],
)
def test_lab_hands_on_its_folder_and_what_follows_two_dashes(monkeypatch, arguments, folder, more):
    calls: list[Any] = []
    monkeypatch.setattr(jupyter, "start", lambda *given: calls.append(given))
    assert requestlab("lab", *arguments).exit_code == 0
    assert calls == [(folder, more)]


def test_lab_prefers_the_folder_here_to_that_of_the_checkout(monkeypatch, tmp_path):
    checkout = Path(__file__).resolve().parents[1] / "notebooks"
    monkeypatch.chdir(tmp_path)
    assert jupyter.where(None) == checkout
    (tmp_path / "notebooks").mkdir()
    assert jupyter.where(None) == tmp_path / "notebooks"
    (tmp_path / "mine").mkdir()
    assert jupyter.where(Path("mine")) == tmp_path / "mine"


def test_without_a_checkout_the_reader_gets_a_copy_of_the_lessons_and_keeps_what_is_there(
    monkeypatch, tmp_path, capsys
):
    lessons, here = tmp_path / "package" / "lessons", tmp_path / "here"
    lessons.mkdir(parents=True)
    here.mkdir()
    for name in ("00-start-here.ipynb", "README.md"):
        (lessons / name).write_text("new")
    monkeypatch.chdir(here)
    monkeypatch.setattr(jupyter, "__file__", str(tmp_path / "lib/python3/site-packages/requestlab/jupyter.py"))
    monkeypatch.setattr(jupyter, "LESSONS", lessons)
    mine = here / "requestlab-lessons"
    mine.mkdir()
    (mine / "00-start-here.ipynb").write_text("the reader's")
    assert jupyter.where(None) == lessons  # as a report executes them, without a copy
    monkeypatch.setattr(os, "execve", lambda program, line, environment: opened.append(line))
    opened: list[list[str]] = []
    jupyter.start(None)
    assert f"--ServerApp.root_dir={mine}" in opened[0]
    assert {path.name: path.read_text() for path in mine.iterdir()} == {
        "00-start-here.ipynb": "the reader's",
        "README.md": "new",
    }
    assert str(mine) in capsys.readouterr().err
    mine.rename(here / "kept")
    mine.write_text("a file")
    with pytest.raises(ConfigurationError, match="the lessons cannot be put into"):
        jupyter.start(None)


def test_lab_says_what_to_do_where_there_are_no_notebooks(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jupyter, "__file__", str(tmp_path / "lib/python3/site-packages/requestlab/jupyter.py"))
    with pytest.raises(ConfigurationError, match="requestlab lab FOLDER"):
        jupyter.where(None)


@pytest.mark.parametrize(
    ("variables", "program", "expected"),
    [
        ({}, True, False),
        ({"DISPLAY": ""}, True, False),
        ({"DISPLAY": ":0"}, True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ({"BROWSER": "some-browser"}, True, True),
        ({"DISPLAY": ":0"}, False, False),
    ],
)
def test_a_browser_needs_a_screen_and_a_program(monkeypatch, variables, program, expected):
    def find() -> object:
        if program:
            return object()
        raise webbrowser.Error

    for name in SCREENS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(webbrowser, "get", find)
    assert jupyter.has_browser() is expected


def plant_kernel(folder: Path) -> None:
    """A kernel of the usual name that is no Python at all."""
    folder = folder / "kernels" / "python3"
    folder.mkdir(parents=True)
    folder.joinpath("kernel.json").write_text(
        json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "Python 3", "language": "python"})
    )


TOKEN = {"Authorization": "token of-this-test"}


@contextmanager
def jupyterlab(folder: Path, stdin: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start JupyterLab on a folder with one notebook; yield its process and its address."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "here.ipynb").write_text(
        '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    folders = {"DATA_DIR": "user", "PATH": "path", "CONFIG_DIR": "config", "RUNTIME_DIR": "runtime"}
    places = {f"JUPYTER_{name}": str(folder / place) for name, place in folders.items()}
    inherited = {name: value for name, value in os.environ.items() if name not in SCREENS}
    environment = {**inherited, **places, "JUPYTER_TOKEN": "of-this-test"}
    log = folder / "log"
    with log.open("w") as output:
        more = {"cwd": folder, "env": environment, "stdin": stdin, "stdout": output, "stderr": subprocess.STDOUT}
        with running("lab", "--", "--port=0", **more) as process:
            yield process, address_in(log, process)


def test_jupyterlab_opens_the_folder_with_kernels_of_this_interpreter_and_ends_at_one_ctrl_c(tmp_path):
    plant_kernel(tmp_path / "user")
    plant_kernel(tmp_path / "path")
    keyboard, terminal = os.openpty()  # JupyterLab minds Ctrl-C only where somebody can type it
    with os.fdopen(keyboard), os.fdopen(terminal), jupyterlab(tmp_path, terminal) as (process, url):
        assert strict(get(f"{url}/api/status", TOKEN))["kernels"] == 0
        assert [file["name"] for file in strict(get(f"{url}/api/contents", TOKEN))["content"]] == ["here.ipynb"]
        get(f"{url}/api/kernels", TOKEN, "POST")
        [kernel] = [one for one in wait_for(process, "ipykernel_launcher") if "ipykernel_launcher" in one.cmdline()]
        assert kernel.cmdline()[0] == sys.executable
        os.killpg(process.pid, signal.SIGINT)
        process.wait(HANG_S)
    assert not is_alive(kernel)


def test_jupyterlab_ends_in_the_middle_of_requests(tmp_path):
    """Each has a thread read a file for it, and Python does not end before its threads."""

    def ask() -> None:
        with suppress(httpx.TransportError), httpx.Client(base_url=url, headers=TOKEN, trust_env=False) as reader:
            while True:
                reader.get("/api/contents/here.ipynb").raise_for_status()

    with jupyterlab(tmp_path, subprocess.DEVNULL) as (process, url), ThreadPoolExecutor(8) as readers:
        for _ in range(8):
            readers.submit(ask)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 0


def address_in(log: Path, process: subprocess.Popen[str]) -> str:
    """Return the address that JupyterLab prints where there is no browser, once it listens: it prints before it
    does."""
    deadline = time.monotonic() + HANG_S
    pattern = r"(http://127\.0\.0\.1:(\d+))/lab\?token="
    while not (printed := re.search(pattern, log.read_text())) or nobody_listens_on(int(printed[2])):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return printed[1]


@pytest.mark.parametrize(
    "target", ["postgres://me:hush@localhost/shop", "sync:database=postgres://me:hush@localhost/shop"]
)
def test_an_error_that_repeats_a_target_leaves_out_its_password(target):
    done = as_process("measure", target)
    assert done.returncode != 0
    assert "hush" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
