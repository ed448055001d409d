"""Three pages: a list of books, one book, and how many the warehouse has."""

import os
import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from shop.models import Book

WAREHOUSE_S = float(os.environ.get("SHOP_WAREHOUSE_MS", "40")) / 1000
"""How long the warehouse takes to answer. It is another company's server; here, the shop only sleeps."""


@require_safe
def books(request: HttpRequest) -> HttpResponse:
    """Render the first forty books."""
    return render(request, "books.html", {"books": Book.objects.order_by("title")[:40]})


@require_safe
def book(request: HttpRequest, number: int) -> HttpResponse:
    """Render one book, with others by its author."""
    found = get_object_or_404(Book, pk=number)
    others = Book.objects.filter(author=found.author).exclude(pk=found.pk)
    return render(request, "book.html", {"book": found, "others": others})


@require_safe
def stock(request: HttpRequest, number: int) -> HttpResponse:
    """Ask the warehouse how many there are, and say so."""
    found = get_object_or_404(Book, pk=number)
    time.sleep(WAREHOUSE_S)
    return render(request, "stock.html", {"book": found, "number": number % 7})
