"""Views, middleware, settings, options and variables of the reader's own: what is served, what is refused, and what is
never shown."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, ServerStartError
from requestlab.serving import views as checked
from requestlab.serving.tracebacks import last_error

VIEWS = """
import asyncio
import os

from django.conf import settings
from django.db import connection, models
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views import View

from beside import WORD


class Note(models.Model):
    text = models.CharField(max_length=20)


class Based(View):
    def get(self, request):
        return HttpResponse("of a class")


def plain(request):
    return HttpResponse(WORD)


async def waits(request):
    await asyncio.sleep(0)
    return HttpResponse("awaited")


def parts(request):
    return StreamingHttpResponse(iter(["one ", "two"]))


async def late_parts(request):
    async def texts():
        for text in ("three ", "four"):
            await asyncio.sleep(0)
            yield text

    return StreamingHttpResponse(texts())


def notes(request):
    Note.objects.create(text="a note")
    return HttpResponse(f"{Note.objects.count()} by {os.getpid()}")


def told(request):
    return JsonResponse({
        "apps": settings.INSTALLED_APPS[-1], "kept": connection.settings_dict["CONN_MAX_AGE"],
        "anything": settings.ANYTHING, "variable": os.environ["GREETING"],
    })


def helper(text):
    return text


def _hidden(request):
    return HttpResponse("hidden")


def timing(get_response):
    def layer(request):
        response = get_response(request)
        response["X-Layer"] = "timing"
        return response

    return layer
"""

ROUTED = """
from django.http import HttpResponse
from django.urls import path

def page(request, number):
    return HttpResponse(f"page {number}")

urlpatterns = [path("pages/<int:number>/", page)]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file of views into an empty folder, and returns its path."""

    def written(text: str, name: str = "own_views.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


@pytest.fixture
def own_views(write) -> Path:
    write("WORD = 'from beside'\n", "beside.py")
    return write(VIEWS)


def texts(server: lab.Server, *names: str) -> list[str]:
    answers = [httpx.get(f"{server.url}/{name}/") for name in names]
    assert [answer.status_code for answer in answers] == [200] * len(names), server.log
    return [answer.text for answer in answers]


# What is served.


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI])
def test_the_functions_and_classes_of_a_file_answer_at_their_names_before_labapps_own(configuration, own_views):
    application = lab.app(str(own_views), settings={"ANYTHING": 1}, middleware=["timing", "startproject"])
    with lab.serve(configuration, application=application) as server:
        assert texts(server, "plain", "waits", "parts", "Based") == [
            "from beside",
            "awaited",
            "one two",
            "of a class",
        ]
        assert ("late_parts", texts(server, "late_parts")) == ("late_parts", ["three four"])
        assert "<html" in texts(server, "sync/page")[0]
        assert httpx.get(server.url + "/plain/").headers["x-layer"] == "timing"
        assert [httpx.get(f"{server.url}/{name}/").status_code for name in ("helper", "_hidden", "timing", "Note")] == [
            404
        ] * 4


def test_a_file_with_urlpatterns_says_where_its_views_answer_and_its_name_stands_in_the_label(write):
    configuration = lab.SYNC.replace(views=str(write(ROUTED, "routed.py")))
    assert configuration.label == "sync, views=routed.py"
    with lab.serve(configuration) as server:
        assert texts(server, "pages/7", "sync/page")[0] == "page 7"
        assert httpx.get(server.url + "/page/").status_code == 404


def test_tables_of_models_are_made_once_though_two_workers_start_at_once(own_views):
    with lab.serve(lab.SYNC, workers=2, application=lab.app(own_views)) as server:
        told = [httpx.get(server.url + "/notes/").text.split(" by ") for _ in range(20)]
        assert sorted(int(count) for count, _ in told) == list(range(1, 21))
        assert "Error" not in server.log


def test_functions_of_a_notebook_are_served_with_what_they_use_and_its_middleware():
    greeting = "hello from the notebook"

    def hello(request):
        from django.http import HttpResponse

        return HttpResponse(greeting)

    async def later(request):
        from django.http import HttpResponse

        return HttpResponse(greeting.upper())

    def shouting(get_response):
        def layer(request):
            answer = get_response(request)
            answer["X-Layer"] = greeting
            return answer

        return layer

    application = lab.app(hello, later, middleware=[shouting, "startproject"])
    assert application.middleware == "experiment.shouting,startproject"
    configuration = lab.ASGI.replace(application=application)
    assert configuration.shown()["views"] == "hello,later,shouting"
    with lab.serve(configuration) as server:
        assert texts(server, "hello", "later") == [greeting, greeting.upper()]
        assert httpx.get(server.url + "/hello/").headers["x-layer"] == greeting
        assert httpx.get(server.url + "/shouting/").status_code == 404


def test_settings_go_where_they_belong_and_variables_reach_the_workers(own_views):
    given = {"CONN_MAX_AGE": 60, "INSTALLED_APPS": ["django.contrib.humanize"], "ANYTHING": ["a", 1, None]}
    application = lab.app(own_views, settings=given, middleware=["django.middleware.gzip.GZipMiddleware"])
    with lab.serve(lab.SYNC, application=application, env={"GREETING": "hi"}) as server:
        assert json.loads(*texts(server, "told")) == {
            "apps": "django.contrib.humanize",
            "kept": 60,
            "anything": ["a", 1, None],
            "variable": "hi",
        }
        assert httpx.get(server.url + "/sync/page/").headers["content-encoding"] == "gzip"


def test_options_stand_on_the_servers_command_line_and_mean_something_to_it():
    with lab.serve(lab.ASGI, options=["--header", "X-Own: yes", "--root-path=/below"]) as server:
        assert httpx.get(server.url + "/sync/page/").headers["x-own"] == "yes"


# What is never shown.


SECRETS = {
    "API_KEY": "hunter2",
    "CACHES": {"default": {"BACKEND": "x", "OPTIONS": {"PASSWORD": "hunter2"}}},
    "BROKERS": [{"auth_token": "hunter2"}],
}


def test_secrets_of_settings_and_variables_reach_the_server_but_no_label_and_no_saved_run(write, tmp_path):
    text = "import os\nfrom django.conf import settings\nfrom django.http import HttpResponse\n\ndef both(request):\n"
    path = write(f"{text}    return HttpResponse(settings.API_KEY + ' ' + os.environ['APP_PASSWORD'])\n")
    kept = {"DEBUG": False, **SECRETS}
    configuration = lab.SYNC.replace(
        views=str(path), settings=kept, env={"APP_PASSWORD": "hunter3", "URL": "redis://me:hunter4@host/0"}, probe=True
    )
    with lab.serve(configuration) as server:
        assert texts(server, "both") == ["hunter2 hunter3"]
        run = lab.measure(server, "/both/", lab.closed(1, each=3))
    loaded = lab.load_run(run.save(tmp_path / "a.run"))
    for shown in (configuration.label, repr(configuration), configuration.shown(), loaded.about, run.about, run):
        assert "hunter" not in str(shown)
    assert loaded.about.configuration.env == {"APP_PASSWORD": "***", "URL": "redis://me:***@host/0"}
    assert "'API_KEY': '***', " in loaded.about.configuration.settings
    assert "'DEBUG': False" in loaded.about.configuration.settings


# What is refused.


def broken(write, text: str, **more) -> lab.Configuration:
    return lab.SYNC.replace(views=str(write(text, "broken.py")), **more)


NO_APPS = [
    (lambda write: lab.app("nowhere/views.py"), r"views='.*nowhere/views\.py' cannot be read: No such file"),
    (lambda write: lab.app("views.txt"), r"a Python file with a name that can be imported, such as views\.py"),
    (lambda write: lab.app("my-views.py"), "a name that can be imported"),
    (lambda write: broken(write, "a = 1\ndef f(:\n"), "broken.py, line 2: invalid syntax"),
    (lambda write: broken(write, "a = '\0'"), "broken.py.*: source code .*null bytes"),
    (lambda write: lab.app("one.py", "two.py"), "takes one file, or functions, not several"),
    (lambda write: lab.app(print, "two.py"), "takes one file, or functions, not several files or both"),
    (lambda write: lab.app("one.py", middleware=[print]), "from that file by its name, as text"),
    (lambda write: lab.app(lambda request: None), "functions with names of their own"),
    (lambda write: lab.SYNC.replace(views=7), r"views=7: expected the path of a Python file, or functions"),
    (
        lambda write: broken(write, "import os\ndef one(request): ...\n", middleware="two"),
        "no such name; it has one, os",
    ),
    (lambda write: lab.app(middleware=["timing"]), "dotted names of other middleware"),
    (lambda write: lab.app(settings={"debug": True}), "settings='debug': expected names in capital letters"),
    (lambda write: lab.app(settings={"A": object()}), r"settings\['A'\]=<object .*: expected text, numbers"),
    (lambda write: lab.app(settings={"DATABASES": {}}), r"settings\['DATABASES'\] is the lab's .*; give database="),
    (lambda write: lab.app(settings={"MIDDLEWARE": []}), r"settings\['MIDDLEWARE'\] is the lab's .*; give middleware="),
    (lambda write: lab.SYNC.replace(settings=3), "settings=3: expected a mapping"),
    (lambda write: lab.SYNC.replace(settings="DEBUG = True"), "settings='DEBUG = True': expected a mapping"),
    (lambda write: lab.SYNC.replace(application="bare", views="views.py"), "cannot be read|'bare' has no views"),
    (lambda write: lab.SYNC.replace(options="--limit 5"), "options='--limit 5': expected a list as on a command line"),
    (lambda write: lab.SYNC.replace(options=["--workers=4"]), "'--workers=4' .*: the field workers of the config"),
    (lambda write: lab.SYNC.replace(options=["-w4"]), "'-w4' .*: the field workers of"),
    (lambda write: lab.SYNC.replace(options=["-k", "gevent"]), "'-k' .*: the field server of"),
    (lambda write: lab.SYNC.replace(options=["--chdir", "/"]), "'--chdir' .*: the field application of"),
    (lambda write: lab.ASGI.replace(options=["--loop=uvloop"]), "'--loop=uvloop' .*: the field loop of"),
    (lambda write: lab.SYNC.replace(options=["--bind", ":80"]), "'--bind' of 'gunicorn-sync' .*: the lab needs that"),
    (lambda write: lab.SYNC.replace(server="null", options=["-x"]), "server 'null' takes no options"),
    (lambda write: lab.SYNC.replace(env={"A": 1}), "env={'A': 1}: expected a mapping of text to text"),
    (lambda write: lab.SYNC.replace(env={"LABAPP_X": "1"}), "env='LABAPP_X': expected names .* does not set itself"),
    (lambda write: lab.SYNC.replace(env={"A=B": "1"}), "env='A=B': expected names"),
]


@pytest.mark.parametrize(("make", "words"), NO_APPS)
def test_what_cannot_be_served_is_refused_in_one_sentence_before_anything_is_started(make, words, write):
    with pytest.raises(ConfigurationError, match=words) as caught:
        make(write)
    assert "\n" not in str(caught.value)


def test_functions_that_use_too_much_are_refused_with_what_to_do_instead():
    data = bytes(i * i % 251 ^ i % 7 ^ (i >> 3) % 256 for i in range(3 * checked.MAX_PACKED))

    def huge(request):
        return data

    with pytest.raises(
        ConfigurationError, match=r"app\(huge\) and .* too large .*, at most 100,000\): write them into"
    ):
        lab.app(huge)

    lock = __import__("threading").Lock()

    def locked(request):
        return lock

    with pytest.raises(ConfigurationError, match=r"app\(locked\) cannot be sent to a server: .*lock"):
        lab.app(locked)


DIVIDES = "def f():\n    return 1 / 0\n\nf()\n"


@pytest.mark.parametrize(
    ("configuration", "text", "name", "said"),
    [
        (lab.SYNC, "import os\nimport nowhere\n", "own.py", r"No module named 'nowhere' \(own\.py, line 2\)"),
        (lab.ASGI, DIVIDES, "own.py", r"ZeroDivisionError: .* \(own\.py, line 2, in f\)"),
        (lab.SYNC.replace(workers=3), DIVIDES, "own.py", r"ZeroDivisionError: .* \(own\.py, line 2, in f\)"),
        (lab.SYNC, "", "json.py", r"has the name of a module that is loaded already; give it another"),
    ],
)
@pytest.mark.some(2)
def test_a_file_that_cannot_be_imported_is_one_sentence_of_serve_with_its_line(configuration, text, name, said, write):
    with pytest.raises(ServerStartError, match=said) as caught:
        lab.serve(configuration, views=str(write(text, name)))
    first = str(caught.value).partition("\n")[0]
    assert first.startswith(f"the server '{configuration.label}, views={name}' ended before it was ready: ")


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI])
def test_the_error_of_a_view_is_told_in_the_reasons_of_the_run(configuration, write):
    path = write("def slow(request):\n    return undefined\n")
    with lab.serve(configuration, views=str(path)) as server:
        run = lab.measure(server, "/slow/", lab.closed(1, each=3))
    (reason, *_) = run.summary["reasons"]
    assert run.summary["errors"] == 3
    assert reason == (
        "no request was answered with a status below 400; the server's last error: "
        "NameError: name 'undefined' is not defined (own_views.py, line 2, in slow)"
    )


BEGIN = "Traceback (most recent call last):\n"
FRAME = '  File "/a/views.py", line 4, in slow\n    here()\n'


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("", ""),
        ("nothing went wrong\n", ""),
        (f"{BEGIN}{FRAME}NameError: what\n", "NameError: what (views.py, line 4, in slow)"),
        (f"{BEGIN}{FRAME}KeyError: 1\n{BEGIN}{FRAME}ValueError: 2\n", "ValueError: 2 (views.py, line 4, in slow)"),
        (f"{BEGIN}{FRAME}    ~~~~^^\nE: 1\nmore\n", "E: 1 (views.py, line 4, in slow)"),
        (f'{BEGIN}  File "/b/v.py", line 1, in <module>\n    x\nE\n', "E (v.py, line 1)"),
        (
            f'{BEGIN}{FRAME}  File "/b/v.py", line 9\n    f(:\n      ^\nSyntaxError: bad\n',
            "SyntaxError: bad (v.py, line 9)",
        ),
        (
            f"gone\n{FRAME}E: of which the beginning is cut off\n",
            "E: of which the beginning is cut off (views.py, line 4, in slow)",
        ),
        ("".join(f"  | {line}\n" for line in f"{BEGIN}{FRAME}E: 1".splitlines()), "E: 1 (views.py, line 4, in slow)"),
        (f"{BEGIN}{FRAME}", ""),
        (f"{BEGIN}{FRAME}E: 1\n{BEGIN}{FRAME}gunicorn.errors.HaltServer: 3\n", "E: 1 (views.py, line 4, in slow)"),
        (f"{BEGIN}{FRAME}gunicorn.errors.HaltServer: 3\n", "gunicorn.errors.HaltServer: 3 (views.py, line 4, in slow)"),
        (f"{BEGIN}{FRAME}E: {'x' * 999}\n", f"E: {'x' * 297} (views.py, line 4, in slow)"),
    ],
)
def test_the_last_traceback_of_a_log_becomes_one_sentence(log, sentence):
    assert last_error(log) == sentence
