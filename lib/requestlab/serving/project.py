"""Somebody else's Django project, made ready to be served without touching anything of theirs.

It runs in its own interpreter, from a scratch copy of its folder, with copies of its SQLite files and a home of its
own; see `requestlab.worker.project` for what is changed in its settings. All scratch is gone with this process.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from requestlab.errors import ConfigurationError, ProjectError
from requestlab.serving import interpreters
from requestlab.serving.tracebacks import last_error
from requestlab.system import checks
from requestlab.system.folders import temporary_folder
from requestlab.system.interrupts import interrupt_says
from requestlab.system.progress import Progress
from requestlab.worker import look, project as in_worker

LOOK_S = 120.0
MAX_COPY_BYTES = 2_000_000_000

_LEFT_OUT = {
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    "__pycache__",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
}
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*[\],)]?\s*[=,]?\s*["']([\w.]+)["']""")
_ENVIRONMENTS = (".venv", "venv", "env", ".env")
_MAX_DEPTH = 3


@dataclass(frozen=True)
class Project:
    """A Django project: its folder, the module of its settings, its own applications where it has them (empty: Django's
    are made), and the interpreter that it runs in; the `number` of the copy that was made of it, with its own
    environment and databases; and whether each answer under WSGI is to say how many queries were made for it
    (`counts_queries`). Made by `project`.

    >>> lab.project(lab.bookshop(), migrate=True).settings
    """

    directory: str
    settings_module: str
    python: str
    wsgi: str = ""
    asgi: str = ""
    number: int = 0
    counts_queries: bool = False

    kind: ClassVar[str] = "project"
    targets: ClassVar[Mapping[str, str]] = {
        "wsgi": "requestlab.worker.project:wsgi",
        "asgi": "requestlab.worker.project:asgi",
    }
    packages: ClassVar[tuple[Path, ...]] = ()
    middleware: ClassVar[str] = "its own"
    database: ClassVar[str] = ""
    upstream: ClassVar[str] = ""
    views: ClassVar[str] = ""
    settings: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return Path(self.directory).name

    @property
    def headers(self) -> dict[str, str]:
        """What each request to it must say: which site is meant, and the session, if there is one."""
        return _ready(self).headers

    @property
    def working_directory(self) -> str:
        """Where its servers are started."""
        return _ready(self).work

    def variables(self, directory: str) -> dict[str, str]:
        """Return what the environment of its processes must hold; copies its databases into a server's `directory`."""
        made = _ready(self)
        databases = {alias: _copied(file, directory, alias) for alias, file in made.databases.items()}
        told = {**made.told, "databases": databases, "counts_queries": self.counts_queries}
        return {**made.variables, in_worker.VARIABLE: json.dumps(told)}


@dataclass
class Prepared:
    """The scratch of a project in this process: `work`, the copy of its folder; copies of its `databases` by alias; the
    `variables` of its processes; what its processes are `told`; what was `found` by a look at it; and `headers`."""

    scratch: str
    work: str
    variables: dict[str, str]
    told: dict[str, Any]
    databases: dict[str, str] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


_prepared: dict[Project, Prepared] = {}


def bookshop(folder: str | Path | None = None) -> Path:
    """Return the folder of a small Django project that comes with the lab; or of a copy in `folder`, to be changed.

    >>> mine = project(bookshop(), migrate=True)

    Raises ConfigurationError where that folder cannot be made, or is there already.
    """
    found = find_spec("labapp")
    assert found is not None
    assert found.origin is not None
    shop = Path(found.origin).with_name("bookshop")
    if folder is None:
        return shop
    try:
        new = Path(checks.path("bookshop(folder)", folder, "the path of a new folder")).expanduser()
        copy = shutil.copytree(shop, new, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as problem:
        raise ConfigurationError(f"bookshop({str(folder)!r}): {problem.strerror}; name a new folder") from None
    return Path(copy)


@interrupt_says("the look at the project; its copy goes with this process")
def project(
    directory: str | Path,
    *,
    settings: str = "",
    wsgi: str = "",
    asgi: str = "",
    python: str | Path = "",
    env: Mapping[str, str] | None = None,
    login: str = "",
    cookie: str = "",
    migrate: bool = False,
    network: bool = False,
) -> Project:
    """Return a Django project as an application that the lab can serve.

    >>> mine = project("~/mysite")
    >>> compare({"sync": SYNC.replace(application=mine), "asgi": ASGI.replace(application=mine)}, "/")

    It is found by its `manage.py`, or by the module of its `settings`; `wsgi` and `asgi` name its own applications
    where its settings do not. `python` is its interpreter (else that in its `.venv`, else the lab's own), `env` are
    variables that it needs. `login` is the name of a user, for whom a session is made in the copied database, `cookie`
    what else to send. With `migrate`, migrations are applied to the copy. With `network`, it may connect to other
    machines; its databases and caches it may ask without.

    Nothing of theirs is changed: the folder is copied, without version control and environments, and so are SQLite
    files wherever they are; home is a scratch folder; mail stays in memory; DEBUG is off. Another kind of database is
    left to them.

    Raises ConfigurationError for values that cannot work, and ProjectError, in a sentence with what to do next, where
    the project does not start.

    Resources: a scratch folder, which goes with this process.
    """
    folder = Path(checks.path("project(directory)", directory, "the folder of a Django project")).expanduser().resolve()
    if not _is_folder(folder):
        raise ConfigurationError(f"{os.fspath(directory)!r} is no folder; expected that of a Django project")
    root = _root_of(folder)
    chosen = settings or _settings_of(root)
    interpreter = _interpreter_of(root, python)
    scratch = temporary_folder()
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    with Progress(f"copying {root.name}"):
        work = _copy(root, Path(scratch, "work"))
    told: dict[str, Any] = {"settings": chosen, "path": [work], "wsgi": wsgi, "asgi": asgi, "network": network}
    told["static_root"] = str(Path(scratch, "static"))
    made = Prepared(scratch, work, _variables(scratch, env or {}), told)
    with Progress(f"looking at {root.name}"):
        first = _look(interpreter, made, {"look_at_database": False})
        made.databases = _sqlite_copies(first, root, made)
        told["databases"] = dict(made.databases)
        able = all("sqlite" in one["ENGINE"] for one in first["databases"].values())
        more = {"login": login, "migrate": migrate and able, "collect": first["manifest"]}
        made.found = _look(interpreter, made, more)
    _demand_migrated(made, migrate, able)
    told["wsgi"], told["asgi"] = wsgi or made.found["wsgi"], asgi or made.found["asgi"]
    made.headers = _headers(made.found, cookie)
    result = Project(str(root), chosen, interpreter, told["wsgi"], told["asgi"], len(_prepared) + 1)
    _prepared[result] = made
    return result


def found_in(one: Project) -> dict[str, Any]:
    """Return what a look at the project found: see `requestlab.worker.look`."""
    return _ready(one).found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its name is too long, or is not to be looked at
        return False


def _ready(one: Project) -> Prepared:
    one = replace(one, counts_queries=False)
    if one not in _prepared:
        raise ConfigurationError(f"the project in {one.directory!r} has not been looked at here: call project() first")
    return _prepared[one]


# Finding it


def _root_of(folder: Path) -> Path:
    """Return the folder with manage.py: this one, or the only one below it; this one, where there is none."""
    if (folder / "manage.py").is_file():
        return folder
    below = list(_files(folder, "manage.py", _MAX_DEPTH))
    if len(below) > 1:
        several = ", ".join(str(path.parent.relative_to(folder)) for path in below)
        raise ConfigurationError(f"{str(folder)!r} holds several projects: name one of {several}")
    return below[0].parent if below else folder


def _files(folder: Path, name: str, depth: int) -> Iterator[Path]:
    for path in _inside(folder) if depth else ():
        if path.is_file() and path.name == name:
            yield path
        elif path.is_dir() and not path.is_symlink() and not _is_left_out(path):
            yield from _files(path, name, depth - 1)


def _inside(folder: Path) -> list[Path]:
    """Return what lies in a folder and may be looked at."""
    try:
        return sorted(path for path in folder.iterdir() if os.access(path, os.R_OK))
    except OSError:
        return []


def _is_left_out(path: Path) -> bool:
    return path.name in _LEFT_OUT or (path / "pyvenv.cfg").exists()


def _settings_of(root: Path) -> str:
    """Return the module of its settings, as manage.py, wsgi.py or asgi.py names it."""
    if named := os.environ.get("DJANGO_SETTINGS_MODULE"):
        return named
    places = [root / "manage.py", *_files(root, "wsgi.py", _MAX_DEPTH), *_files(root, "asgi.py", _MAX_DEPTH)]
    for place in places:
        if place.is_file() and (match := _SETTINGS.search(place.read_text(errors="replace"))):
            return match[1]
    raise ConfigurationError(
        f"{str(root)!r} is no Django project that can be found: neither manage.py, wsgi.py nor asgi.py there names its "
        "settings; give settings= (--settings), such as mysite.settings"
    )


def _interpreter_of(root: Path, given: str | Path) -> str:
    if given:
        return checks.interpreter("python", given)
    for folder in (root, root.parent):
        for name in _ENVIRONMENTS:
            if os.access(folder / name / "bin" / "python", os.X_OK):
                return str(folder / name / "bin" / "python")
    return sys.executable


# Scratch


def _copy(root: Path, work: Path) -> str:
    size = sum(os.lstat(Path(folder, name)).st_size for folder, name in _to_copy(root))
    if size > MAX_COPY_BYTES:
        raise ProjectError(
            f"{str(root)!r} holds {size / 1e9:.1f} GB, and the lab copies at most {MAX_COPY_BYTES / 1e9:.0f}: "
            "give the folder of the project alone, without data"
        )

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if _is_left_out(Path(folder, name)) or not _is_plain(Path(folder, name))]

    try:
        shutil.copytree(root, work, symlinks=True, ignore=left_out)
    except (OSError, shutil.Error) as problem:
        raise ProjectError(f"{str(root)!r} cannot be copied: {problem}") from None
    return str(work)


def _is_plain(path: Path) -> bool:
    return path.is_symlink() or path.is_file() or path.is_dir()


def _to_copy(root: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _is_left_out(Path(folder, name))]
        yield from ((folder, name) for name in names)


def _variables(scratch: str, given: Mapping[str, str]) -> dict[str, str]:
    home = Path(scratch, "home")
    home.mkdir()
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "XDG_CONFIG_HOME": str(home / ".config")}
    own |= {"XDG_DATA_HOME": str(home / ".local/share"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
    return own | dict(given)


def _sqlite_copies(found: Mapping[str, Any], root: Path, made: Prepared) -> dict[str, str]:
    """Return a copy of each SQLite file, by alias; one in the project's folder has been copied with it."""
    copies = {}
    for alias, one in found["databases"].items():
        if "sqlite" not in one["ENGINE"] or not one["NAME"] or ":memory:" in one["NAME"]:
            continue
        place = Path(made.work, one["NAME"])
        original = root / place.relative_to(made.work) if place.is_relative_to(made.work) else place
        copies[alias] = _copied(str(original), made.scratch, alias)
    return copies


def _copied(file: str, directory: str, alias: str) -> str:
    """Return a copy of a database that may be in use, without a word written beside the original.

    SQLite's own backup is whole whatever goes on. But to read one with a write-ahead log it makes files beside it, so
    of such a one the files are copied, and the copy makes good what its log holds.
    """
    copy = Path(directory, f"database-{alias}.sqlite3")
    log = copy.with_name(f"{copy.name}-wal")
    for path in (copy, log):
        path.unlink(missing_ok=True)
    if not Path(file).exists():
        return str(copy)
    try:
        if _has_log(file):
            shutil.copyfile(file, copy)
            if Path(f"{file}-wal").exists():
                shutil.copyfile(f"{file}-wal", log)
            return str(copy)
        source = f"{Path(file).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(source, uri=True)) as original, closing(sqlite3.connect(copy)) as target:
            original.backup(target)
    except (OSError, sqlite3.Error) as problem:
        raise ProjectError(f"the database {file!r} cannot be copied: {problem}") from None
    return str(copy)


def _has_log(file: str) -> bool:
    """Return whether a database has a write-ahead log: the byte of its header for the version to write it with is 2
    (SQLite's file format, 1.3.3)."""
    with open(file, "rb") as opened:
        return opened.read(20)[18:19] == b"\x02"


# Looking


def _look(python: str, made: Prepared, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `requestlab.worker.look` finds in the project's own interpreter."""
    folder = tempfile.mkdtemp(prefix="look-", dir=made.scratch)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("REQUESTLAB_", "LABAPP_"))}
    variables |= made.variables | {in_worker.VARIABLE: json.dumps({**made.told, **more})}
    command = [*interpreters.command_of(python, folder, (), variables), look.__name__]
    try:
        done = subprocess.run(
            command, env=variables, cwd=made.work, capture_output=True, text=True, timeout=LOOK_S, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise ProjectError(f"the project took more than {LOOK_S:g} s to be loaded; it may wait for a service") from None
    for line in done.stdout.splitlines():
        if line.startswith(look.FOUND):
            found: dict[str, Any] = json.loads(line.removeprefix(look.FOUND))
            return found
    raise ProjectError(explained(done.stderr or done.stdout, made.told["settings"]))


def explained(said: str, settings: str) -> str:
    """Return why a project does not load, out of what it printed, and what to do next."""
    error = last_error(said) or (said.strip().splitlines() or ["it ended without a word"])[-1]
    for pattern, advice in _ADVICE:
        if match := re.search(pattern, error):
            return f"{advice.format(*match.groups(), settings=settings)}: {error}"
    return f"the project does not load with {settings}: {error}"


_ADVICE = (
    (
        r"No module named '([\w.]+)'",
        "the module {0} is missing: is this the project's interpreter? give python= (--python)",
    ),
    (r"[Ss]et the (\w+) environment variable", "it wants the variable {0}: give env= (--env {0}=...)"),
    (r"UndefinedValueError: (\w+) not found", "it wants the variable {0}: give env= (--env {0}=...)"),
    (r"KeyError: '([A-Z][A-Z0-9_]+)'", "it may want the variable {0}: give env= (--env {0}=...)"),
    (
        r"ImproperlyConfigured: The SECRET_KEY",
        "its SECRET_KEY is empty: give the variable that holds it as env= (--env)",
    ),
    (r"DoesNotExist: .*User", "there is no such user in the copied database: give the name of one as login= (--login)"),
    (r"(?:OperationalError|ConnectionError|ConnectionRefusedError)", "it wants a service that does not answer"),
)


def _demand_migrated(made: Prepared, migrate: bool, able: bool) -> None:
    waiting = made.found["unapplied"]
    if isinstance(waiting, str):
        raise ProjectError(f"its database cannot be asked: {waiting}")
    if not waiting:
        return
    if migrate and not able:
        raise ProjectError(f"{waiting} migrations wait, and the lab applies them to copies of SQLite files only")
    raise ProjectError(
        f"its database wants {waiting} migrations: run `manage.py migrate`, or give migrate=True (--migrate), which "
        "applies them to the copy"
    )


def _headers(found: Mapping[str, Any], cookie: str) -> dict[str, str]:
    """Return what each request must say: a Host that is allowed, that it came by HTTPS where that is asked for, and the
    cookies."""
    headers = {"Host": _host(found["hosts"])}
    if found["ssl_header"]:
        name, value = found["ssl_header"]
        headers[name.removeprefix("HTTP_").replace("_", "-").title()] = value
    if cookies := "; ".join(filter(None, [found["cookie"], cookie])):
        headers["Cookie"] = cookies
    return headers


def _host(hosts: list[str]) -> str:
    plain = [host for host in hosts if host not in ("*", "[::1]")]
    here = [host for host in plain if host in ("127.0.0.1", "localhost")]
    if here or "*" in hosts or not plain:
        return (here or ["127.0.0.1"])[0]
    return plain[0].removeprefix(".")
