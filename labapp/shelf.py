"""Making the tables and filling them, when a request first wants them: once per database, whoever else is at it."""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.db.models import Model

from labapp.models import Author, Book, Loan

AUTHORS = 10
BOOKS = 200
LOCK = 26_857  # any number that nobody else takes

_ready = False


def prepare() -> None:
    """See to it that the shelf is there. Uses this thread's connection, the first time in each process."""
    global _ready
    if not _ready:
        with alone():
            make_tables()
            fill()
        _ready = True


async def aprepare() -> None:
    if not _ready:
        await sync_to_async(prepare)()


@contextmanager
def alone() -> Iterator[None]:
    """Keep out all other threads and workers: by a lock of PostgreSQL, or by one on a file beside SQLite's."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            yield
    else:
        with open(f"{connection.settings_dict['NAME']}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed, or the process gone
            yield


def make_tables() -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")  # kept in the file; readers no longer wait for the writer
    make_missing((Author, Book, Loan))


def make_missing(models: Iterable[type[Model]]) -> None:
    """Make those tables that are not there."""
    there = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in models:
            if model._meta.db_table not in there:
                editor.create_model(model)


def fill() -> None:
    """Put the books there, all or none: whoever is killed half-way leaves an empty shelf to the next."""
    if Book.objects.exists():
        return
    with transaction.atomic():
        Author.objects.bulk_create([Author(pk=n, name=f"Author {n}") for n in range(1, AUTHORS + 1)])
        Book.objects.bulk_create(
            [Book(pk=n, title=f"Book {n}", author_id=1 + n % AUTHORS) for n in range(1, BOOKS + 1)]
        )
