"""labapp answers in processes of its own: Django allows one settings module per process, and these tests need two."""

import ast
import asyncio
import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote_from_bytes
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator
from zlib import crc32

import django
import pytest
from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from hypothesis import assume, given, strategies as st

from labapp import bare, parameters, passing, work

ROOT = Path(__file__).parent.parent
STACKS = ["none", "startproject"]
INTERFACES = ["wsgi", "asgi"]
MODES = ["sync", "async"]
VIEWS = ["page", "wait", "burn", "wait_and_burn", "block", "hop", "stream", "download"]
PASSING = [passing.sync_layer, passing.async_layer, passing.hybrid_layer]

CONSUMED = "StreamingHttpResponse must consume"
"""How Django begins its warning of an iterator of the other mode: see the test of it."""

# Reads one question a line and writes one answer a line.
APP = """
import asyncio, json, sys, time
import httpx
from labapp.asgi import application as asgi
from labapp.wsgi import application as wsgi
from django.db.backends.signals import connection_created

opened = []
connection_created.connect(lambda **_: opened.append(1), weak=False)

def ask_wsgi(method, path, host, body):
    with httpx.Client(transport=httpx.WSGITransport(wsgi), base_url="http://localhost") as client:
        return client.request(method, path, headers={"host": host}, content=body)

async def ask_asgi(times, method, path, host, body):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://localhost") as client:
        requests = [client.request(method, path, headers={"host": host}, content=body, timeout=None) for _ in range(times)]
        return (await asyncio.gather(*requests))[0]

for line in sys.stdin:
    interface, times, *request = json.loads(line)
    wall, thread, process = time.perf_counter_ns(), time.thread_time_ns(), time.process_time_ns()
    response = ask_wsgi(*request) if interface == "wsgi" else asyncio.run(ask_asgi(times, *request))
    answer = {
        "wall_ms": (time.perf_counter_ns() - wall) / 1e6,
        "calling_thread_cpu_ms": (time.thread_time_ns() - thread) / 1e6,
        "process_cpu_ms": (time.process_time_ns() - process) / 1e6,
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": response.text,
        "connections_opened": len(opened),
    }
    print(json.dumps(answer), flush=True)
"""


def environment(**changes: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LABAPP_")}
    return inherited | changes


def question(path: str, *, interface="wsgi", times=1, method="GET", host="localhost", body="") -> str:
    return json.dumps([interface, times, method, path, host, body or None]) + "\n"


def python(code: str, given: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, input=given, env=environment(**changes), cwd=ROOT, capture_output=True, text=True, check=True
    )


@contextmanager
def app_in_its_own_process(stack: str, **changes: str) -> Iterator:
    command = [sys.executable, "-W", "error", "-W", f"ignore:{CONSUMED}", "-c", APP]
    env = environment(LABAPP_MIDDLEWARE=stack, **changes)
    with subprocess.Popen(
        command, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask(path: str, **details) -> SimpleNamespace:
            process.stdin.write(question(path, **details))
            process.stdin.flush()
            return SimpleNamespace(**json.loads(process.stdout.readline()))

        yield ask


@pytest.fixture(scope="module")
def apps() -> Iterator[dict]:
    with app_in_its_own_process("none") as bald, app_in_its_own_process("startproject") as dressed:
        yield {"none": bald, "startproject": dressed}


@pytest.fixture(params=STACKS)
def ask(apps, request):
    """Asks a labapp under each middleware stack in turn."""
    return apps[request.param]


@pytest.fixture(scope="module")
def startproject(apps):
    return apps["startproject"]


def settings_with(monkeypatch, **changes: str) -> SimpleNamespace:
    for name in ("LABAPP_MIDDLEWARE", "LABAPP_DATABASE", "LABAPP_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    return SimpleNamespace(**runpy.run_module("labapp.settings"))


# Views


ANSWERS = {
    "page/ wait/ wait/?ms=1 burn/ burn/?ms=0.5 wait_and_burn/?wait=1&burn=0.5 wait_and_burn/?wait=0&burn=0 block/ block/?ms=0.5": 200,
    "hop/ hop/?n=0 hop/?n=3&sensitive=0 hop/?n=3&sensitive=1 stream/ stream/?n=0 stream/?n=3&ms=0&size=7 download/?size=7 rows/?n=0": 200,
    "wait/?ms=no burn/?ms=-1 wait_and_burn/?wait=no wait_and_burn/?burn=-1 block/?ms=no hop/?n=few hop/?sensitive=2": 400,
    "stream/?n=few stream/?ms=-1 stream/?size=65537 download/?size=-1 rows/?n=51 rows/?do=nothing": 400,
    "upload/": 405,
    "nowhere/": 404,
}


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize(("paths", "status"), ANSWERS.items(), ids=ANSWERS.values())
def test_twins_give_the_same_answer(ask, interface, paths, status):
    for path in paths.split():
        sync, twin = (ask(f"/{mode}/{path}", interface=interface) for mode in MODES)
        assert (sync.status, sync.body, sync.headers) == (twin.status, twin.body, twin.headers), path
        assert sync.status == status, path


def test_the_page_lists_the_glossary_and_is_the_same_under_every_stack(apps):
    pages = [apps[stack]("/sync/page/").body for stack in STACKS]
    assert pages[0] == pages[1]
    assert pages[0].count("<dt") == 16
    assert 2_000 <= len(pages[0].encode()) <= 4_000


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "wall_ms", "cpu_ms", "body"),
    [
        ("wait/?ms=30.5", 30.5, 0, "Waited 30.5 ms."),
        ("block/?ms=30.5", 30.5, 0, "Blocked for 30.5 ms."),
        ("burn/?ms=60.5", 0, 60.5, "Burned 60.5 ms of CPU."),
        ("wait_and_burn/?wait=40.5&burn=20", 60.5, 20, "Waited 40.5 ms, then burned 20.0 ms of CPU."),
        ("stream/?n=4&ms=10.5&size=7", 3 * 10.5, 0, "." * 28),
    ],
)
def test_a_view_takes_at_least_what_it_was_asked_for(startproject, mode, interface, path, wall_ms, cpu_ms, body):
    answer = startproject(f"/{mode}/{path}", interface=interface)
    assert answer.wall_ms >= wall_ms
    assert answer.process_cpu_ms >= cpu_ms
    assert answer.body.rstrip("\n") == body
    assert ("content-length" in answer.headers) is not path.startswith("stream")


def test_async_waits_overlap(startproject):
    answer = startproject("/async/wait/?ms=100", interface="asgi", times=20)
    assert answer.wall_ms < 20 * 100


def test_async_blocks_come_one_after_another_and_sync_blocks_beside_each_other(startproject):
    assert startproject("/async/block/?ms=100", interface="asgi", times=10).wall_ms >= 10 * 100
    assert startproject("/sync/block/?ms=100", interface="asgi", times=10).wall_ms < 10 * 100


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("hop/", f"Hopped {parameters.HOPS_DEFAULT} times."),
        ("hop/?n=0", "Hopped 0 times."),
        ("hop/?n=1", "Hopped 1 time."),
        ("hop/?n=7&sensitive=0", "Hopped 7 times."),
        (f"hop/?n={parameters.HOPS_MAX}", f"Hopped {parameters.HOPS_MAX} times."),
        ("wait/", f"Waited {float(parameters.WAIT_DEFAULT_MS)} ms."),
        ("burn/", f"Burned {float(parameters.BURN_DEFAULT_MS)} ms of CPU."),
        ("block/", f"Blocked for {float(parameters.BLOCK_DEFAULT_MS)} ms."),
        ("stream/?ms=0", "." * parameters.PARTS_DEFAULT * parameters.PART_DEFAULT_BYTES),
        ("stream/?n=0", ""),
    ],
)
def test_a_view_says_what_it_did_and_without_parameters_the_defaults_hold(startproject, mode, path, body):
    assert startproject(f"/{mode}/{path}", interface="asgi").body.rstrip("\n") == body


def test_hop_calls_as_often_as_it_says():
    code = """
import asyncio
from asgiref import sync
from labapp.asgi import application
from django.test import AsyncRequestFactory
from labapp import async_views, sync_views

calls = []
for kind in (sync.SyncToAsync, sync.AsyncToSync):
    def counted(self, *args, _call=kind.__call__, **kwargs):
        calls.append((type(self).__name__, getattr(self, "_thread_sensitive", None)))
        return _call(self, *args, **kwargs)
    kind.__call__ = counted

for query in ("?n=3", "?n=2&sensitive=0"):
    asyncio.run(async_views.hop(AsyncRequestFactory().get("/" + query)))
sync_views.hop(AsyncRequestFactory().get("/?n=4"))
print(calls == [("SyncToAsync", True)] * 3 + [("SyncToAsync", False)] * 2 + [("AsyncToSync", None)] * 4, calls)
"""
    assert python(code).stdout.startswith("True")


def test_a_stream_of_one_part_has_no_pause(startproject):
    assert startproject("/sync/stream/?n=1&ms=2000").wall_ms < 2_000


@pytest.mark.parametrize("mode", MODES)
def test_download_is_one_answer_of_so_many_bytes_within_a_bound(startproject, mode):
    answer = startproject(f"/{mode}/download/?size=100000")
    assert answer.body == "." * 100_000
    assert answer.headers["content-length"] == "100000"


ITERATORS = """
import asyncio, sys, warnings
from labapp.asgi import application
from django.test import AsyncRequestFactory, RequestFactory
from labapp import async_views, sync_views

def consumed_by(collect, response):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        parts = collect(response)
    return len(parts), [str(one.message).partition(" in order")[0] for one in seen]

async def collected(response):
    return [part async for part in response]

query = "/?n=3&ms=0"
sync = sync_views.stream(RequestFactory().get(query)), sync_views.stream(RequestFactory().get(query))
other = [asyncio.run(async_views.stream(AsyncRequestFactory().get(query))) for _ in range(2)]
for pair in (sync, other):
    print(consumed_by(list, pair[0]), consumed_by(lambda response: asyncio.run(collected(response)), pair[1]))
"""


def test_django_warns_of_an_iterator_of_the_other_mode_and_consumes_it():
    of_sync, of_async = python(ITERATORS).stdout.splitlines()
    assert of_sync == f"(3, []) (3, ['{CONSUMED} synchronous iterators'])"
    assert of_async == f"(3, ['{CONSUMED} asynchronous iterators']) (3, [])"


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("mode", MODES)
def test_upload_says_how_much_came_and_its_checksum_whatever_the_stack(ask, mode, interface):
    for body in ("", "0", "0123456789" * 20_000, "0123456789" * 300_000):
        answer = ask(f"/{mode}/upload/", interface=interface, method="POST", body=body)
        assert answer.status == 200
        assert answer.body == f"Received {len(body)} bytes, checksum {crc32(body.encode())}.\n"


@pytest.mark.parametrize("mode", MODES)
def test_upload_takes_nothing_but_a_post(ask, mode):
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = ask(f"/{mode}/upload/", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("ms", [0.5, 20])
def test_burning_uses_at_least_that_much_cpu_of_its_thread(ms):
    start_ns = time.thread_time_ns()
    work.burn_cpu(ms)
    assert time.thread_time_ns() - start_ns >= ms * 1_000_000


def test_async_burn_burns_on_the_event_loop_and_sync_burn_beside_it(startproject):
    on_the_loop = startproject("/async/burn/?ms=200", interface="asgi")
    beside_it = startproject("/sync/burn/?ms=200", interface="asgi")
    assert on_the_loop.calling_thread_cpu_ms >= 200
    assert beside_it.calling_thread_cpu_ms < beside_it.process_cpu_ms / 2


def test_async_work_overlaps_its_waiting_and_not_its_computing(startproject):
    assert startproject("/async/wait_and_burn/?wait=100&burn=1", interface="asgi", times=20).wall_ms < 20 * 100
    assert startproject("/async/wait_and_burn/?wait=0&burn=20", interface="asgi", times=10).wall_ms >= 10 * 20


@pytest.mark.parametrize("view", VIEWS)
def test_views_answer_what_is_for_reading_and_refuse_other_methods(apps, view):
    for mode in MODES:
        assert {apps[stack](f"/{mode}/{view}/", method="HEAD").status for stack in STACKS} == {200}
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = apps["none"](f"/{mode}/{view}/", method=method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_csrf_middleware_refuses_a_post_before_the_view_does(startproject):
    answers = {method: startproject("/sync/page/", method=method).status for method in ("POST", "OPTIONS")}
    assert answers == {"POST": 403, "OPTIONS": 405}


def test_no_view_opens_the_database_but_those_that_ask_it(ask):
    for view in (*(f"{view}/" for view in VIEWS), "rows/?n=0&together=1", "rows/?n=few"):
        for interface in INTERFACES:
            for mode in MODES:
                answer = ask(f"/{mode}/{view}", interface=interface)
                assert (answer.status, answer.connections_opened) == (400 if "few" in view else 200, 0)


# Bounds

BOUNDS = {"wait": parameters.WAIT_MAX_MS, "burn": parameters.BURN_MAX_MS, "block": parameters.BLOCK_MAX_MS}
NO_NUMBERS = ["", "soon", "1,5", "nan", "inf", "-inf", "-1", "-0.001", "1e999", "{most}.001", "0x10"]
NO_SWITCHES = ["", "2", "-1", "yes", "True", "01", "1 "]
NO_WHOLE_NUMBERS = ["", "few", "-1", "1.0", "nan", "1e2", "0x10", "{most}1", "9" * 5_000]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("view", "name", "expected", "most", "bad"),
    [
        *[(view, "ms", "a number", most, NO_NUMBERS) for view, most in BOUNDS.items()],
        *[("wait_and_burn", view, "a number", BOUNDS[view], ["{most}.5"]) for view in ("wait", "burn")],
        ("stream", "ms", "a number", parameters.PAUSE_MAX_MS, NO_NUMBERS),
        ("stream", "n", "a whole number", parameters.PARTS_MAX, NO_WHOLE_NUMBERS),
        ("stream", "size", "a whole number", parameters.PART_MAX_BYTES, NO_WHOLE_NUMBERS),
        ("download", "size", "a whole number", parameters.DOWNLOAD_MAX_BYTES, NO_WHOLE_NUMBERS),
        ("hop", "n", "a whole number", parameters.HOPS_MAX, NO_WHOLE_NUMBERS),
        ("rows", "n", "a whole number", parameters.ROWS_MAX, NO_WHOLE_NUMBERS),
        ("rows", "ms", "a number", parameters.ROWS_MAX_MS, NO_NUMBERS),
        ("rows", "do", "both or count or read or write", None, ["", "drop", "Read"]),
        *[(view, name, "0 or 1", None, NO_SWITCHES) for view, name in [("hop", "sensitive"), ("rows", "together")]],
    ],
)
def test_a_bad_parameter_is_a_400_that_names_the_bound_and_what_was_given(
    startproject, mode, view, name, expected, most, bad
):
    bound = f"{expected} from 0 to {most}" if most else expected
    for text in (template.format(most=most) for template in bad):
        answer = startproject(f"/{mode}/{view}/?{name}={text}")
        assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert answer.body.startswith(f"{name} must be {bound}; this request gave '{text[:40]}'")


@pytest.mark.parametrize(("view", "most"), BOUNDS.items())
def test_the_bounds_themselves_are_allowed(view, most):
    """Asked of the function: the view would take ten seconds."""
    asked = getattr(parameters, f"{view}_ms")
    assert [asked(SimpleNamespace(GET={"ms": text})) for text in ("0", str(most), f"{most}.0")] == [0, most, most]


def test_what_was_given_is_escaped_and_cut_short_in_the_400(startproject):
    answer = startproject(f"/sync/wait/?ms=%0d%0aX:%00\N{SNOWMAN}'{'x' * 5_000}")
    assert answer.status == 400
    assert answer.body.removesuffix("\n").isprintable()
    assert answer.body.isascii()
    assert len(answer.body) < 200


def is_allowed(text: str, most: int) -> bool:
    try:
        return 0 <= float(text) <= most
    except ValueError:
        return False


free_form = st.one_of(
    st.text().map(str.encode),
    st.binary(),
    st.floats().map(lambda number: repr(number).encode()),
    st.decimals(allow_nan=True, allow_infinity=True).map(lambda number: str(number).encode()),
)


@given(raw=free_form, mode=st.sampled_from(MODES), interface=st.sampled_from(INTERFACES))
def test_any_ms_whatever_is_allowed_or_refused(startproject, raw, mode, interface):
    text = raw.decode(errors="replace")
    allowed = is_allowed(text, BOUNDS["wait"])
    assume(not allowed or float(text) <= 5)  # longer waits would prove no more
    answer = startproject(f"/{mode}/wait/?ms={quote_from_bytes(raw, safe='')}", interface=interface)
    assert answer.status == (200 if allowed else 400)


# Settings


def test_no_two_processes_share_a_secret_key_unless_they_are_given_one():
    code = "from labapp.settings import SECRET_KEY; print(SECRET_KEY)"
    first, second = (python(code).stdout.strip() for _ in range(2))
    assert first != second
    assert min(len(first), len(second)) >= 50
    assert python(code, LABAPP_SECRET_KEY="shared by the workers").stdout.strip() == "shared by the workers"


@pytest.mark.parametrize("interface", INTERFACES)
def test_only_names_of_this_machine_are_served_where_djangos_middleware_looks(apps, interface):
    for status, hosts in {
        200: ["127.0.0.1", "127.0.0.1:8000", "localhost", "[::1]:8000"],
        400: ["lab.example", "127.0.0.1.lab.example", "testserver"],
    }.items():
        for host in hosts:
            assert apps["startproject"]("/sync/page/", interface=interface, host=host).status == status
            assert apps["none"]("/sync/page/", interface=interface, host=host).status == 200


def test_errors_are_logged_to_stderr_and_refused_requests_are_not():
    paths = ["/sync/page/", "/sync/wait/?ms=no", "/no/", "/sync/page"]
    questions = [question("/sync/page/", host="lab.example"), *map(question, paths)]
    done = python(APP, "".join(questions))
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == [400, 200, 400, 404, 301]
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("Invalid HTTP_HOST header: 'lab.example'")
    assert last.endswith(first)
    assert done.stderr.count("Traceback") == done.stderr.count("\nTraceback") == 1


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_applications_use_their_own_settings_whatever_the_environment_names(interface):
    code = f"import labapp.{interface}; from django.conf import settings; print(settings.ROOT_URLCONF)"
    assert python(code, DJANGO_SETTINGS_MODULE="elsewhere.settings").stdout.strip() == "labapp.urls"


# Middleware stacks


def assigned_in_project_template(name: str):
    template = Path(django.__path__[0]) / "conf/project_template/project_name/settings.py-tpl"
    for statement in ast.parse(template.read_text()).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == name:
            return ast.literal_eval(statement.value)
    raise LookupError(f"{template} assigns no {name}")


def test_startproject_is_the_default_stack_and_has_what_django_writes_into_a_new_project(monkeypatch):
    settings = settings_with(monkeypatch)
    assert assigned_in_project_template("MIDDLEWARE") == settings.MIDDLEWARE
    assert len(settings.MIDDLEWARE) == 7
    new_project = set(assigned_in_project_template("INSTALLED_APPS"))
    unused = {"django.contrib.admin", "django.contrib.staticfiles"}
    assert set(settings.INSTALLED_APPS) == new_project - unused | {"labapp"}
    assert settings.DEBUG is False


@pytest.mark.parametrize("stack", ["none", "sync,async,hybrid"])
def test_no_middleware_and_layers_that_only_pass_on_need_no_apps(monkeypatch, stack):
    settings = settings_with(monkeypatch, LABAPP_MIDDLEWARE=stack)
    assert len(settings.MIDDLEWARE) == (0 if stack == "none" else 3)
    assert settings.INSTALLED_APPS == ["labapp"]
    assert settings.DEBUG is False


def test_a_list_of_layers_is_a_stack_in_that_order(monkeypatch):
    settings = settings_with(monkeypatch, LABAPP_MIDDLEWARE="sync,startproject,hybrid,async,sync")
    passing = [name.removeprefix("labapp.passing.") for name in settings.MIDDLEWARE if name.startswith("labapp.")]
    assert passing == ["sync_layer", "hybrid_layer", "async_layer", "sync_layer"]
    assert settings.MIDDLEWARE[1:8] == assigned_in_project_template("MIDDLEWARE")
    assert settings.INSTALLED_APPS == settings_with(monkeypatch).INSTALLED_APPS


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_layer_is_of_the_kind_that_it_is_named_for_whatever_it_wraps(kind):
    kinds = [(layer.sync_capable, layer.async_capable) for layer in PASSING]
    assert kinds == [(True, False), (False, True), (True, True)]

    def function(request):
        return request

    async def coroutine(request):
        return request

    made = [layer(function if kind == "function" else coroutine) for layer in PASSING]
    assert [iscoroutinefunction(layer) for layer in made] == [False, True, kind == "coroutine"]


@pytest.mark.parametrize("stack", ["hybrid,sync,async,hybrid", "async,startproject,sync", "sync,async,startproject"])
def test_every_stack_passes_requests_on_under_both_interfaces(stack):
    with app_in_its_own_process(stack) as ask:
        for interface in INTERFACES:
            for mode in MODES:
                assert ask(f"/{mode}/hop/?n=2", interface=interface).body == "Hopped 2 times.\n"
                assert ask(f"/{mode}/hop/?n=no", interface=interface).status == 400


@pytest.mark.parametrize(
    "stack",
    [
        *("", "None", "startproject ", "none,sync", "sync,none", "sync,,async", "sync, async"),
        *("startproject,sync,startproject", "sync," * 20 + "sync"),
    ],
)
def test_what_cannot_be_a_stack_is_refused_with_what_is_known(monkeypatch, stack):
    with pytest.raises(ImproperlyConfigured) as refusal:
        settings_with(monkeypatch, LABAPP_MIDDLEWARE=stack)
    assert str(refusal.value) == (
        f"LABAPP_MIDDLEWARE is {stack!r}; it must be none, or up to 20 layers, outermost first and with commas between them, "
        "of: startproject, sync, async, hybrid, or dotted names; startproject at most once."
    )


# Imports


def imported_by(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("labapp" if node.level else node.module.split(".")[0])
    return names


def test_labapp_imports_nothing_but_django_what_it_stands_on_and_the_standard_library():
    modules = list((ROOT / "labapp").rglob("*.py"))
    imported = set().union(*map(imported_by, modules))
    assert {"django", "labapp"} <= imported
    assert imported - sys.stdlib_module_names == {"django", "asgiref", "cloudpickle", "httpx", "labapp", "shop"}
    assert imported_by(ROOT / "labapp/bare.py") <= sys.stdlib_module_names


# The bare baselines


def answer_of_bare_wsgi(path: str) -> tuple[str, dict[str, str], bytes]:
    environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    started = []

    def start_response(status, headers, exc_info=None):
        started.extend([status, dict(headers)])
        return lambda data: None

    chunks = validator(bare.wsgi)(environ, start_response)
    body = b"".join(chunks)
    chunks.close()
    return *started, body


def messages_of_bare_asgi(scope: dict, *received: dict) -> list[dict]:
    waiting, sent = iter(received), []

    async def receive() -> dict:
        return next(waiting)

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(bare.asgi(scope, receive, send))
    assert list(waiting) == []
    return sent


def test_bare_wsgi_answers_any_path_with_as_many_bytes_as_the_page(startproject):
    page = startproject("/sync/page/")
    status, headers, body = answer_of_bare_wsgi("/any/path")
    assert status == "200 OK"
    assert len(body) == len(page.body.encode())
    assert headers == {name: page.headers[name.lower()] for name in ("Content-Type", "Content-Length")}


def test_bare_asgi_gives_the_answer_of_bare_wsgi():
    _, wsgi_headers, wsgi_body = answer_of_bare_wsgi("/")
    start, body = messages_of_bare_asgi({"type": "http", "path": "/any/path"})
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert {name.decode(): value.decode() for name, value in start["headers"]} == {
        name.lower(): value for name, value in wsgi_headers.items()
    }
    assert body == {"type": "http.response.body", "body": wsgi_body}


def test_bare_asgi_completes_startup_and_shutdown():
    sent = messages_of_bare_asgi({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
