"""Random faults over what a lesson does: afterwards nothing is left, what was saved is whole, and the next cell works.

`make test-faults COUNT=300` prints how many of each kind there were; `make test` has a few.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import requestlab as lab
from tests.conftest import left_after
from tests.kernels import Kernel

COUNT = int(os.environ.get("REQUESTLAB_FAULTS", "5"))
SEED = int(os.environ.get("REQUESTLAB_SEED", "1"))
CELLS = (
    """with lab.serve(lab.MIXED, probe=True, workers=2) as server:
    run = lab.measure(server, "/sync/wait/?ms=5", lab.closed(users=5), seconds=0.6)
run.save("kept.run")""",
    'lab.compare([lab.SYNC, lab.ASGI], "/sync/page/", lab.closed(users=2), rounds=3, seconds=0.2)',
    """with lab.serve(lab.UPSTREAM) as upstream, lab.serve(lab.ASYNC, upstream=upstream) as server:
    run = lab.measure(server, "/async/fetch/?ms=10", lab.closed(users=5), seconds=0.6)
run.save("kept.run")""",
    """server = lab.serve(lab.THREADS)
run = lab.measure(server, "/sync/page/", lab.open(rate=100), seconds=0.6)
run.save("kept.run")""",
)
NEXT = """lab.stop_all()
with lab.serve(lab.SYNC) as server:
    print(len(lab.measure(server, "/sync/page/", lab.closed(users=2, each=3)).requests))"""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV)
PATIENCE_S = 4.0
"""How long a cell is waited for before it is interrupted, as a reader would."""


class Session:
    """A kernel in a folder of its own, with a folder for temporary files of its own; another kernel where it has
    died."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir()
        self._kernel: Kernel | None = None

    @property
    def kernel(self) -> Kernel:
        if self._kernel is None or not self._kernel.alive:
            self.close()
            self._kernel = Kernel(str(self.folder), os.environ | {"TMPDIR": str(self.temporary)})
            self._kernel.run("import requestlab as lab")
        return self._kernel

    def close(self) -> None:
        if self._kernel is not None:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self._kernel.pid).resume()
            self._kernel.close()
            self._kernel = None


def disturb(kernel: Kernel, chance: random.Random) -> tuple[str, bool]:
    """Do something to the kernel or to one or two of the lab's processes; return what, and whether the kernel can still
    answer."""
    if chance.random() < 0.2:
        kernel.manager.interrupt_kernel()
        return "interrupt", True
    met, number = [psutil.Process(kernel.pid), *kernel.children()], chance.choice(SIGNALS)
    # The kernel's own signals: those by which a reader or the system ends it.
    chosen = chance.sample(met, min(len(met), chance.choice((1, 1, 2))))
    for process in chosen:
        sent = signal.SIGKILL if process.pid == kernel.pid and number == signal.SIGSEGV else number
        with suppress(psutil.NoSuchProcess):
            process.send_signal(sent)
    what = f"{signal.Signals(number).name} to {len(chosen)}{' with the kernel' if met[0] in chosen else ''}"
    return what, met[0] not in chosen


def lives_on(kernel: Kernel, request: str) -> bool:
    """Wait for the cell, interrupt it where it takes too long; return whether the kernel is there."""
    try:
        kernel.reply(request, PATIENCE_S)
    except TimeoutError:
        if not kernel.alive:
            return False
        kernel.interrupt(request)
    return True


def is_whole_or_absent(path: Path) -> bool:
    return not path.exists() or len(lab.load_run(path).requests) > 0


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def one_fault(session: Session, chance: random.Random) -> str:
    """Inject one fault into a cell, look that nothing is lost, and run the next cell."""
    kernel = session.kernel
    request = kernel.client.execute(chance.choice(CELLS))
    time.sleep(chance.uniform(0, 2.0))
    what, can_answer = disturb(kernel, chance)
    if not can_answer:
        with suppress(psutil.Error):
            psutil.Process(kernel.pid).wait(0.5)
    if not can_answer and kernel.alive:  # it stands still, or has ignored the signal: a reader restarts it
        psutil.Process(kernel.pid).kill()
        psutil.Process(kernel.pid).wait(5)
    elif can_answer:
        lives_on(kernel, request)
    kernel = session.kernel
    said = kernel.run(NEXT)
    assert said.endswith("6\n"), f"after {what}, the next cell said {said}"
    assert [" ".join(one.cmdline()) for one in left_after(3.0, besides={kernel.pid})] == [], what
    assert [one.name for one in session.temporary.iterdir() if "requestlab" in one.name] == [], what
    assert is_whole_or_absent(session.folder / "kept.run")
    assert {one.name for one in session.folder.iterdir()} <= {"kept.run", "tmp"}, what
    return what


@pytest.mark.timeout(60 + 20 * COUNT)
def test_after_random_faults_nothing_is_left_nothing_is_half_and_the_next_cell_works(tmp_path, capsys):
    chance, session, met, shared = random.Random(SEED), Session(tmp_path), Counter(), shared_memory()
    try:
        for _ in range(COUNT):
            met[one_fault(session, chance)] += 1
    finally:
        session.close()
    assert shared_memory() <= shared
    with capsys.disabled():
        print(f"\n{COUNT} faults, seed {SEED}:", ", ".join(f"{count} × {what}" for what, count in met.most_common()))
