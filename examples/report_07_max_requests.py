"""Report 7: does `--max-requests` drop connections?

Source: https://github.com/benoitc/gunicorn/issues/3038 and https://github.com/netbox-community/netbox/issues/14691

Claim: with `--max-requests`, gunicorn's gthread worker resets connections when it restarts.

What decides: one worker that is renewed after 10 requests. One user asks 20 times in turn, each time on a new
connection; then 10 users ask for four seconds, on connections that they keep. The figure is the number of requests
that failed, for each restart.

Measured on one machine (2 cores; Python 3.11.7, Django 5.2.19, gunicorn 27.0.1): refuted. Under gthread, 0 of 355
requests failed in 22 restarts. It was true: gunicorn 21.2.0, started by hand with a bare application, failed 170 of
1,047 requests, 1.6 for each restart. Of the others, sync failed none of 410 in two runs; the uvicorn worker (1 of 533)
and gunicorn's ASGI worker (1 of 1,460) failed one request in one run of two: too few to call. The ASGI worker
restarted 3 times only: it notices the limit late.

Arguments: addresses of servers that were started by hand with `--max-requests 10`. (The lab itself does not start
gunicorn 21: it gives a flag that gunicorn 21 does not know.)
"""

import math
import sys

import requestlab as lab

LIMIT = 10
SERVERS = {
    "gthread": {"server": "gunicorn-gthread", "threads": 4},
    "sync": {"server": "gunicorn-sync"},
    "uvicorn worker": {"server": "gunicorn-uvicorn"},
    "asgi": {"server": "gunicorn-asgi"},
}


def ask(target):
    in_turn = lab.measure(target, "/sync/page/", lab.closed(users=1, each=20, keep_alive=False))
    together = lab.measure(target, "/sync/page/", lab.closed(users=10), seconds=lab.seconds(4))
    errors = [*in_turn.requests["error"], *together.requests["error"]]
    return len(errors), sum(error != "" for error in errors)


dropped = {}
for name, fields in SERVERS.items():
    with lab.serve(lab.SYNC, name=name, options=["--max-requests", str(LIMIT)], **fields) as server:
        first = set(server.counts)
        requests, failed = ask(server)
        restarts = len(set(server.counts) - first)
    dropped[name] = failed / restarts if restarts else math.nan
    print(f"{name}: {failed} of {requests} requests failed, {restarts} restarts")
evidence = {"gthread": dropped["gthread"]}
for address in sys.argv[1:]:  # another gunicorn with --max-requests 10, started by hand
    requests, failed = ask(address)
    evidence[address] = failed / (requests // LIMIT)
    print(f"{address}: {failed} of {requests} requests failed")

claim = lab.claim("max-requests-drops")
print(claim.judge(evidence))
