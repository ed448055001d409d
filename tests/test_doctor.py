"""The doctor: what it finds here, and what it says about machines that are worse."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
import resource
import socket
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from requestlab.cli import doctor
from requestlab.cli.doctor import (
    Examination,
    LoadClient,
    about_the_load_client,
    about_the_machine,
    about_the_resolution,
)
from requestlab.comparison import resolution
from requestlab.comparison.intervals import Interval
from requestlab.comparison.resolution import Resolution
from requestlab.load.loads import MAX_USERS
from requestlab.serving import server
from requestlab.system import limits, machine, progress
from requestlab.system.limits import SLOWING, Limits
from requestlab.system.values import to_plain
from tests.made_runs import MACHINE, made
from tests.test_cli import requestlab, strict

QUIET = Limits(
    memory=16 * 10**9,
    memory_available=8 * 10**9,
    memory_limit=None,
    cpu_limit=None,
    open_files=None,
    load_average=0.1,
    cpu_pressure=0.0,
    governor="performance",
    slowing=(),
)
FOUR_CORES = replace(MACHINE, cores=4, usable_cores=4)
STEADY = tuple(LoadClient(users, 10_000.0, 0.1 * users, 0.2 * users, 0.05, 0.5, spread=0.1) for users in doctor.USERS)

ABLE = Resolution(60.0, 0.052, Interval(1.01, 0.97, 1.05, 8), differed=False, noise=0.03, rounds=21)
NAN = Interval(math.nan, math.nan, math.nan, 0)


# What it finds here


@pytest.fixture
def brief(monkeypatch):
    """One round instead of three, and no A/A, which has tests of its own."""
    monkeypatch.setattr(resolution, "resolution", lambda: ABLE)
    monkeypatch.setattr(doctor, "ROUNDS", 1)


@pytest.mark.measuring
@pytest.mark.usefixtures("brief")
def test_the_load_client_the_self_test_and_the_upstream_are_measured():
    done = requestlab("doctor", "--json")
    assert (done.exit_code, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    told = strict(done.stdout)
    assert [row["users"] for row in told["load_client"]] == [1, 10, 50]
    for row in told["load_client"]:
        assert 0 < row["generator_share"] <= 1.05
        assert row["spread"] >= 0
        cpu_of_all_s = row["throughput"] * row["generator_cpu_per_request"] / 1000
        assert cpu_of_all_s == pytest.approx(row["generator_share"], rel=0.5)
    one, _, fifty = told["load_client"]
    assert fifty["p50"] > one["p50"] > 0
    assert told["floor"] == one
    assert 0 < told["keep_alive_p50"] < doctor.TRAP_MS
    assert told["trapped"] is False
    assert told["upstream_ceiling"] == pytest.approx(1_000 / told["upstream_cpu_per_request"])
    assert told["upstream_ceiling"] > 5_000
    assert told["machine"] == to_plain(machine.facts())
    assert told["limits"]["memory"] == psutil.virtual_memory().total
    assert told["limits"]["open_files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert 0 <= told["steal"] <= 1
    assert told["resolution"] == to_plain(ABLE)


@pytest.mark.usefixtures("brief")
def test_a_listener_without_tcp_nodelay_fails_the_self_test(monkeypatch):
    def slow_listener(row: object) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0), backlog=100)

    monkeypatch.setattr(server, "_listen", slow_listener)
    monkeypatch.setattr(doctor, "USERS", (1,))
    result = requestlab("doctor", "--json")
    found = strict(result.stdout)
    assert result.exit_code == 1
    assert found["trapped"] is True
    assert found["keep_alive_p50"] > 1.5 * doctor.TRAP_MS
    assert any("TCP_NODELAY does not work here" in warning for warning in found["warnings"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> str:
        """What one sees on the line: each carriage return goes back to its beginning."""
        line: list[str] = []
        for stretch in self.getvalue().split("\r"):
            line[: len(stretch)] = stretch
        return "".join(line).rstrip()


@pytest.mark.usefixtures("brief")
def test_a_terminal_shows_what_is_measured_and_the_time_left_and_then_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    monkeypatch.setattr(doctor, "serve", lambda asked: nullcontext(SimpleNamespace(configuration=asked)))
    monkeypatch.setattr(doctor, "measure", lambda *_, **more: made([{}] * 100))
    found = doctor.examine()
    shown = terminal.getvalue()
    assert re.search(r"measuring the load client, two small writes, 1 user: \d+ s, 1\d s left", shown)
    assert terminal.screen() == ""
    assert "\n" not in shown
    assert [row.p50 for row in found.load_client] == [10, 10, 10]
    assert all(math.isnan(row.p99) for row in found.load_client)  # too few requests


# What it says about other machines


def test_a_quiet_machine_gets_no_warning():
    assert list(about_the_machine(FOUR_CORES, QUIET)) == []
    assert list(about_the_load_client(STEADY, keep_alive_p50=0.2, steal=0.0)) == []
    assert list(about_the_resolution(ABLE)) == []


@pytest.mark.parametrize(
    ("facts", "changes", "sentence"),
    [
        ({"usable_cores": 1}, {}, "one core only"),
        ({}, {"cpu_limit": 1.5}, "limited to 1.5 of 4 cores"),
        ({}, {"slowing": ("PYTHONDEVMODE",)}, "PYTHONDEVMODE is set: every Python process runs in development mode"),
        ({}, {"slowing": ("PYTHONASYNCIODEBUG",)}, "PYTHONASYNCIODEBUG is set: every event loop runs in debug mode"),
        ({}, {"load_average": 2.1}, "the load average was 2.1 on 4 cores"),
        ({}, {"cpu_pressure": 31.4}, "in 31% of the ten seconds before"),
        ({}, {"governor": None}, "governor of the CPU's frequency is unknown"),
        ({}, {"governor": "powersave"}, "follows the governor 'powersave'"),
        ({}, {"open_files": 1024}, "at most 1024 files may be open"),
    ],
)
def test_each_thing_that_makes_figures_worse_gets_one_sentence(facts, changes, sentence):
    [warning] = about_the_machine(replace(FOUR_CORES, **facts), dataclasses.replace(QUIET, **changes))
    assert sentence in warning


def test_what_is_just_within_bounds_gets_none():
    just = dataclasses.replace(QUIET, cpu_limit=4.0, load_average=2.0, cpu_pressure=None, open_files=MAX_USERS)
    assert list(about_the_machine(FOUR_CORES, just)) == []


def unsteady(**changes: float) -> tuple[LoadClient, ...]:
    return (*STEADY[:2], dataclasses.replace(STEADY[2], **changes))


@pytest.mark.parametrize(
    ("load_client", "keep_alive_p50", "steal", "sentence"),
    [
        (STEADY, 43.7, 0.0, "two small writes on a kept-alive connection took 43.7 ms"),
        (STEADY, math.nan, 0.0, "took nan ms"),
        (STEADY, 0.2, 0.31, "other machines on the same host took 31% of the CPU time"),
        (unsteady(spread=0.6), 0.2, 0.0, "equal slices lay up to 60% apart"),
        (unsteady(p50=math.nan, spread=math.nan), 0.2, 0.0, "the null server did not answer 50 users"),
    ],
)
def test_each_trouble_of_the_load_client_gets_one_sentence(load_client, keep_alive_p50, steal, sentence):
    [warning] = about_the_load_client(load_client, keep_alive_p50, steal)
    assert sentence in warning


def test_each_trouble_of_the_resolution_gets_one_sentence():
    differed = dataclasses.replace(ABLE, differed=True, control=Interval(1.12, 1.08, 1.16, 8))
    assert list(about_the_resolution(differed)) == [
        "one configuration answered 1.12 times (1.08 to 1.16) as fast as itself (A/A): trust no difference as small on this "
        "machine today"
    ]
    unable = dataclasses.replace(ABLE, difference=math.nan, control=NAN, why="1 of 8 rounds of the A/A count")
    assert list(about_the_resolution(unable)) == [
        "it is not known which differences can be told today: 1 of 8 rounds of the A/A count"
    ]


def test_variables_that_slow_python_down_are_found_where_they_are_not_empty(monkeypatch):
    for name in SLOWING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONDEVMODE", "")
    assert limits.limits().slowing == ("PYTHONASYNCIODEBUG",)


# Limits of containers


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """An empty tree of control groups, in which this process is in /pod/lab."""
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/elsewhere\n0::/pod/lab\n")
    (tmp_path / "tree" / "pod" / "lab").mkdir(parents=True)
    monkeypatch.setattr(limits, "CONTROL_GROUPS", tmp_path / "tree")
    monkeypatch.setattr(limits, "OWN_GROUP", own)
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("files", "cpu", "memory"),
    [
        ({}, None, None),
        (  # the tightest on the way up counts
            {"pod/cpu.max": "150000 100000", "pod/memory.max": "1000000000", "pod/lab/cpu.max": "max 100000"}
            | {"pod/lab/memory.max": "500000000"},
            1.5,
            500_000_000,
        ),
        (  # version 1 of control groups
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}
            | {"memory/memory.limit_in_bytes": "700000000"},
            0.5,
            700_000_000,
        ),
        (  # no quota, and a limit beyond the memory there is
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
            | {"memory/memory.limit_in_bytes": "9223372036854771712"},
            None,
            None,
        ),
    ],
)
def test_limits_of_control_groups_are_found_in_both_their_versions(groups, files, cpu, memory):
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{text}\n")
    around = limits.limits()
    assert (around.cpu_limit, around.memory_limit) == (cpu, memory)


# How it is shown


def shown(monkeypatch, found: Examination, *options: str) -> Any:
    monkeypatch.setattr(doctor, "examine", lambda: found)
    return requestlab("doctor", *options)


def examined(**changes: Any) -> Examination:
    facts = replace(machine.facts(), limits={"CPU_LIMIT": "2.0"})
    return dataclasses.replace(Examination(facts, QUIET, STEADY, 0.2, 0.01, 0.01, ABLE, ("it is warm",)), **changes)


def test_the_report_has_the_machine_the_load_client_the_self_test_and_the_warnings(monkeypatch):
    result = shown(monkeypatch, examined())
    assert (result.exit_code, result.stderr) == (0, "")
    rows = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in result.stdout.split("\n\n")[0].splitlines())
    assert rows["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert rows["cores"] == f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}, no limit"
    assert rows["memory"] == "16 GB, 8 GB available, no limit"
    assert rows["CPU_LIMIT"] == "2.0"
    assert rows["CPU steal"] == "1%"
    table = [line.split() for line in result.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert table == [
        ["1", "10,000", "0.1", "0.2", "0.05", "50%", "10%"],
        ["10", "10,000", "1", "2", "0.05", "50%", "10%"],
        ["50", "10,000", "5", "10", "0.05", "50%", "10%"],
    ]
    assert result.stdout.endswith(
        "keep-alive self-test: passed, two small writes arrive after 0.2 ms\n"
        "upstream: 0.01 ms of CPU time per request; at most 100,000 answers /s on a core of its own\n"
        "resolution: today differences under 6% cannot be told in 60 s (A/A: ratio 1.01, 0.97 to 1.05)\n"
        "warning: it is warm\n"
    )


def test_what_is_not_known_is_said_a_dash_or_in_json_null(monkeypatch):
    unable = dataclasses.replace(ABLE, difference=math.nan, control=NAN, why="1 of 8 rounds count")
    unknown = examined(resolution=unable, load_client=unsteady(p99=math.nan))
    table = shown(monkeypatch, unknown).stdout
    assert re.search(r"^ +50 +10,000 +5 +– +0\.05 ", table, re.MULTILINE)
    assert (
        "resolution: today nothing can be said about differences that can be told in 60 s: 1 of 8 rounds count\n"
        in table
    )
    told = strict(shown(monkeypatch, unknown, "--json").stdout)
    assert told["load_client"][2]["p99"] is None
    assert (told["resolution"]["difference"], told["resolution"]["why"]) == (None, "1 of 8 rounds count")


@pytest.mark.parametrize("p50", [math.nan, 20.0, 44.0])
def test_a_failed_self_test_is_said_and_ends_with_1(monkeypatch, p50):
    result = shown(monkeypatch, examined(keep_alive_p50=p50))
    assert result.exit_code == 1
    assert "keep-alive self-test: FAILED" in result.stdout
