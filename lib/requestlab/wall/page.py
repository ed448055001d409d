"""The page of a room: live on the wall, or a file made from folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from requestlab.claims import cards
from requestlab.claims.ledger import read_all
from requestlab.plots import guesses
from requestlab.system import html
from requestlab.wall.axis import axis
from requestlab.wall.room import Entry, Room

MOST_GUESSES = 200
"""Of one lesson: more are not read."""


def page(room: Room, title: str, code: str = "", address: str = "") -> Markup:
    """Return the whole page; with the `code` that lets people in, one that follows what comes in at that `address`."""
    return html.render("wall/page.html.j2", title=title, code=code, address=address, claims=claims(room))


def claims(room: Room) -> Markup:
    """Return the part of the page that changes."""
    return html.render(
        "wall/claims.html.j2",
        room=room,
        disagreed=sum(one.disagree for one in room.judged),
        axis_of=axis,
        most=MOST_GUESSES,
        COLOURS=cards.COLOURS,
    )


def room_of(folders: Sequence[Path]) -> Room:
    """Return the room of ledgers in folders; raises LedgerFormatError where there is none."""
    kept = {folder.resolve().name: guesses.read(folder).all for folder in folders}
    return Room(tuple(Entry(one.name, one, kept.get(one.name, ())) for one in read_all(folders)))
