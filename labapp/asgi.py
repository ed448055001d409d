"""The project as an ASGI application."""

import os

from django.core.asgi import get_asgi_application

# Assigned, not setdefault(): a learner may have the settings of another project in the environment.
os.environ["DJANGO_SETTINGS_MODULE"] = "labapp.settings"

application = get_asgi_application()
