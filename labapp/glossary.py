"""The words on the page, a constant: rendering them asks neither disk nor database."""

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("WSGI", "An interface by which a server calls a Python application once per request and waits for the answer."),
    ("ASGI", "An interface by which a server awaits a Python application, which sends its answer as messages."),
    ("worker", "A process that answers requests. Workers share a listening socket and nothing else."),
    ("thread", "A flow of control inside a process, run and interrupted by the operating system."),
    ("event loop", "A scheduler that runs many coroutines in one thread, one at a time."),
    ("coroutine", "A function that gives its thread back to the event loop wherever it awaits something slow."),
    ("GIL", "The lock that lets one thread at a time run Python code in a process."),
    ("middleware", "A layer around every view, which sees the request on its way in and the response on its way out."),
    (
        "crossing",
        "One change between event loop and thread, made so that sync code and async code can call each other.",
    ),
    ("lag", "How late the event loop runs a callback that was due."),
    ("blocking call", "A call that keeps its thread until it is done, whoever else may want that thread."),
    ("thread-sensitive", "Said of sync code that must always run in the same thread, as database connections demand."),
    ("keep-alive", "One connection that carries many requests, one after another."),
    ("throughput", "Requests answered per second."),
    ("latency", "How long one request takes, from the moment it should have been sent."),
    ("back pressure", "What a slow reader does to a writer who is willing to notice."),
)
