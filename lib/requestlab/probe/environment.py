"""The variables through which the lab tells a server's processes what to do."""

TARGET = "REQUESTLAB_TARGET"
"""The application to serve: `module:attribute`."""

INTERFACE = "REQUESTLAB_INTERFACE"
"""`wsgi` or `asgi`."""

PROBE = "REQUESTLAB_PROBE"
"""Not empty: note who serves each request."""

NONCE = "REQUESTLAB_NONCE"
"""What only this run's workers can answer with."""
