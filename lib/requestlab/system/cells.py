"""Which cell of a notebook runs now."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell while it runs: `name` stays when it is run again, `execution` does not."""

    name: str
    execution: str


def running_cell() -> Cell | None:
    """Return the cell that runs now; None outside of notebooks.

    JupyterLab sends an id with each cell; where no one does, a cell is known by its code.
    """
    ipython = sys.modules.get("IPython")  # where it was not imported, this is no notebook
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None
    message = shell.get_parent()
    try:
        name = message.get("metadata", {}).get("cellId") or message["content"]["code"]
        return Cell(str(name), str(message["header"]["msg_id"]))
    except (KeyError, AttributeError):  # nothing was asked for: a callback of the event loop, say
        return None
