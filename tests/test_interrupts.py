"""An interrupt that comes at a bad moment is neither lost nor the cause of a hang."""

from __future__ import annotations

import os
import signal

import pytest

from requestlab.system.interrupts import held_back


def test_an_interrupt_waits_for_the_end_of_the_block_and_comes_then():
    done = []

    def interrupted_import():
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        interrupted_import()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_block_comes_first_and_the_handler_is_back():
    with pytest.raises(ImportError), held_back():
        raise ImportError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
