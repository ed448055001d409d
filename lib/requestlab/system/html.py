"""HTML for notebooks and pages: templates that escape whatever is put into them.

Notebooks drop style sheets, so every element has its style inline. Background and text colour are both set: what the
lab shows is legible in a dark theme too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

TEXT = "margin:0;border:0;padding:0;background:#ffffff;color:#1a1a1a"
SMALL = "color:#555555;font-size:12px"
CELL = "text-align:left;vertical-align:top;padding:0.3em 1.2em 0.3em 0;border:0;background:#ffffff;color:#1a1a1a"
FONT = "font-family:system-ui,sans-serif;font-size:14px"
LINK = "color:#0050a0"


def render(template: str, **context: Any) -> Markup:
    """Fill in a template, named by its place in the library: `claims/card.html.j2`.

    What is not `Markup` is escaped. Templates see the styles of this module by their names, and the filter `code`.
    """
    return Markup(_environment.get_template(template).render(context))


def folded(summary: str, rows: Iterable[tuple[str, str]]) -> Markup:
    """Return names and values as a table that unfolds below its `summary`."""
    return render("system/folded.html.j2", summary=summary, rows=rows)


def code(text: str) -> Markup:
    """Return text with what stands between backquotes as code."""
    found = re.sub(r"`([^`]+)`", r'<code style="background:#f2f2f2;color:#1a1a1a">\1</code>', str(escape(text)))
    return Markup(found)


def _made() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals.update(TEXT=TEXT, SMALL=SMALL, CELL=CELL, FONT=FONT, LINK=LINK)
    environment.filters["code"] = code
    return environment


_environment = _made()
