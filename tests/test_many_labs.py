"""Many labs at once on one machine, each measuring: none collides, none leaks, and each knows that others were there.

`make test-labs LABS=20` has twenty; `make test` has six.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from requestlab.worker import kernel
from tests.conftest import left_after, nobody_listens_on

LABS = int(os.environ.get("REQUESTLAB_LABS", "6"))

LAB = """
import json, sys
import requestlab as lab

told = {"ports": [], "errors": 0, "sent": 0, "counted": 0, "words": [], "reasons": []}
with lab.serve(lab.MIXED, probe=True) as mixed, lab.serve(lab.UPSTREAM) as upstream:
    with lab.serve(lab.SYNC, workers=2, upstream=upstream) as sync:
        told["ports"] = [one.address[1] for one in (mixed, upstream, sync)]
        print("ready", flush=True)
        sys.stdin.readline()
        for server, path in ((mixed, "/sync/page/"), (sync, "/sync/fetch/?ms=5"), (mixed, "/async/burn/?ms=2")):
            run = lab.measure(server, path, lab.closed(users=2), seconds=1.0)
            told["errors"] += run.summary["errors"]
            told["sent"] += run.about.started
            told["counted"] += sum(run.about.counts.values())
            told["words"].append(run.summary["validity"])
            told["reasons"] += run.summary["reasons"]
print(json.dumps(told), flush=True)
"""


@pytest.mark.measuring
@pytest.mark.timeout(60 + 10 * LABS)
def test_labs_that_measure_at_once_do_not_collide_and_know_that_they_are_not_alone(tmp_path):
    before = {path.name for path in Path(tempfile.gettempdir()).glob("requestlab-*")}
    labs = [
        subprocess.Popen(
            [sys.executable, "-c", LAB],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(LABS)
    ]
    for one in labs:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    said = []
    for one in labs:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in labs:
        output, errors = one.communicate(timeout=60 + 5 * LABS)
        assert (one.returncode, errors) == (0, "")
        said.append(json.loads(output))
    ports = [port for told in said for port in told["ports"]]
    assert len(set(ports)) == len(ports) == 3 * LABS
    assert [told["errors"] for told in said] == [0] * LABS
    assert all(told["counted"] == told["sent"] for told in said)
    if 2 * len(kernel.usable_cores()) <= LABS:
        assert all("valid" not in told["words"] for told in said), [told["words"] for told in said]
        assert all("other processes" in " ".join(told["reasons"]) for told in said)
    assert left_after(2.0) == []
    assert all(map(nobody_listens_on, ports))
    assert {path.name for path in Path(tempfile.gettempdir()).glob("requestlab-*")} <= before
