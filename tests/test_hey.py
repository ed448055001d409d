from __future__ import annotations

import os
import stat

import pytest

import requestlab as lab
from requestlab.errors import LabError

HEY = """
Summary:
  Requests/sec:\t1234.5678

Latency distribution:
  10% in 0.0010 secs
  50% in 0.0123 secs

Status code distribution:
  [200]\t200 responses
"""
WRK = """Running 1s test @ http://127.0.0.1:1/
  Latency Distribution
     50%  712.00us
     99%    3.12ms
Requests/sec:   2074.31
"""


@pytest.fixture
def server(served):
    return served(lab.NULL)


def pretend(folder, monkeypatch, tool, says, status=0):
    """Put a program of that name on the PATH that says this, and writes down what it was asked."""
    script = folder / tool
    (folder / "said").write_text(says)
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\ncat {folder}/said\nexit {status}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("tool", "says", "given", "throughput", "p50", "asked"),
    [
        ("hey", HEY, {}, 1234.5678, 12.3, "-cpus 1 -c 50 -n 200"),
        ("hey", HEY, {"seconds": 2, "keep_alive": False}, 1234.5678, 12.3, "-cpus 1 -c 50 -z 2s -disable-keepalive"),
        ("wrk", WRK, {"users": 7, "seconds": 1}, 2074.31, 0.712, "--latency -t1 -c7 -d1s"),
    ],
)
def test_a_tool_is_asked_as_it_asks_by_itself_and_understood(
    tool, says, given, throughput, p50, asked, tmp_path, monkeypatch, server
):
    pretend(tmp_path, monkeypatch, tool, says)
    said = getattr(lab, tool)(server, "/page/", **given)
    assert (said.throughput, said.p50) == (throughput, pytest.approx(p50))
    assert (tmp_path / "asked").read_text() == f"{asked} {server.url}/page/\n"


def test_a_tool_that_is_not_installed_is_none(tmp_path, monkeypatch, server):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lab.hey(server, "/") is None
    assert lab.wrk(server, "/") is None


@pytest.mark.parametrize(
    ("tool", "says", "status", "words"),
    [
        ("hey", HEY.replace("[200]", "[500]"), 0, "500.*200 responses"),
        ("hey", HEY + "Error distribution:\n [3] refused\n", 0, "refused"),
        ("hey", "no such flag", 2, "failed with status 2: no such flag"),
        ("hey", "", 0, "not understood"),
        ("wrk", WRK + "Non-2xx or 3xx responses: 4\n", 0, "Non-2xx"),
        ("wrk", WRK + "Socket errors: connect 1\n", 0, "Socket errors"),
    ],
)
def test_failures_of_a_tool_are_errors(tool, says, status, words, tmp_path, monkeypatch, server):
    pretend(tmp_path, monkeypatch, tool, says, status)
    with pytest.raises(LabError, match=words):
        getattr(lab, tool)(server, "/")
