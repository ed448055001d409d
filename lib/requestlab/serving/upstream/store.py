"""The object store: real bytes in memory, by bucket and name, with a checksum that does not depend on their order."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 256 * 2**20
MAX_OBJECTS = 500_000
OVERHEAD = 300
"""What an object takes beside its bytes, roughly."""


class Full(Exception):
    """The store holds as much as it may."""


@dataclass
class Bucket:
    """Some objects, and what can be said of all together: `checksum` is the sum of the CRC-32 of each name and its bytes,
    modulo 2^32."""

    objects: dict[str, bytes] = field(default_factory=dict)
    size: int = 0
    checksum: int = 0

    def put(self, name: str, body: bytes) -> None:
        self._take_out(name)
        self.objects[name] = body
        self.size += len(body)
        self.checksum = (self.checksum + mark(name, body)) % 2**32

    def _take_out(self, name: str) -> None:
        body = self.objects.pop(name, None)
        if body is not None:
            self.size -= len(body)
            self.checksum = (self.checksum - mark(name, body)) % 2**32


class Store:
    """Buckets by name; they come into being with their first object."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def put(self, bucket: str, name: str, body: bytes) -> int:
        """Keep it and return the CRC-32 of its bytes; raises Full where it does not fit."""
        objects = sum(len(one.objects) for one in self._buckets.values())
        held = sum(one.size for one in self._buckets.values()) + OVERHEAD * objects
        if held + len(body) > MAX_BYTES or objects >= MAX_OBJECTS:
            raise Full(f"the store is full ({objects:,} objects, {held:,} bytes); DELETE a bucket, or /objects/.")
        self._buckets.setdefault(bucket, Bucket()).put(name, body)
        return zlib.crc32(body)

    def get(self, bucket: str, name: str) -> bytes | None:
        kept = self._buckets.get(bucket)
        return kept.objects.get(name) if kept else None

    def summary(self, bucket: str = "") -> dict[str, Any]:
        """Return `count`, `bytes` and `checksum` of one bucket, or of all."""
        wanted = self._wanted(bucket)
        checksum = sum(one.checksum for one in wanted) % 2**32
        return {
            "count": sum(len(one.objects) for one in wanted),
            "bytes": sum(one.size for one in wanted),
            "checksum": f"{checksum:08x}",
        }

    def delete(self, bucket: str = "") -> dict[str, Any]:
        """Empty one bucket, or all, and return what was in there."""
        held = self.summary(bucket)
        if bucket:
            self._buckets.pop(bucket, None)
        else:
            self._buckets.clear()
        return held

    def _wanted(self, bucket: str) -> list[Bucket]:
        if not bucket:
            return list(self._buckets.values())
        return [self._buckets[bucket]] if bucket in self._buckets else []


def mark(name: str, body: bytes) -> int:
    """Return the CRC-32 of a name and the bytes behind it."""
    return zlib.crc32(body, zlib.crc32(name.encode()))
