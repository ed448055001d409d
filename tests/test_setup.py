"""The set-up of the project: its environments, its lock, its wheel, its Makefile."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
LOCKED = [line for name, lines in PROJECT["optional-dependencies"].items() if name != "site" for line in lines]
DEV = [one for one in map(Requirement, LOCKED) if one.name != PROJECT["name"]]  # which names the other extras
LOCK = (ROOT / "requirements.lock").read_text()
SUPPORTED = ["3.11", "3.12", "3.13", "3.14"]


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def applies(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def pins(python: str) -> dict[str, str]:
    """What the lock installs on Linux under `python`: each package's name and the one version."""
    lines = [line.split("#")[0].strip().removesuffix(" \\") for line in LOCK.splitlines() if "--hash=" not in line]
    chosen = [r for r in map(Requirement, filter(None, lines)) if applies(r, python)]
    assert len(chosen) == len(names(chosen)), "a package is pinned twice"
    assert all(str(r.specifier).startswith("==") for r in chosen)
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in chosen}


# environment.yml


def test_the_conda_environment_names_the_runtime_dependencies_of_pyproject_and_no_others() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    packages = environment["dependencies"]
    assert packages[0] == "python=3.13"
    assert packages[-2:] == ["pip", {"pip": ["-e ."]}]
    assert sorted(map(canonicalize_name, packages[1:-2])) == sorted(names(RUNTIME))  # conda-forge spells some with _
    assert "3.13" in SpecifierSet(PROJECT["requires-python"])


# requirements.lock


@pytest.mark.parametrize("python", SUPPORTED)
def test_the_lock_pins_every_direct_dependency_within_its_bounds(python: str) -> None:
    pinned = pins(python)
    for requirement in RUNTIME + DEV:
        if applies(requirement, python):
            assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_lock_gives_python_3_11_django_5_2_and_later_ones_django_6() -> None:
    series = {python: pins(python)["django"] for python in SUPPORTED}
    assert series.pop("3.11").startswith("5.2.")
    assert all(version.startswith("6.") for version in series.values())


def test_the_lock_has_hashes_of_every_package_which_pip_then_checks() -> None:
    entries = re.findall(r"^\S+==.*(?:\\\n    --hash=sha256:[0-9a-f]{64}.*)+$", LOCK, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\S+==", LOCK, re.MULTILINE)) > 100


def test_the_lock_names_no_address_and_no_place_on_a_machine() -> None:
    assert "://" not in LOCK
    assert " @ " not in LOCK
    assert not re.search(r"^\s*-(?!-hash=sha256:)", LOCK, re.MULTILINE), "an option such as --index-url"
    assert not re.search(r"(^|[\s'\"=])(/|~|\.\.?/)", LOCK), "a path"


# The wheel and git


def packaged_files() -> set[str]:
    """Every file of the two packages, as a path inside the wheel."""
    made_by_tools = {"__pycache__", ".ipynb_checkpoints"}
    lessons = {f"requestlab/notebooks/lessons/{path.name}" for path in (ROOT / "notebooks").iterdir() if path.is_file()}
    return lessons | {
        str(path.relative_to(parent))
        for parent, package in [(ROOT / "lib", "requestlab"), (ROOT, "labapp")]
        for path in (parent / package).rglob("*")
        if path.is_file() and not made_by_tools & set(path.parts)
    }


def test_the_wheel_holds_every_file_of_the_library_of_the_app_and_all_lessons_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = packaged_files()
    assert {"requestlab/__init__.py", "labapp/__init__.py"} <= expected
    assert held == expected


KEPT = """
    lib/requestlab/serving.py lib/requestlab/runs.py lib/requestlab/plots/house.mplstyle labapp/templates/page.html
    notebooks/00-start-here.ipynb
"""
IGNORED = """
    lib/requestlab/__pycache__/serving.cpython-313.pyc .venv/bin/python .venv-3.13/bin/python
    notebooks/.ipynb_checkpoints/00-start-here-checkpoint.ipynb notebooks/runs/first.run
"""


def test_git_ignores_what_tools_make_and_keeps_lib(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    asked = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", *KEPT.split(), *IGNORED.split()]
    assert subprocess.run(asked, capture_output=True, text=True).stdout.split() == IGNORED.split()


# The notebooks


def test_notebooks_are_kept_without_outputs() -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for notebook in notebooks:
        for cell in json.loads(notebook.read_text())["cells"]:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == [], f"{notebook.name} holds outputs"
                assert cell["execution_count"] is None, f"{notebook.name} holds execution counts"


# The Makefile, driven with an interpreter that notes what it is told to install instead of installing it.

STAND_IN = """\
#!/bin/sh
tag={tag}
case "$*" in
    *SOABI*) echo "$tag" ;;
    *" venv --clear "*)
        echo "venv $tag" >> {log}
        for last; do :; done
        mkdir -p "$last/bin" && touch "$last/pyvenv.cfg" && cp "$0" "$last/bin/python" ;;
    *" pip "*)
        echo "${{0%/bin/python}} pip $*" >> {log}
        test ! -e {log}.fail ;;
    *) exec {real} "$@" ;;
esac
"""

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def installed(log: Path) -> list[str]:
    """What was made and installed since the last look, one line a step."""
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def stand_in(path: Path, log: Path, tag: str = "cpython-311", real: str = sys.executable) -> Path:
    path.write_text(STAND_IN.format(log=log, tag=tag, real=real))
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = tmp_path / "check out"
    checkout.mkdir()
    for name in ["Makefile", "pyproject.toml", "requirements.lock"]:
        shutil.copy(ROOT / name, checkout)
    return checkout


@pytest.fixture
def make(tmp_path: Path, checkout: Path, log: Path) -> Make:
    """Runs make in a fresh checkout, where `python3` is a stand-in."""
    (tmp_path / "bin").mkdir()
    stand_in(tmp_path / "bin" / "python3", log)
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C"}

    def run(*arguments: str | Path, cwd: Path = checkout) -> subprocess.CompletedProcess[str]:
        command = ["make", *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_first_call_makes_the_environment_from_the_lock_and_then_the_project_and_the_second_nothing(
    make: Make, log: Path
) -> None:
    assert make(".venv").returncode == 0
    made, lock, project = installed(log)
    assert made == "venv cpython-311"
    assert lock.endswith("install -r requirements.lock")
    assert project.endswith("install --no-deps --no-build-isolation --editable .")
    assert make("-q", ".venv").returncode == 0
    assert make(".venv").returncode == 0
    assert installed(log) == []


def test_a_changed_lock_or_project_updates_the_environment_in_place(make: Make, log: Path, checkout: Path) -> None:
    make(".venv")
    for seconds, changed in enumerate(["requirements.lock", "pyproject.toml"], 1):
        installed(log)
        later = (checkout / ".venv/.ready").stat().st_mtime + seconds
        os.utime(checkout / changed, (later, later))
        make(".venv")
        assert [line.split()[1] for line in installed(log)] == ["pip", "pip"]
        os.utime(checkout / changed, (later - 100, later - 100))


def test_a_set_up_that_failed_half_way_starts_afresh(make: Make, log: Path) -> None:
    failure = Path(f"{log}.fail")
    failure.touch()
    assert make(".venv").returncode != 0
    assert len(installed(log)) == 2
    failure.unlink()
    assert make(".venv").returncode == 0
    assert installed(log)[0] == "venv cpython-311"


def test_a_named_python_of_another_version_remakes_the_environment_and_stays_and_another_venv_leaves_it_alone(
    make: Make, log: Path, tmp_path: Path
) -> None:
    other = stand_in(tmp_path / "python3.13", log, tag="cpython-313")
    make(".venv")
    installed(log)
    make(".venv", f"PYTHON={other}", "VENV=.venv-3.13")
    assert {line.split()[0] for line in installed(log)} == {"venv", ".venv-3.13"}
    make(".venv", f"PYTHON={other}")
    assert installed(log)[0] == "venv cpython-313"
    make(".venv", f"PYTHON={other}")
    make(".venv")
    assert installed(log) == []


def test_a_moved_checkout_gets_a_new_environment(make: Make, log: Path, checkout: Path) -> None:
    make(".venv")
    installed(log)
    moved = checkout.rename(checkout.with_name("moved"))
    make(".venv", cwd=moved)
    assert installed(log)[0] == "venv cpython-311"


@pytest.mark.parametrize(
    ("interpreter", "sentence"),
    [
        ("exit 127", "does not run; name a Python 3.11 or newer"),
        ('case "$*" in *version_info*) exit 1 ;; esac; echo "Python 3.10.1"', "requestlab needs Python 3.11 or newer"),
        ('case "$*" in *ensurepip*) exit 1 ;; esac', "lacks the venv module"),
    ],
)
def test_a_python_that_cannot_serve_is_refused_in_one_sentence(
    make: Make, log: Path, tmp_path: Path, interpreter: str, sentence: str
) -> None:
    poor = tmp_path / "poor"
    poor.write_text(f"#!/bin/sh\n{interpreter}\n")
    poor.chmod(0o755)
    make(".venv")
    installed(log)
    answer = make(".venv", f"PYTHON={poor}")
    assert answer.returncode != 0
    said, from_make = answer.stderr.splitlines()
    assert sentence in said
    assert from_make.startswith("make: ***")
    assert make("-q", ".venv").returncode == 0, "the environment that was there still serves"
    assert installed(log) == []


def test_a_directory_that_is_no_environment_is_left_alone(make: Make, checkout: Path) -> None:
    (checkout / "notes").mkdir()
    note = checkout / "notes/mine.txt"
    note.write_text("mine")
    assert make(".venv", "VENV=notes").returncode != 0
    make("clean", "VENV=notes")
    assert note.read_text() == "mine"
