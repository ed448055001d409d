"""What lessons, claims and the README quote from Django's documentation stands there, word for word, in the version
that they name. The documentation is in Django's source packages, which are fetched once, with CI=true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from requestlab.claims.statement import statements
from tests.notebooks.lessons import LESSONS, read, text_of

ROOT = Path(__file__).parents[1]
HOME = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "requestlab" / "django"
VERSION = re.compile(r"Django(?:’s|'s)? (\d\.\d)(?:’s|'s)?,? documentation|documentation of Django (\d\.\d)")
QUOTED = re.compile(r'["“]([^"“”]{15,}?)["”]')


def quotations(text: str) -> Iterator[tuple[str, str]]:
    """Yield each quotation with the version of the documentation that is named before it, in the same sentence, or else
    behind it, in the same paragraph, with no other quotation between."""
    for paragraph in re.split(r"\n\s*\n", text):
        before, *rest = QUOTED.split(paragraph)
        for quoted, after in zip(rest[::2], rest[1::2], strict=True):
            named = VERSION.findall(before.rpartition(". ")[2]) or VERSION.findall(after)
            if named:
                yield quoted, next(filter(None, named[0]))
            before = after


def all_quotations() -> list[tuple[str, str, str]]:
    """Where, what, and of which version."""
    texts = {path.stem: text_of(read(path)) for path in LESSONS}
    texts |= {
        name: (ROOT / name).read_text() for name in ("README.md", "docs/teaching.md", "notebooks/should-i-switch.md")
    }
    texts |= {one.id: f"{one.sentence} {one.source}" for one in statements()}
    return [(where, *found) for where, text in texts.items() for found in quotations(text)]


def plain(text: str) -> str:
    """Return text without markup, quotation marks and line breaks, so that what is left are words."""
    text = re.sub(r":\w+:`~?\.?([^`<]*?)(?: <[^>]*>)?`", r"\1", text)
    return " ".join(re.sub(r"[`*“”\"’']|\(\)", "", text).split()).lower()


@cache
def documentation(version: str) -> str:
    """Return all words of the documentation of the first release of that version."""
    folder = HOME / version
    if not (archives := list(folder.glob(f"?jango-{version}.tar.gz"))):
        if not os.environ.get("CI"):
            pytest.skip("the documentation is fetched with CI=true")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "download"]
        wanted = [
            "--no-deps",
            "--no-binary",
            ":all:",
            "--ignore-requires-python",
            "--dest",
            str(folder),
            f"django=={version}",
        ]
        subprocess.run([*pip, *wanted], check=True, timeout=300)
        archives = list(folder.glob(f"?jango-{version}.tar.gz"))
    with tarfile.open(archives[0]) as packed:
        files = [one for one in packed if re.search(r"/docs/.+\.txt$", one.name)]
        return plain("\n".join(packed.extractfile(one).read().decode() for one in files))


def test_a_quotation_is_found_with_its_version_and_words_are_compared():
    text = 'It says: "one *two* `three` four five" — Django 6.1 documentation\n\n"not one of Django, but longer"'
    assert list(quotations(text)) == [("one *two* `three` four five", "6.1")]
    assert plain("one *two* ``three``\n  :func:`four <x>` five") == plain("one *two* `three` four five")


@pytest.mark.timeout(600)
def test_what_is_quoted_from_djangos_documentation_stands_there():
    found = all_quotations()
    assert len(found) >= 4
    wrong = []
    for where, quoted, version in found:
        parts = [plain(part).rstrip(".,") for part in re.split(r"…|\.\.\.|\[[^\]]*\]", quoted)]
        if not all(part in documentation(version) for part in parts):
            wrong.append((where, version, quoted))
    assert wrong == []
