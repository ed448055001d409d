from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

import requestlab as lab
from labapp import middleware_stacks
from requestlab.errors import ConfigurationError
from requestlab.serving import applications, configuration, servers
from requestlab.system.values import from_plain, to_plain

OTHER_ADDRESSES = [
    "127.0.0.1",
    "https://127.0.0.1:8001",
    "http://example.org:80",
    "http://10.0.0.1:80",
    "http://127.0.0.1",
    "http://127.0.0.1:80/path",
    "http://user@127.0.0.1:80",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:80\r\nHost: x",
    8001,
    None,
]
NO_STACKS = ["sync,none", "", ("sync", ""), ("sync,async",), ("sync", 1), {"sync"}, None]
NO_SHARES = [1.5, -0.1, float("nan"), "yes", None]


def test_replace_gives_a_copy_and_leaves_the_original_which_cannot_be_changed_in_place():
    four = lab.SYNC.replace(workers=4)
    assert (four.workers, lab.SYNC.workers) == (4, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        lab.SYNC.workers = 2


@pytest.mark.parametrize(
    ("named", "interface", "middleware", "event_loop", "capacity"),
    [
        (lab.SYNC, "wsgi", "startproject", None, 1),
        (lab.SYNC.replace(server="gunicorn-gthread", workers=2, threads=8), "wsgi", "startproject", None, 16),
        (lab.ASGI, "asgi", "startproject", "asyncio", None),
        (lab.ASGI.replace(loop="uvloop"), "asgi", "startproject", "uvloop", None),
        (lab.ASYNC, "asgi", "none", "asyncio", None),
        (lab.NULL, "asgi", "none", "uvloop", None),
    ],
)
def test_a_configuration_knows_its_interface_stack_loop_and_how_much_it_can_hold(
    named, interface, middleware, event_loop, capacity
):
    assert (named.interface, named.middleware, named.event_loop) == (interface, middleware, event_loop)
    assert named.capacity == capacity


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"server": "apache"}, "gunicorn-gthread"),
        ({"server": ["uvicorn"]}, "expected one of"),
        ({"threads": 4}, "gunicorn-gthread, granian-wsgi, waitress and uwsgi take threads"),
        ({"loop": "uvloop"}, "runs no event loop"),
        ({"server": "uvicorn", "loop": "trio"}, "asyncio, uvloop"),
        ({"workers": 0}, "from 1 to 32"),
        ({"middleware": "all"}, "expected 'none', or up to 20 layers, outermost first, of: startproject, sync, async,"),
        ({"middleware": "startproject,startproject"}, "startproject at most once"),
        ({"middleware": ",".join(["sync"] * 21)}, "up to 20 layers"),
        *(({"middleware": bad}, "expected 'none', or") for bad in NO_STACKS),
        *(({"probe": bad}, "True, False, or a share") for bad in NO_SHARES),
        ({"asyncio_debug": True}, "'gunicorn-sync' runs no event loop, so it has no asyncio_debug"),
        ({"server": "uvicorn", "asyncio_debug": 1}, "asyncio_debug=1: expected True or False"),
        ({"server": "null", "asyncio_debug": True}, "it takes no asyncio_debug"),
        ({"server": "null", "switch_interval_ms": 5}, "it takes no switch_interval_ms"),
        ({"server": "upstream", "workers": 2}, "server 'upstream' has one worker"),
        ({"server": "upstream", "upstream": "http://127.0.0.1:1"}, "it takes no upstream"),
        *(({"upstream": bad}, "an address on this machine, such as 127.0.0.1:8001") for bad in OTHER_ADDRESSES),
        ({"switch_interval_ms": 0}, "a number from 0.01 to 1,000"),
        ({"all_cores": 1}, "all_cores=1: expected True or False"),
        ({"application": "flask"}, "django, bare"),
        ({"wokers": 2}, "no field called 'wokers'; the fields are name, server, workers,"),
        ({"application": None}, "application=None is not known; expected one of: django, bare"),
        ({"application": "bare", "middleware": "sync"}, "application 'bare' has no middleware; give it none"),
        ({"application": "bare", "upstream": "127.0.0.1:1"}, "application 'bare' has no upstream; give it none"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_what_was_expected(changes, words):
    with pytest.raises(ConfigurationError, match=words):
        lab.SYNC.replace(**changes)


@given(st.sampled_from(list(servers.SERVERS)), st.one_of(st.integers(), st.text(), st.none(), st.floats()))
def test_any_number_of_workers_is_either_kept_or_refused(server, workers):
    try:
        made = lab.SYNC.replace(server=server, workers=workers)
    except ConfigurationError:
        assert not (type(workers) is int and 1 <= workers <= configuration.MAX_WORKERS)
    else:
        assert made.workers == workers


def test_every_server_builds_a_command_line_with_the_descriptor_or_the_port():
    for name, row in servers.SERVERS.items():
        words = " ".join(lab.SYNC.replace(server=name).arguments(servers.Listener(fd=17, port=8123)))
        assert words.startswith(row.module)
        assert ("17" in words) != row.opens_its_port == ("8123" in words)


def test_the_layers_are_those_of_the_app():
    assert tuple(middleware_stacks.LAYERS) == applications.LAYERS
    known = (applications.NO_MIDDLEWARE, applications.MAX_LAYERS)
    assert known == (middleware_stacks.NONE, middleware_stacks.MAX_LAYERS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("sync,startproject,async", "sync,startproject,async"),
        (" sync, async ", "sync,async"),
        (("sync", "hybrid", "sync"), "sync,hybrid,sync"),
        (["startproject"], "startproject"),
        (("none",), "none"),
        ((), "none"),
    ],
)
def test_a_stack_of_layers_is_kept_as_one_string(given, kept):
    made = lab.ASGI.replace(middleware=given)
    assert made.middleware == kept
    assert hash(made) == hash(lab.ASGI.replace(middleware=kept))


@given(st.lists(st.sampled_from([*applications.MIDDLEWARE, "", "Sync", "a,b"]), max_size=25))
def test_whatever_stack_a_configuration_accepts_the_app_accepts_too(layers):
    try:
        made = lab.ASGI.replace(middleware=layers)
    except ConfigurationError:
        assert set(layers) - set(applications.LAYERS) or len(layers) > 20 or layers.count("startproject") > 1
    else:
        assert list(middleware_stacks.layers_of(made.middleware)) == [layer for layer in layers if layer != "none"]


@pytest.mark.parametrize(
    ("given", "kept"), [(True, True), (False, False), (1, True), (0, False), (1.0, 1.0), (0.0, False), (0.1, 0.1)]
)
def test_the_probe_is_on_or_off_or_a_share_of_requests(given, kept):
    assert repr(lab.SYNC.replace(probe=given).probe) == repr(kept)


@pytest.mark.parametrize(
    "given",
    ["127.0.0.1:8001", "http://127.0.0.1:8001", "http://127.0.0.1:8001/", SimpleNamespace(url="http://127.0.0.1:8001")],
)
def test_an_upstream_is_an_address_or_a_server(given):
    made = lab.SYNC.replace(upstream=given)
    assert made.replace(workers=2).upstream == made.upstream == "http://127.0.0.1:8001"


def test_an_application_is_a_value_and_its_fields_can_be_replaced_as_if_they_were_the_configurations():
    app = lab.LabApp(middleware="sync", database="postgres:///lab")
    made = lab.SYNC.replace(application=app)
    assert made == lab.SYNC.replace(middleware="sync", database="postgres:///lab")
    assert made.replace(workers=2, middleware="none").application == lab.LabApp("none", "postgres:///lab")
    assert made.replace(application="django") == made  # that kind it has already


def test_a_bare_application_has_a_short_name_and_no_middleware():
    bare = lab.SYNC.replace(application="bare", middleware="none")
    assert bare == lab.SYNC.replace(application=lab.Bare())
    assert (bare.middleware, bare.database) == ("none", "")
    assert bare.replace(application="django") == lab.SYNC


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"workers": 4}, "sync, workers=4"),
        ({"probe": True, "upstream": "127.0.0.1:1"}, "sync"),
        ({"application": "bare"}, "sync, application=bare"),
        ({"middleware": "sync", "database": "postgres:///lab"}, "sync, middleware=sync, database=postgresql"),
        ({"database": "postgres://me:secret@h/lab?pool=1"}, "sync, database=postgresql?pool=1"),
        (
            {"server": "uvicorn", "asyncio_debug": True, "switch_interval_ms": 0.5, "probe": 0.1},
            "sync, server=uvicorn, asyncio_debug=True, switch_interval_ms=0.5",
        ),
    ],
)
def test_a_label_says_what_differs_from_the_named_configuration(changes, label):
    assert lab.SYNC.replace(**changes).label == label


def test_a_null_server_with_another_application_says_so():
    assert lab.NULL.replace(application="django").label == "null, application=django"


def test_a_configuration_is_shown_with_what_it_serves_and_with_what_is_not_as_usual():
    assert repr(lab.SYNC) == (
        "Configuration(name='sync', server='gunicorn-sync', workers=1, middleware='startproject')"
    )
    assert repr(lab.NULL) == "Configuration(name='null', server='null', workers=1, application='bare')"
    shown = lab.SYNC.replace(database="postgres://me:secret@h/lab").shown()
    assert (shown["application"], shown["database"]) == ("django", "postgres://me:***@h/lab")


@pytest.mark.parametrize("given", [lab.SYNC, lab.NULL, lab.ASGI.replace(middleware="sync,hybrid", loop="uvloop")])
def test_a_configuration_survives_being_saved_with_the_kind_of_its_application(given):
    plain = json.loads(json.dumps(to_plain(given)))
    assert from_plain(configuration.Configuration, plain) == given
    with pytest.raises(ValueError, match=r"'flask' is none of the kinds \['django', 'bare', 'project'\]"):
        from_plain(configuration.Configuration, plain | {"application": {"kind": "flask"}})


def test_no_field_shows_the_password_of_a_database():
    url = "postgres://someone:not-a-secret@localhost/shop"
    configuration = lab.SYNC.replace(database=url)
    assert configuration.database == url
    for shown in (vars(configuration), vars(configuration.application), configuration, configuration.shown()):
        assert "not-a-secret" not in repr(shown)
    assert repr(lab.SYNC.replace(database="postgres://localhost/shop").database) == "'postgres://localhost/shop'"
