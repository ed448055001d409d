"""Showing a lesson the code it is about, without importing it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from requestlab.errors import ConfigurationError
from requestlab.system import checks


@dataclass(frozen=True)
class Source:
    """A piece of source code; in a notebook it is shown with its colours."""

    code: str

    def __repr__(self) -> str:
        return self.code

    def _repr_markdown_(self) -> str:
        return f"```python\n{self!r}\n```"


def source(*names: str) -> Source:
    """Return the source of functions or classes, such as `labapp.sync_views.wait`, each beneath its name.

    The module is read, not imported: the notebook stays free of Django. Raises ConfigurationError for a name that is
    not there.

    >>> lab.source("labapp.sync_views.wait")
    """
    found = {name: _find(name) for name in names}
    return Source("\n\n\n".join(f"# {name}\n{code}" for name, code in found.items()))


def _find(name: str) -> str:
    module, _, wanted = checks.writable("source(name)", name, "a name such as labapp.sync_views.wait").rpartition(".")
    path = _file_of(module)
    text = path.read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == wanted:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    raise ConfigurationError(f"there is no function or class {wanted!r} in {path.name}")


def _file_of(module: str) -> Path:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"there is no module {module!r}; expected a name such as labapp.sync_views.wait")
    return Path(spec.origin)
