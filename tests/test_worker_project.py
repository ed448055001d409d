"""What the lab does inside of a project that is not its own: what it calls its views, and where it lets it connect."""

from __future__ import annotations

import errno
import functools
import socket
import subprocess
import sys

import pytest
from django.views import View

from requestlab.worker.django_hooks import view_name

HERE = f"{__name__}."
ELSEWHERE = "192.0.2.1"
"""An address that belongs to nobody (RFC 5737)."""


def page(request):
    return request


class Page(View):
    pass


class Callable:
    def __call__(self, request):
        return request


def plain(view):
    """A decorator that does not say what it is around."""

    def wrapper(request):
        return view(request)

    return wrapper


def told(view):
    """A decorator that does."""

    @functools.wraps(view)
    def wrapper(request):
        return view(request)

    return wrapper


def around_a_method(view):
    """A decorator that holds a method, and a cell that is never filled."""
    method, later = Page().dispatch, None

    def wrapper(request):
        return method(request) if view else empty

    if later:
        empty = 1
    return wrapper


def around_nothing():
    return lambda request: request


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (page, "page"),
        (functools.partial(functools.partial(page), 1), "page"),
        (Page.as_view(), "Page"),
        (Callable(), "Callable"),
        (plain(page), "page"),
        (told(page), "page"),
        (plain(told(plain(page))), "page"),
        (plain(Page.as_view()), "Page"),
        (around_a_method(None), "around_a_method.<locals>.wrapper"),
        (around_nothing(), "around_nothing.<locals>.<lambda>"),
    ],
)
def test_a_view_has_the_name_of_what_its_decorators_are_around(view, name):
    assert view_name(view) == HERE + name


TRIES = """
import socket, sys
from requestlab.worker.project import stay_here
stay_here({"localhost", "no such host"})
for _ in range(2):
    try:
        socket.create_connection((sys.argv[1], 80), timeout=5)
    except ConnectionRefusedError as problem:
        print("refused:", problem.strerror)
with socket.socket() as one:
    print("code", one.connect_ex((sys.argv[1], 80)))
for host in ("127.0.0.1", "localhost"):
    socket.create_connection((host, int(sys.argv[2])), timeout=5).close()
with socket.socket() as one:
    print("code", one.connect_ex(("127.0.0.1", int(sys.argv[2]))))
"""


def test_a_project_connects_to_no_other_machine_but_to_this_one():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-c", TRIES, ELSEWHERE, str(listening.getsockname()[1])]
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert said.stderr == ""
    first, *others = said.stdout.splitlines()
    assert first == f"requestlab: no connection to {ELSEWHERE}:80, which is another machine"
    refused = f"refused: the lab lets nobody connect to {ELSEWHERE}"
    assert others == [refused, refused, f"code {errno.ECONNREFUSED}", "code 0"]
