"""A finished figure, with the sentence that stands in for it where it cannot be seen."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from requestlab.errors import ConfigurationError
from requestlab.plots import style

SUFFIXES = (".png", ".svg", ".pdf")
_CSS_PIXELS_PER_INCH = 96


class Picture:
    """A matplotlib figure and its alternative text.

    >>> picture = lab.plots.threads(run)
    >>> picture.save("threads.svg")

    `figure` is the matplotlib Figure, free to be changed before it is shown or saved; `alt` is one sentence with the finding.
    A notebook shows it as HTML, since JupyterLab gives the alternative text of a bare figure to nobody.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as PNG, SVG or PDF, as the suffix says, and return the path; ConfigurationError for any other."""
        target = Path(path)
        if target.suffix.lower() not in SUFFIXES:
            raise ConfigurationError(f"{target.name!r}: expected a name that ends in {', '.join(SUFFIXES)}")
        if not target.parent.is_dir():
            raise ConfigurationError(f"there is no folder {os.fspath(target.parent)!r}; make it first")
        target.write_bytes(self._drawn(target.suffix.lower().removeprefix(".")))
        return target

    def _drawn(self, kind: str) -> bytes:
        buffer = io.BytesIO()
        with style.style():
            self.figure.savefig(buffer, format=kind, metadata={"Title": self.alt})
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        source = base64.b64encode(self._drawn("png")).decode("ascii")
        width = round(self.figure.get_figwidth() * _CSS_PIXELS_PER_INCH)
        css = f"width: {width}px; max-width: 100%; height: auto; background: white"
        return f'<img alt="{html.escape(self.alt)}" style="{css}" src="data:image/png;base64,{source}">'

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"
