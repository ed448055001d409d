"""Should this project switch to ASGI? A survey, comparisons within a budget, and what follows from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from requestlab.advice.conclusions import Advice, conclude
from requestlab.advice.field import SHARES, asked, contenders, loads
from requestlab.advice.survey import Survey, survey
from requestlab.comparison.compare import compare
from requestlab.comparison.comparison import Comparison
from requestlab.load.mix import Mix
from requestlab.serving.project import Project
from requestlab.serving.server import serve
from requestlab.system import checks, html
from requestlab.system.interrupts import interrupt_says
from requestlab.system.progress import Progress
from requestlab.system.values import to_plain

MIN_MINUTES, MAX_MINUTES = 0.5, 60.0
SURVEY_SHARE = 0.4
"""At most so much of the budget is spent on looking; the rest on comparing."""


@dataclass(frozen=True, eq=False)
class Report:
    """All of it: the `project`, the `survey`, the comparisons by the load they were made under, and the `advice`, of
    which the first is the answer. `seconds` is how long it took."""

    project: Project
    survey: Survey
    results: Mapping[str, Comparison]
    advice: tuple[Advice, ...]
    seconds: float

    @property
    def answer(self) -> Advice:
        return self.advice[0]

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain values, for JSON: the advice, and the pages with what they cost."""
        pages = [
            {"page": str(one.page.ask), "ms": one.service_ms, "waits": one.waits, "queries": one.page.queries}
            for one in self.survey.pages
        ]
        return {
            "project": to_plain(self.project),
            "advice": to_plain(self.advice),
            "pages": pages,
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        return "\n".join(map(str, self.advice))

    def _repr_html_(self) -> str:
        return str(html.render("advice/said.html.j2", report=self))


@interrupt_says("the advice; nothing of it is left")
def advise(
    mine: Project,
    mix: Mix | None = None,
    *,
    minutes: float = 5.0,
    rate: float | None = None,
    tick: Callable[[str, float], None] | None = None,
) -> Report:
    """Return advice on a project, within so many minutes (0.5 to 60).

    >>> print(advise(project("~/mysite"), minutes=2))

    `mix` is what visitors ask (without: pages that answer 200 are looked for), `rate` how many requests a second they
    send. `tick` is told what is done and how many seconds are left. Raises ConfigurationError for values that cannot
    work, and ProjectError where the project gives nothing to measure.
    """
    checks.instance("advise(mine)", mine, Project, "a project of requestlab.project()")
    check_minutes(minutes)
    under = loads(rate)
    began, budget = time.monotonic(), minutes * 60

    def left() -> float:
        return max(0.0, budget - (time.monotonic() - began))

    with Progress(f"advising {mine.name}") as progress:

        def say(what: str) -> None:
            progress.step(what, left())
            if tick:
                tick(what, left())

        short = min(1.0, SURVEY_SHARE * budget / 20)
        seen = survey(mine, mix, say, discover_s=SURVEY_SHARE * budget / 3, short_s=short)
        results = {}
        with ExitStack() as stack:
            say("starting what is compared")
            against = {name: stack.enter_context(serve(one)) for name, one in contenders(mine, seen).items()}
            for number, (name, load) in enumerate(under.items()):
                say(f"comparing: {name}")
                share = SHARES[name] / sum(SHARES[later] for later in list(under)[number:])
                results[name] = compare(
                    against,
                    seen.mix,
                    load,
                    ask=asked(name),
                    budget=max(MIN_BUDGET_S, share * (left() - STOPPING_S)),
                    seconds=min(1.0, max(MIN_SLICE_S, budget / 120)),
                    timeout=60,
                )
    advice = tuple(conclude(mine, seen, results))
    return Report(mine, seen, results, advice, time.monotonic() - began)


def check_minutes(minutes: object) -> None:
    """Raise ConfigurationError for a budget that cannot work."""
    checks.number("advise(minutes)", minutes, MIN_MINUTES, MAX_MINUTES, kind="minutes")


MIN_BUDGET_S, MIN_SLICE_S = 4.0, 0.25
STOPPING_S = 2.0
"""What is left for the end: servers are stopped, and the figures drawn."""
