from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import requestlab as lab

LIBRARY = Path(lab.__file__).parent


def test_every_public_name_can_be_had_and_no_other():
    for name in lab.__all__:
        assert getattr(lab, name) is not None
    assert set(lab.__all__) <= set(dir(lab))
    with pytest.raises(AttributeError, match="mesure"):
        _ = lab.mesure


def _modules_loaded_by(code: str) -> set[str]:
    asked = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(asked.stdout.split())


def test_measuring_never_imports_django():
    loaded = _modules_loaded_by("import requestlab as lab\n[getattr(lab, name) for name in lab.__all__]")
    assert "requestlab.measurement.measure" in loaded
    assert "django" not in loaded


@pytest.mark.parametrize(
    "module", ["requestlab.serving.supervisor", "requestlab.load.generator", "requestlab.worker.lifeline"]
)
def test_processes_that_must_start_quickly_load_no_heavy_library(module):
    loaded = _modules_loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & {"pandas", "numpy", "matplotlib", "httpx", "psutil", "django"}


# The house: its floors, and what may be imported where, as the imports themselves have it (those for type checkers
# too).

FLOORS = (
    ("errors",),
    ("worker",),
    ("system",),
    ("serving",),
    ("load",),
    ("trace",),
    ("measurement",),
    ("comparison",),
    ("claims", "plots"),
    ("notebooks", "advice", "wall"),
    ("cli",),
)
"""From bottom to top. A package imports from those below it; of two on one floor, neither imports the other."""

OPTIONAL_IN_WORKER = {"waitress", "pyuwsgi", "django", "asgiref", "gunicorn", "uvicorn", "uvicorn_worker"}
"""What the worker hooks into where it is there; all else is the standard library's."""


def _imports(path: Path) -> Iterator[str]:
    """Yield the names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") in MODULES)
            if not all(f"{node.module}.{alias.name}" in MODULES for alias in node.names):
                yield node.module


def _module(path: Path) -> str:
    return ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_module(path): path for path in sorted(LIBRARY.rglob("*.py"))}
IMPORTS = {module: {name for name in _imports(path) if name != module} for module, path in MODULES.items()}


def _package(module: str) -> str:
    return f"{module}.".split(".")[1]


def test_packages_import_only_what_stands_below_them():
    floor = {package: number for number, packages in enumerate(FLOORS) for package in packages}
    assert {_package(module) for module in MODULES} - {""} == set(floor)
    upwards = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in sorted(names & MODULES.keys())
        if (mine := _package(module)) and (other := _package(name)) != mine
        if not other or floor[other] >= floor[mine]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    TopologicalSorter({module: names & MODULES.keys() for module, names in IMPORTS.items()}).prepare()


@pytest.mark.parametrize(
    ("library", "packages"),
    [({"django"}, {"worker", "wall"}), ({"matplotlib"}, {"plots"}), ({"IPython", "nbclient"}, {"notebooks"})],
    ids=["django", "matplotlib", "notebooks"],
)
def test_a_large_library_is_imported_in_one_package_only(library, packages):
    users = {module for module, names in IMPORTS.items() if library & {name.split(".")[0] for name in names}}
    assert [user for user in sorted(users) if _package(user) not in packages] == []


def test_the_worker_needs_nothing_but_the_standard_library():
    worker = [module for module in MODULES if _package(module) == "worker"]
    assert worker
    allowed = {*sys.stdlib_module_names, *OPTIONAL_IN_WORKER}
    others = {
        f"{module} imports {name}"
        for module in worker
        for name in IMPORTS[module]
        if _package(name) != "worker" and name.split(".")[0] not in allowed
    }
    assert others == set()
