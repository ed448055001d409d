"""What JupyterLab saves of a lesson that was only opened: nothing new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEPT = ("kernelspec", "language_info")
"""What JupyterLab notes down of the kernel, version by version, as soon as a notebook is open."""


def as_it_was(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Keep what a notebook's file says of its kernel: a hook of Jupyter Server, called before a file is saved. So a
    lesson that nobody changed stays as it is, byte for byte."""
    file = Path(contents_manager.root_dir, path.strip("/"))
    if model["type"] != "notebook" or not file.is_file():
        return
    before = json.loads(file.read_text(encoding="utf-8"))["metadata"]
    metadata = model["content"]["metadata"]
    for name in KEPT:
        metadata.pop(name, None)
        if name in before:
            metadata[name] = before[name]
