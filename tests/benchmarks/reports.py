"""Quick reports in a row, each second one beside a process that burns half a core: how long each takes, how many claims
it decides, and whether any two give opposite verdicts. `make reports REPORTS=10`; ten take two hours."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from requestlab.claims import ledger
from requestlab.claims.statement import CANNOT_TELL
from tests.burner import half_a_core_burnt

FOLDER = Path("build/reports")


def made(number: int) -> str:
    """Make one report, and return in words what came of it."""
    folder = FOLDER / f"{number:02}"
    command = [sys.executable, "-m", "requestlab.cli", "report", "--output", str(folder)]
    began = time.monotonic()
    if number % 2:
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
    else:
        with half_a_core_burnt():
            done = subprocess.run(command, stdout=subprocess.DEVNULL)
    minutes = (time.monotonic() - began) / 60
    (own,) = ledger.read(folder)
    words = [verdict.verdict for one in own.claims if (verdict := own.verdict(one.id))]
    open_ones = [one.id for one in own.claims if (verdict := own.verdict(one.id)) and verdict.verdict == CANNOT_TELL]
    ended = "" if done.returncode == 0 else ", NOT executed to its end"
    where = "quiet" if number % 2 else "beside half a core burnt"
    decided = f"{len(words) - len(open_ones)} of {len(words)} decided"
    return f"{number:2}  {minutes:4.1f} min, {where}: {decided}{ended}; cannot tell: {', '.join(open_ones) or 'none'}"


def main(reports: int) -> int:
    """Make so many reports, and return 1 where two of them contradict each other."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for number in range(1, reports + 1):
        print(made(number), flush=True)
    folders = [str(FOLDER / f"{number:02}") for number in range(1, reports + 1)]
    return subprocess.run([sys.executable, "-m", "requestlab.cli", "claims", *folders, "--agree"]).returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
