"""The wall in a real browser, in a room of learners whose machines differ: `make test-wall LEARNERS=30`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from requestlab.plots.guesses import NOTEBOOK_VARIABLE
from tests.test_wall import wall

LEARNERS = int(os.environ.get("REQUESTLAB_LEARNERS", "3"))
SHOTS = os.environ.get("REQUESTLAB_SCREENSHOTS")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore::ResourceWarning")]

LESSON, JUDGED_THERE = "01-who-runs-my-view", "many-requests-one-thread"

LEARNER = """
import os, sys
import requestlab as lab

address, number = sys.argv[1], int(sys.argv[2])
os.nice(number % 20)  # so their machines are of different speed
with lab.serve(lab.SYNC, probe=1.0) as server:
    run = lab.measure(server, "/sync/page/", lab.closed(users=3, each=5))
lab.claim("many-requests-one-thread").judge(run.requests["thread"].nunique())
lab.plots.counts({"sync": run.requests["thread"].nunique()}, "threads", predicted={"sync": number % 4})
result = lab.compare({"sync": lab.SYNC, "asgi": lab.ASGI}, "/sync/page/", lab.closed(users=2), rounds=3, seconds=0.1)
lab.claim("sync-wins-static").judge(result)
print(lab.ledger().send(address, name=f"learner {number}", ask=False))
"""


def test_a_room_of_learners_is_on_the_wall_without_a_reload(browser, axe, tmp_path):
    with wall("--title", "Friday's room") as address:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(address + "/")
        page.evaluate("window.reloaded = false")
        learners = [
            subprocess.Popen(
                [sys.executable, "-c", LEARNER, address, str(number)],
                env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / str(number)), NOTEBOOK_VARIABLE: LESSON},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for number in range(LEARNERS)
        ]
        for number, learner in enumerate(learners):
            said, _ = learner.communicate(timeout=500)
            assert said.endswith(f"has 2 verdicts of learner {number}.\n"), said
        page.get_by_text(f"{LEARNERS} machines, 2 claims judged").wait_for(timeout=20_000)
        assert page.evaluate("window.reloaded") is False
        assert page.locator("#claim-many-requests-one-thread circle").count() == LEARNERS
        assert page.locator(".guesses tbody tr").count() == LEARNERS
        assert (
            page.locator(f"#claim-{JUDGED_THERE} ~ .guesses h2").first.inner_text() == f"What was guessed in {LESSON}"
        )
        assert page.locator("#code").inner_text() == "KITES"
        page.add_script_tag(content=axe)
        found = page.evaluate("async () => (await axe.run()).violations.map(one => one.id + ': ' + one.help)")
        assert found == []
        if SHOTS:
            page.screenshot(path=os.path.join(SHOTS, f"wall-{LEARNERS}.png"), full_page=True)
            page.set_viewport_size({"width": 1280, "height": 800})
            page.screenshot(path=os.path.join(SHOTS, f"wall-{LEARNERS}-narrow.png"))
        page.close()
