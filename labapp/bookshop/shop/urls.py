"""Where the pages are."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.books),
    path("books/<int:number>/", views.book, name="book"),
    path("books/<int:number>/stock/", views.stock, name="stock"),
]
