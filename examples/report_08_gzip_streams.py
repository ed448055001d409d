"""Report 8: what does GZipMiddleware do to a live stream?

Source: https://code.djangoproject.com/ticket/36293 and https://github.com/goodrain/rainbond-console/pull/1909 (2026)

Claim: GZipMiddleware holds back what a view streams, and sends it as one burst at the end.

What decides: a view streams 20 parts of 100 bytes, one every 100 ms, to a client that accepts gzip. The figure is the
longest silence on the way to the last byte, as a share of the whole time: 5 % in a live stream, nearly all of it in a
burst. (The first byte tells nothing: the header of the gzip format comes at once.) A sync iterator is served under
WSGI and an async one under ASGI, for each of them alone is live there. The same client without gzip is the control.

Measured on one machine (2 cores; Python 3.11.7 and 3.13.0): it changes with the version, so neither claim holds in
general. Without gzip, the longest silence was 6 % everywhere. With gzip:

    Django    sync iterator          async iterator
    4.2.30    100 %, one burst       5 %, live; about 1,560 bytes
    5.2.19    100 %, one burst       5 %, live; about 1,500 bytes
    6.0.10    100 %, one burst       100 %, one burst
    6.1.3     5 %, live; 281 bytes   5 %, live; 191 bytes

So many bytes for 2,000 equal ones show how 4.2 and 5.2 keep async streams live: each part is compressed by itself.

Arguments: paths of interpreters with other versions of Django.
"""

import asyncio
import sys
import time

from django.http import StreamingHttpResponse

import requestlab as lab

PARTS = [b"." * 100] * 20


def live(request):
    def stream():
        for part in PARTS:
            time.sleep(float(request.GET["s"]))
            yield part

    return StreamingHttpResponse(stream())


async def live_async(request):
    async def stream():
        for part in PARTS:
            await asyncio.sleep(float(request.GET["s"]))
            yield part

    return StreamingHttpResponse(stream())


def longest_silence(server, path, headers):
    run = lab.measure(server, path, lab.closed(users=1, each=1, headers=headers), parts=True)
    ms, size = run.parts["ms"], run.parts["size"].sum()
    share = ms.diff().fillna(ms).max() / ms.max()
    django = run.about.machine.versions["django"]
    print(f"Django {django}, {path}, {headers or 'plain'}: {size} bytes, longest silence {share:.0%} of the time")
    return django, share


if __name__ == "__main__":  # this file is what the servers load, too
    application = lab.app(__file__, middleware=["django.middleware.gzip.GZipMiddleware"])
    for view, kind, base in ("live", "sync", lab.SYNC), ("live_async", "async", lab.ASYNC):
        path, silence = f"/{view}/?s={lab.seconds(0.1)}", {}
        for python in ["", *sys.argv[1:]]:  # paths of interpreters with other versions of Django
            with lab.serve(base, application=application, python=python) as server:
                longest_silence(server, path, {})
                django, share = longest_silence(server, path, {"Accept-Encoding": "gzip"})
                silence[f"Django {django}"] = share
        claim = lab.claim(
            f"gzip-holds-{kind}-streams",
            f"GZipMiddleware holds back what a view streams from {kind} iterators until the end.",
            source="Django, ticket 36293",
            url="https://code.djangoproject.com/ticket/36293",
            of="longest silence in the stream",
            unit="share",
            supported=(0.5, 1),
        )
        print(claim.judge(silence))
