"""What the database views ask: one question, as a plain function and as a coroutine; and what a page is made of."""

import hashlib
import json

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, QuerySet, Value
from django.http import HttpResponse

from labapp.connections import opened
from labapp.models import Author, Book, Loan, SleepMs
from labapp.parameters import Rows
from labapp.responses import plain_text
from labapp.shelf import BOOKS

HEADER = "Labapp-Database"
ON_A_PAGE = 20

SERVER = hashlib.sha256(settings.SECRET_KEY.encode()).hexdigest()
"""All workers of one server have one key, and no other server has: so loans of several servers stay apart."""

Ran = list[tuple[int, int]]


def books(ms: float) -> QuerySet[Book]:
    """Books with their authors; fetching one takes at least `ms` in the database."""
    found = Book.objects.select_related("author")
    return found.annotate(slept=SleepMs(Value(ms))) if ms else found


def loans() -> QuerySet[Loan]:
    return Loan.objects.filter(server=SERVER)


def ask(rows: Rows, number: int) -> Ran:
    """Read a book, or write a loan, or both; return the thread and the connection of each query."""
    done = []
    if rows.reads:
        done.append(books(rows.ms).get(pk=1 + number % BOOKS))
    if rows.writes:
        done.append(Loan.objects.create(server=SERVER, slept=slept(rows.ms)))
    return [row.ran for row in done]


async def aask(rows: Rows, number: int) -> Ran:
    """The same in Django's async ORM."""
    done = []
    if rows.reads:
        done.append(await books(rows.ms).aget(pk=1 + number % BOOKS))
    if rows.writes:
        done.append(await Loan.objects.acreate(server=SERVER, slept=slept(rows.ms)))
    return [row.ran for row in done]


def ask_and_close(rows: Rows, number: int) -> Ran:
    """For a thread of one's own. Django closes the connection of the request's thread, and knows of no other."""
    try:
        return ask(rows, number)
    finally:
        connection.close()


def slept(ms: float) -> SleepMs | float:
    """What a loan holds; writing it takes at least `ms`, in which SQLite lets nobody else write."""
    return SleepMs(Value(ms)) if ms else 0.0


def asked(rows: Rows, ran: list[Ran]) -> HttpResponse:
    """Say what was asked. A header says as JSON who ran it: [thread, connection] of each query, and this worker's
    counts."""
    response = plain_text(f"Did {rows.do} {rows.n} time{'' if rows.n == 1 else 's'}.")
    response[HEADER] = json.dumps({"ran": [one for some in ran for one in some], **opened()})
    return response


def first_books() -> QuerySet[Book]:
    return Book.objects.select_related("author").order_by("pk")[:ON_A_PAGE]


def authors() -> QuerySet[Author]:
    return Author.objects.annotate(written=Count("books")).order_by(F("written").desc(), "pk")
