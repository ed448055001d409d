"""The object store: real bytes in memory, by bucket and name, with a checksum that does not depend on their order."""

from __future__ import annotations

import zlib
from typing import Any

MAX_BYTES = 256 * 2**20
MAX_OBJECTS = 500_000
OVERHEAD = 300
"""What an object takes beside its bytes, roughly."""


class Full(Exception):
    """The store holds as much as it may."""


class Store:
    """Buckets by name; they come into being with their first object."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, bytes]] = {}
        self._objects = self._bytes = 0

    def put(self, bucket: str, name: str, body: bytes) -> int:
        """Keep it and return the CRC-32 of its bytes; raises Full where it does not fit."""
        held = self._bytes + OVERHEAD * self._objects
        if held + len(body) > MAX_BYTES or self._objects >= MAX_OBJECTS:
            raise Full(f"the store is full ({self._objects:,} objects, {held:,} bytes); DELETE a bucket, or /objects/.")
        objects = self._buckets.setdefault(bucket, {})
        self._objects += name not in objects
        self._bytes += len(body) - len(objects.get(name, b""))
        objects[name] = body
        return zlib.crc32(body)

    def get(self, bucket: str, name: str) -> bytes | None:
        return self._buckets.get(bucket, {}).get(name)

    def summary(self, bucket: str = "") -> dict[str, Any]:
        """Return `count`, `bytes` and `checksum` of one bucket, or of all.

        The checksum is the sum of the CRC-32 of each name and its bytes, modulo 2^32.
        """
        names = [bucket] if bucket else list(self._buckets)
        held = [one for name in names for one in self._buckets.get(name, {}).items()]
        checksum = sum(zlib.crc32(body, zlib.crc32(name.encode())) for name, body in held) % 2**32
        return {"count": len(held), "bytes": sum(len(body) for _, body in held), "checksum": f"{checksum:08x}"}

    def delete(self, bucket: str = "") -> dict[str, Any]:
        """Empty one bucket, or all, and return what was in there."""
        held = self.summary(bucket)
        self._objects -= held["count"]
        self._bytes -= held["bytes"]
        for name in [bucket] if bucket else list(self._buckets):
            self._buckets.pop(name, None)
        return held
