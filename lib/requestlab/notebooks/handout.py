"""A page to print and take home: six facts and four figures, as one report found them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from markupsafe import Markup

from requestlab.claims import cards
from requestlab.claims.ledger import Ledger
from requestlab.notebooks.execute import Executed
from requestlab.notebooks.figures import PNG, tagged
from requestlab.system import html
from requestlab.system.machine import Machine

PAGE = "handout.html"

FACTS = (
    "thread-per-request",
    "sync-wins-static",
    "middleware-position",
    "sleep-in-async",
    "sync-faster-under-asgi",
    "slow-clients",
)
"""The claims whose verdicts are the facts, in the order of the lessons."""

FIGURES = ("sixty-at-once", "one-request", "computing-or-waiting", "faster-under-asgi")
"""The figures, by the tags of their cells."""


def render(ledgers: Sequence[Ledger], executed: Sequence[Executed], machine: Machine, quick: bool) -> Markup | None:
    """Return the page, or None where the report has not all that belongs on it."""
    pictures = {name: (png, alt) for one in executed for name, png, alt in tagged(one)}
    verdicts = [found for id in FACTS for one in ledgers[:1] if (found := one.verdict(id))]
    if len(verdicts) < len(FACTS) or not set(FIGURES) <= set(pictures):
        return None
    images = [(PNG + base64.b64encode(png).decode(), alt) for png, alt in map(pictures.__getitem__, FIGURES)]
    more = {"badge": cards.badge, "time": cards.when(verdicts[-1].time)}
    return html.render(
        "notebooks/handout.html.j2", verdicts=verdicts, images=images, machine=machine, quick=quick, **more
    )
