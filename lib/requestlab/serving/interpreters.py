"""Another Python than the lab's own: what it is, and what it is lent to run one of the lab's servers.

Its environment need have nothing of the lab's, nor a server. `worker/` goes in through a folder that holds nothing
else; servers that it lacks are lent from a folder behind its own packages, so that nothing of its own is replaced.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from requestlab.errors import ConfigurationError, LabError
from requestlab.system import machine
from requestlab.system.machine import Machine
from requestlab.system.progress import Progress
from requestlab.worker import launch

OLDEST = (3, 10)
PATIENCE_S = 30.0
LIBRARY = Path(__file__).resolve().parents[1]

LENT = ("gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools")
"""Distributions that are lent where they are missing, in the lab's own versions."""

LENT_DEPENDENCIES = ("click", "h11", "packaging", "typing-extensions")
"""What these need besides."""

_QUESTION = """
import json, platform, sys
if sys.version_info < (3, 8):
    print(json.dumps({"version": list(sys.version_info[:2]), "python": platform.python_version()}))
    sys.exit()
import importlib.metadata as m, sysconfig
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return None
print(json.dumps({
    "version": list(sys.version_info[:2]), "python": platform.python_version(),
    "implementation": platform.python_implementation(), "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
    "abi": sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag,
    "versions": {name: version(name) for name in json.loads(sys.argv[1])},
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python: its `path`, what it is (`abi`: whose compiled packages it can load), and the `versions` of packages in
    its environment (None: not there)."""

    path: str
    version: tuple[int, int]
    python: str
    implementation: str
    gil: bool
    abi: str
    versions: Mapping[str, str | None]

    @property
    def missing(self) -> tuple[str, ...]:
        """Which of the servers' distributions it lacks."""
        return tuple(name for name in LENT if self.versions[name] is None)

    @property
    def machine(self) -> Machine:
        """This machine, with the versions of this Python, and of what it is lent."""
        lent = {name: machine.version(name) for name in self.missing}
        versions = {name: self.versions[name] or lent.get(name) for name in machine.PACKAGES}
        here = machine.facts()
        return replace(here, python=self.python, implementation=self.implementation, gil=self.gil, versions=versions)


def interpreter(python: str) -> Interpreter:
    """Return what the Python of that path is; raises ConfigurationError where it is none, or too old."""
    packages = Path(python).parent.parent.glob("lib*/python*/site-packages")
    return _asked(python, tuple(path.stat().st_mtime_ns for path in (Path(python), *packages) if path.exists()))


@cache
def _asked(python: str, _changed: tuple[int, ...]) -> Interpreter:
    packages = json.dumps([*machine.PACKAGES, *LENT_DEPENDENCIES])
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [python, "-c", _QUESTION, packages],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=bare,
            cwd="/",  # nothing to be imported lies there
        )
        told = json.loads(done.stdout)
        told["version"] = tuple(told["version"])
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ConfigurationError(f"python={python!r} cannot be run: {problem}") from None
    except (ValueError, LookupError, TypeError):
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ConfigurationError(f"python={python!r} is no Python that works: {' '.join(said)}") from None
    if told["version"] < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise ConfigurationError(f"python={python!r} is Python {told['python']}; expected {wanted} or newer")
    return Interpreter(python, **told)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def lent_to(python: Interpreter, directory: str) -> str:
    """Return a folder with the servers that it lacks, to stand behind its own packages; empty where it lacks none.

    Where it can load the lab's own packages, these are links to them in a run's `directory`: the lab's environment can
    be moved or removed, and another run may have others. Else pip installs them, once for each kind of Python, into the
    user's cache. Raises LabError where pip cannot get them.
    """
    if not python.missing:
        return ""
    if python.abi == interpreter(sys.executable).abi:
        return str(_linked(Path(directory, "servers")))
    return str(_installed(python))


def _linked(folder: Path) -> Path:
    folder.mkdir()
    for name in (*LENT, *LENT_DEPENDENCIES):
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).is_symlink():
                (folder / top).symlink_to(str(found.locate_file(top)))
    return folder


def _installed(python: Interpreter) -> Path:
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    versions = "-".join(f"{name}{metadata.version(name)}" for name in LENT)
    folder = cache_folder / "requestlab" / "lent" / f"{python.abi}-{versions}"
    with _alone(folder):
        packages = folder / "packages"
        if not packages.exists():
            made = folder / "making"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            _install(python, made)
            made.rename(packages)
    return packages


def _install(python: Interpreter, folder: Path) -> None:
    wanted = [f"{name}=={metadata.version(name)}" for name in LENT]
    pip = [sys.executable, "-m", "pip", "--python", python.path, "--disable-pip-version-check", "--no-input", "-q"]
    with Progress(f"fetching servers for Python {python.python}"):
        done = subprocess.run(
            [*pip, "install", "--only-binary", ":all:", "--target", str(folder), *wanted],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-2:])
        missing = ", ".join(python.missing)
        raise LabError(f"Python {python.python} at {python.path} lacks {missing}, and pip cannot fetch them: {said}")


def command_of(python: str, directory: str, packages: Sequence[Path], variables: dict[str, str]) -> list[str]:
    """Return how that Python is started to run a module with what it is lent, up to the module's name.

    What it needs for that is put into a run's `directory` and into the `variables` of its environment: `worker/`, these
    packages, and the servers that it lacks.
    """
    folder = lend_worker(directory, *packages)
    variables[launch.LENT] = lent_to(interpreter(python), directory)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, variables.get("PYTHONPATH", "")]))
    return [python, os.path.join(folder, "requestlab", "worker", "launch.py")]


def lend_worker(directory: str, *packages: Path) -> str:
    """Return a folder in a run's directory that holds `requestlab` with `worker/` alone, and these packages. The rest
    of it is that environment's own, if it has the lab: a project may use it, as the wall does."""
    folder = Path(directory, "lent")
    stub = folder / "requestlab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("import pkgutil\n\n__path__ = pkgutil.extend_path(__path__, __name__)\n")
    (stub / "worker").symlink_to(LIBRARY / "worker")
    for package in packages:
        (folder / package.name).symlink_to(package)
    return str(folder)
