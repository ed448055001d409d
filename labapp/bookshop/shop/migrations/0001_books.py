"""The table of books, with 200 of them."""

from typing import Any

from django.db import migrations, models

NUMBER = 200


def fill(apps: Any, editor: Any) -> None:
    book = apps.get_model("shop", "Book")
    book.objects.bulk_create(
        book(title=f"Book {number}", author=f"Author {number % 20}", cents=500 + 10 * number)
        for number in range(1, NUMBER + 1)
    )


class Migration(migrations.Migration):
    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.CreateModel(
            name="Book",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(max_length=100)),
                ("author", models.CharField(max_length=100)),
                ("cents", models.PositiveIntegerField()),
            ],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
