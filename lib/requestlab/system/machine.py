"""The machine and the versions under which a figure was measured."""

from __future__ import annotations

import os
import platform
import random
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from requestlab.errors import LabError
from requestlab.system import wording
from requestlab.worker import kernel

PACKAGES = (
    *("django", "asgiref", "gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools", "httpx"),
    *("gevent", "granian", "hypercorn", "daphne", "twisted", "waitress", "pyuwsgi"),
)


def require_unix() -> None:
    """Raise LabError anywhere else."""
    if sys.platform in ("win32", "cygwin", "emscripten", "wasi"):
        raise LabError(
            f"the lab runs on Linux and macOS, and this is {sys.platform}, which cannot hand a listening socket to a server. "
            "WSL 2, a container, a virtual machine or Binder will do"
        )


@dataclass(frozen=True)
class Machine:
    """What travels with every result: `python` and `versions` are the server's, empty where they are not known.
    `limits` holds what a hub allows, if it says; a package that is not installed has no version (None)."""

    python: str
    implementation: str
    gil: bool
    system: str
    processor: str
    cores: int
    usable_cores: int
    limits: Mapping[str, str] = field(hash=False)
    versions: Mapping[str, str | None] = field(hash=False)

    @property
    def caption(self) -> str:
        """One line that names the machine and the versions, for beneath a figure."""
        here = f"{self.processor}, {self.usable_cores} cores · {self.system}"
        if not self.python:
            return f"{here} · versions of the server unknown"
        packages = (
            f"{shown} {self.versions.get(name)}" for name, shown in (("django", "Django"), ("asgiref", "asgiref"))
        )
        return " · ".join([here, f"Python {self.python}", *packages])


def facts() -> Machine:
    """Return those of the machine and the interpreter that this runs on."""
    return Machine(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        gil=getattr(sys, "_is_gil_enabled", lambda: True)(),
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        usable_cores=len(kernel.usable_cores()),
        limits={name: os.environ[name] for name in ("CPU_LIMIT", "MEM_LIMIT") if name in os.environ},
        versions={name: version(name) for name in PACKAGES},
    )


def unknown() -> Machine:
    """Return this machine for a server of which nothing is known."""
    return replace(facts(), python="", implementation="", versions={})


def joined(machines: Iterable[Machine]) -> Machine:
    """Return the facts of several that differ in their versions only, with all of these: `3.11.7 and 3.13.0`."""
    several = list(dict.fromkeys(machines))
    names = dict.fromkeys(name for one in several for name in one.versions)
    versions = {name: _each([one.versions.get(name) for one in several]) for name in names}
    return replace(several[0], python=_each([one.python for one in several]) or "", versions=versions)


def _each(texts: Iterable[str | None]) -> str | None:
    known = list(dict.fromkeys(text for text in texts if text))
    return wording.listed(known) if known else None


def describe_machine() -> str:
    """Return one line that names this machine and the versions.

    >>> print(lab.describe_machine())
    """
    return facts().caption


@dataclass(frozen=True)
class Cores:
    """Which cores the server's processes may use, and which one the generator has for itself (None: it shares)."""

    server: tuple[int, ...]
    generator: int | None


def all_cores() -> Cores:
    """Set none apart: the server may use every core, and the generator runs where there is room."""
    return Cores(server=tuple(sorted(kernel.usable_cores())), generator=None)


def split_cores() -> Cores:
    """Set one core apart for the generator where there are two or more, and the system lets a process choose; the same
    one for as long as this process lives.

    Which one is left to chance: on a machine with many labs, always taking the last would pile them up there. Within
    one lab it stays, since cores differ, and servers that are compared must not.
    """
    return _split(tuple(sorted(kernel.usable_cores())))


def upstream_cores() -> Cores:
    """Put the upstream on the generator's core: it must take nothing from the server that calls it. What measures the
    upstream itself runs on another."""
    cores = split_cores()
    return cores if cores.generator is None else Cores(server=(cores.generator,), generator=cores.server[0])


@cache
def _split(usable: tuple[int, ...]) -> Cores:
    if len(usable) < 2 or kernel.PORTABLE:
        return Cores(server=usable, generator=None)
    generator = random.choice(usable)
    return Cores(server=tuple(core for core in usable if core != generator), generator=generator)


def _processor() -> str:
    try:
        lines = [] if kernel.PORTABLE else Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


@cache
def version(package: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
