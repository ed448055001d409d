"""Make the figures that the README shows: `make figures`. Measures on this machine; takes some ten seconds."""

from __future__ import annotations

from pathlib import Path

import requestlab as lab

FOLDER = Path(__file__).parent


def sixty_at_once() -> None:
    """Sixty requests at the same moment, to a view that waits, under the three named configurations."""
    paths = {"sync": "/sync/wait/?ms=25", "mixed": "/sync/wait/?ms=500", "async": "/async/wait/?ms=500"}
    runs = {}
    for configuration in (lab.SYNC, lab.MIXED, lab.ASYNC):
        with lab.serve(configuration, probe=True) as server:
            runs[configuration.name] = lab.measure(server, paths[configuration.name], lab.closed(users=60, each=1))
    picture = lab.plots.threads(runs)
    picture.save(FOLDER / "sixty-at-once.png")
    print(picture.alt)


def one_request() -> None:
    """One request to a sync view under ASGI, on its way between event loop and thread: of thirty, the one of median time."""
    with lab.serve(lab.MIXED, probe=True) as server:
        run = lab.measure(server, "/sync/page/", lab.closed(users=1, each=30))
    typical = int((run.requests["done"] - run.requests["planned"]).argsort().iloc[len(run.requests) // 2])
    picture = lab.plots.timeline(run, requests=slice(typical, typical + 1))
    picture.save(FOLDER / "one-request.png")
    print(picture.alt)


if __name__ == "__main__":
    sixty_at_once()
    one_request()
