"""gunicorn's uvicorn worker, once for each event loop, since its loop can be chosen only in a class."""

from __future__ import annotations

from typing import Any

from uvicorn_worker import UvicornWorker


class AsyncioWorker(UvicornWorker):
    """uvicorn's worker on asyncio's own event loop."""

    CONFIG_KWARGS: dict[str, Any] = {"loop": "asyncio", "http": "httptools", "interface": "asgi3"}


class UvloopWorker(UvicornWorker):
    """uvicorn's worker on uvloop."""

    CONFIG_KWARGS: dict[str, Any] = {"loop": "uvloop", "http": "httptools", "interface": "asgi3"}
