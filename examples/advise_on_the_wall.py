"""Should the lab's own wall run under ASGI?

`requestlab wall` is a small Django app. Its page is drawn in a thread, so by that page alone `advise` has no reason to
prefer ASGI. What decides is something that no page shows: each screen in the room listens to server-sent events for an
hour. That takes a thread of a WSGI server, and a coroutine of an ASGI server. So the second question is asked by hand:
who still gets the page while twenty others listen?

Found with Django 5.2.19 on two cores: `advise` says "stay" or "cannot tell" of the page. While twenty listened, four
threads gave nobody the page, and one event loop gave it to all, half of them within 4 ms. The wall runs under ASGI.
"""

from pathlib import Path

import requestlab as lab

PAGE, LISTENERS = "/wall/", {"/wall/events/": lab.slow_readers(20, per_s=500)}


def answered(configuration):
    """Return which share of visitors gets the page while others listen."""
    with lab.serve(configuration) as server:
        lab.measure(server, PAGE, lab.closed(users=1, each=5))  # to warm up
        run = lab.measure(server, PAGE, lab.open(rate=5), seconds=lab.seconds(8), timeout=2, beside=LISTENERS)
    print(run)
    return 1 - run.failed.mean()


if __name__ == "__main__":
    folder = Path(lab.__file__).parent / "wall"
    wall = lab.project(folder, settings="requestlab.wall.settings", migrate=True)
    print(lab.advise(wall, lab.mix(PAGE), minutes=2))

    shares = {each.name: answered(each.replace(application=wall)) for each in (lab.THREADS, lab.ASGI)}
    claim = lab.claim(
        "listeners-take-threads",
        "While twenty listen to server-sent events, four threads give nobody else the page, and an event loop does.",
        source="the lab's own wall",
        of="share of pages answered under ASGI, less that under threads,",
        supported=(0.9, 1.0),
        refuted=(-1.0, 0.1),
    )
    print(claim.judge(shares["asgi"] - shares["threads"]))
