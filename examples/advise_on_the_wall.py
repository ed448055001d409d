"""Should the lab's own wall run under ASGI?

`requestlab wall` is a small Django app: each of a room's pages holds a connection open for as long as somebody looks at
it, and each ledger that comes in is one short write. Asked about its page alone, which is drawn in a thread, `advise`
has no reason to prefer ASGI. What decides is what it cannot see in the page: a listener takes a thread of a WSGI server
for an hour, and a coroutine of an ASGI server. So the second question is asked by hand: how long does the page take
while twenty others listen?
"""

from pathlib import Path

import requestlab as lab

if __name__ == "__main__":
    folder = Path(lab.__file__).parent / "wall"
    wall = lab.project(folder, settings="requestlab.wall.settings", migrate=True)
    print(lab.advise(wall, lab.mix("/wall/"), minutes=lab.seconds(120) / 60))

    page, listeners = "/wall/", {"/wall/events/": lab.open(rate=10, keep_alive=False)}
    contenders = {"threads": lab.THREADS.replace(application=wall), "asgi": lab.ASGI.replace(application=wall)}
    result = lab.compare(contenders, page, lab.open(rate=5), ask="p50", beside=listeners, budget=lab.seconds(30))
    print(result)
    claim = lab.claim(
        "listeners-take-threads",
        "While many listen to server-sent events, a page under ASGI takes at most half as long as under threads.",
        source="the lab's own wall",
        of="median response time under ASGI, over that under threads,",
        metric="p50",
        over="asgi",
        under="threads",
        supported=(0, 0.5),
        refuted=(1, float("inf")),
    )
    print(claim.judge(result))
