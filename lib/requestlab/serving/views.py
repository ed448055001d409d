"""Views, middleware and settings of the reader's own, checked before a server is started with them.

`labapp.experiment` is the other half: it puts them into the server's processes.
"""

from __future__ import annotations

import ast
import base64
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labapp.experiment_names import PACKED, name_of
from requestlab.errors import ConfigurationError
from requestlab.system import checks

MAX_PACKED = 100_000
"""Characters; Linux lets no environment variable have more than 131,072."""

_SECRET = re.compile("KEY|PASS|SECRET|TOKEN")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:/@\s]*):[^/\s]*(?=@)")

_ELSEWHERE = {
    "MIDDLEWARE": "middleware=[...]",
    "DATABASES": "database=...",
    "ROOT_URLCONF": "a file with urlpatterns",
}
"""Settings that are said otherwise, and how."""


def path_of_views(given: object) -> str:
    """Return the absolute path of a file of views, or packed functions as they are; raise ConfigurationError for what
    cannot be served."""
    if isinstance(given, str) and (not given or given.startswith(PACKED)):
        return given
    expected = "the path of a Python file, or functions: requestlab.app(first, second)"
    path = Path(checks.path("views", given, expected)).expanduser().resolve()
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise checks.wrong("views", str(given), "a Python file with a name that can be imported, such as views.py")
    _parsed(path)
    return str(path)


def names_in(views: str) -> set[str]:
    """Return the names that a file defines or imports at its top, or those of packed functions."""
    if views.startswith(PACKED):
        return set(views.removeprefix(PACKED).partition(": ")[0].split(","))
    names: set[str] = set()
    for node in _parsed(Path(views)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {one.asname or one.name for one in node.names}
        elif isinstance(node, ast.Assign):
            names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return names


def dotted(layer: str, views: str) -> str:
    """Return a layer of middleware by the name that Python imports it by: `timing` in views.py is `views.timing`."""
    if "." in layer:
        return layer
    if layer not in (names := names_in(views)):
        raise ConfigurationError(
            f"middleware={layer!r}: {shown(views)} has no such name; it has {', '.join(sorted(names))}"
        )
    return f"{name_of(views)}.{layer}"


def packed(functions: Sequence[Callable[..., Any]]) -> str:
    """Return functions of a notebook, with all that they use there, as text for an environment variable.

    By cloudpickle, so they can be unpacked by the same Python only. Raises ConfigurationError where that cannot be.
    """
    import cloudpickle  # type: ignore[import-untyped] # only here: nobody else needs it

    named = {str(getattr(one, "__name__", "")): one for one in functions}
    for name, one in named.items():
        if not callable(one) or not name.isidentifier():
            raise checks.wrong("app", one, "functions with names of their own, classes, or the path of a Python file")
    try:
        pickled = cloudpickle.dumps(named)
    except Exception as error:
        raise ConfigurationError(f"app({', '.join(named)}) cannot be sent to a server: {error}") from None
    text = f"{PACKED}{','.join(named)}: {base64.b64encode(zlib.compress(pickled)).decode()}"
    if len(text) > MAX_PACKED:
        raise ConfigurationError(
            f"app({', '.join(named)}) and what these functions use are too large to be sent to a server "
            f"({len(text):,} bytes, at most {MAX_PACKED:,}): write them into a file, with %%writefile views.py"
        )
    return text


def masked(settings: str) -> str:
    """Return the text of settings with `***` for what may be a secret."""
    given = ast.literal_eval(settings) if settings else {}
    return settings_text({name: mask(name, value) for name, value in given.items()})


def mask(name: str, value: Any) -> Any:
    """Return the value, with `***` where a name in it or its own says that it may be a secret, and for the password of
    an address."""
    if _SECRET.search(name.upper()):
        return "***"
    if isinstance(value, dict):
        return {inner: mask(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mask("", one) for one in value)
    return _PASSWORD_IN_URL.sub(r"\1:***", value) if isinstance(value, str) else value


def shown(views: str) -> str:
    """Return them as they are told: the name of the file, or those of the functions."""
    return views.removeprefix(PACKED).partition(": ")[0] if views.startswith(PACKED) else Path(views).name


def settings_text(given: object) -> str:
    """Return settings as the literal of a dictionary, in the order of their names; raise ConfigurationError for what is
    none."""
    text = given
    if isinstance(given, str):
        try:
            given = ast.literal_eval(given) if given else {}
        except (ValueError, SyntaxError):
            given = None
    if not isinstance(given, Mapping):
        raise checks.wrong("settings", text, "a mapping, such as {'DEBUG': True}")
    for name, value in given.items():
        if not (isinstance(name, str) and name.isidentifier() and name.isupper()):
            raise checks.wrong("settings", name, "names in capital letters, as Django's settings have them")
        if name in _ELSEWHERE:
            raise ConfigurationError(f"settings[{name!r}] is the lab's to set; give {_ELSEWHERE[name]} instead")
        if not _is_literal(value):
            raise checks.wrong(
                f"settings[{name!r}]", value, "text, numbers, True, False, None, or lists, tuples, dicts of these"
            )
    return repr(dict(sorted(given.items()))) if given else ""


def _is_literal(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError):
        return False


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(f"views={str(path)!r} cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigurationError(f"{path.name}{line}: {getattr(error, 'msg', error)}") from None
