"""Real IPython kernels, as JupyterLab starts them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from queue import Empty

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.conftest import left_after, marked_processes, nobody_listens_on


class Kernel:
    """A real ipykernel, in a folder of its own if one is given."""

    def __init__(self, folder: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=folder, **({"env": dict(environment)} if environment else {}))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> str:
        """Execute a cell, and return what it printed and what it raised."""
        said: list[str] = []
        status = "aborted"
        while status == "aborted":  # as is whatever comes in the moment after an interrupt
            reply = self.client.execute_interactive(
                code, timeout=60, output_hook=lambda message: said.append(_text(message))
            )
            status = reply["content"]["status"]
        return "".join(said).rpartition("\r")[2]  # progress of a slow start stands before it

    def interrupt(self, request: str) -> dict:
        """Interrupt, and return the reply to that request."""
        self.manager.interrupt_kernel()
        return self.reply(request, within_s=20.0)

    def reply(self, request: str, within_s: float) -> dict:
        """Return the reply to a request; raises TimeoutError where it does not come in time."""
        deadline = time.monotonic() + within_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                reply = self.client.get_shell_msg(timeout=left_s)
            except Empty:
                break
            if reply["parent_header"].get("msg_id") == request:
                return reply
        raise TimeoutError(f"no reply within {within_s:g} s")

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

    @property
    def alive(self) -> bool:
        return bool(self.manager.is_alive())

    def children(self, word: str = "") -> list[psutil.Process]:
        """Return the processes of the lab, or those with that word in their command line."""
        return [one for one in marked_processes() if one.pid != self.pid and (not word or word in one.cmdline())]

    def wait_for(self, word: str, then_s: float = 0.0) -> None:
        deadline = time.monotonic() + 20
        while not self.children(word):
            assert time.monotonic() < deadline, f"{word} never started"
            time.sleep(0.005)
        time.sleep(then_s)

    def leaves_nothing(self, port: int | None = None) -> bool:
        left = left_after(2.0, besides={self.pid})
        assert [" ".join(process.cmdline()) for process in left] == []
        return port is None or nobody_listens_on(port)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


def _text(message: dict) -> str:
    content = message["content"]
    return content.get("text", "") + content.get("ename", "")
