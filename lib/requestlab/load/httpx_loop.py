"""The closed loop as a first attempt would write it: one httpx.AsyncClient as it comes, one task a user.

It is here to be measured, not to measure with: see lesson 13.
"""

from __future__ import annotations

import asyncio
import time
from zlib import crc32

import httpx

from requestlab.load.closed_loop import PAUSE_AFTER_ERROR_S
from requestlab.load.connection import OTHER, TIMEOUT, Connection
from requestlab.load.loop import Exchange, LoadLoop
from requestlab.load.plan import Plan


class HttpxLoop(LoadLoop):
    """Drives `plan.users` tasks that share a client, and go through no proxy that the environment names. httpx does not
    say when the first byte came, nor whether it opened a connection: `first_byte` is when the answer's head was there,
    so that `opened` is not known."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(plan, loop)
        host, port = plan.address[:2]
        self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}{plan.requests[0].split(' ', 2)[1]}"

    def begin(self) -> None:
        self._main = self.loop.create_task(self._all_users())

    async def _all_users(self) -> None:
        users = self.plan.users or 1
        limits = httpx.Limits(max_connections=users, max_keepalive_connections=users)
        async with httpx.AsyncClient(limits=limits, timeout=self.plan.timeout_s, trust_env=False) as client:
            await asyncio.gather(*(self._user(client, number) for number in range(users)))
        self.finish()

    async def _user(self, client: httpx.AsyncClient, number: int) -> None:
        left = self.plan.each
        while (planned := time.perf_counter_ns()) < self.deadline and left != 0:
            left = None if left is None else left - 1
            self.started += 1
            answer = await self._ask(client)
            self.record(answer, number, planned)
            if answer.error:
                await asyncio.sleep(PAUSE_AFTER_ERROR_S)

    async def _ask(self, client: httpx.AsyncClient) -> Exchange:
        answer = Exchange(sent=time.perf_counter_ns())
        try:
            async with client.stream("GET", self._url) as response:
                answer.first_byte = time.perf_counter_ns()
                answer.status = response.status_code
                answer.headers = response.headers.raw
                async for (
                    part
                ) in response.aiter_raw():  # as it came: httpx decodes only the first of several gzip members
                    answer.first_body = answer.first_body or time.perf_counter_ns()
                    answer.body += part
        except httpx.HTTPError as problem:
            answer.error = TIMEOUT if isinstance(problem, httpx.TimeoutException) else OTHER
        answer.done = time.perf_counter_ns()
        answer.size, answer.checksum = len(answer.body), crc32(answer.body)
        return answer

    def ended(self, connection: Connection) -> None:
        raise AssertionError("httpx has its own connections")

    def fail_overdue(self, before_ns: int) -> None:
        """httpx ends what takes too long by itself."""
