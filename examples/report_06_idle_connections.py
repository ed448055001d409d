"""Report 6: when does gunicorn's own ASGI worker close an idle connection?

Source: https://github.com/prowler-cloud/prowler/pull/11663 (June 2026) and
https://github.com/benoitc/gunicorn/pull/3735 (September 2026). They contradict each other.

Claim: gunicorn's own ASGI worker ignores `keepalive` and closes idle connections at once (the first); or it never
closes them (the second).

What decides: five clients send one request each and then say nothing. All servers are told to wait for one second. The
figure is the time from the answer until the server closes. A connection that is still open after three seconds counts
as three.

Measured on one machine (2 cores; Python 3.11.7, Django 5.2.19, uvicorn 0.54.0): it is a matter of the version.
gunicorn 27.0.1 closes after 1.0 s, as told: both claims are refuted. gunicorn 26.0.0 closes at once, after 1 ms, and
says nothing of it in the answer: the first claim is supported. gunicorn 26.2.0 had not closed after 3 s: the second is
supported. (26.0.0 with a bare ASGI application in Django's place, tried by hand, did not close within 4 s either.)
gthread, the uvicorn worker, uvicorn and hypercorn 0.18.0 close after 1.0 s; the sync worker closes after each answer;
daphne 4.2.3, granian 2.8.9 and waitress 3.0.2 had not closed after 3 s. Of these three, only waitress has been told
to.

Arguments: paths of interpreters with another gunicorn, and names of other servers of the lab:
    python report_06_idle_connections.py /path/to/venv/bin/python hypercorn daphne granian-asgi waitress
"""

import math
import sys

import requestlab as lab

STANDARD = ["gunicorn-asgi", "gunicorn-sync", "gunicorn-gthread", "gunicorn-uvicorn", "uvicorn"]
FLAGS = {"uvicorn": "--timeout-keep-alive", "waitress": "--channel-timeout", "daphne": "", "granian-asgi": ""}
KEEPALIVE, WATCHED = 1, lab.seconds(3)
STILL_OPEN = WATCHED if WATCHED > 2 * KEEPALIVE else math.nan  # a trial is too short to tell

until_closed = {}
for given in [*STANDARD, *sys.argv[1:]]:
    name, python = ("gunicorn-asgi", given) if "/" in given else (given, "")
    flag = FLAGS.get(name, "--keep-alive")
    options = [flag, str(KEEPALIVE)] if flag else []
    with lab.serve(lab.SYNC, name=name, server=name, options=options, python=python) as server:
        run = lab.measure(server, "/sync/page/", lab.idle(5), seconds=WATCHED)
    idle = (run.requests["done"] - run.requests["first_byte"]) / 1e9
    seconds = idle.where(run.requests["error"] == "closed by the server", STILL_OPEN).median()
    print(f"{run.about.served_by}: {seconds:.2f} s until it is closed")
    if name == "gunicorn-asgi":
        until_closed[run.about.served_by] = seconds

of = "time until an idle connection is closed, with a keepalive of 1 s,"
at_once = lab.claim(
    "asgi-worker-closes-at-once",
    "gunicorn's ASGI worker ignores keepalive and closes idle connections at once.",
    source="prowler, pull request 11663",
    url="https://github.com/prowler-cloud/prowler/pull/11663",
    of=of,
    unit="s",
    supported=(0, KEEPALIVE / 2),
)
never = lab.claim(
    "asgi-worker-never-closes",
    "gunicorn's ASGI worker never closes idle connections.",
    source="gunicorn, pull request 3735",
    url="https://github.com/benoitc/gunicorn/pull/3735",
    of=of,
    unit="s",
    supported=(2 * KEEPALIVE, math.inf),
)
print(at_once.judge(until_closed), never.judge(until_closed), sep="\n\n")
