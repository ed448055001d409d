from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import requestlab as lab

LIBRARY = Path(lab.__file__).parent


def test_every_public_name_can_be_had():
    for name in lab.__all__:
        assert getattr(lab, name) is not None
    assert set(lab.__all__) <= set(dir(lab))


def test_a_name_that_is_not_there_is_an_attribute_error():
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


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_django_is_imported_only_inside_the_probe():
    culprits = [
        path.name
        for path in LIBRARY.rglob("*.py")
        if path.parent.name != "probe" and any(name.split(".")[0] == "django" for name in _imports(path))
    ]
    assert culprits == []


def test_matplotlib_is_imported_only_inside_plots():
    culprits = [
        path.name
        for path in LIBRARY.rglob("*.py")
        if path.parent.name != "plots" and any(name.split(".")[0] == "matplotlib" for name in _imports(path))
    ]
    assert culprits == []
