"""Where nothing is answered for long, a run keeps what the workers were doing."""

from __future__ import annotations

import os
import signal

import pytest

import requestlab as lab
from requestlab.measurement.measure import QUIET_S, _asked_s
from requestlab.worker import stacks


def sleepy(request):
    import time

    from django.http import HttpResponse

    time.sleep(2.6)
    return HttpResponse("slept")


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI], ids=["wsgi", "asgi"])
@pytest.mark.some(1)
def test_a_run_in_which_nothing_was_answered_for_long_has_the_stacks_of_the_worker(configuration, tmp_path):
    with lab.serve(configuration, application=lab.app(sleepy)) as server:
        run = lab.measure(server, "/sleepy/", lab.closed(users=2, each=1))
        again = lab.measure(server, "/sync/page/", lab.closed(users=2, each=5))
    first, *others = run.about.quiet
    assert first.startswith("after 2.")
    assert "2 of 2 requests were under way" in first
    assert any("in sleepy" in text for text in others)
    assert [reason for reason in run.summary["reasons"] if "run.about.quiet" in reason]
    assert run.summary["validity"] != "invalid"
    assert run.summary["errors"] == 0
    assert again.about.quiet == ()
    run.save(tmp_path / "quiet.run")
    assert lab.load_run(tmp_path / "quiet.run").about.quiet == run.about.quiet


def test_what_was_asked_to_take_long_is_no_reason_to_look():
    asks = {"/": 0, "/?ms=1500": 1.5, "/?ms=50&n=10": 0.5, "/?ms=x": 0, "/?ms=-5": 0, "/?n=5": 0}
    assert {path: _asked_s(lab.ask(path)) for path in asks} == asks
    with lab.serve(lab.SYNC) as server:
        run = lab.measure(server, f"/sync/wait/?ms={1000 * QUIET_S + 200:.0f}", lab.closed(users=1, each=1))
    assert run.about.quiet == ()


def test_a_worker_that_uses_the_signal_itself_is_not_asked(tmp_path):
    before = signal.signal(stacks.SIGNAL, lambda *_: None)
    try:
        stacks.be_ready(str(tmp_path))
        assert list(tmp_path.iterdir()) == []
    finally:
        signal.signal(stacks.SIGNAL, before)
    stacks.ask(str(tmp_path), os.getpid())  # or this test would end here
