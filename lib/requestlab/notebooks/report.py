"""The report: notebooks are executed, and become one page that begins with the machine and the ledger of claims."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from markupsafe import Markup

from requestlab.claims import cards, ledger
from requestlab.claims.ledger import FILE, MACHINE_FILE, Ledger
from requestlab.claims.statement import NOT_TRIED, WORDS
from requestlab.errors import ConfigurationError, ReportError
from requestlab.notebooks import execute, handout, jupyter, page
from requestlab.notebooks.execute import Executed, Tick
from requestlab.notebooks.figures import Saved, demand_folder, save_figures
from requestlab.plots import guesses
from requestlab.plots.guesses import Guesses
from requestlab.system import html, machine
from requestlab.system.budget import SPARE_VARIABLE
from requestlab.system.files import LEDGER_VARIABLE
from requestlab.system.machine import Machine
from requestlab.system.progress import UNWATCHED_VARIABLE
from requestlab.system.quick import QUICK_VARIABLE
from requestlab.system.values import to_plain

PAGE = "index.html"
GENERATOR = '<meta name="generator" content="requestlab report">'
"""In the head of each page: only a folder whose page has it, and that holds nothing else, is ever replaced."""

FILES = {PAGE, FILE, MACHINE_FILE}
MAY_BE_THERE = {guesses.FILE, handout.PAGE}
"""Where the notebooks hold predictions, and where all lessons were executed."""


@dataclass(frozen=True, eq=False)
class Report:
    """What was written: the folder, the notebooks as executed, the ledgers of what they found (usually one), the
    figures that were written besides, and what the reader had guessed."""

    folder: Path
    executed: tuple[Executed, ...]
    ledgers: tuple[Ledger, ...]
    machine: Machine
    figures: tuple[Saved, ...] = ()
    guessed: Guesses = field(default_factory=lambda: Guesses(()))

    @property
    def failed(self) -> list[Executed]:
        """The notebooks that were not executed to their end."""
        return [one for one in self.executed if one.error]


def find_notebooks(names: Sequence[str], folder: Path) -> list[Path]:
    """Return the notebooks of these names, in `folder` where a name is not a path: `02-the-forum-test`, or `02`; all,
    if none.

    A path may be that of a script, too, such as an example. Raises ConfigurationError for a name that is no notebook's,
    or that of several.
    """
    lessons = sorted(folder.glob("[0-9]*.ipynb"))
    if not names and not lessons:
        raise ConfigurationError(f"there are no notebooks in {str(folder)!r}")
    found = [_find(name, lessons) for name in names] or lessons
    twice = sorted({path.stem for path in found if [one.stem for one in found].count(path.stem) > 1})
    if twice:
        raise ConfigurationError(f"{', '.join(twice)}: named more than once")
    return found


def make_report(
    notebooks: Sequence[Path],
    folder: Path,
    quick: bool = True,
    figures: Path | None = None,
    tick: Tick = lambda what, share: None,
) -> Report:
    """Execute notebooks, each in a fresh kernel, and write `index.html`, `ledger.jsonl` and `machine.json` to `folder`,
    and `handout.html` where they hold all that belongs on it.

    A notebook that fails is shown with its error, and the others are executed all the same. The folder is written whole
    or not at all; an interrupt leaves nothing, neither running nor written. `figures` is a folder to which the figures
    that notebooks name are written, too (see `requestlab.notebooks.figures`). `tick` is called with the name of the
    notebook and the share that is done, 0 to 1. Raises ReportError where something stands in the way that is not a
    report.
    """
    target = folder.resolve()
    _demand_place(target)
    if figures is not None:
        demand_folder(figures)
    started = datetime.now(UTC)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}-", ignore_cleanup_errors=True
    ) as scratch:
        written = Path(scratch, "new")
        written.mkdir()
        (written / FILE).touch()
        facts = machine.facts()
        (written / MACHINE_FILE).write_text(json.dumps(to_plain(facts), indent=2, allow_nan=False) + "\n")
        executed = execute.execute(notebooks, _variables(written, quick), tick)
        found = tuple(Ledger(one.verdicts, target.name, one.machine) for one in ledger.read(written))
        report = Report(target, tuple(executed), found, facts, guessed=guesses.read(written))
        (written / PAGE).write_text(render(report, quick, started), encoding="utf-8")
        if (leaf := handout.render(found, executed, facts, quick)) is not None:
            (written / handout.PAGE).write_text(leaf, encoding="utf-8")
        _demand_place(target)
        _put(written, target, Path(scratch, "old"))
    return report if figures is None else replace(report, figures=tuple(save_figures(executed, figures)))


def render(report: Report, quick: bool, started: datetime) -> Markup:
    """Return the page as HTML, which loads nothing from elsewhere."""
    anchors = {one.name: f"lesson-{one.name}" for one in report.executed}
    links = {name: f"#{anchor}" for name, anchor in anchors.items()}
    lessons = [
        {
            "executed": one,
            "anchor": anchors[one.name],
            "title": page.heading(one.notebook, one.name),
            "body": Markup(page.fragment(one.notebook, one.name, anchors)),
        }
        for one in report.executed
    ]
    return html.render(
        "notebooks/report.html.j2",
        generator=Markup(GENERATOR),
        version=metadata.version("requestlab"),
        highlighting=Markup(page.highlighting()),
        contents=page.CONTENTS,
        quick=quick,
        started=cards.when(started.isoformat()),
        machine=report.machine,
        ledgers=[(one, _counts(one), one.html(links)) for one in report.ledgers],
        lessons=lessons,
        guessed=report.guessed,
    )


def _counts(one: Ledger) -> list[tuple[Markup, int]]:
    """Return how many claims have each verdict, with the verdict as a badge."""
    counts = Counter(found.verdict if (found := one.verdict(claim.id)) else NOT_TRIED for claim in one.claims)
    return [(cards.badge(word), counts[word]) for word in (*WORDS, NOT_TRIED)]


def _find(name: str, lessons: Sequence[Path]) -> Path:
    if name.endswith((".ipynb", ".py")) or os.sep in name:
        path = Path(name)
        if not path.is_file():
            raise ConfigurationError(f"there is no notebook {name!r}")
        return path
    found = [path for path in lessons if path.stem == name] or [
        path for path in lessons if path.stem.partition("-")[0] == name.zfill(2)
    ]
    if len(found) != 1:
        there = ", ".join(path.stem for path in found or lessons) or "none"
        raise ConfigurationError(
            f"{'several notebooks are' if found else 'there is no notebook'} {name!r}; there are: {there}"
        )
    return found[0]


def _demand_place(target: Path) -> None:
    """Raise ReportError unless the folder can be put there without a loss."""
    if not target.parent.is_dir():
        raise ReportError(f"there is no folder {str(target.parent)!r} in which {target.name!r} could be made")
    if not target.exists():
        return
    if not target.is_dir():
        raise ReportError(f"{str(target)!r} is a file; name a folder for the report")
    names = {path.name for path in target.iterdir()}
    if names and not (names <= FILES | MAY_BE_THERE and PAGE in names and _is_ours(target / PAGE)):
        raise ReportError(
            f"{str(target)!r} holds more than a report (a report is {', '.join(sorted(FILES))}), so it is left alone; name "
            "a new folder, or remove it"
        )


def _is_ours(page: Path) -> bool:
    with page.open(encoding="utf-8", errors="replace") as opened:
        return GENERATOR in opened.read(1000)


def _put(new: Path, target: Path, aside: Path) -> None:
    """Let the new folder take the place of the old one, which comes back where that fails."""
    new.chmod(0o755)
    if not target.exists():
        new.rename(target)
        return
    target.rename(aside)
    try:
        new.rename(target)
    except BaseException:
        aside.rename(target)
        raise


def _variables(folder: Path, quick: bool) -> dict[str, str]:
    """Return the environment of the kernels; what clear cases leave over of their time is for all lessons."""
    own = {LEDGER_VARIABLE: str(folder), QUICK_VARIABLE: "1" if quick else "", UNWATCHED_VARIABLE: "1"}
    return jupyter.environment(os.environ) | own | {SPARE_VARIABLE: str(folder.parent / "left-over")}
