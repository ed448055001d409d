"""What the lab itself costs, against what it promises: `make bench`. Takes three quarters of an hour, most of it the
last chapter; leave the machine alone. `python tests/benchmarks/run.py probing deciding` runs some of them.

Every figure is a ratio within one run of interleaved slices. Exits with 1 where a promise is not kept.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

import requestlab as lab
from requestlab.comparison.comparison import ALIKE
from requestlab.measurement.record import answered
from requestlab.measurement.validity import LATE_MS
from requestlab.serving.server import Server
from requestlab.serving.servers import BACKLOG, Listener
from requestlab.system import machine
from requestlab.system.clocks import cpu_time_ns
from tests.benchmarks import deciding as decide
from tests.benchmarks.rounds import Ratio, interleave, ratio
from tests.cluster import Cluster, cluster

SLICE_S = 1.0
IDLE_S = 2.0
LAUNCHES = 8
PROBING_ROUNDS = 15
"""More than elsewhere: the promise is a tenth, and single slices of the same server differ by half of that."""

ASYNC_PAGE = "/async/page/"
SYNC_PAGE = "/sync/page/"


@dataclass(frozen=True)
class Line:
    """One promise, and what was measured."""

    what: str
    ratio: Ratio
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool:
        above = self.least is None or self.ratio.value >= self.least
        return above and (self.most is None or self.ratio.value <= self.most)

    def __str__(self) -> str:
        least = [] if self.least is None else [f"at least {self.least:g}"]
        most = [] if self.most is None else [f"at most {self.most:g}"]
        word = f"{', '.join([*least, *most])}: {'reached' if self.kept else 'MISSED'}" if least or most else ""
        return f"{self.what:<72}{self.ratio!s:<34}{word}"


def throughput(server: Server, path: str, users: int) -> float:
    return float(_run(server, path, users).summary["throughput"])


def ruler_cpu(server: Server, path: str, users: int) -> float:
    return _run(server, path, users).generator_cpu_per_request


def server_cpu(server: Server, path: str, users: int) -> float:
    return float(_run(server, path, users).summary["cpu_per_request"])


def _run(server: Server, path: str, users: int) -> lab.Run:
    run = lab.measure(server, path, lab.closed(users), seconds=SLICE_S)
    if run.summary["errors"]:
        raise SystemExit(f"{run}: a benchmark must not fail\n{_failures(run)}\n{server}\n{server.log}")
    return run


def _failures(run: lab.Run) -> str:
    """Tell what kinds of failures there were, and when: a failure that cannot be made to come again has to be kept."""
    table = run.requests[~answered(run.requests)].copy()
    table["at_ms"] = (table["done"] - run.about.start) / 1e6
    table["took_ms"] = (table["done"] - table["planned"]) / 1e6
    return str(table[["user", "at_ms", "took_ms", "status", "error", "pid", "number"]].to_string(index=False))


def ceiling() -> list[Line]:
    with lab.serve(lab.NULL) as server:
        slices = {client: partial(_ceiling, server, client) for client in ("lab", "httpx")}
        figures = interleave(slices)
    print(_medians(figures, "/s"))
    return [Line("ceiling at 50 users over stock httpx.AsyncClient's, null server", ratio(figures, "lab", "httpx"), 40)]


def _ceiling(server: Server, client: str) -> float:
    return float(lab.measure(server, "/", lab.closed(50), seconds=SLICE_S, client=client).summary["throughput"])


THREE_SERVERS = (
    (lab.SYNC, SYNC_PAGE),
    (lab.SYNC.replace(server="gunicorn-gthread", threads=4), SYNC_PAGE),
    (lab.ASYNC, ASYNC_PAGE),
)


def against_wrk() -> list[Line]:
    return _against("wrk", lambda server, path: lab.wrk(server, path, users=10, seconds=SLICE_S), 0.95, (0.9, 1.1))


def against_hey() -> list[Line]:
    """hey is itself a part of what it measures: it takes several times the load client's CPU time for a request."""
    return _against("hey", lambda server, path: lab.hey(server, path, users=10, seconds=SLICE_S), 0.95, (0.7, 1.1))


def _against(
    tool: str, ask: Callable[[Server, str], lab.ToolResult | None], least: float, p50: tuple[float, float]
) -> list[Line]:
    if shutil.which(tool) is None:
        print(f"{tool} is not installed (Debian package {tool}): left out")
        return []
    lines = []
    for configuration, path in THREE_SERVERS:
        with lab.serve(configuration) as server:
            slices = {"lab": partial(_ruler_says, server, path), tool: partial(_tool_says, ask, server, path)}
            said = interleave(slices)
        rates = {name: [one[0] for one in values] for name, values in said.items()}
        medians = {name: [one[1] for one in values] for name, values in said.items()}
        print(_medians(rates, "/s"), _medians(medians, "ms"), sep="\n")
        where = f"{tool}'s, Django page, 10 users, {configuration.server}"
        lines.append(Line(f"throughput over {where}", ratio(rates, "lab", tool), least))
        lines.append(Line(f"p50 over {where}", ratio(medians, "lab", tool), *p50))
    return lines


def _ruler_says(server: Server, path: str) -> tuple[float, float]:
    summary = _run(server, path, 10).summary
    return float(summary["throughput"]), float(summary["p50"])


def _tool_says(ask: Callable[[Server, str], lab.ToolResult | None], server: Server, path: str) -> tuple[float, float]:
    said = ask(server, path)
    assert said is not None
    return said.throughput, said.p50


def schedule() -> list[Line]:
    """Lateness of an open loop at 1,000 requests per second: how much of the millisecond that is allowed it takes."""
    with lab.serve(lab.NULL) as server:
        runs = [lab.measure(server, "/", lab.open(rate=1000), seconds=2 * SLICE_S) for _ in range(7)]
        spread = [
            lab.measure(server, "/", lab.open(rate=1000, arrivals="poisson"), seconds=2 * SLICE_S) for _ in range(7)
        ]
    lines = []
    for name, some in (("constant", runs), ("poisson", spread)):
        late = [float(run.summary["late_p99"]) for run in some]
        print(_medians({f"99% sent within, {name}": late}, "ms"))
        shares = {"late": late, "allowed": [LATE_MS] * len(late)}
        lines.append(
            Line(f"lateness at 1,000 /s, {name}: p99 over {LATE_MS:g} ms", ratio(shares, "late", "allowed"), None, 1.0)
        )
    return lines


def same_twice() -> list[Line]:
    """A/A: a configuration beside itself; the lab must call no winner."""
    lines = []
    for configuration, path in ((lab.SYNC, SYNC_PAGE), (lab.ASYNC, ASYNC_PAGE)):
        result = lab.compare({"once": configuration}, path, lab.closed(10), rounds=8, seconds=SLICE_S / 2, control=True)
        found = result.ratio("once again", "once")
        print(f"    {configuration.server}: {found}")
        called = 0.0 if found.verdict == "cannot tell" else 1.0
        lines.append(
            Line(
                f"A/A calls a winner (1) or none (0), {configuration.server}", Ratio(called, called, called), None, 0.0
            )
        )
    return lines


def launches() -> list[Line]:
    """What differs between servers of one configuration for as long as they live; no verdict may be about less than
    that.

    Several of them take part in one comparison; the variance of their means, less what the noise of the rounds
    explains.
    """
    lines = []
    for configuration, path in ((lab.SYNC, SYNC_PAGE), (lab.ASYNC, ASYNC_PAGE)):
        names = [f"launch {number}" for number in range(1, LAUNCHES + 1)]
        field = dict.fromkeys(names, configuration)
        result = lab.compare(field, path, lab.closed(10), rounds=10, seconds=SLICE_S / 2, warmup=0.1)
        for metric in ("cpu_per_request", "throughput", "p50"):
            logs = np.log(result.figures(metric)[names].dropna())
            logs = logs.sub(logs.mean(axis=1), axis=0)
            noise = float(logs.var(ddof=1).mean()) / len(logs)
            apart = max(0.0, float(logs.mean().var(ddof=1)) - noise) ** 0.5
            print(f"    {configuration.server}, {metric}: launches differ by {apart:.2%} (standard deviation)")
            share = Ratio(apart / ALIKE, apart / ALIKE, apart / ALIKE)
            what = f"sd between {LAUNCHES} launches over the {ALIKE:.0%} never called, {metric}, {configuration.server}"
            lines.append(Line(what, share, None, 1.0))
    return lines


def cpu_at_many_users() -> list[Line]:
    lines = []
    for name, configuration, path in (("null server", lab.NULL, "/"), ("Django page, uvicorn", lab.ASYNC, ASYNC_PAGE)):
        with lab.serve(configuration) as server:
            slices = {str(users): partial(ruler_cpu, server, path, users) for users in (10, 500)}
            figures = interleave(slices)
        print(_medians(figures, "ms"))
        lines.append(
            Line(f"CPU per request at 500 users over that at 10, {name}", ratio(figures, "500", "10"), None, 1.5)
        )
    return lines


def cpu_beside_the_server() -> list[Line]:
    lines = []
    for configuration, path, most in ((lab.ASYNC, ASYNC_PAGE, 0.25), (lab.SYNC, SYNC_PAGE, 0.6)):
        with lab.serve(configuration) as server:
            figures: dict[str, list[float]] = {"lab": [], "server": []}
            for _ in range(7):
                run = _run(server, path, 10)
                figures["lab"].append(run.generator_cpu_per_request)
                figures["server"].append(run.summary["cpu_per_request"])
        print(_medians(figures, "ms"))
        what = f"CPU per request over the server's own, Django page, {configuration.server}"
        lines.append(Line(what, ratio(figures, "lab", "server"), None, most))
    return lines


def starting() -> list[Line]:
    lines = []
    for configuration, target in ((lab.SYNC, "labapp.wsgi:application"), (lab.ASGI, "labapp.asgi:application")):
        slices = {
            "serve": partial(_serving_time, configuration),
            "bare": partial(_bare_start, configuration, target),
        }
        figures = interleave(slices, rounds=9)
        print(_medians(figures, "s"))
        what = f"serve() and a first answer over the bare server's start, {configuration.server}"
        lines.append(Line(what, ratio(figures, "serve", "bare"), None, 1.3))
    return lines


def _serving_time(configuration: lab.Configuration) -> float:
    start = time.perf_counter()
    with lab.serve(configuration) as server:
        _ask(server.address)
        return time.perf_counter() - start


def _bare_start(configuration: lab.Configuration, target: str) -> float:
    """Start the same command by hand, without the lab around it, and ask the same question."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        fd = listener.fileno()
        arguments = configuration.arguments(Listener(fd, listener.getsockname()[1]))
        command = [sys.executable, "-m", *arguments[:-1], target]
        start = time.perf_counter()
        server = subprocess.Popen(command, pass_fds=[fd], stderr=subprocess.DEVNULL, cwd="/")
        try:
            _ask(listener.getsockname())
            return time.perf_counter() - start
        finally:
            server.terminate()
            server.wait()


def _ask(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=30) as question:
        question.sendall(b"GET /nowhere/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert question.recv(20).startswith(b"HTTP/1.1 404")


def probing() -> list[Line]:
    lines = []
    for configuration, path in ((lab.SYNC, SYNC_PAGE), (lab.ASGI, SYNC_PAGE), (lab.ASYNC, ASYNC_PAGE)):
        shares = {"off": 0, "on": True, "on, all requests": 1.0, "on, one in ten": 0.1}
        with ExitStack() as stack:
            servers = {
                name: stack.enter_context(lab.serve(configuration, probe=share)) for name, share in shares.items()
            }
            calls = {name: partial(server_cpu, server, path, 10) for name, server in servers.items()}
            figures = interleave(calls, PROBING_ROUNDS)
            idle = ", ".join(f"{name}: {_idle_share(server):.2%}" for name, server in servers.items())
        print(_medians(figures, "ms"))
        print(f"    without any request, of a core: {idle}")
        for name in list(shares)[1:]:
            what = f"server's CPU per request, probe {name}, over off, Django page, {configuration.name}"
            lines.append(Line(what, ratio(figures, name, "off"), None, None if name == "on, all requests" else 1.1))
    return lines


def deciding() -> list[Line]:
    """Comparisons that stop as soon as they are answered: how often they are wrong, and how soon they are right."""
    rounds = decide.rounds_of_equals()
    misled = decide.share_misled(rounds)
    print(f"    {decide.shape(rounds)}")
    lines = [
        Line("share of 10,000 simulated A/A that call a winner after any of 100 rounds", _exactly(misled), None, 0.01)
    ]
    for longer_ms, most_s in ((5.6, 6.0), (10.0, 3.0)):
        median = statistics.median(decide.seconds_until_called(longer_ms))
        lines.append(
            Line(f"seconds until 5 ms of CPU are told from {longer_ms:g}, median", _exactly(median), None, most_s)
        )
    return lines


def deciding_equals() -> list[Line]:
    """Half an hour."""
    called = [decide.called(result) for result in decide.comparisons_of_equals()]
    what = f"share of {len(called)} real A/A with stopping that call a winner"
    return [Line(what, _exactly(sum(called) / len(called)), None, 0.02)]


def generators() -> list[Line]:
    """What each load process adds, where a plan is divided among several: at a rate that leaves them idle, and as fast
    as they can where each has a core of its own beside the server's."""
    cores = len(machine.all_cores().server)
    lines = []
    for most, what, load in (
        (4, "at 2,000 /s each", lambda number: lab.open(rate=2_000 * number)),
        (cores - 1, "as fast as they can", lambda number: lab.closed(users=20 * number)),
    ):
        figures = _by_generators(range(1, most + 1), load)
        print(_medians(figures, "/s"))
        if most == 1:
            print(f"    {what}: two load processes and a server want three cores, and there are {cores}: left out")
        for number in range(2, most + 1):
            shares = {"together": figures[str(number)], "alone": [number * one for one in figures["1"]]}
            each = f"throughput of {number} load processes over {number} times that of one, {what}"
            lines.append(Line(each, ratio(shares, "together", "alone"), 0.9))
    return lines


def _by_generators(numbers: Sequence[int], load: Callable[[int], lab.Load]) -> dict[str, list[float]]:
    """Return the throughput of a null server with so many load processes, each on a worker of a cluster."""
    with ExitStack() as stack:
        server = stack.enter_context(lab.serve(lab.NULL))
        slices = {
            str(number): partial(_divided, server, load(number), stack.enter_context(cluster(places=[()] * number)))
            for number in numbers
        }
        return interleave(slices)


def _divided(server: Server, load: lab.Load, by: Cluster) -> float:
    return float(lab.measure(server, "/", load, seconds=SLICE_S, on=by.client).summary["throughput"])


def _exactly(value: float) -> Ratio:
    return Ratio(value, value, value)


def _idle_share(server: Server) -> float:
    """Return the share of a core that a server's workers use while nobody asks for anything: the heartbeat, mostly."""
    before = [cpu_time_ns(pid) or 0 for pid in server.pids]
    time.sleep(IDLE_S)
    return (sum(cpu_time_ns(pid) or 0 for pid in server.pids) - sum(before)) / 1e9 / IDLE_S


def _medians(figures: dict[str, list[float]], unit: str) -> str:
    return "    " + ", ".join(f"{name}: {statistics.median(values):.3g} {unit}" for name, values in figures.items())


def main() -> None:
    print(machine.facts().caption)
    chapters: list[Callable[[], list[Line]]] = [
        ceiling,
        against_wrk,
        against_hey,
        schedule,
        same_twice,
        launches,
        cpu_at_many_users,
        cpu_beside_the_server,
        starting,
        probing,
        generators,
        deciding,
        deciding_equals,
    ]
    wanted = sys.argv[1:]
    lines: list[Line] = []
    for chapter in chapters:
        if not wanted or chapter.__name__ in wanted:
            print(chapter.__name__.replace("_", " "))
            lines += chapter()
    print("\nratio of medians' rounds: median (smallest to largest round)")
    for line in lines:
        print(line)
    sys.exit(0 if all(line.kept for line in lines) else 1)


if __name__ == "__main__":
    main()
