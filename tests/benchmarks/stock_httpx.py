"""A closed loop on httpx as it comes, in a process of its own: `python stock_httpx.py URL USERS SECONDS CORE`.

Prints the answers per second, the way a first attempt at a load test would get them: one shared client, one task a user.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import httpx


async def main(url: str, users: int, seconds: float) -> float:
    answers = 0
    limits = httpx.Limits(max_connections=users, max_keepalive_connections=users)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        warm_until = time.perf_counter() + 0.3
        end = warm_until + seconds

        async def user() -> None:
            nonlocal answers
            while time.perf_counter() < end:
                answer = await client.get(url)
                if answer.status_code == 200 and warm_until < time.perf_counter() < end:
                    answers += 1

        await asyncio.gather(*(user() for _ in range(users)))
    return answers / seconds


if __name__ == "__main__":
    url, users, seconds, core = sys.argv[1:]
    if core != "None":
        os.sched_setaffinity(0, {int(core)})
    print(asyncio.run(main(url, int(users), float(seconds))))
