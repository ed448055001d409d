"""Is this run fit to be believed? Valid, suspect or invalid, with reasons in words.

Invalid: the figures are not those of the server under this load. Suspect: they are, but something else had a part in
them, or they mean less than they seem to. Each check says what it saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from requestlab.load.connection import ERRORS, OTHER, REFUSED, WRONG_BODY
from requestlab.measurement.record import Record, answered
from requestlab.system import wording

BUSY = 0.6
"""Share of the time, spent running or waiting for a core, above which generator or upstream may be what was
measured."""

LATE_UPSTREAM_MS = 0.5
LATE_UPSTREAM = 0.05
"""How much later than it promised the upstream may answer on average: so many ms, or that share of what it promised."""

STARVED_GENERATOR = 0.1
"""Share of the time in which the generator could have run and had no core, although one is set apart for it."""

MUCH_LATER, UNSURE = 0.05, 0.02
"""Shares of the measured stretch: how much later than the others one of several load processes may begin, and how well
its clock must be known, and keep step."""

LATE_MS = 1.0
"""A request that is sent later than this after it was planned is late."""

LITTLE = 0.02
"""How far the requests under way may be from the users, by Little's law, before something is wrong with the load."""

MUCH_STEAL = 0.05
MUCH_FOREIGN = 0.1
"""Shares of the time of the server's cores that went to other machines on the host, and to other processes."""

MUCH_THROTTLED = 0.05
"""Share of the time in which a limit of the control group halted its processes."""

HARMLESS_IDLE = 0.5
"""Other processes do no harm where the server's cores are idle for that share of the time."""

MUCH_PRESSURE = 0.2
"""Share of the time in which something waited for a core, where neither server nor load has reason to."""

TICKS_NS = 20_000_000
"""The system counts the use of cores in steps of 10 ms; both ends of a stretch may be wrong by one."""

FALLEN_BEHIND = 0.05
"""Share of the requests due that may wait at the end of an open loop, beyond those that always do."""

UNLIKE_SIZES = 2.0
"""How many times as large as the smallest answer the largest one may be, if the same was asked for."""

UNEVEN = 1.25
"""How many times an even share of the work the busiest worker may have done."""

DELAYED_ACK_MS = (35.0, 60.0)
"""How long the rest of an answer takes behind its first byte where Nagle's algorithm waits for a delayed
acknowledgement."""

TRAPPED = 0.1
"""Share of such answers that cannot be chance."""

TAIL = 20
"""Requests that should lie beyond a percentile before it means anything."""


def judge(run: Record) -> tuple[str, list[str]]:
    """Return `valid`, `suspect` or `invalid`, and the reasons; a valid run may have remarks on its percentiles."""
    invalid = [reason for check in _INVALID for reason in check(run)]
    suspect = [reason for check in _SUSPECT for reason in check(run)]
    remarks = [remark for check in _REMARKS for remark in check(run)]
    validity = "invalid" if invalid else "suspect" if suspect else "valid"
    return validity, [*invalid, *suspect, *remarks]


def outside(run: Record) -> str:
    """Return what evidence there is that something outside of server and load disturbed the run, in a few words; or
    nothing.

    It looks at no response time: a slice may be left out for this, never for being slow. Loads beside each other hold
    up each other's processes, and more so where the server is fast: that is not from outside.
    """
    alone = not run.about.beside and not run.about.upstream  # which shares the generator's core
    found = {
        "steal": any(_stolen(run)),
        "other processes": any(_foreign(run)),
        "CPU limit": any(_throttled(run)),
        "generator starved": alone and _was_starved(run),
        "schedule late": alone and not run.about.held_back and any(_behind_schedule(run)),
    }
    return ", ".join(name for name, seen in found.items() if seen)


def kept(run: Record, metric: str) -> float:
    """Return which share of a figure would be left at least, had nothing from outside held up server or generator: of
    the time that an answer took (`throughput`), or of a percentile (`p50`). NaN where nobody knows.

    Others stop server and generator for a share s of the time at most. In a closed loop of n users, that delays the
    answers by s n T in all, of the n T that they take together: so their mean by a share of s. A percentile q moves by
    d only where 1 - q of all answers came later by d: so by s / (1 - q) of the mean at most (Markov's inequality).
    Caches and memory, which others share too, are not in it.
    """
    if run.about.users is None or run.about.beside or run.about.upstream or metric == "cpu_per_request":
        return math.nan
    if run.about.unseen:
        return math.nan
    shares = (_stolen_share(run), _foreign_share(run), _throttled_share(run), run.generator_wait)
    held_up = min(1.0, sum(shares))
    times = run.response_ms
    if metric == "throughput" or not len(times):
        return 1 - held_up
    percent = int(metric[1:])
    return 1 - held_up * float(times.mean() / np.percentile(times, percent)) / (1 - percent / 100)


# What makes it invalid.


def _ended(run: Record) -> Iterator[str]:
    if run.about.server_ended:
        yield "the server ended during the run"
    elif run.about.worker_ended and not _renews(run):
        yield "a worker of the server ended, before the run or during it"
    if run.about.nonce is False:
        yield "somebody else answers at the server's address: the answers may not be its own"


def _renews(run: Record) -> bool:
    return run.about.configuration is not None and run.about.configuration.renews_workers


def _unanswered(run: Record) -> Iterator[str]:
    if run.about.misbehaving:
        if _absent(run) == run.about.connections:
            yield "no client could connect"
    elif not len(run.response_ms):
        yield f"no request was answered with a status below 400{_server_error(run)}"


def _server_error(run: Record) -> str:
    return f"; the server's last error: {run.about.server_error}" if run.about.server_error else ""


def _lost(run: Record) -> Iterator[str]:
    rows = int((run.column("user") >= 0).sum())  # the others never had a connection
    if rows != run.about.started:
        yield f"{run.about.started:,} requests were sent, and {rows:,} were answered or failed"


def _counted_otherwise(run: Record) -> Iterator[str]:
    """The server must have counted at least the answers and at most the requests, of all loads together: a request that
    failed may have reached it, or not."""
    if not run.about.counts:
        return
    together = [run, *run.beside.values()]
    counted = sum(run.about.counts.values())
    sent = sum(one.about.started for one in together)
    answers = sum(int((one.column("status") > 0).sum()) for one in together)
    if counted > sent and not any(one.lost for one in run.about.generators):
        yield (
            f"the server counted {counted:,} requests, and {sent:,} were sent: somebody else asked too, or "
            "what was given up earlier came late"
        )
    elif counted < answers:
        yield f"{answers:,} answers came, and the application counted {counted:,} requests: it did not give all of them"


def _parts_lost(run: Record) -> Iterator[str]:
    """The load was not what was asked for from then on."""
    for one in run.about.generators:
        if one.lost:
            yield (
                f"of the load, the part of {one.name} on {one.host} is not whole: {one.lost}; the "
                f"{wording.counted(one.rows, 'request')} that it had told of are here, and the rest of its part is missing"
            )


# What makes it suspect.


def _renewed(run: Record) -> Iterator[str]:
    if run.about.worker_ended and _renews(run):
        seen = sum(count > 0 and pid not in run.about.pids for pid, count in run.about.counts.items())
        yield f"{seen:,} workers were started anew, as the server's options say: the CPU time of those before is not known"


def _wrong_answers(run: Record) -> Iterator[str]:
    total, failed = len(run.requests), int(run.failed.sum())
    if failed:
        wrong = int((run.requests["error"] == ERRORS[WRONG_BODY]).sum())
        bodies = f", {wrong:,} of them with a body that does not hold what was expected" if wrong else ""
        yield f"{failed:,} of {total:,} requests failed{bodies}{_server_error(run) if failed < total else ''}"
    moved = int(run.requests["status"].between(300, 399).sum())
    if 2 * moved > total:
        yield f"{moved:,} of {total:,} answers are redirects (status 3xx): is this the page that was meant?"
    good = run.requests[answered(run.requests)]
    asked = good.groupby("asked")
    if 2 * moved <= total and (asked["status"].nunique() > 1).any():
        statuses = ", ".join(
            f"{count:,} × {status}" for status, count in good["status"].value_counts().sort_index().items()
        )
        yield f"answers to the same request have different statuses: {statuses}"
    most = int(asked["body"].agg(lambda body: body.value_counts().max()).sum()) if len(good) else 0
    if 0.5 * len(good) < most < len(good):
        yield f"{len(good) - most:,} of {len(good):,} answers had another body than the rest"
    elif (asked["size"].max() > UNLIKE_SIZES * asked["size"].min()).any():
        smallest, largest = int(good["size"].min()), int(good["size"].max())
        yield f"answers to the same request are of very different sizes, {smallest:,} to {largest:,} bytes: are all right?"


def generator_was_busy(run: Record) -> bool:
    """Return whether the generator ran, or waited for a core, for so much of the time that it may be what was
    measured."""
    return run.generator_share + run.generator_wait > BUSY


def _generators(run: Record) -> Iterator[str]:
    """Each load process on another machine is looked at by itself."""
    for one in run.about.generators:
        name, share, wait = (
            f"the load process of {one.name} on {one.host}",
            *(ns / 1e9 / run.seconds for ns in (one.cpu_ns, one.wait_ns)),
        )
        if share + wait > BUSY:
            yield f"{name} {_used(share, wait)}: it may have been the bottleneck"
        elif not one.shares_its_core and wait > STARVED_GENERATOR:
            yield f"{name} had to wait for its core for {wait:.0%} of the time: something else ran there"
        if one.late_ns > MUCH_LATER * run.seconds * 1e9:
            yield f"{name} began {one.late_ns / 1e6:.0f} ms after the others"
        if one.unsure_ns > UNSURE * run.seconds * 1e9:
            yield f"the clock of {one.host} is known to {one.unsure_ns / 1e6:.0f} ms only"
        if one.drift_ns > UNSURE * run.seconds * 1e9:
            yield f"the clock of {one.host} went another way by {one.drift_ns / 1e6:.0f} ms"


def _generator(run: Record) -> Iterator[str]:
    if run.about.generators:
        return
    if generator_was_busy(run):
        yield f"the generator {_used(run.generator_share, run.generator_wait)}: it may have been the bottleneck"
    elif _was_starved(run):
        company = "the load beside it" if run.about.beside else "the upstream" if run.about.upstream else ""
        other = f"{company}, or something else," if company else "something else"
        yield f"the generator had to wait for its core for {run.generator_wait:.0%} of the time: {other} ran there"


def _used(share: float, wait: float) -> str:
    waited = f" and waited for it for another {wait:.0%}" if wait > 0.01 else ""
    return f"used {share:.0%} of its core{waited}"


def _was_starved(run: Record) -> bool:
    return not run.about.cores_shared and run.generator_wait > STARVED_GENERATOR


def _upstream(run: Record) -> Iterator[str]:
    upstream = run.about.upstream
    if upstream and upstream.pid is None:
        yield f"the upstream at {upstream.url} did not answer, or was another one at the end: is it still running?"
    if upstream and upstream.strangers:
        yield f"{wording.counted(upstream.strangers, 'request')} came to the upstream from somebody who did not know its token"
    if run.upstream_share + run.upstream_wait > BUSY:
        yield f"the upstream {_used(run.upstream_share, run.upstream_wait)}: it may have been the bottleneck"
    if upstream and upstream.timed:
        promised, late = (ns / upstream.timed / 1e6 for ns in (upstream.promised_ns, upstream.late_ns))
        if late > max(LATE_UPSTREAM_MS, LATE_UPSTREAM * promised):
            yield f"the upstream promised answers after {promised:.3g} ms, and was late by {late:.2g} ms on average"


def _without_company(run: Record) -> Iterator[str]:
    """A load beside another disturbs nobody if none of its requests came through."""
    for path, other in run.beside.items():
        for reason in (*_unanswered(other), *_lost(other), *_stayed_away(other)):
            yield f"of the load beside it, on {path}, {reason}"


def _stayed_away(run: Record) -> Iterator[str]:
    """Clients that misbehave need no answer, but they need a connection."""
    if run.about.misbehaving and 0 < (absent := _absent(run)) < run.about.connections:
        yield f"{absent:,} of {run.about.connections:,} clients could not connect"


def _absent(run: Record) -> int:
    """Return how many clients never had a connection."""
    user, sent, error = (run.column(name) for name in ("user", "sent", "error"))
    came = (sent > 0) & ~np.isin(error, (REFUSED, OTHER))
    return int(run.about.connections) - len(np.unique(user[came]))


def _unfinished(run: Record) -> Iterator[str]:
    planned = (run.about.each or 0) * (run.about.users or 0)
    if len(run.samples) < planned:
        yield f"only {len(run.samples):,} of {planned:,} requests were sent before the time was over; give it more seconds"


def _behind_schedule(run: Record) -> Iterator[str]:
    if run.about.rate is None or not len(run.late_ms):
        return
    late, last = int((run.late_ms > LATE_MS).sum()), float(np.percentile(run.late_ms, 99))
    if run.about.held_back:
        yield (
            f"all {run.about.connections:,} connections were in use: {run.about.held_back:,} requests were held back "
            "until one was free"
        )
    elif last > LATE_MS:
        yield (
            f"{late:,} of {len(run.late_ms):,} requests were sent more than {LATE_MS:g} ms after they were planned (p99 "
            f"{last:.2g} ms): the generator did not keep its schedule"
        )


def fell_behind(run: Record) -> bool:
    """Return whether the server did not keep up with the rate of an open loop."""
    return any(_overtaken(run))


def _overtaken(run: Record) -> Iterator[str]:
    """Some requests are under way at the end of any open loop: as many as were due in the time that the first ones
    took. More than these, and than chance explains where few were due, say that the server fell behind."""
    if run.about.rate is None or not len(run.samples):
        return
    planned, done = (run.column(name) for name in ("planned", "done"))
    middle_s = float(np.median(done - planned)) / 1e9
    if middle_s > run.about.seconds:
        yield (
            f"half of the requests took longer ({middle_s:.3g} s) than requests were sent for ({run.about.seconds:g} s): "
            "nothing says that the server keeps up"
        )
        return
    due = int(((planned >= run.about.start) & (planned <= run.about.end)).sum())
    waiting = int(((planned <= run.about.end) & (done > run.about.end)).sum())
    first = np.argsort(planned, kind="stable")[: max(1, len(planned) // 10)]
    usual = run.about.rate * float(np.median(done[first] - planned[first])) / 1e9
    if waiting > usual + max(min(TAIL, 1.5 * due**0.5), FALLEN_BEHIND * due):
        yield (
            f"{waiting:,} requests waited for their answers at the end, and {due:,} were due in that time: the server did not "
            "keep up, and response times depend on how long the run lasted"
        )


def _littles_law(run: Record) -> Iterator[str]:
    """J. D. C. Little, A proof for the queuing formula L = λW, Operations Research 9 (1961): here over the stretch
    itself, with the parts of requests that lie in it, so that it holds exactly and for any length.

    A user who pauses after each answer is not under way then: the interactive response time law, N = λ (W + Z). A user
    whose request has failed pauses, too; that is told as failures.
    """
    users = run.about.users
    if users is None or run.about.each is not None or (run.column("error") != 0).any():
        return
    under_way = run.mean_under_way("planned" if run.about.pause_ms else "sent") + run.mean_pausing
    if abs(under_way / users - 1) > LITTLE:
        yield (
            f"on average {under_way:.3g} requests were under way, and {users:,} users should have one each (Little's law): the "
            "rest of the time was spent in the load process"
        )


def _users_without_an_answer(run: Record) -> Iterator[str]:
    users = run.about.users
    if users is None or run.about.each is not None:
        return
    done = run.requests["done"]
    served = run.requests["user"][(run.requests["status"] > 0) & (done <= run.about.end)].nunique()
    if served < users:
        yield f"{users - served:,} of {users:,} users had no answer in {run.seconds:.3g} s: too short for so many, or unfair"


def _stolen(run: Record) -> Iterator[str]:
    if (share := _stolen_share(run)) > MUCH_STEAL:
        yield f"other machines on the same host took {share:.0%} of the time of a core of the server's (steal)"


def _stolen_share(run: Record) -> float:
    """Of the core that lost most: one worker runs on one core at a time, and it may have been that one."""
    return max(0, run.about.cores_ns.steal - TICKS_NS) / 1e9 / run.seconds


def _foreign(run: Record) -> Iterator[str]:
    idle = run.about.cores_ns.idle / 1e9 / run.seconds / max(1, run.about.cores_watched)
    if (share := _foreign_share(run)) > MUCH_FOREIGN and idle < HARMLESS_IDLE:
        yield f"other processes used {share:.0%} of the time of the server's cores"


def _foreign_share(run: Record) -> float:
    """Of the cores that the workers can use: one worker runs on one of them at a time. NaN where it is not known."""
    facts = run.about
    cores = min(facts.cores_watched, max(1, len(facts.pids)))
    if facts.server_cpu_ns is None or not cores:
        return math.nan
    generators = sum(one.about.generator_cpu_ns for one in (run, *run.beside.values()))
    own = facts.server_cpu_ns + (generators + (facts.upstream_cpu_ns or 0)) * facts.cores_shared
    return max(0, facts.cores_ns.busy - own - TICKS_NS) / 1e9 / run.seconds / cores


def _throttled(run: Record) -> Iterator[str]:
    if (share := _throttled_share(run)) > MUCH_THROTTLED:
        yield f"a CPU limit (of the container, say) halted processes here for {share:.0%} of the time"


def _throttled_share(run: Record) -> float:
    return (run.about.throttled_ns or 0) / 1e9 / run.seconds


def _pressed(run: Record) -> Iterator[str]:
    pressure = run.about.pressure_ns
    if pressure is None or run.about.capacity != 1 or run.about.cores_shared or _was_starved(run) or run.about.beside:
        return
    if (share := pressure / 1e9 / run.seconds) > MUCH_PRESSURE:
        yield f"something on this machine waited for a core for {share:.0%} of the time (CPU pressure)"


def _uneven(run: Record) -> Iterator[str]:
    counts = sorted(run.about.counts.values(), reverse=True)
    even = sum(counts) / len(counts) if counts else 0
    if len(counts) > 1 and even >= TAIL and counts[0] > UNEVEN * even + 3 * even**0.5:
        each = ", ".join(f"{count:,}" for count in counts)
        yield f"the workers did not share the work evenly: {each} requests, where an even share is {even:,.0f}"


def _delayed_acknowledgements(run: Record) -> Iterator[str]:
    good = run.requests[(run.requests["error"] == "") & (run.requests["first_byte"] > 0)]
    if run.about.misbehaving:  # some of them take their time on purpose
        return
    behind = (good["done"] - good["first_byte"]) / 1e6
    low, high = DELAYED_ACK_MS
    trapped = int(((behind > low) & (behind < high)).sum())
    if trapped and trapped > TRAPPED * len(good):
        yield (
            f"in {trapped:,} of {len(good):,} answers the rest came some 40 ms behind the first byte: Nagle's algorithm was "
            "waiting for a delayed acknowledgement (the server should set TCP_NODELAY)"
        )


def _weak_percentiles(run: Record) -> Iterator[str]:
    beyond = len(run.response_ms)
    weak = [f"p{q}" for q in (95, 99) if 0 < beyond * (100 - q) / 100 < TAIL]
    if weak:
        yield f"too few requests for {' and '.join(weak)}: fewer than {TAIL} lie beyond"


def _quiet(run: Record) -> Iterator[str]:
    if run.about.quiet:
        yield f"{run.about.quiet[0]}: the stacks of the workers then are in run.about.quiet"


_Check = Callable[[Record], Iterator[str]]
_REMARKS: tuple[_Check, ...] = (_weak_percentiles, _quiet)
_INVALID: tuple[_Check, ...] = (_ended, _parts_lost, _unanswered, _lost, _counted_otherwise)
_SUSPECT: tuple[_Check, ...] = (
    _renewed,
    _wrong_answers,
    _generator,
    _generators,
    _upstream,
    _without_company,
    _stayed_away,
    _unfinished,
    _behind_schedule,
    _overtaken,
    _littles_law,
    _users_without_an_answer,
    _delayed_acknowledgements,
    _uneven,
    _stolen,
    _foreign,
    _throttled,
    _pressed,
)
