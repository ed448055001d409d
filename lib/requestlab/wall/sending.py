"""Sending a ledger to a wall: what is sent is shown first, and a lost connection tries again."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from requestlab.claims.ledger import Ledger
from requestlab.errors import LabError
from requestlab.plots.guesses import Guessed, guesses
from requestlab.system import checks, clocks
from requestlab.system.progress import Progress
from requestlab.wall.message import Message
from requestlab.worker import kernel

TRIES = 6
FIRST_PAUSE_S = 0.5
TIMEOUT_S = 15.0
_STEAL_IS_KNOWN_S = 60


def send(ledger: Ledger, address: str, name: str = "", ask: bool = True) -> str:
    """Show what would be sent to the wall at that `address`, which ends with its code, and send it if the reader says
    yes; without `ask`, send it. Returns a sentence that says what became of it.

    `name` is what the wall calls this machine. Raises ConfigurationError for an address or a name that cannot be, and
    LabError where the wall cannot be reached after some tries, or does not take it.
    """
    url = _url(address)
    checks.writable("send(name)", name)
    message = Message(sender(), name[:40], ledger, tuple(_placed(guesses().all, ledger)), _steal())
    if ask:
        print(shown(message, url))
        if not _says_yes():
            return "Nothing was sent."
    told = _post(url, message)
    return f"The wall at {urlsplit(url).netloc} has {told['verdicts']} verdicts of {told['name']}."


def _placed(guesses: Iterable[Guessed], ledger: Ledger) -> Iterator[Guessed]:
    """Yield the guesses, each with its notebook. Where an editor does not tell a kernel which it runs, the claims that
    were judged in it do."""
    notebooks = {one.claim.notebook for one in ledger.verdicts}
    known = notebooks.pop() if len(notebooks) == 1 else ""
    for one in guesses:
        yield one if one.notebook else replace(one, notebook=known)


def shown(message: Message, url: str) -> str:
    """Return in words what is sent, and where."""
    machine = message.ledger.machine
    rows = [
        f"To {url}:",
        f"  {len(message.ledger.verdicts)} verdicts, each with its figures and the versions it was measured with",
        f"  {len(message.guesses)} guesses",
        f"  of this machine: {machine.caption if machine else 'nothing, since it has no verdict yet'}",
        f"  the name {message.name!r}" if message.name else "  no name: the wall gives it a number",
    ]
    return "\n".join(rows)


def sender() -> str:
    """Return the random number of this lab, kept in the user's cache: what it sends again counts once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "requestlab"
    file = folder / "sender"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text()
    except OSError as problem:
        raise LabError(f"{str(file)!r} cannot be written, and has to tell this lab from others: {problem}") from None
    with os.fdopen(descriptor, "w") as opened:
        opened.write(number := secrets.token_hex(16))
    return number


def _says_yes() -> bool:
    try:
        return input("Send this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise LabError("nobody can be asked here; send(..., ask=False) sends without a question") from None


def _post(url: str, message: Message) -> dict[str, object]:
    import httpx  # only here: it takes long to import

    pause_s, why = FIRST_PAUSE_S, ""
    with Progress(f"sending to {urlsplit(url).netloc}") as progress:
        for left in reversed(range(TRIES)):
            try:
                answer = httpx.post(f"{url}/entries/", content=message.to_json(), timeout=TIMEOUT_S, trust_env=False)
            except httpx.TransportError as problem:
                why = str(problem) or type(problem).__name__
            else:
                if answer.status_code == 200:
                    return dict(answer.json())
                if answer.status_code < 500:
                    known = {404: "there is no wall with that code"}
                    raise LabError(f"{url} did not take it: {known.get(answer.status_code, answer.text.strip()[:200])}")
                why = f"it answered {answer.status_code}"
            deadline = time.monotonic() + pause_s * bool(left)
            while time.monotonic() < deadline:
                progress.tick()
                time.sleep(0.05)
            pause_s *= 2
    raise LabError(
        f"the wall at {url} could not be reached in {TRIES} tries: {why}; is the address right, and the wall on?"
    )


def _url(address: str) -> str:
    expected = "the address on the wall, such as http://192.168.0.5:8765/CODE"
    given = checks.text("send(address)", address, expected).rstrip("/")
    try:
        parts = urlsplit(given)
        code = parts.path.strip("/")
        if parts.scheme in ("http", "https") and parts.hostname and code and "/" not in code and parts.port != 0:
            return given
    except ValueError:
        pass
    raise checks.wrong("send(address)", address, expected)


def _steal() -> float | None:
    """Return the share of the time of this machine's cores that others on the host took, since it started."""
    if kernel.PORTABLE:
        return None
    use = clocks.use_of_cores(sorted(kernel.usable_cores())).values()
    spent = sum(sum(core.values()) for core in use)
    return sum(core["steal"] for core in use) / spent if spent > _STEAL_IS_KNOWN_S * 1e9 else None
