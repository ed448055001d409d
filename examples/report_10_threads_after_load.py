"""Report 10: do threads stay alive after the load has ended?

Source: https://github.com/django/asgiref/issues/458 (2024)

Claim: under ASGI, asgiref's executors leave threads behind, which stay alive after the load has ended.

What decides: 100 users ask for an async view that takes half a second; half of them leave after 100 ms. Then there is
silence. The figure is the number of threads in the worker five seconds later, minus that before the load.

Measured on one machine (2 cores; Python 3.11.7, Django 5.2.19, uvicorn 0.54.0): refuted. There was 1 thread before, up
to 134 under the load, and 1 five seconds later, with and without Django's default middleware; with asgiref 3.13.0 as
with 3.8.1 and with 3.7.2 (on Django 4.2, up to 351). This says nothing about views that never return.

Arguments: paths of interpreters with other versions of asgiref.
"""

import asyncio
import sys

from django.http import HttpResponse

import requestlab as lab


async def wait(request):
    await asyncio.sleep(float(request.GET["s"]))
    return HttpResponse("done")


if __name__ == "__main__":  # this file is what the server loads, too
    path, leaving = f"/wait/?s={lab.seconds(0.5)}", lab.disconnecting(50, after_ms=lab.seconds(100))
    more = {}
    for python in ["", *sys.argv[1:]]:  # paths of interpreters with other versions of asgiref
        for base in lab.ASYNC, lab.ASGI:
            application = lab.app(__file__, middleware=base.middleware)
            with lab.serve(base, application=application, python=python) as server:
                before = lab.measure(server, "/", lab.silent(), seconds=0.1)
                under = lab.measure(server, path, lab.closed(users=50), seconds=lab.seconds(3), beside={path: leaving})
                after = lab.measure(server, "/", lab.silent(), seconds=lab.seconds(5))
            first, last = (run.processes["threads"].iloc[-1] for run in (before, after))
            name = f"asgiref {under.about.machine.versions['asgiref']}, middleware {base.middleware}"
            print(f"{name}: {first} threads before, up to {under.processes['threads'].max()} under load, {last} after")
            more[name] = last - first

    claim = lab.claim("threads-stay-after-load")
    print(claim.judge(more))
