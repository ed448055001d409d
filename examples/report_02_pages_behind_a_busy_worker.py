"""Report 2: do requests queue behind a busy ASGI worker while another one is idle?

Source: https://github.com/Kludex/uvicorn/issues/865 (2020); see also asgiref, issue 218

Claim: gunicorn's sync workers share one queue. uvicorn's workers accept without a limit, so under ASGI requests queue
behind a worker that is busy, while another one is idle.

What decides: two workers, and one user after the other with a view that computes for 500 ms. Beside it, ten users ask
for a small page, five times a second each, on connections that they keep if the server does. The figure is the page's
99th percentile under ASGI, over that under gunicorn's sync worker; above 2 supports the claim. (A round has about 40
pages, so this is nearly the slowest of each round.)

Measured on one machine (2 cores, one of them for both workers; Python 3.11.7, Django 5.2.19, gunicorn 27.0.1, uvicorn
0.54.0): supported. The page's 99th percentile was 5 ms under sync. Under ASGI it was 95 ms beside a sync view, which
computes in a thread (20 times as much; interval 8 to 52), and 442 ms beside an async view, which blocks the event loop
(93 times; 41 to 210). Part of the first ratio is what a page costs under ASGI anyway.

Tried by hand, by changing a line: where the pages come on new connections, their 99th percentile under ASGI is 25 and
35 ms, for the idle worker accepts them. With two users who compute, it is the other way round: both sync workers are
taken and the page waits for 820 ms, and under ASGI for 21 and 98 ms.
"""

import time

from django.http import HttpResponse

import requestlab as lab


def heavy(request):
    end = time.thread_time() + float(request.GET["s"])
    while time.thread_time() < end:
        pass
    return HttpResponse("computed")


async def heavy_async(request):
    return heavy(request)


if __name__ == "__main__":  # this file is what the servers load, too
    wsgi, asgi = (base.replace(workers=2, application=lab.app(__file__)) for base in (lab.SYNC, lab.ASGI))
    contenders = {"sync": wsgi, "ASGI, sync view": asgi, "ASGI, async view": asgi}
    views = {"sync": "heavy", "ASGI, sync view": "heavy", "ASGI, async view": "heavy_async"}
    one_by_one = lab.closed(users=1, keep_alive=False)
    beside = {name: {f"/{view}/?s={lab.seconds(0.5)}": one_by_one} for name, view in views.items()}

    def over_sync(result):
        p99 = result.rounds.query("not dropped").pivot(index="round", columns="contender", values="p99")
        return {name: lab.interval(p99[name], baseline=p99["sync"]) for name in contenders if name != "sync"}

    claim = lab.claim("pages-behind-a-busy-worker")
    pages = lab.closed(users=10, pause_ms=200)
    length = {"seconds": lab.seconds(1), "budget": 30}
    result = lab.compare(contenders, "/sync/page/", pages, beside=beside, ask=claim.by(over_sync), **length)
    print(result.rounds.groupby("contender")[["p50", "p99"]].median().round(1))
    print(claim.judge(over_sync(result)))
