"""The wall: what comes in is shown once, to all, whatever it is; and a page of the same from folders."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import requestlab as lab
from requestlab.claims.ledger import Ledger, append
from requestlab.claims.verdict import Verdict
from requestlab.errors import ConfigurationError, LabError, LedgerFormatError
from requestlab.plots.guesses import Guessed, read
from requestlab.system import machine
from requestlab.wall import axis, message, page, sending
from requestlab.wall.message import Message
from requestlab.wall.room import Entry, Judged, Room
from tests.tiny_server import read_request, tiny_server

CODE = "KITES"
CLAIM = "many-requests-one-thread"


def verdict(word: str, **facts: object) -> Verdict:
    """Return a verdict on a claim of counts, of a machine with these facts."""
    given = judged(1)
    finding = replace(given.findings[0], verdict=word, value=1.0 if word == "supported" else 7.0)
    here = replace(machine.facts(), **facts)  # type: ignore[arg-type]
    return replace(given, verdict=word, findings=(finding,), machine=here)


def judged(count: int) -> Verdict:
    """Return a verdict without recording it."""
    from requestlab.claims import ledger

    before = len(ledger._given)
    try:
        return lab.claim(CLAIM).judge(count)
    finally:
        del ledger._given[before:]


def entry(
    name: str, word: str, guesses: tuple[Guessed, ...] = (), steal: float | None = None, **facts: object
) -> Entry:
    one = verdict(word, **facts)
    return Entry(name, Ledger((one,), name, one.machine), guesses, steal)


def sent(number: int, word: str = "supported", name: str = "", **facts: object) -> Message:
    one = verdict(word, **facts)
    return Message(f"{number:032x}", name, Ledger((one,), name, one.machine), (Guessed("2", "One thread."),), 0.01)


@contextmanager
def wall(*more: str) -> Iterator[str]:
    """Run a wall; give its address."""
    command = [
        sys.executable,
        "-m",
        "requestlab.cli",
        "wall",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--code",
        CODE,
        *more,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) in (0, 130, -2)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    """Return where a wall answers, once it does."""
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.search(r"http://[\d.]+:\d+/\w+", first)
    assert found, first
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(found[0] + "/", trust_env=False)
            return found[0]
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from tests.processes import started_for_all

    with started_for_all(), wall() as at:
        yield at


def post(address: str, body: str | bytes) -> httpx.Response:
    return httpx.post(f"{address}/entries/", content=body, timeout=30, trust_env=False)


# What sets machines apart


def test_machines_that_disagree_are_told_apart_by_what_they_do_not_share():
    two = [entry("a", "supported", usable_cores=2), entry("b", "refuted", usable_cores=8)]
    (found,) = Room((*two, entry("c", "refuted", usable_cores=8))).judged
    assert found.disagree
    assert found.words == {"refuted": 2, "supported": 1}
    assert found.apart == "What sets them apart: cores (2 where it is supported, 8 where not)."
    (same,) = Room((entry("a", "supported"), entry("b", "refuted"))).judged
    assert "Nothing that is known of these machines sets them apart" in same.apart
    (agreed,) = Room((entry("a", "supported"), entry("b", "supported"))).judged
    assert (agreed.disagree, agreed.apart) == (False, "")


def test_steal_and_python_are_among_what_may_set_them_apart():
    (found,) = Room(
        (
            entry("a", "supported", steal=0.0, python="3.11.7"),
            entry("b", "refuted", steal=0.2, python="3.13.0"),
        )
    ).judged
    assert "Python (3.11 where it is supported, 3.13 where not)" in found.apart
    assert "steal (little where it is supported, much where not)" in found.apart


def test_claims_on_which_machines_disagree_come_first_and_machines_in_the_order_of_their_figures():
    other = replace(judged(1), claim=lab.claim("no-python-threads"))
    ledger = Ledger((other, verdict("refuted")), "a", machine.facts())
    room = Room((Entry("a", ledger), entry("b", "supported")))
    first, second = room.judged
    assert (first.claim.id, second.claim.id) == (CLAIM, "no-python-threads")
    assert [one.entry.name for one in first.found] == ["b", "a"]


def test_every_figure_lies_on_the_axis_and_the_order_of_places_is_that_of_figures():
    found = Room((entry("a", "supported"), entry("b", "refuted"))).judged[0]
    drawn = axis.axis(found)
    places = [line.at for line in drawn.lines]
    assert places == sorted(places)
    assert all(drawn.left <= place <= drawn.right for place in places)
    assert drawn.lines[1].words.startswith("b: 7")
    assert drawn.ticks
    empty = replace(found.found[0], verdict=replace(found.found[0].verdict, findings=(nothing(found),)))
    assert axis.axis(Judged(found.claim, (empty,))).lines == ()


def nothing(found: Judged):
    nan = float("nan")
    return replace(found.found[0].finding, value=nan, low=nan, high=nan)


# What is sent


def test_a_message_survives_the_way_and_what_is_none_is_refused_in_a_sentence():
    one = sent(7, name="Ada")
    again = message.parsed(one.to_json())
    assert (again.sender, again.name, again.guesses, again.steal) == (one.sender, "Ada", one.guesses, 0.01)
    assert [verdict.to_plain() for verdict in again.ledger.verdicts] == [
        verdict.to_plain() for verdict in one.ledger.verdicts
    ]
    told = json.loads(one.to_json())
    bad = ["", "{}", "[]", "null", "1", "[" * 5_000, '{"format": 1}', "\udcff".encode("utf-8", "surrogateescape")]
    bad += [json.dumps(told | change) for change in BAD]
    for text in bad:
        with pytest.raises(LedgerFormatError) as raised:
            message.parsed(text)
        assert len(str(raised.value)) < 500


BAD: list[dict[str, object]] = [
    {"format": 2},
    {"sender": "../../etc"},
    {"sender": None},
    {"name": "two\nlines"},
    {"steal": "much"},
    {"steal": float("inf")},
    {"verdicts": None},
    {"verdicts": [{}]},
    {"verdicts": [{"format": 99}]},
    {"verdicts": [None] * 3_000},
    {"guesses": [{"guess": 1}]},
    {"guesses": "all"},
]


def test_what_would_be_sent_is_shown_and_nothing_is_sent_without_a_yes(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert lab.ledger().send("http://127.0.0.1:1/KITES", name="Ada") == "Nothing was sent."
    said = capsys.readouterr().out
    assert "To http://127.0.0.1:1/KITES:" in said
    assert "the name 'Ada'" in said
    assert (tmp_path / "requestlab" / "sender").stat().st_mode & 0o777 == 0o600
    assert sending.sender() == sending.sender()


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:8765/KITES", "http://127.0.0.1:8765", "http://[::1/X", "ftp://a/X", 5]
)
def test_an_address_that_cannot_be_is_refused(address):
    with pytest.raises(ConfigurationError, match="the address on the wall"):
        lab.ledger().send(address, ask=False)


def test_a_wall_that_fails_at_first_is_tried_again_and_one_that_is_not_there_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sending, "FIRST_PAUSE_S", 0.01)
    asked: list[int] = []

    def behave(connection) -> None:
        read_request(connection)
        asked.append(1)
        if len(asked) == 2:
            connection.sendall(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        elif len(asked) > 2:
            body = b'{"name": "Ada", "verdicts": 0}'
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with tiny_server(behave) as server:
        assert "0 verdicts of Ada" in lab.ledger().send(f"{server.url}/KITES", ask=False)
    assert len(asked) == 3
    with pytest.raises(LabError, match=r"could not be reached in 6 tries.*is the address right"):
        lab.ledger().send("http://127.0.0.1:1/KITES", ask=False)


# The wall itself


def test_what_comes_in_is_on_the_page_once_and_escaped(address):
    for _ in range(3):
        assert post(address, sent(1, name="<script>alert(1)</script>").to_json()).json()["verdicts"] == 1
    text = httpx.get(f"{address}/", trust_env=False).text
    assert "<script>alert(1)" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;: ") == 1
    assert 'id="claim-many-requests-one-thread"' in text
    assert "One thread." in text


def test_what_a_lab_sends_of_a_second_lesson_stands_beside_the_first_and_again_in_its_place(address):
    first, second = sent(4, name="Grace"), sent(4, "refuted")
    other = replace(second.ledger.verdicts[0], claim=lab.claim("no-python-threads"))
    guesses = (Guessed("3", "Two threads.", "05-other"),)
    second = replace(second, ledger=replace(second.ledger, verdicts=(other,)), guesses=guesses)
    assert post(address, first.to_json()).json() == {"name": "Grace", "verdicts": 1}
    for _ in range(2):
        assert post(address, second.to_json()).json() == {"name": "Grace", "verdicts": 2}
    again = replace(second, ledger=sent(4, "refuted").ledger)
    assert post(address, again.to_json()).json() == {"name": "Grace", "verdicts": 2}
    text = httpx.get(f"{address}/", trust_env=False).text
    assert text.count("<title>Grace: ") == 2
    assert re.findall(r"<title>Grace: [^<]*, (\w+)</title>", text) == ["refuted", "refuted"]
    assert "<h2>What was guessed in 05-other</h2>" in text
    assert text.count("<td>Grace</td><td>3</td><td>Two threads.</td>") == 1
    assert text.count("<td>Grace</td><td>2</td><td>One thread.</td>") == 1


def test_what_was_guessed_stands_with_the_claims_of_its_lesson():
    lesson = lab.claim(CLAIM).notebook
    guesses = (Guessed("2", "One thread.", lesson), Guessed("9", "Nine.", "mine"))
    room = Room((entry("Ada", "supported", guesses), entry("Grace", "supported")))
    there, elsewhere = room.lessons
    assert [one.claim.id for one in there.judged] == [CLAIM]
    assert there.guessed == (("Ada", guesses[0]),)
    assert (elsewhere.notebook, elsewhere.judged, elsewhere.guessed) == ("mine", (), (("Ada", guesses[1]),))


def test_a_guess_of_an_unknown_notebook_is_sent_as_one_of_the_notebook_whose_claims_were_judged():
    one, other = judged(1), replace(judged(1), claim=lab.claim("near-zero-overhead"))
    guesses = (Guessed("2", "One thread."), Guessed("3", "Three.", "mine"))
    placed = [guess.notebook for guess in sending._placed(guesses, Ledger((one,)))]
    assert placed == [one.claim.notebook, "mine"]
    assert [guess.notebook for guess in sending._placed(guesses, Ledger((one, other)))] == ["", "mine"]


def test_a_guess_knows_its_notebook_and_keeps_it_in_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTLAB_LEDGER", str(tmp_path))
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/01-who-runs-my-view.ipynb")
    lab.plots.counts({"asgi": 1}, "threads", predicted={"asgi": 2})
    (kept,) = read(tmp_path).all
    assert (kept.guess, kept.notebook) == ("asgi 2", "01-who-runs-my-view")


def test_without_the_code_nothing_is_to_be_seen_or_sent(address):
    base = address.rpartition("/")[0]
    for path in ("/", "/OTHER/", "/OTHER/events/", "/admin/", "/static/", f"/{CODE}/../"):
        assert httpx.get(base + path, trust_env=False).status_code in (404, 301)
    assert post(f"{base}/OTHER", sent(2).to_json()).status_code == 404
    assert httpx.get(f"{address}/entries/", trust_env=False).status_code == 405


def test_nonsense_and_what_is_too_large_are_refused_in_a_sentence(address):
    assert post(address, "nonsense").status_code == 400
    assert post(address, b"\xff\xfe").text == "expected what lab.ledger().send() sends\n"
    assert post(address, b"a" * 2_000_000).status_code in (400, 413)
    assert httpx.get(f"{address}/", trust_env=False).status_code == 200


def test_who_listens_sees_what_comes_in(address):
    seen: list[str] = []
    began = threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{address}/events/", timeout=20, trust_env=False) as answer:
            began.set()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:]))
                if "somebody new" in "".join(seen):
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert began.wait(10)
    post(address, sent(3, name="somebody new").to_json())
    thread.join(15)
    assert not thread.is_alive()
    assert "somebody new" in seen[-1]


@pytest.mark.parametrize("many", [40, pytest.param(200, marks=pytest.mark.thorough)])
def test_ledgers_sent_at_once_are_all_there_and_each_once(many):
    with wall() as at, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: post(at, sent(number).to_json()), [*range(many), *range(20)]))
        assert {answer.status_code for answer in answers} == {200}
        text = httpx.get(f"{at}/", timeout=60, trust_env=False).text
        assert f"{many} machines, 1 claims judged" in text
        assert {f"machine {number}" for number in range(1, many + 1)} == set(
            re.findall(r"<td>(machine \d+)</td><td>\d", text)
        )


def test_a_wall_that_is_kept_has_everything_when_it_is_started_again(tmp_path):
    kept = tmp_path / "room.sqlite3"
    with wall("--keep", str(kept)) as at:
        post(at, sent(1, name="Ada").to_json())
    with wall("--keep", str(kept)) as at:
        assert "Ada" in httpx.get(f"{at}/", trust_env=False).text


def test_a_port_that_is_taken_and_a_code_that_cannot_be_are_sentences(address):
    port = re.search(r":(\d+)/", address)[1]  # type: ignore[index]
    for words, said in (
        (["--host", "127.0.0.1", "--port", port], "Address already in use; choose another --port"),
        (["--code", "a/b"], "letters, digits and dashes"),
        (["--host", "nowhere"], "is no number of an interface"),
    ):
        done = subprocess.run([sys.executable, "-m", "requestlab.cli", "wall", *words], capture_output=True, text=True)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "Traceback" not in done.stderr


# From folders


def test_the_same_page_is_made_of_folders(tmp_path):
    for name, word, cores in (("left", "supported", 2), ("right", "refuted", 4)):
        append(tmp_path / name, verdict(word, usable_cores=cores))
    done = subprocess.run(
        [sys.executable, "-m", "requestlab.cli", "claims", "left", "right", "--html", "room.html"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    text = Path(tmp_path, "room.html").read_text()
    assert "2 machines, 1 claims judged" in text
    assert "cores (2 where it is supported, 4 where not)" in text
    assert "EventSource" not in text
    assert "http" not in re.sub(r'xmlns="[^"]+"', "", text)


def test_an_empty_room_is_a_page_too():
    assert "0 machines" in page.claims(Room(()))
    assert os.environ.get("DJANGO_SETTINGS_MODULE") is None
