from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import requestlab as lab
from requestlab import configurations, servers
from requestlab.errors import ConfigurationError


def test_a_configuration_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        lab.SYNC.workers = 2


def test_replace_gives_a_copy_and_leaves_the_original():
    four = lab.SYNC.replace(workers=4)
    assert (four.workers, lab.SYNC.workers) == (4, 1)
    assert four.label == "sync, workers=4"
    assert lab.SYNC.replace(probe=True).label == "sync"


def test_the_three_named_ones_differ_in_interface_and_stack():
    named = [(c.name, c.interface, c.middleware) for c in (lab.SYNC, lab.MIXED, lab.ASYNC)]
    assert named == [
        ("sync", "wsgi", "startproject"),
        ("mixed", "asgi", "startproject"),
        ("async", "asgi", "none"),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"server": "apache"}, "gunicorn-gthread"),
        ({"server": ["uvicorn"]}, "expected one of"),
        ({"threads": 4}, "gunicorn-gthread takes threads"),
        ({"loop": "uvloop"}, "runs no event loop"),
        ({"server": "uvicorn", "loop": "trio"}, "asyncio, uvloop"),
        ({"workers": 0}, "from 1 to 32"),
        ({"workers": True}, "whole number"),
        ({"workers": 2.0}, "whole number"),
        ({"middleware": "all"}, "none, startproject"),
        ({"application": "flask"}, "django, bare"),
        ({"wokers": 2}, "workers"),
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
        assert not (type(workers) is int and 1 <= workers <= configurations.MOST_WORKERS)
    else:
        assert made.workers == workers


def test_capacity_is_what_the_server_can_hold_at_once():
    assert lab.SYNC.replace(workers=3).capacity == 3
    assert lab.SYNC.replace(server="gunicorn-gthread", workers=2, threads=8).capacity == 16
    assert lab.ASYNC.capacity is None


def test_the_event_loop_is_named_as_it_is():
    named = [
        configuration.event_loop for configuration in (lab.SYNC, lab.MIXED, lab.MIXED.replace(loop="uvloop"), lab.NULL)
    ]
    assert named == [None, "asyncio", "uvloop", "uvloop"]


def test_every_server_builds_a_command_line_with_the_descriptor():
    for name in servers.SERVERS:
        arguments = servers.find(name).arguments(lab.SYNC.replace(server=name), 17)
        assert arguments[0] == "-m"
        assert "17" in " ".join(arguments)


def test_the_stacks_are_those_of_the_app():
    source = __import__("labapp.middleware_stacks", fromlist=["MIDDLEWARE_STACKS"])
    assert tuple(source.MIDDLEWARE_STACKS) == configurations.MIDDLEWARE
