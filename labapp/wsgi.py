"""The project as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

# Assigned, not setdefault(): a learner may have the settings of another project in the environment.
os.environ["DJANGO_SETTINGS_MODULE"] = "labapp.settings"

application = get_wsgi_application()
