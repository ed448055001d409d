"""What a server leaves behind where its end is disturbed: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbformat import v4

import requestlab as lab
from requestlab.errors import ServerStartError
from requestlab.serving import server as serving
from requestlab.system import folders
from tests.conftest import is_alive, left_after, nobody_listens_on


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.02, 0.05])
@pytest.mark.some(2)
def test_an_interrupt_while_a_server_is_stopped_comes_when_it_is_over(after_s, temporary):
    server = lab.serve(lab.SYNC)
    main = threading.main_thread().ident
    timer = threading.Timer(after_s, lambda: signal.pthread_kill(main, signal.SIGINT))

    def stop_and_wait() -> None:
        timer.start()
        server.stop()
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        stop_and_wait()
    server.stop()  # where the interrupt came before the first word of the other call
    assert left_after(0.5) == []
    assert nobody_listens_on(server.address[1])
    assert list(temporary.iterdir()) == []
    assert not server.alive


def test_a_second_thread_that_stops_a_server_waits_until_all_is_over():
    server = lab.serve(lab.SYNC)
    seen = []

    def stop() -> None:
        server.stop()
        seen.append([is_alive(psutil.Process(pid)) for pid in server.pids if psutil.pid_exists(pid)])

    threads = [threading.Thread(target=stop) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen == [[]] * 4
    assert server not in serving.running()


def test_a_supervisor_that_was_halted_is_killed_when_somebody_interrupts_twice():
    server = lab.serve(lab.SYNC)
    os.kill(server._supervisor.pid, signal.SIGSTOP)
    main = threading.main_thread().ident
    for after_s in (0.2, 0.5):
        threading.Timer(after_s, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        server.stop()
    assert time.monotonic() - began < serving.GRACE_S + serving.PATIENCE_S
    assert left_after(2.0) == []


FORKED = """
import os, sys, time
import requestlab as lab
with lab.serve(lab.SYNC) as server:
    if os.fork() == 0:
        {child}
        sys.exit()
    time.sleep(0.2)
    assert server.alive
began = time.monotonic()
server.stop()
print(time.monotonic() - began)
print(os.waitpid(-1, 0)[1])
"""


@pytest.mark.parametrize("child", ["pass", "time.sleep(4)"], ids=["leaves", "stays"])
def test_a_forked_process_neither_ends_the_server_nor_keeps_it(child):
    """It leaves the block, or still holds a copy of the pipe that tells the supervisor of its owner."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", FORKED.format(child=child)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    took_s, status = done.stdout.split()
    assert status == "0"
    assert float(took_s) < serving.GRACE_S + serving.PATIENCE_S
    assert time.monotonic() - begun > 0
    assert left_after(2.0) == []


OWNER = """
import sys, time
import requestlab as lab
server = lab.serve(lab.SYNC, workers=2)
print(server._supervisor.pid, server.address[1], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["halted", "killed"])
def test_what_is_left_of_an_owner_that_was_killed_with_its_supervisor_goes_at_the_next_start(number, temporary):
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    supervisor, port = map(int, owner.stdout.readline().split())
    os.kill(supervisor, number)
    owner.kill()
    owner.communicate()
    with lab.serve(lab.NULL) as server:
        own = psutil.Process(server._supervisor.pid)
        assert left_after(2.0, besides={own.pid, *(child.pid for child in own.children(recursive=True))}) == []
        assert nobody_listens_on(port)
        assert [str(path) for path in temporary.iterdir()] == [server.directory]
    assert list(temporary.iterdir()) == []


def test_folders_of_the_living_and_of_others_stay(temporary):
    own = Path(folders.temporary_folder())
    others = [
        temporary / name for name in ("requestlab-notes", "requestlab-1-2-3-4", f"requestlab-{folders._space()}-x-y-z")
    ]
    for other in others:
        other.mkdir()
    folders.sweep()
    assert own.exists()
    assert all(other.exists() for other in others)


def test_a_start_for_which_the_system_has_no_room_is_a_sentence_and_leaves_nothing(temporary, monkeypatch):
    def no_room(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = serving.running()  # servers that tests share
    monkeypatch.setattr(serving, "supervise", no_room)
    with pytest.raises(ServerStartError, match=r"'sync' could not be started: .*Resource temporarily unavailable"):
        lab.serve(lab.SYNC)
    assert list(temporary.iterdir()) == []
    assert set(serving.running()) == set(before)


def test_a_cell_that_is_run_again_first_ends_what_it_had_started(tmp_path):
    again = "server = lab.serve(lab.NULL)"
    cells = ["import requestlab as lab\nfrom requestlab.serving.server import running", again, again]
    cells += ["other = lab.serve(lab.NULL)  # another cell", "print(len(running()))", "lab.stop_all()"]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in cells])
    done: nbformat.NotebookNode = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = ["".join(one.get("text", "") for one in cell.outputs) for cell in done.cells]
    assert printed[1] == ""
    assert printed[2].startswith("Ended what this cell had started before: null at http://127.0.0.1:")
    assert printed[3:] == ["", "2\n", ""]


def test_what_a_sitecustomize_prints_is_no_answer_of_the_labs_processes(tmp_path):
    """A start must not fail for it, nor a measurement, nor the words about a server that does not start."""
    (tmp_path / "sitecustomize.py").write_text("print('hello from', __name__, flush=True)\n")
    code = (
        "import requestlab as lab\n"
        "with lab.serve(lab.SYNC) as server:\n"
        "    run = lab.measure(server, '/sync/page/', lab.closed(2, each=3))\n"
        "print(run.summary['errors'], len(run.requests), server.log == '' or 'hello' in server.log)\n"
        "try:\n"
        "    lab.serve(lab.SYNC, options=['--no-such-flag'])\n"
        "except lab.LabError as problem:\n"
        "    print('unrecognized arguments: --no-such-flag' in str(problem))\n"
    )
    variables = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=variables, timeout=90, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["0 6 True", "True"]
