"""Figures of executed notebooks as files: those of cells that are tagged `figure:NAME` become NAME.png."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, Tag

from requestlab.errors import ReportError
from requestlab.notebooks.execute import Executed
from requestlab.system.files import whole_file

TAG = re.compile(r"figure:([a-z0-9-]+)")
PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Saved:
    """A figure that was written: where, from which lesson, and the sentence that stands in for it."""

    path: Path
    lesson: str
    alt: str


def demand_folder(folder: Path) -> None:
    """Raise ReportError where there is no such folder: before lessons run for minutes, not after."""
    if not folder.is_dir():
        raise ReportError(f"there is no folder {str(folder)!r} for the figures; make it first")


def save_figures(executed: Sequence[Executed], folder: Path) -> list[Saved]:
    """Write the tagged figures to `folder`, each file whole or not at all; files of other names there are left alone.

    Raises ReportError where a tagged cell of a lesson that came to its end has no figure, or there is no such folder.
    """
    demand_folder(folder)
    return [saved for one in executed for saved in _of_lesson(one, folder)]


def _of_lesson(one: Executed, folder: Path) -> Iterator[Saved]:
    for name, png, alt in tagged(one):
        yield _saved(folder / f"{name}.png", one.name, png, alt)


def tagged(one: Executed) -> Iterator[tuple[str, bytes, str]]:
    """Yield the name, the PNG and the alternative text of each figure that a lesson has tagged.

    Raises ReportError where a tagged cell has no figure, though the lesson came to its end.
    """
    for cell in one.notebook.cells:
        for tag in filter(TAG.fullmatch, cell.metadata.get("tags", [])):
            image = next(_images(cell), None)
            if image is not None:
                yield tag.partition(":")[2], *image
            elif not one.error:
                raise ReportError(f"the cell {cell.id!r} of {one.name} is tagged {tag!r} and shows no figure")


def _images(cell: nbformat.NotebookNode) -> Iterator[tuple[bytes, str]]:
    """Yield the PNG and the alternative text of each picture that a cell shows."""
    for output in cell.get("outputs", []):
        page = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
        for image in pictures_of(page):
            yield png_of(image), str(image.get("alt", ""))


def pictures_of(page: BeautifulSoup) -> list[Tag]:
    """Return the elements of a page that hold a PNG."""
    return list(page.find_all("img", src=re.compile(f"^{PNG}")))


def png_of(image: Tag) -> bytes:
    """Return the PNG that an element holds; ValueError where it is not base64."""
    return base64.b64decode(str(image["src"]).removeprefix(PNG))


def _saved(path: Path, lesson: str, png: bytes, alt: str) -> Saved:
    with whole_file(path) as file:
        file.write(png)
    return Saved(path, lesson, alt)
