"""How JupyterLab is started on the notebooks: its command line, its environment, its folder."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from requestlab.errors import ConfigurationError
from requestlab.notebooks.saving import as_it_was

LESSONS = Path(__file__).with_name("lessons")
"""The lessons, in an installed package; a checkout has them in `notebooks`."""

OWN_FOLDER = Path("requestlab-lessons")
"""Where a reader without a checkout gets them."""

SETTINGS = Path(__file__).with_name("settings")
"""Of JupyterLab: text opens as a page and not as source, long lines are wrapped, no news are asked for."""

CONTENTS = "README.md"
"""What is opened first, where the folder has it."""

_A_WAY_TO_SHOW = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def start(folder: Path | None, more: Sequence[str] = ()) -> NoReturn:
    """Become JupyterLab; `more` are arguments of its own. Raises ConfigurationError where there is no folder to
    open."""
    there = where(folder)
    if there == LESSONS:
        there = copied(OWN_FOLDER)
    line = command(there, more, root=os.geteuid() == 0, browser=has_browser())
    os.execve(line[0], line, environment(os.environ))


def where(folder: Path | None) -> Path:
    """Return where the lessons are: the folder asked for, `notebooks` here, `notebooks` of the checkout installed from,
    or those that come with the package."""
    checkout = Path(__file__).resolve().parents[3]
    candidates = [Path("notebooks"), checkout / "notebooks", LESSONS] if folder is None else [folder]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate.resolve()
    if folder is None:
        raise ConfigurationError(
            "there is no folder 'notebooks' here, and requestlab is not installed from a checkout that has one; "
            "name the folder: requestlab lab FOLDER"
        )
    raise ConfigurationError(f"there is no folder {str(folder)!r}")


def copied(folder: Path) -> Path:
    """Put the lessons into a folder, without a change to what is there already: a reader's work is kept. Raises
    ConfigurationError where that cannot be."""
    try:
        folder.mkdir(exist_ok=True)
        for file in sorted(LESSONS.iterdir()):
            if file.is_file() and not (folder / file.name).exists():
                shutil.copyfile(file, folder / file.name)
    except OSError as problem:
        raise ConfigurationError(
            f"the lessons cannot be put into {str(folder.absolute())!r}: {problem.strerror}; go to a folder of yours"
        ) from None
    print(f"The lessons are in {folder.absolute()}; files that were there are left as they are.", file=sys.stderr)
    return folder.resolve()


def command(folder: Path, more: Sequence[str], *, root: bool, browser: bool) -> list[str]:
    """Return JupyterLab's command line. `-y`: one Ctrl-C ends it; what comes later on the line wins."""
    line = [
        sys.executable,
        "-m",
        "requestlab.notebooks.lab_process",
        "-y",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.app_settings_dir={SETTINGS}",
        f"--ContentsManager.pre_save_hook={as_it_was.__module__}.{as_it_was.__name__}",
    ]
    if (folder / CONTENTS).is_file():
        line.append(f"--LabApp.default_url=/lab/tree/{CONTENTS}")
    if root:  # the usual user inside a container
        line.append("--allow-root")
    if not browser:
        line.append("--no-browser")
    return [*line, *more]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which `Python 3` is this interpreter, whatever kernels the user or JUPYTER_PATH has."""
    path = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    changed = {**variables, "JUPYTER_PREFER_ENV_PATH": "1", "PATH": path}  # JupyterLab's terminals find requestlab too
    if others := variables.get("JUPYTER_PATH"):  # searched before everything else
        changed["JUPYTER_PATH"] = os.pathsep.join([str(Path(sys.prefix, "share", "jupyter")), others])
    return changed


def has_browser() -> bool:
    """Return whether a browser can open a window here; one that draws in the terminal does not count."""
    if sys.platform.startswith("linux") and not any(map(os.environ.get, _A_WAY_TO_SHOW)):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
