"""Write your own experiment: a view, a middleware and a flag, judged.

The question: does a limit on requests under way (`--limit-concurrency`) keep answers fast for those who get one, when
more people come than a worker can serve? Change any part of it into your own.
"""

import time

from django.http import HttpResponse

import requestlab as lab


def report(request):  # your view, at /report/
    time.sleep(0.05)
    return HttpResponse("done")


def stamp(get_response):  # your middleware
    def layer(request):
        response = get_response(request)
        response["X-Stamp"] = "seen"
        return response

    return layer


if __name__ == "__main__":  # this file is what the servers load, too
    mine = lab.app(__file__, middleware=["stamp"], settings={"USE_TZ": False})
    free = lab.ASGI.replace(application=mine)
    limited = free.replace(options=["--limit-concurrency", "5"])  # your flag
    result = lab.compare(
        {"free": free, "limited": limited}, "/report/", lab.closed(users=20), ask="p50", budget=lab.seconds(20)
    )
    print(result)
    claim = lab.claim(
        "limit-keeps-answers-fast",
        "A limit on requests under way keeps the median answer at least a fifth shorter.",
        source="a question of yours",
        of="median response time with the limit, over that without,",
        metric="p50",
        over="limited",
        under="free",
        supported=(0, 0.8),
    )
    print(claim.judge(result))
