"""The wall's one table."""

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.CreateModel(
            "Sent",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sender", models.CharField(max_length=64, unique=True)),
                ("name", models.CharField(blank=True, max_length=40)),
                ("body", models.TextField()),
                ("changed", models.DateTimeField(auto_now=True)),
            ],
            {"ordering": ("id",)},
        )
    ]
