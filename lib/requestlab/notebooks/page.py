"""An executed notebook as a piece of a page: its own anchors, nothing that is loaded from elsewhere, solutions
folded."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping

import nbformat
import nh3
from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter
from PIL import Image
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

from requestlab.notebooks.figures import pictures_of, png_of

CONTENTS = "contents"
"""The anchor of the page's table of contents."""

_TAGS = {*nh3.ALLOWED_TAGS, "figure", "figcaption", "section", "details", "summary"} - {"map", "area"}
_ATTRIBUTES = {
    "class",
    "id",
    "style",
    "title",
    "alt",
    "open",
    "colspan",
    "rowspan",
    "align",
    "border",
    "scope",
    "tabindex",
}
_ATTRIBUTES |= {"href", "src", "width", "height"}


def heading(notebook: nbformat.NotebookNode, name: str) -> str:
    """Return the first heading of a notebook, or its name."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# (.+)$", cell.source, re.M)):
            return found[1].strip()
    return name


def fragment(notebook: nbformat.NotebookNode, name: str, lessons: Mapping[str, str]) -> str:
    """Return a notebook as HTML without head and style. `lessons` are the anchors on this page, by the name of the
    lesson."""
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    page = BeautifulSoup(_harmless(body), "html.parser")
    _describe_missing_pictures(page)
    _keep_apart(page, name)
    _lead_to_this_page(page, lessons)
    _fold_solutions(page)
    _lower_headings(page)
    _shrink_pictures(page)
    return str(page)


def highlighting() -> str:
    """Return the styles of the highlighted code."""
    return str(HtmlFormatter(style="default").get_style_defs(".highlight"))


def _harmless(body: str) -> str:
    """Return HTML without what runs, and without what would be loaded from elsewhere."""
    return nh3.clean(
        body,
        tags=_TAGS,
        attributes={"*": _ATTRIBUTES},
        attribute_filter=_from_here,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel=None,
    )


def _from_here(element: str, attribute: str, value: str) -> str | None:
    """Return an attribute as it may stay: pictures are inside the page, links lead out of it only when followed, and
    styles load nothing."""
    inside = value.strip().lower().startswith("data:image/")
    if attribute == "src":
        return value if element == "img" and inside else None
    if attribute == "href":
        return None if value.strip().lower().startswith("data:") else value
    return None if attribute == "style" and re.search(r"url|image|@|\\", value, re.I) else value


def _describe_missing_pictures(page: BeautifulSoup) -> None:
    """Put its description in the place of a picture that is not inside the page."""
    for element in page.find_all("img", src=False):
        element.replace_with(f"[{element.get('alt') or 'an image that is not part of the page'}]")


def _keep_apart(page: BeautifulSoup, name: str) -> None:
    """Let each anchor begin with the name of its lesson: lessons have headings in common."""
    for sign in page.find_all(class_="anchor-link"):  # with them come the anchors of the headings
        sign.decompose()
    for element in page.find_all(id=True):
        element["id"] = f"{name}--{element['id']}"
    for link in page.find_all("a", href=re.compile("^#")):
        link["href"] = f"#{name}--{str(link['href'])[1:]}"


def _lead_to_this_page(page: BeautifulSoup, lessons: Mapping[str, str]) -> None:
    """Let links between lessons lead to this page; where a lesson is not on it, only the words stay."""
    for link in page.find_all("a", href=True):
        target = str(link["href"]).partition("#")[0]
        if re.match(r"[a-z][a-z+.-]*:", target, re.I) or not target:
            continue
        stem = re.sub(r"\.(ipynb|html|md)$", "", target.rpartition("/")[2])
        anchor = CONTENTS if stem == "README" else lessons.get(stem)
        if anchor is None:
            link.unwrap()
        else:
            link["href"] = f"#{anchor}"


def _fold_solutions(page: BeautifulSoup) -> None:
    for cell in page.find_all(class_="celltag_solution"):
        details = page.new_tag("details", attrs={"class": "solution"})
        summary = page.new_tag("summary")
        summary.string = "Solution"
        cell.wrap(details)
        details.insert(0, summary)


def _shrink_pictures(page: BeautifulSoup) -> None:
    """Write the figures as WebP, without loss, which has two thirds of the bytes; a picture that Pillow cannot read is
    left as it is."""
    for image in pictures_of(page):
        written = io.BytesIO()
        try:
            with Image.open(io.BytesIO(png_of(image))) as picture:
                picture.convert("RGB").save(written, "WEBP", lossless=True)
        except (ValueError, OSError):
            continue
        image["src"] = f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"


def _lower_headings(page: BeautifulSoup) -> None:
    """Make each heading one step smaller: the page has one of its own."""
    for found in page.find_all(re.compile("^h[1-5]$")):
        if isinstance(found, Tag):
            found.name = f"h{int(found.name[1]) + 1}"
