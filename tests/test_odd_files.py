"""Whatever stands in a file, an argument or an address: it is understood, or refused in a sentence; nothing else is
raised, no command shows a traceback, and no view answers 500."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

import labapp
import requestlab as lab
from requestlab.advice.asked import requests_in
from requestlab.claims import ledger
from requestlab.cli import COMMANDS, commands
from requestlab.errors import LabError
from requestlab.plots import guesses
from requestlab.wall import message, page
from requestlab.wall.history import trails
from requestlab.wall.message import Message
from tests.made_runs import closed_loop
from tests.test_wall import sent

LONGEST = 2_000
"""Letters of what is said; a reader reads it."""

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -1, 0, 2**63]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "/", "http://[", "//x", "\x00", "\ud800", "<script>", "9" * 5_000, "../..", "GET /"]),
)
odd = st.recursive(
    leaves, lambda more: st.lists(more, max_size=3) | st.dictionaries(st.text(max_size=5), more, max_size=3)
)


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each part of a value of JSON."""
    yield here
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in within:
        yield from places(part, (*here, key))


@st.composite
def changed(draw: Callable[..., Any], value: Any) -> Any:
    """Draw the value with one part of it replaced, or left out."""
    way = draw(st.sampled_from(list(places(value))))
    if not way:
        return draw(odd)
    value = copy.deepcopy(value)
    holder = value
    for key in way[:-1]:
        holder = holder[key]
    if isinstance(holder, dict) and draw(st.booleans()):
        del holder[way[-1]]
    else:
        holder[way[-1]] = draw(odd)
    return value


@st.composite
def damaged(draw: Callable[..., Any], data: bytes) -> bytes:
    """Draw the bytes cut short, or with some of them others."""
    begin = draw(st.integers(0, len(data)))
    if draw(st.booleans()):
        return data[:begin]
    new = draw(st.binary(max_size=8))
    return data[:begin] + new + data[begin + draw(st.integers(0, 8)) :]


def understood(read: Callable[[], Any]) -> Any:
    """Return what was read, or None where it was refused in a sentence."""
    try:
        return read()
    except LabError as problem:
        said = str(problem)
        assert 0 < len(said) < LONGEST
        assert "Traceback" not in said
        return None


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


# Runs


@pytest.fixture(scope="module")
def saved(folder: Path) -> bytes:
    return closed_loop().save(folder / "whole.run").read_bytes()


@given(data=st.data())
def test_a_damaged_run_is_read_or_refused(folder, saved, data):
    file = folder / "damaged.run"
    file.write_bytes(data.draw(damaged(saved)))
    understood(lambda: lab.load_run(file))


@given(data=st.data())
def test_a_run_that_tells_odd_things_of_itself_is_read_or_refused(folder, saved, data):
    arrays = dict(np.load(io.BytesIO(saved)))
    told = data.draw(changed(json.loads(arrays["about"].tobytes())))
    file = folder / "told.run"
    with file.open("wb") as opened:
        np.savez(opened, **arrays | {"about": np.frombuffer(as_json(told), dtype=np.uint8)})
    understood(lambda: lab.load_run(file))


@given(name=st.sampled_from(["samples", "trace", "about"]), content=st.binary(max_size=200))
def test_a_run_with_another_table_in_it_is_read_or_refused(folder, saved, name, content):
    with zipfile.ZipFile(io.BytesIO(saved)) as whole, zipfile.ZipFile(folder / "tables.run", "w") as made:
        for entry in whole.namelist():
            made.writestr(entry, content if entry == f"{name}.npy" else whole.read(entry))
    understood(lambda: lab.load_run(folder / "tables.run"))


# Ledgers, guesses, what is sent to a wall


@given(data=st.data())
def test_a_ledger_with_an_odd_line_is_read_without_it_or_refused(folder, data):
    whole = ledger.to_lines(sent(1).ledger)[0]
    lines = [as_json(data.draw(changed(whole))), as_json(whole), data.draw(damaged(as_json(whole)))]
    there = folder / "ledger"
    there.mkdir(exist_ok=True)
    (there / ledger.FILE).write_bytes(b"\n".join(lines))
    (there / guesses.FILE).write_bytes(data.draw(damaged(as_json({"guess": "2", "found": "One."}))))
    for one in understood(lambda: ledger.read(there)) or ():
        assert one.html()
        assert one.to_plain()
        assert repr(one)
    understood(lambda: page.claims(page.room_of([there])))
    understood(lambda: trails(folder))


@given(data=st.data())
def test_what_is_sent_to_a_wall_is_understood_and_shown_or_refused(data):
    told = json.loads(sent(1).to_json())
    text = as_json(data.draw(changed(told)))
    one: Message | None = understood(lambda: message.parsed(text))
    if one is not None:
        assert page.claims(page.Room((one.entry(1), one.following(sent(1)).entry(2))))


# Requests


HAR = {
    "log": {
        "entries": [
            {
                "request": {
                    "method": "POST",
                    "url": "http://127.0.0.1/shelf/?n=1",
                    "headers": [{"name": "Accept", "value": "text/html"}],
                    "postData": {"text": "a=1"},
                },
                "response": {"status": 200},
            }
        ]
    }
}
LISTED = [{"path": "/", "method": "GET", "headers": {"Accept": "text/html"}, "body": "", "weight": 3}]
LOG = b'127.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET /news/ HTTP/1.1" 200 2326\nGET /news/ 3\n/about/ 2 # often\n'


@given(data=st.data(), allow_writes=st.booleans())
def test_requests_in_a_file_are_read_or_refused(folder, data, allow_writes):
    file = folder / "asked"
    content = data.draw(changed(HAR).map(as_json) | changed(LISTED).map(as_json) | damaged(LOG) | damaged(LOG * 3))
    file.write_bytes(content)
    understood(lambda: requests_in(file, ["127.0.0.1", "*"], allow_writes))


def test_what_is_nested_too_deep_or_too_long_is_refused(folder):
    for content in (b"[" * 100_000, b"GET /news/ " + b"9" * 5_000, b'[{"path": "/", "weight": ' + b"9" * 5_000 + b"}]"):
        (folder / "deep").write_bytes(content)
        understood(lambda: requests_in(folder / "deep"))


# Commands


def odd_arguments() -> list[tuple[str, click.Parameter]]:
    """Every option and argument of every command that ends by itself where that one is odd."""
    found = []
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        found += [(name, one) for one in command.params if not (isinstance(one, click.Option) and one.is_flag)]
    return found


NOWHERE = {
    "serve": ["nowhere"],
    "measure": ["nowhere"],
    "compare": ["nowhere", "elsewhere"],
    "advise": ["nowhere"],
    "report": ["nowhere"],
    "claims": ["nowhere"],
    "history": ["nowhere"],
    "wall": ["--host", "nowhere"],
    "lab": ["nowhere"],
    "doctor": ["nowhere"],
}
"""What each command is asked for besides, so that it ends in any case."""

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
words = texts | st.sampled_from(
    ["-1", "0", "nan", "inf", "1e999", "9" * 5_000, "/dev/null", "a=b", "http://[", "--", "=", ","]
)


@pytest.mark.some(6)
@pytest.mark.parametrize(("name", "parameter"), odd_arguments(), ids=lambda one: getattr(one, "name", one))
@given(word=words)
def test_a_command_with_an_odd_argument_ends_with_a_sentence(folder, name, parameter, word):
    own = [word] if isinstance(parameter, click.Argument) else [f"{parameter.opts[-1]}={word}"]
    line = [name, *own, *NOWHERE[name]] if isinstance(parameter, click.Option) else [name, *NOWHERE[name], *own]
    with TemporaryDirectory(dir=folder) as here, chdir(here):
        done = CliRunner().invoke(commands, line)
        left = os.listdir()
    assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
    assert done.exit_code in (0, 1, 2)
    assert done.exit_code == 0 or "Error: " in done.stderr
    assert len(done.output) < 10 * LONGEST
    assert left == []


# Views


VIEWS = re.findall(r'path\("(\w+/)", views', Path(labapp.__path__[0], "urls.py").read_text())
PATHS = [f"/{world}/{view}" for world in ("sync", "async") for view in VIEWS]
parameters = st.dictionaries(
    st.sampled_from(["ms", "n", "wait", "burn", "limit", "together", "sensitive", "together", "kb", "x"]),
    st.sampled_from(["", "0", "1", "-1", "nan", "1e400", "9" * 5_000, "two", "\x00", "٣", "1;2", "true"]) | texts,
    max_size=3,
)


@pytest.fixture(scope="module")
def server() -> Iterator[lab.Server]:
    with lab.serve(lab.UPSTREAM) as upstream, lab.serve(lab.ASYNC, upstream=upstream) as server:
        yield server


@given(path=st.sampled_from(PATHS), query=parameters, method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "BREW"]))
def test_no_view_answers_500_whatever_it_is_asked(server, path, query, method):
    answer = httpx.request(method, server.url + path, params=query, timeout=30, trust_env=False)
    assert answer.status_code < 500, (answer.request.url, answer.text[:300])
