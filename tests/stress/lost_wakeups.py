"""Looks for two old mysteries, `make stress MINUTES=60`.

Once, ten requests to an async page waited for ten seconds, while the server lived; and once, a load process slept on
a pipe that had long been emptied. Both look like a wakeup that was lost. Here the same is done again and again: ten
users on an async page, on both event loops, and load processes that have megabytes to tell. What takes two seconds
longer than it was asked to take is printed, with the stacks and the queues that the run has kept of it.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import requestlab as lab
from requestlab.load.loads import AnyLoad

LATE_S = 2.0
SLICE_S = 1.0


@dataclass
class Tally:
    """How often a thing was done, with how many requests, and what was found."""

    slices: int = 0
    requests: int = 0
    slowest_ms: float = 0.0
    longest_s: float = 0.0
    found: list[str] = field(default_factory=list)

    def note(self, run: lab.Run, took_s: float) -> None:
        """Add a slice that took so long, from the call to its rows."""
        slowest_ms = float((run.column("done") - run.column("planned")).max()) / 1e6
        self.slices += 1
        self.requests += len(run.samples)
        self.slowest_ms = max(self.slowest_ms, slowest_ms)
        self.longest_s = max(self.longest_s, took_s)
        if slowest_ms > 1000 * LATE_S:
            self.found.append(f"a request took {slowest_ms:,.0f} ms in {run}\n" + "\n".join(run.about.quiet))
        elif took_s > 2 * SLICE_S + LATE_S:
            self.found.append(f"{took_s:.1f} s from the call to the rows of {run}")

    def __str__(self) -> str:
        return (
            f"{self.slices:,} slices, {self.requests:,} requests, the slowest {self.slowest_ms:,.0f} ms; "
            f"at most {self.longest_s:.1f} s from the call to the rows; found: {len(self.found)}"
        )


def main(minutes: float) -> int:
    """Do so for so many minutes; return how often something was found."""
    ends = time.monotonic() + 60 * minutes
    with ExitStack() as stack:
        cases: dict[str, tuple[lab.Server, str, AnyLoad]] = {}
        for loop in ("asyncio", "uvloop"):
            server = stack.enter_context(lab.serve(lab.ASYNC, loop=loop))
            cases[f"ten users, async page, {loop}"] = server, "/async/page/", lab.closed(users=10)
        null = stack.enter_context(lab.serve(lab.NULL))
        cases["megabytes of rows, null server"] = null, "/", lab.closed(users=50)
        tallies = {name: Tally() for name in cases}
        while time.monotonic() < ends:
            for name, (server, path, load) in cases.items():
                began = time.monotonic()
                run = lab.measure(server, path, load, seconds=SLICE_S)
                before = len(tallies[name].found)
                tallies[name].note(run, time.monotonic() - began)
                for words in tallies[name].found[before:]:
                    print(f"{name}: {words}", flush=True)
    for name, tally in tallies.items():
        print(f"{name}: {tally}")
    return sum(len(tally.found) for tally in tallies.values())


if __name__ == "__main__":
    sys.exit(min(1, main(float(sys.argv[1]))))
