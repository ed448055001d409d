"""How views of the reader's own are named: plain values, without Django, for whoever starts a server."""

from pathlib import Path

PACKED = "functions "
"""What LABAPP_VIEWS begins with where it holds functions: their names follow, a colon, and the functions."""

PACKED_NAME = "experiment"
"""The module that such functions are found in."""


def name_of(views: str) -> str:
    """The name of their module."""
    return PACKED_NAME if views.startswith(PACKED) else Path(views).stem
