"""What the shop sells."""

from django.db import models


class Book(models.Model):
    """A book, and for how much it is sold."""

    title = models.CharField(max_length=100)
    author = models.CharField(max_length=100)
    cents = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.title
