"""What the timeline says: its finding, what was left out, and what its marks mean."""

from __future__ import annotations

import numpy as np

from requestlab.measurement.timeline import LATE_MS, Block, Scene
from requestlab.plots.inputs import Contender
from requestlab.system import wording
from requestlab.trace.activity import QUEUED, VIEW_ON_LOOP, VIEW_ON_THREAD, WAITS

MUCH = 0.2
"""The share of a response time from which on it is part of the finding."""


def finding(contender: Contender, scene: Scene) -> str:
    """Say in one sentence what is to be seen."""
    if not scene.chosen:
        return f"No request of {contender.label} in this stretch of time"
    if scene.untraced == scene.chosen:
        followed = "it cannot be" if scene.chosen == 1 else "none of them can be"
        return f"{_subject(contender, scene)}: {followed} followed into the server"
    if scene.stuck is not None:
        return _late(contender, scene, scene.stuck)
    if scene.chosen == 1:
        return f"{_subject(contender, scene)} {_one(scene)}"
    return f"{_subject(contender, scene)} {_many(scene)}{_trouble(scene)}"


def _late(contender: Contender, scene: Scene, stuck: Block) -> str:
    """Begin with the loop that was late, and go on with who waited for it, or else with what the requests did."""
    loop = "The event loop" if len(scene.loops) == 1 else f"One of {len(scene.loops):,} event loops"
    lead = f"{loop} was late by up to {wording.ms(stuck.late_ms)} ms{', ' * bool(stuck.at)}{stuck.at}"
    if scene.chosen == 1 or not stuck.waited:
        subject = _subject(contender, scene)
        return f"{lead}; {subject[0].lower()}{subject[1:]} {_one(scene) if scene.chosen == 1 else _many(scene)}"
    among = scene.chosen - scene.untraced
    of = "all of " if scene.partial else "all "
    if stuck.waited < among or among == 2:
        of = f"{'at least ' * stuck.unsure}{stuck.waited:,} of "
    who = f"{'these ' * scene.partial}{wording.counted(among, 'traced request' if scene.untraced else 'request')}"
    waited = "waited for it" if len(scene.loops) == 1 else "waited for a late loop"
    return f"{lead}: {of}{who} under {contender.label}{contender.failures} {waited}"


def _subject(contender: Contender, scene: Scene) -> str:
    under = f"under {contender.label}{contender.failures}"
    if scene.untraced not in (0, scene.chosen):
        traced = scene.chosen - scene.untraced
        were = "was" if traced == 1 else "were"
        return f"Of {wording.counted(scene.chosen, 'request')} {under}, {traced:,} that {were} traced"
    if not scene.partial:
        return f"{'One request' if scene.chosen == 1 else wording.counted(scene.chosen, 'request')} {under}"
    first = "The first " if scene.first == 0 else ""
    several = f"{scene.chosen:,} of {scene.total:,} requests"
    if scene.chosen == 1:
        return f"{'The first' if first else 'One'} of {scene.total:,} requests {under}"
    return f"{first}{several} {under}"


def _one(scene: Scene) -> str:
    client = scene.clients[0]
    took = wording.ms(client.done - client.planned)
    views = client.bars.of(VIEW_ON_LOOP, VIEW_ON_THREAD)
    took_view = (
        f"its view ran for {wording.ms(float(views.ms.sum()))} of {took} ms" if len(views) else f"took {took} ms"
    )
    hops = len(scene.hops)
    if hops:
        return f"hopped {_times(hops)} between {_who(scene)}; {took_view}"
    where = "stayed on the event loop" if scene.loops else "ran on one thread from beginning to end"
    return f"{where}; {took_view}"


def _many(scene: Scene) -> str:
    hops = len(scene.hops)
    if hops:
        return f"hopped {_times(hops)} between {_who(scene)}"
    return f"{'took turns on' if sum(map(len, _used(scene))) == 1 else 'ran on'} {_who(scene)}"


def _trouble(scene: Scene) -> str:
    """A long wait, if that is typical."""
    traced = [client for client in scene.clients if len(client.bars)]
    took = np.array([client.done - client.planned for client in traced])
    for state, what in ((QUEUED, "its turn"), (WAITS, "threads and the loop")):
        waited = np.array([client.bars.of(state).ms.sum() for client in traced])
        if state == QUEUED and scene.loops:
            continue
        if len(took) and np.median(waited) >= MUCH * np.median(took):
            spent = f"{wording.ms(float(np.median(waited)))} of its {wording.ms(float(np.median(took)))} ms"
            return f"; the typical one spent {spent} waiting for {what}"
    return ""


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def _used(scene: Scene) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return the (pid, thread) of the event loops and of the other threads that the chosen requests came to."""
    spans = scene.spans
    pairs = [spans[["pid", column]].drop_duplicates().to_numpy().tolist() for column in ("thread", "ran_on")]
    used = {(pid, thread) for some in pairs for pid, thread in some if thread}
    return used & scene.loop_keys, used - scene.loop_keys


def _who(scene: Scene) -> str:
    loops, threads = map(len, _used(scene))
    parts = ["the event loop" if loops == 1 else wording.counted(loops, "event loop")] if loops else []
    if threads:
        parts.append(wording.counted(threads, "thread"))
    return " and ".join(parts) or "no thread"


def left_out(scene: Scene) -> list[str]:
    """Say what is not drawn, and how often the requests hopped where the title tells of a late loop instead."""
    said = []
    if scene.stuck is not None and scene.stuck.waited and scene.chosen > 1 and len(scene.hops):
        said.append(
            f"{wording.counted(scene.chosen, 'request')} hopped {_times(len(scene.hops))} between {_who(scene)}"
        )
    if scene.partial:
        others = "its other requests" if len(scene.guests) else "others"
        said.append(f"drawn: {scene.chosen:,} of the run's {scene.total:,} requests; what ran for {others} is pale")
    parts = [(scene.hidden_requests, "more request"), (scene.hidden_threads, "more thread")]
    counted = [wording.counted(number, what) for number, what in parts if number]
    if counted:
        said.append(f"and {' and '.join(counted)}, not drawn for want of room")
    if scene.untraced:
        said.append(
            f"{wording.counted(scene.untraced, 'request')} without a trace (not sampled, or no answer): plain grey"
        )
    return said


def explanation(scene: Scene, named: bool) -> str:
    """Explain what a reader could take for something else; `named`: with the pieces' names below."""
    said = []
    if named and len(scene.hops):
        said.append("+: the hop, there and back, with any wait in line.")
    if any(len(track.late) for track in scene.loops):
        elsewhere = (
            "; where nothing is solid then, it was at work that is not Django's, or had to wait for a core or the GIL"
        )
        said.append(
            f"Late: the loop's heartbeat was overdue by more than {LATE_MS:g} ms{'' if scene.unseen else elsewhere}."
        )
    if scene.unseen:
        said.append("Some requests left no trace, or not all of it: what ran for them is missing from the lanes.")
    else:
        said.append("Blank: nothing of Django ran; the server's own work is not recorded.")
    if scene.threads:
        said.append("On a thread, a sleeping view looks like one that computes.")
    if any(track.ended is not None for track in scene.tracks):
        said.append("✕ in a lane: the record breaks off within something that never ended, as when a worker is killed.")
    if any(client.failed for client in scene.clients):
        said.append("✕ at the end of a request: it failed.")
    return " ".join(said)
