"""A shelf of books, and the loans that requests write."""

from typing import Any

from django.db import models

from labapp.connections import here


class SleepMs(models.Func):
    """0, after so many milliseconds in the database; SQLite's function is in connections.py."""

    function = "sleep_ms"
    output_field = models.FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        asleep = "(SELECT 0.0::float8 FROM pg_sleep((%(expressions)s)::float8 / 1000))"
        return self.as_sql(compiler, connection, template=asleep, **context)


class Noted(models.Model):
    """A row that knows `ran`: the thread and the connection which read or wrote it last."""

    ran: tuple[int, int]

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *given: Any, **named: Any) -> "Noted":
        row = super().from_db(*given, **named)
        row.ran = here()
        return row

    def save(self, *given: Any, **named: Any) -> None:
        super().save(*given, **named)
        self.ran = here()


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)


class Book(Noted):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")


class Loan(Noted):
    """What a request writes: nothing but its being there matters. `server` is the one whose workers wrote it."""

    server = models.CharField(max_length=64, db_index=True)
    slept = models.FloatField()
