"""Is this run fit to be believed? Valid, suspect or invalid, with reasons in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requestlab.runs import Run

BUSY_GENERATOR = 0.6
"""Share of the time, spent running or waiting for a core, above which the generator itself may be what was measured."""

TAIL = 20
"""Requests that should lie beyond a percentile before it means anything."""


def judge(run: Run) -> tuple[str, list[str]]:
    """Return `valid`, `suspect` or `invalid`, and the reasons; a valid run may have remarks on its percentiles."""
    invalid = list(_what_makes_it_invalid(run))
    suspect = list(_what_makes_it_suspect(run))
    remarks = list(_remarks(run))
    validity = "invalid" if invalid else "suspect" if suspect else "valid"
    return validity, [*invalid, *suspect, *remarks]


def _what_makes_it_invalid(run: Run) -> Iterator[str]:
    if run.about["server_ended"]:
        yield "the server ended during the run"
    elif run.about["worker_ended"]:
        yield "a worker of the server ended, before the run or during it"
    if not len(run.response_ms):
        yield "no request was answered with a status below 400"


def _what_makes_it_suspect(run: Run) -> Iterator[str]:
    failed = len(run.requests) - len(run.response_ms)
    if failed:
        yield f"{failed} of {len(run.requests)} requests failed"
    if run.generator_share + run.generator_wait > BUSY_GENERATOR:
        waited = f" and waited for it for another {run.generator_wait:.0%}" if run.generator_wait > 0.01 else ""
        yield f"the generator used {run.generator_share:.0%} of its core{waited}: it may have been the bottleneck"
    planned = (run.about["each"] or 0) * run.about["users"]
    if len(run.samples) < planned:
        yield f"only {len(run.samples)} of {planned} requests were sent before the time was over; give it more seconds"


def _remarks(run: Run) -> Iterator[str]:
    beyond = len(run.response_ms)
    weak = [f"p{q}" for q in (95, 99) if 0 < beyond * (100 - q) / 100 < TAIL]
    if weak:
        yield f"too few requests for {' and '.join(weak)}: fewer than {TAIL} lie beyond"
