"""Hooks on imports, by which the probe finds Django whenever it comes, and the names that views go by."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys

import pytest
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from requestlab.worker import imports
from requestlab.worker.django_hooks import view_name
from requestlab.worker.imports import when_imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that counts in `times` how often it has been run; it is forgotten afterwards."""
    name = "imported_by_a_test"
    (tmp_path / f"{name}.py").write_text("times, loader = globals().get('times', 0) + 1, __loader__\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.meta_path)
    yield name
    sys.modules.pop(name, None)
    sys.meta_path[:] = before


def test_a_hook_runs_once_when_its_module_has_been_run_and_leaves_no_trace(module):
    seen: list[int] = []
    finders = list(sys.meta_path)
    when_imported(module, lambda found: seen.append(found.times))
    assert importlib.util.find_spec(module) is not None  # who looks for it does not import it
    assert seen == []
    found = importlib.import_module(module)
    assert not isinstance(found.loader, imports._Loader)
    importlib.import_module(module)
    importlib.reload(found)
    assert seen == [1]
    assert sys.meta_path == finders
    assert imports._Loader not in (type(found.__loader__), type(found.__spec__.loader))


def test_a_hook_on_a_module_that_is_there_runs_at_once(module):
    seen = []
    found = importlib.import_module(module)
    when_imported(module, seen.append)
    assert seen == [found]


def test_several_hooks_on_one_module_all_run(module):
    seen = []
    for number in range(3):
        when_imported(module, lambda found, number=number: seen.append(number))
    found = importlib.import_module(module)
    assert sorted(seen) == [0, 1, 2]
    assert imports._Loader not in (type(found.__loader__), type(found.__spec__.loader))


def test_a_module_that_is_not_there_is_missing_as_ever_and_found_when_it_comes(module, tmp_path):
    seen = []
    when_imported("comes_later", seen.append)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("comes_later")
    assert seen == []
    (tmp_path / "comes_later.py").write_text("")
    importlib.invalidate_caches()
    assert importlib.import_module("comes_later") is sys.modules.pop("comes_later")
    assert len(seen) == 1


def test_a_module_that_fails_raises_its_own_error_and_its_hook_does_not_run(module, tmp_path):
    (tmp_path / f"{module}.py").write_text("1 / 0\n")
    when_imported(module, lambda found: pytest.fail("it is not there"))
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(module)


# Names of views.


def plain(request):
    return HttpResponse("plain")


class Based(View):
    def get(self, request):
        return HttpResponse("based")

    def listed(self, request):
        return HttpResponse("as an admin has it")


class Called:
    def __call__(self, request):
        return HttpResponse("called")


def bare(view):
    """A decorator that keeps no name."""

    def around(request):
        return view(request)

    return around


def of_admin(method):
    def wrapper(request):
        return bare(method)(request)

    wrapper.admin = method.__self__
    return wrapper


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (plain, "plain"),
        (Based.as_view(), "Based"),
        (csrf_exempt(plain), "plain"),
        (login_required(plain), "plain"),
        (login_required(Based.as_view()), "Based"),
        (vary_on_headers("Cookie")(plain), "plain"),
        (require_safe(login_required(Based.as_view())), "Based"),
        (
            method_decorator(login_required, name="dispatch")(
                type("Based", (Based,), {"__module__": __name__})
            ).as_view(),
            "Based",
        ),
        (bare(plain), "plain"),
        (bare(bare(bare(plain))), "plain"),
        (bare(csrf_exempt(bare(Based.as_view()))), "Based"),
        (functools.partial(plain), "plain"),
        (functools.partial(functools.partial(bare(plain))), "plain"),
        (of_admin(Based().listed), "Based.listed"),
        (Called(), "Called"),
    ],
)
def test_a_view_goes_by_the_name_of_what_its_author_wrote_whatever_is_around_it(view, name):
    assert view_name(view) == f"{__name__}.{name}"
