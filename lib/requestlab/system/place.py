"""Where the lab runs, as far as that changes what figures are worth: a container, a hub, a laptop on its battery."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from requestlab.worker.kernel import PORTABLE

SHARED = "REQUESTLAB_SHARED"
"""Not empty, nor 0: others share this machine, so servers answer only requests with the run's token."""


@dataclass(frozen=True)
class Place:
    """Where the lab runs: its `name`, what that `costs`, and what `helps`."""

    name: str
    costs: str
    helps: str

    @property
    def sentence(self) -> str:
        return f"this is {self.name}: {self.costs}; {self.helps}"


def places(root: Path = Path("/"), variables: Mapping[str, str] | None = None) -> tuple[Place, ...]:
    """Return where this process runs, by the files below `root` and the variables of its environment."""
    given = os.environ if variables is None else variables
    return tuple(place for seen, place in _KNOWN if seen(root, given))


def is_shared() -> bool:
    """Return whether others may run processes on this machine: on a hub, or where REQUESTLAB_SHARED says so."""
    said = os.environ.get(SHARED)
    return said not in ("", "0") if said is not None else bool(os.environ.get("JUPYTERHUB_USER"))


def _named(*names: str) -> Callable[[Path, Mapping[str, str]], bool]:
    return lambda root, variables: any(variables.get(name) for name in names)


def _is_container(root: Path, variables: Mapping[str, str]) -> bool:
    if any((root / name).exists() for name in (".dockerenv", "run/.containerenv")):
        return True
    return "container" in variables


def _is_wsl(root: Path, variables: Mapping[str, str]) -> bool:
    return "microsoft" in _read(root / "proc/sys/kernel/osrelease").lower()


def _is_on_battery(root: Path, variables: Mapping[str, str]) -> bool:
    return any(
        _read(supply / "type") == "Battery" and _read(supply / "status") == "Discharging"
        for supply in _below(root / "sys/class/power_supply")
    )


def _is_slowed_down(root: Path, variables: Mapping[str, str]) -> bool:
    """Whether the system keeps the processor below what it could do: the limit for its frequency is under its most."""
    for core in _below(root / "sys/devices/system/cpu/cpufreq"):
        with suppress(ValueError):
            if int(_read(core / "scaling_max_freq")) < int(_read(core / "cpuinfo_max_freq")):
                return True
    return False


def _below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(folder.iterdir())


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


_KNOWN: tuple[tuple[Callable[[Path, Mapping[str, str]], bool], Place], ...] = (
    (
        _named("BINDER_SERVICE_HOST", "BINDER_REPO_URL"),
        Place(
            "a session on Binder",
            "its cores are shared with strangers, and most runs will be suspect",
            "read, count and do the exercises here, and measure on a machine of your own",
        ),
    ),
    (
        _named("CODESPACES"),
        Place(
            "a codespace",
            "its host is shared, and takes time from it unseen but for steal",
            "compare over many rounds, and believe counts before times",
        ),
    ),
    (
        _named("JUPYTERHUB_USER"),
        Place(
            "a hub",
            "its cores are shared with all who use it",
            "measure while few others do, and read the reasons of suspect runs",
        ),
    ),
    (
        _is_wsl,
        Place(
            "Linux inside Windows (WSL)",
            "Windows shares the cores, and what it takes shows as steal at most",
            "close what is busy in Windows, and keep files out of /mnt",
        ),
    ),
    (
        _is_container,
        Place(
            "a container",
            "a limit of CPU time halts whatever uses more, for tens of milliseconds at a time",
            "give it cores of its own (--cpuset-cpus) instead of a share of all",
        ),
    ),
    (
        _is_on_battery,
        Place(
            "a laptop on its battery",
            "its processor changes speed in the middle of a comparison",
            "plug it in",
        ),
    ),
    (
        _is_slowed_down,
        Place(
            "a processor that is held below its full speed",
            "by heat or to save power, and the limit may change while you measure",
            "choose the performance profile, let it cool, and measure again",
        ),
    ),
    (
        lambda root, variables: PORTABLE,
        Place(
            "a system that the lab takes for no Linux",
            "load and servers share all cores, and it cannot see what waited for one, what others took, or who held the GIL",
            "compare over many rounds, and measure in a container of Linux what has to be certain",
        ),
    ),
)
