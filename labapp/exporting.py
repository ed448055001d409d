"""What the view export has in common in both twins: the objects, the further tries, the account of what became of them.

Nothing is lost without a word: an object that the store did not confirm with the right checksum is tried again, and
reported where that does not help; at the end the store is asked for its own count and checksum of all.
"""

import json
import logging
import secrets
import threading
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from labapp.http_clients import Answer
from labapp.parameters import is_on, milliseconds, one_of, share, shown, whole_number
from labapp.responses import plain_text
from labapp.upstream import CLIENTS, THREADS

OBJECTS_DEFAULT = 100
OBJECTS_MAX = 10_000
SIZE_DEFAULT = 1_000
SIZE_MAX = 100_000
DELAY_DEFAULT_MS = 1
DELAY_MAX_MS = 100
BUCKET_MAX_CHARACTERS = 100

TRIES = 5
PROGRESS_STEPS = 10

logger = logging.getLogger(__name__)


class Asked(NamedTuple):
    n: int
    size: int
    at_once: int
    client: str
    bucket: str
    keep: bool
    query: str


def export_of(request: HttpRequest) -> Asked:
    """What a request asks for: `n` objects of `size` bytes, `at_once` at a time, to a store that takes `ms` for each
    and fails for the share `fail` of them; into which `bucket`, emptied in the end unless `keep=1`; by which `client`.
    Raises BadRequest."""
    ms = milliseconds(request, default=DELAY_DEFAULT_MS, maximum=DELAY_MAX_MS)
    return Asked(
        n=whole_number(request, "n", default=OBJECTS_DEFAULT, maximum=OBJECTS_MAX),
        size=whole_number(request, "size", default=SIZE_DEFAULT, maximum=SIZE_MAX),
        at_once=whole_number(request, "at_once", default=1, minimum=1, maximum=THREADS),
        client=one_of(request, "client", CLIENTS),
        bucket=_bucket(request.GET.get("bucket") or f"export-{secrets.token_hex(8)}"),
        keep=is_on(request, "keep", default=False),
        query=f"?ms={ms:g}&fail={share(request, 'fail'):g}",
    )


def _bucket(given: str) -> str:
    if len(given) <= BUCKET_MAX_CHARACTERS and given.isascii() and given.replace("-", "").isalnum():
        return given
    raise BadRequest(
        f"bucket must be up to {BUCKET_MAX_CHARACTERS} letters, digits and dashes; this request gave {shown(given)}."
    )


class Export:
    """The account of one export. Threads and tasks may call it alike."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.bucket = f"/objects/{asked.bucket}/"
        self.checksum = 0
        self.problems: dict[int, str] = {}
        self._written: set[int] = set()
        self._lock = threading.Lock()

    def shares(self) -> list[range]:
        """The numbers of all objects in `at_once` equal shares."""
        return [range(first, self.asked.n, self.asked.at_once) for first in range(self.asked.at_once)]

    def path(self, number: int) -> str:
        return f"{self.bucket}{number}{self.asked.query}"

    def body(self, number: int) -> bytes:
        """The bytes of an object, no two alike."""
        text = b"object %d of %s. " % (number, self.asked.bucket.encode())
        return (text * (self.asked.size // len(text) + 1))[: self.asked.size]

    def due(self, numbers: range) -> Iterator[int]:
        """Yield each of the numbers, then those again that were not confirmed, until no try is left."""
        for _ in range(TRIES):
            for number in numbers:
                if number not in self._written:
                    yield number

    def answered(self, number: int, answer: Answer) -> None:
        """Note the store's answer; only the checksum of what was sent confirms an object."""
        body = self.body(number)
        if answer.status != 200 or answer.body.strip() != b"%08x" % zlib.crc32(body):
            with self._lock:
                self.problems[number] = f"status {answer.status}" if answer.status else answer.body.decode()
            return
        with self._lock:
            self.problems.pop(number, None)
            self._written.add(number)
            self.checksum = (self.checksum + zlib.crc32(body, zlib.crc32(str(number).encode()))) % 2**32
            done, all_of_them = len(self._written), self.asked.n
        if done * PROGRESS_STEPS // all_of_them > (done - 1) * PROGRESS_STEPS // all_of_them:
            logger.info("export %s: %d of %d objects", self.asked.bucket, done, all_of_them)

    @property
    def written(self) -> int:
        return len(self._written)


def exported(work: Export, held: Answer) -> HttpResponse:
    """Say what was written, by the view's account and the store's; with a 502 where anything is missing or they
    differ."""
    theirs = json.loads(held.body) if held.status == 200 else {}
    ours = {"count": work.written, "bytes": work.written * work.asked.size, "checksum": f"{work.checksum:08x}"}
    lost = {"lost": {str(number): why for number, why in sorted(work.problems.items())}} if work.problems else {}
    complete = not lost and theirs == ours
    answer = {"bucket": work.asked.bucket, "objects": work.asked.n, **ours, "store": theirs, **lost}
    return plain_text(json.dumps(answer), status=200 if complete else 502)
