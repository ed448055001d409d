"""Report 3: is what a view keeps in `threading.local` made anew for each request?

Source: https://github.com/umap-project/umap/issues/3349 and https://github.com/umap-project/umap/pull/3360 (2026)

Claim: a memory leak "revealed when switching to ASGI, as Django will use one thread per request": what a sync view
keeps in threading.local is made anew for each request.

What decides: a view that answers with status 201 where it had to make the object, and 200 where it found one. The
figure is the number of objects made for 1,000 requests of ten users.

Measured on one machine (2 cores; Python 3.11.7, Django 5.2.19, asgiref 3.13.0, gunicorn 27.0.1, uvicorn 0.54.0):
supported. Sync made 1 object, gthread with 4 threads 4, ASGI 1,000; an async view under ASGI made 1, for it runs on the
event loop's thread. That each of them is made is no leak; it is one where the object is not freed with its thread.
"""

import threading

from django.http import HttpResponse

import requestlab as lab

kept = threading.local()


def keep(request):
    if hasattr(kept, "object"):
        return HttpResponse("found", status=200)
    kept.object = object()
    return HttpResponse("made", status=201)


async def keep_async(request):
    return keep(request)


if __name__ == "__main__":  # this file is what the servers load, too
    application, made = lab.app(__file__), {}
    for name, base, path in (
        ("sync", lab.SYNC, "/keep/"),
        ("gthread, 4 threads", lab.SYNC.replace(server="gunicorn-gthread", threads=4), "/keep/"),
        ("ASGI", lab.ASGI, "/keep/"),
        ("ASGI, async view", lab.ASGI, "/keep_async/"),
    ):
        with lab.serve(base, application=application) as server:
            run = lab.measure(server, path, lab.closed(users=10, each=round(lab.seconds(100))))
        made[name] = 1000 * (run.requests["status"] == 201).mean()
        print(f"{name}: {made[name]:.0f} objects made for 1,000 requests")

    claim = lab.claim("thread-locals-made-anew")
    print(claim.judge(made["ASGI"]))
