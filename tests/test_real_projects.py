"""Three published Django projects, each from the package index in an environment of its own, advised on.

In `make test-projects` only, but for the first, with CI=true. What is installed is kept for the next time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_project import checksums

ALL = bool(os.environ.get("REQUESTLAB_ALL_PROJECTS"))
HOME = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "requestlab" / "projects"
KINDS = {"stay", "switch", "switch, and first move a middleware", "raise threads", "cannot tell"}


def installed(name, *packages):
    """Return the interpreter of an environment with these packages."""
    folder = HOME / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "-qq", "install"]
        subprocess.run([*pip, *packages], check=True, timeout=600)
        (folder / "done").touch()
    return python


def wagtail(folder):
    python = installed("wagtail", "wagtail")
    site = folder / "mysite"
    site.mkdir()
    subprocess.run([str(python.with_name("wagtail")), "start", "mysite", str(site)], check=True, capture_output=True)
    return site, ["--python", python]


def ara(folder):
    python = installed("ara", "ara[server]")
    (folder / "ara").mkdir()
    return folder / "ara", ["--python", python, "--settings", "ara.server.settings"]


def coldfront(folder):
    python = installed("coldfront", "coldfront")
    (folder / "coldfront").mkdir()
    return folder / "coldfront", ["--python", python, "--settings", "coldfront.config.settings"]


PROJECTS = {"wagtail": (wagtail, "1" if ALL else "0.5"), "ara": (ara, "3"), "coldfront": (coldfront, "3")}


where_asked_for = pytest.mark.skipif(
    not (ALL or os.environ.get("CI")), reason="make test-projects installs and measures them"
)


@where_asked_for
@pytest.mark.timeout(900)
def test_a_project_is_installed_into_an_environment_of_its_own():
    """While other tests run: it takes as long as a measurement."""
    done = subprocess.run([str(installed("wagtail", "wagtail")), "-c", "import wagtail, gunicorn"], capture_output=True)
    assert b"No module named 'gunicorn'" in done.stderr


@where_asked_for
@pytest.mark.measuring
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PROJECTS if ALL else ["wagtail"])
def test_a_published_project_is_advised_on_in_time_and_left_as_it_was(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp(name)
    make, minutes = PROJECTS[name]
    site, more = make(folder)
    before = checksums(site)
    words = [site, *more, "--migrate", "--minutes", minutes, "--json"]
    command = [sys.executable, "-m", "requestlab.cli", "advise", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["seconds"] < 60 * float(minutes) + 20
    assert checksums(site) == before
    answer = said["advice"][0]
    assert answer["kind"] in KINDS
    slowest, waits = max((page["ms"], page["waits"]) for page in said["pages"])
    if slowest < 30 and waits < 0.2:
        assert not answer["kind"].startswith("switch")
    assert (folder / "advice" / "index.html").stat().st_size > 50_000
