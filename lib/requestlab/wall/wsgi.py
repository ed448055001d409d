"""The wall under WSGI, to be compared: a page that follows what comes in holds a worker there."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "requestlab.wall.settings")
application = get_wsgi_application()
