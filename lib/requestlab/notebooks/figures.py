"""Figures of executed notebooks: small enough for a page with fifty of them, and as files.

Those of cells that are tagged `figure:NAME` become NAME.png.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
from bs4 import BeautifulSoup, Tag
from PIL import Image

from requestlab.errors import ReportError
from requestlab.notebooks.execute import Executed
from requestlab.system.files import whole_file

TAG = re.compile(r"figure:([a-z0-9-]+)")
PNG = "data:image/png;base64,"

_COMMON = 0.0005
_STEP = 17
"""A colour that covers this share of a picture is kept. Others, on the edges of letters and lines, are rounded to this step: at
most 8 of 255, which nobody sees, and the file is a third as large."""

_ROUNDED = [round(level / _STEP) * _STEP for level in range(256)]
_AS_ONE = np.array([1 << 16, 1 << 8, 1])
"""A colour times this is one number."""


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
    for cell in one.notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if found := TAG.fullmatch(tag):
                image = next(_images(cell), None)
                if image is not None:
                    path = folder / f"{found[1]}.png"
                    with whole_file(path) as file:
                        file.write(small(image[0], "PNG"))
                    yield Saved(path, one.name, image[1])
                elif not one.error:
                    raise ReportError(f"the cell {cell.id!r} of {one.name} is tagged {tag!r} and shows no figure")


def _images(cell: nbformat.NotebookNode) -> Iterator[tuple[bytes, str]]:
    """Yield the PNG and the alternative text of each picture that a cell shows."""
    for output in cell.get("outputs", []):
        page = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
        for image in page.find_all("img", src=re.compile(f"^{PNG}")):
            yield data_of(image), str(image.get("alt", ""))


def data_of(image: Tag) -> bytes:
    """Return the PNG that an element holds."""
    return base64.b64decode(str(image["src"]).removeprefix(PNG))


def shrink(page: BeautifulSoup) -> None:
    """Make the pictures that a page holds as PNG small: WebP without further loss, a quarter as large."""
    for image in page.find_all("img", src=re.compile(f"^{PNG}")):
        try:
            webp = small(data_of(image), "WEBP")
        except (ValueError, OSError):  # nothing that Pillow reads: left as it is
            continue
        image["src"] = f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"


def small(png: bytes, kind: str) -> bytes:
    """Return a picture as a small PNG or WEBP that looks the same."""
    with Image.open(io.BytesIO(png)) as read:
        picture = read.convert("RGB")
    pixels, rounded = (np.asarray(each) for each in (picture, picture.point(_ROUNDED * 3)))
    size = picture.width * picture.height
    common = [colour for count, colour in picture.getcolors(size) or [] if count >= _COMMON * size]
    kept = np.isin(pixels @ _AS_ONE, np.array(common) @ _AS_ONE, kind="table")
    simple = Image.fromarray(np.where(kept[:, :, None], pixels, rounded))
    written = io.BytesIO()
    if kind == "PNG":
        simple = simple.quantize(256, dither=Image.Dither.NONE)
    simple.save(written, kind, optimize=True, lossless=True, method=6)
    return written.getvalue()
