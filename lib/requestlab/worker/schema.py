"""What the probe writes down in a worker, and the lab reads: the columns of a row, and the kinds of rows."""

from __future__ import annotations

ROW_COLUMNS = (
    "id",
    "kind",
    "name",
    "request",
    "parent",
    "thread",
    "begin",
    "running",
    "done",
    "end",
    "ran_on",
    "value",
)
"""A row is so many int64. Times in ns of CLOCK_MONOTONIC, 0 where it did not (yet) come to that. `id` counts from 1 in
each worker; `name` is a line of the worker's file of names; `request` the number of the request in its worker, from 1;
`parent` the id of the row within which this one began; `thread` the native id of the thread where it began.

request     begin: it reached the application; running: its first byte was sent; done: its last; end: the application
            was through with it; value: bytes of body sent
middleware  begin to end: one layer with all that is inside it
view        begin to end
step        begin to end: a stretch without a pause in which the event loop's thread ran the coroutine of `parent`
to_thread   `sync_to_async`. begin: called; running: its function began, on the thread `ran_on`; done: that had ended;
            end: the caller went on
to_loop     `async_to_sync`, likewise; `ran_on` is the thread of the event loop
tick        of the heartbeat. begin: when it was due; end: when it ran; running, done, value: CPU time so far of the
            event loop's thread, of the whole process, and how long that thread has so far waited for a core, in ns
stack       what the event loop's thread was in while a tick was overdue. begin: when that was due; end: when it was
            looked at; running, done: CPU time of the thread so far, and how long it has so far waited for a core, in
            ns; name: the stack, innermost call last, as `file:line function` parted by newlines; value: what it waited
            for then, one of `STATES`. Where `ran_on` is not 0, that is the event loop's thread, and the stack is that
            of `thread`, the one that computed most meanwhile
"""

REQUEST, MIDDLEWARE, VIEW, STEP, TO_THREAD, TO_LOOP, TICK, STACK = range(1, 9)
KINDS = ("", "request", "middleware", "view", "step", "to_thread", "to_loop", "tick", "stack")

STATES = UNKNOWN, IN_LOCK, IN_CALL, OWN = range(4)
"""The kernel says nothing, or that the thread runs; that it waits for a lock, such as the GIL; that it is in another
system call. OWN: the thread looked by itself, so it waited for nothing."""

IN_LOOP = "(event loop)"
"""The stack of an event loop that is in none of its callbacks."""
