"""Settings of a project with no admin, and no static files, so that little besides Django itself is measured.

Six environment variables are read:

    LABAPP_MIDDLEWARE   a stack, as middleware_stacks.py describes them; `startproject` unless set
    LABAPP_DATABASE     a URL, as databases.py describes them; an SQLite file in the working directory unless set
    LABAPP_UPSTREAM     address of what the views fetch and export call, such as http://127.0.0.1:8001; none unless set
    LABAPP_SECRET_KEY   one key for several worker processes; fresh in each process unless set
    LABAPP_VIEWS        the reader's own views, as experiment.py describes them; none unless set
    LABAPP_SETTINGS     the reader's own settings over these; none unless set
"""

import os
import secrets
from pathlib import Path

from labapp.databases import database_of
from labapp.experiment import Experiment, put_over
from labapp.middleware_stacks import apps_of, middleware_of

DEBUG = False
SECRET_KEY = os.environ.get("LABAPP_SECRET_KEY") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

UPSTREAM = os.environ.get("LABAPP_UPSTREAM", "").rstrip("/")

VIEWS = os.environ.get("LABAPP_VIEWS", "")

ROOT_URLCONF = "labapp.urls"
USE_TZ = True
TIME_ZONE = "UTC"

_stack = os.environ.get("LABAPP_MIDDLEWARE", "startproject")
MIDDLEWARE = middleware_of(_stack)
INSTALLED_APPS = ["labapp", *apps_of(_stack), *([Experiment(VIEWS)] if VIEWS else [])]

# Opened by the views `rows` and `shelf`, and by no other.
DATABASES = {"default": database_of(os.environ.get("LABAPP_DATABASE", ""))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# No context processors: the page must cost the same to render under every middleware stack.
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
    },
]

# Warnings are left out: Django logs one for every 4xx answer, and writing them would be measured too.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "labapp": {"handlers": ["stderr"], "level": "INFO", "propagate": False},  # how far an export has come
    },
}

put_over(globals(), os.environ.get("LABAPP_SETTINGS", ""))
