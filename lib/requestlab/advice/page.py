"""Advice as one HTML file with its figures, and the raw runs beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from markupsafe import Markup

from requestlab import plots
from requestlab.advice.advise import Report
from requestlab.advice.field import AT_RATE, PERCENTILE
from requestlab.errors import ConfigurationError, LabError
from requestlab.plots.sheet import Picture
from requestlab.system import html
from requestlab.system.files import whole_file

PAGE = "index.html"


def write(report: Report, folder: Path) -> Path:
    """Write the page and the runs into a folder, which is made where it is missing, and return the page's path.

    Raises LabError where that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, run in report.survey.runs.items():
            run.save(folder / f"{name.replace(' ', '-')}.run")
        page = folder / PAGE
        with whole_file(page) as file:
            file.write(rendered(report).encode())
    except OSError as problem:
        raise LabError(f"the page cannot be written into {str(folder)!r}: {problem.strerror}; give --output") from None
    return page


def rendered(report: Report) -> Markup:
    """Return the page."""
    return html.render("advice/page.html.j2", report=report, figures=list(_figures(report)))


def _figures(report: Report) -> Iterator[tuple[str, Picture]]:
    """Yield the figures with a heading each; one that has nothing to show is left out."""
    survey = report.survey
    results = dict(report.results)
    at_rate = results.pop(AT_RATE, None)
    yield "How many times as fast", plots.ratios(results, metrics=("throughput", "p50"))
    if at_rate is not None:
        yield "At your rate", plots.ratios(at_rate, metrics=("p50", PERCENTILE))
    with suppress(ConfigurationError):  # there are none
        both = {"sync": survey.runs["sync"], "asgi": survey.runs["asgi"]}
        yield "What its workers hold", plots.processes(both)
    with suppress(ConfigurationError):
        yield "What crosses from the event loop to a thread", plots.crossings(survey.runs["page 1"])
    with suppress(ConfigurationError):
        yield "How late the event loop is, and who holds it up", plots.lag(survey.runs["asgi"])
