"""The wall under ASGI: `uvicorn requestlab.wall.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "requestlab.wall.settings")
application = get_asgi_application()
