"""The variables through which the lab tells a server's processes what to do."""

TARGET = "REQUESTLAB_TARGET"
"""The application to serve: `module:attribute`."""

INTERFACE = "REQUESTLAB_INTERFACE"
"""`wsgi` or `asgi`."""

PROBE = "REQUESTLAB_PROBE"
"""Not empty: note who serves each request."""

NONCE = "REQUESTLAB_NONCE"
"""What only this run's workers can answer with."""

DIRECTORY = "REQUESTLAB_DIRECTORY"
"""The run's own directory, where each worker keeps its count of requests."""
