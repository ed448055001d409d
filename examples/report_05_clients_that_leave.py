"""Report 5: what becomes of a view whose client has left?

Source: https://github.com/commonknowledge/mapped/pull/116 (2024) and https://github.com/ajslater/codex/pull/701 (2026)

Claim: since Django 5.0, a client that leaves stops an async view (the first); a sync view runs to its end (the second).
From the second one may conclude that nothing stops behind a sync middleware either.

What decides: ten clients ask for a view that takes two seconds, leave after 100 ms, and come again, for one second.
The figure is the share of the views that ran to their end, by the server's log.

Measured on one machine (2 cores; Python 3.11.7 and 3.13.0, uvicorn 0.54.0), of 90 views in each case:

    Django    asgiref    async view    behind a sync layer    sync view
    4.2.30    3.7.2      100 %         100 %                  100 %
    5.0.14    3.7.2      0 %           100 %                  100 %
    5.0.14    3.8.1      0 %           0 %                    100 %
    5.2.19    3.8.1      0 %           0 %                    100 %
    5.2.19    3.13.0     0 %           0 %                    100 %
    6.0.10    3.13.0     0 %           0 %                    100 %

Both claims are supported, and the conclusion is refuted: whether a sync layer is in the way is a matter of asgiref,
which hands the cancellation on in 3.8.1, and did not in 3.7.2.

Arguments: paths of interpreters with other versions of Django and asgiref.
"""

import asyncio
import math
import sys
import time

from django.http import HttpResponse

import requestlab as lab


async def wait_async(request):
    print("began", flush=True)
    await asyncio.sleep(float(request.GET["s"]))
    print("ended", flush=True)
    return HttpResponse("done")


def wait(request):
    print("began", flush=True)
    time.sleep(float(request.GET["s"]))
    print("ended", flush=True)
    return HttpResponse("done")


MAPPED = {"source": "mapped, pull request 116", "url": "https://github.com/commonknowledge/mapped/pull/116"}
CODEX = {"source": "codex, pull request 701", "url": "https://github.com/ajslater/codex/pull/701"}
CASES = {  # path, middleware, claim, who said so, share of views that should run to their end
    "async view": ("/wait_async/", "none", "A client that leaves stops an async view.", MAPPED, 0),
    "behind a sync layer": (
        "/wait_async/",
        "sync",
        "Behind a sync layer, a client that leaves does not stop an async view.",
        CODEX,
        1,
    ),
    "sync view": ("/wait/", "none", "A client that leaves does not stop a sync view.", CODEX, 1),
}

if __name__ == "__main__":  # this file is what the servers load, too
    ended, takes = {case: {} for case in CASES}, lab.seconds(2)
    leaving = lab.disconnecting(10, after_ms=lab.seconds(100))
    for python in ["", *sys.argv[1:]]:  # paths of interpreters with other versions of Django and asgiref
        for case, (path, middleware, *_) in CASES.items():
            with lab.serve(lab.ASYNC, application=lab.app(__file__, middleware=middleware), python=python) as server:
                run = lab.measure(server, f"{path}?s={takes}", leaving, seconds=lab.seconds(1), warmup=0)
                time.sleep(1.5 * takes)
                began, through = server.log.count("began"), server.log.count("ended")
            name = ", ".join(f"{package} {run.about.machine.versions[package]}" for package in ("django", "asgiref"))
            ended[case][name] = through / began if began else math.nan
            print(f"{name}, {case}: {through} of {began} views ran to their end")

    for case, (*_, sentence, source, expected) in CASES.items():
        claim = lab.claim(
            f"client-leaves-{case.replace(' ', '-')}",
            sentence,
            **source,
            of="views that ran to their end",
            unit="share",
            supported=(expected, expected),
        )
        print(claim.judge(ended[case]), end="\n\n")
