"""Where the system has no more room, descriptors, ports or memory, or its clock steps: a clear error or a run, and the
next cell works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import requestlab as lab
from tests.conftest import left_after

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make a small disk, or a network of its own")

CELL = """
import os, resource, subprocess, sys, tempfile, time
import requestlab as lab

def cell():
    with lab.serve(lab.ASGI, probe=True) as server:
        run = lab.measure(server, "/async/wait/?ms=2", lab.closed(users=5), seconds=0.3)
    run.save("kept.run")
    return len(run.requests), run.summary["errors"], run.summary["validity"]

def tried(name):
    try:
        print(name, "ran", *cell(), flush=True)
    except (lab.LabError, OSError) as problem:  # save() says what the system says
        print(name, type(problem).__name__, str(problem).splitlines()[0], flush=True)

"""


def said_by(code: str, folder: Path, *before: str, **variables: str) -> list[list[str]]:
    """Run cells in a process of their own; return the first words of what each has said."""
    (folder / "cells.py").write_text(CELL + code)
    done = subprocess.run(
        [*before, sys.executable, "cells.py"],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    assert left_after(2.0) == []
    if (folder / "kept.run").exists():
        assert len(lab.load_run(folder / "kept.run").requests) > 0
    return [line.split(maxsplit=2) for line in done.stdout.splitlines()]


@as_root
def test_a_full_disk_is_a_sentence_and_with_room_again_the_next_cell_works(tmp_path):
    (tmp_path / "small").mkdir(exist_ok=True)
    code = """
disk = os.environ["TMPDIR"]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk], check=True)
tempfile.gettempdir()  # Python takes another where it finds it full from the beginning
filler = os.path.join(disk, "filler")
with open(filler, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1 << 12))
    except OSError:
        pass
tried("full")
os.unlink(filler)
tried("room")
print("left", len([name for name in os.listdir(disk) if name.startswith("requestlab")]), flush=True)
"""
    full, room, left = said_by(code, tmp_path, "unshare", "--mount", TMPDIR=str(tmp_path / "small"))
    assert full[1] == "ServerStartError"
    assert "No space left" in full[2]
    assert room[1] == "ran"
    assert left[1] == "0"


@as_root
def test_a_folder_that_cannot_be_written_is_a_sentence_and_the_measurement_goes_on(tmp_path):
    code = """
folder = os.getcwd()
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
os.chdir("/"); os.chdir(folder)
tried("read-only")
subprocess.run(["umount", "-l", folder], check=True)
os.chdir("/"); os.chdir(folder)
tried("writable")
"""
    read_only, writable = said_by(code, tmp_path, "unshare", "--mount")
    assert read_only[1] == "OSError"
    assert "Read-only file system" in read_only[2]
    assert writable[1] == "ran"


@pytest.mark.parametrize("numbers", [(5, 18), pytest.param((8, 11, 14, 24, 30), marks=pytest.mark.thorough)], ids=str)
def test_few_descriptors_are_a_sentence_and_with_more_the_next_cell_works(numbers, tmp_path):
    code = f"""
cell()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for number in {numbers}:
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    tried(str(number))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
tried("many")
"""
    *few, many = said_by(code, tmp_path)
    assert many[1] == "ran"
    kinds = {words[1] for words in few}
    assert kinds <= {"ran", "ServerStartError", "OSError", "GeneratorError", "LabError"}
    assert kinds & {"ServerStartError", "OSError"}


@as_root
def test_without_a_free_port_a_run_has_failures_and_with_ports_again_the_next_cell_works(tmp_path):
    code = """
def ports(first, last):
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
        file.write(f"{first} {last}")

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
ports(40000, 40003)
tried("few")
ports(32768, 60999)
tried("many")
"""
    few, many = said_by(code, tmp_path, "unshare", "--net", "--mount")
    assert few[1] in ("ran", "ServerStartError")
    if few[1] == "ran":
        assert "invalid" in few[2] or "suspect" in few[2]
    assert many[1] == "ran"
    assert many[2].split()[1] == "0"


def test_a_limit_of_memory_is_a_sentence_and_without_it_the_next_cell_works(tmp_path):
    code = """
cell()
for megabytes in (25, 60, 150):  # of address space: too little for an interpreter, for Django, for the load
    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    original = subprocess.Popen.__init__
    def started(self, *given, **named):
        named["preexec_fn"] = limited
        original(self, *given, **named)
    subprocess.Popen.__init__ = started
    tried(str(megabytes))
    subprocess.Popen.__init__ = original
tried("enough")
"""
    *few, enough = said_by(code, tmp_path)
    assert {words[1] for words in few} <= {"ServerStartError", "GeneratorError", "ran"}
    assert few[0][1] == "ServerStartError"
    assert enough[1] == "ran"


def test_a_clock_that_steps_moves_no_figure(tmp_path):
    code = """
import threading
real, step = time.time, [0.0]
time.time = lambda: real() + step[0]
def jump():
    time.sleep(0.6)
    step[0] = 3600.0
    time.sleep(0.2)
    step[0] = -7200.0
threading.Thread(target=jump, daemon=True).start()
for name in ("first", "second"):
    tried(name)
"""
    for words in said_by(code, tmp_path):
        assert words[1] == "ran"
        assert 20 < int(words[2].split()[0]) < 1_000
        assert words[2].split()[1] == "0"
