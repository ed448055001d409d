"""The wall as a Django project: one SQLite file, no middleware, told by the environment where that file is."""

import os
import secrets

from requestlab.wall import CODE_VARIABLE, DATABASE_VARIABLE, TITLE_VARIABLE

SECRET_KEY = secrets.token_hex(32)
DEBUG = False
ALLOWED_HOSTS = ["*"]  # it is asked by whatever name or number the room knows its machine
ROOT_URLCONF = "requestlab.wall.views"
WSGI_APPLICATION = "requestlab.wall.wsgi.application"
ASGI_APPLICATION = "requestlab.wall.asgi.application"
INSTALLED_APPS = ["requestlab.wall"]
MIDDLEWARE: list[str] = []
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get(DATABASE_VARIABLE, "wall.sqlite3"),
        # A write waits for another instead of failing, and does not hold up those that read.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
"""Bytes of a ledger with its guesses: a whole one has some 100,000."""

WALL_CODE = os.environ.get(CODE_VARIABLE, "wall")
WALL_TITLE = os.environ.get(TITLE_VARIABLE, "What this room found")
