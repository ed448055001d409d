"""What has been sent to the wall: one row for each lab."""

from __future__ import annotations

from django.db import models


class Sent(models.Model):  # type: ignore[misc]
    """What one lab has sent; it is the same lab, however often it sends, by its `sender`."""

    sender = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=40, blank=True)
    body = models.TextField()
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "wall"
        ordering = ("id",)
