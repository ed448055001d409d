"""Report 1: does one worker take most of the requests?

Source: https://github.com/Kludex/uvicorn-worker/issues/34 (2025) and https://github.com/benoitc/gunicorn/issues/2670

Claim: of several uvicorn workers, one takes most of the requests: 70 % in a large project, 96 of 100 in a test.

What decides: four workers, a small page, 4 and 40 users who all begin at the same moment, on connections that they
keep, or on a new one for each request. The figure is the busiest worker's share of the requests, where 25 % is even:
the median of three runs.

Measured on one machine (2 cores, one of them for the servers; Python 3.11.7, Django 5.2.19, gunicorn 27.0.1, uvicorn
0.54.0, uvicorn-worker 0.4.0, uvloop 0.23.0): it depends on the connections. The first figure of each pair is for 4
users, the second for 40.

    server                     kept           a new one each time
    sync                       27 %, 27 %     27 %, 27 %
    gthread, 4 threads         100 %, 100 %   32 %, 29 %
    uvicorn worker             100 %, 88 %    26 %, 40 %
    uvicorn worker, uvloop     75 %, 28 %     28 %, 28 %
    uvicorn --workers          100 %, 100 %   27 %, 39 %

So the claim is supported where connections are kept, and refuted where they are not. It is no matter of WSGI or ASGI:
gthread does the same. The sync worker keeps no connections. With 40 of them, uvloop shares them out evenly, and
asyncio's own loop does not.

Chance has a part: this script was run three times (once with seven runs in place of three), and 40 users of the uvicorn
worker who kept their connections gave 100 %, 88 % and 60 %. An explanation that was read, not measured: connections
that come all at once are shared out unevenly, for asyncio accepts all that are there when it wakes.
"""

import statistics

import requestlab as lab

SERVERS = {
    "sync": {"server": "gunicorn-sync"},
    "gthread": {"server": "gunicorn-gthread", "threads": 4},
    "uvicorn worker": {"server": "gunicorn-uvicorn"},
    "uvicorn worker, uvloop": {"server": "gunicorn-uvicorn", "loop": "uvloop"},
    "uvicorn --workers": {"server": "uvicorn"},
}
TIMES = max(1, round(lab.seconds(3)))


def busiest(server, load):
    counts = lab.measure(server, "/sync/page/", load).about.counts  # requests by worker
    return max(counts.values()) / sum(counts.values())


shares = {}
for name, fields in SERVERS.items():
    with lab.serve(lab.SYNC, name=name, workers=4, **fields) as server:
        for users in 4, 40:
            for kept in True, False:
                load = lab.closed(users, each=max(1, round(lab.seconds(160) / users)), keep_alive=kept)
                every = sorted(busiest(server, load) for _ in range(TIMES))
                shares[name, users, kept] = statistics.median(every)
                print(f"{name}, {load}: {shares[name, users, kept]:.0%} ({every[0]:.0%} to {every[-1]:.0%})")

for kept, how in (True, "connections are kept"), (False, "each request has a connection of its own"):
    claim = lab.claim(
        f"one-of-four-workers-{'kept' if kept else 'new'}",
        f"Where {how}, one of four uvicorn workers takes most of the requests.",
        source="uvicorn-worker, issue 34",
        url="https://github.com/Kludex/uvicorn-worker/issues/34",
        of="share of the busiest worker, in the median run,",
        unit="share",
        supported=(0.5, 1),
    )
    print(claim.judge({f"{users} users": shares["uvicorn worker", users, kept] for users in (4, 40)}))
