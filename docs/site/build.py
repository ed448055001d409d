"""Builds the site: `make site`. Executed lessons, the report of their execution, the reference of the library, and the
pages under docs/, in build/site/html.

The lessons are executed once, by `requestlab report`, and kept until a lesson or the library changes. What is built is
looked at: no link leads nowhere, and all of it stays below 15 MB.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup
from sphinx.cmd.build import build_main

import requestlab as lab
from requestlab.notebooks.report import find_notebooks, make_report

ROOT = Path(__file__).parents[2]
MAX_MB = 15
PAGES = ("README.md", "CONTRIBUTING.md", "LICENSE", "docs/*.md", "docs/*.png", "docs/run/*.md", "notebooks/*.md")
CONTENTS = """

<p>What these lessons found where this site was built: <a href="report/index.html">the report</a>.</p>

```{toctree}
:hidden:
:caption: Lessons

notebooks/README
%s
notebooks/glossary
notebooks/should-i-switch
```

```{toctree}
:hidden:
:caption: More

examples/README
api/README
docs/scale
docs/teaching
docs/architecture
docs/run/README
%s
CONTRIBUTING
```
"""


def main() -> None:
    place = ROOT / "build" / "site"
    source, html = place / "source", place / "html"
    executed = place / "executed" / _fingerprint()
    if not executed.is_dir():
        shutil.rmtree(executed.parent, ignore_errors=True)
        _execute(executed)
    for made in (source, html):
        shutil.rmtree(made, ignore_errors=True)
    _put_together(source, executed)
    if build_main(["-q", "-W", "--keep-going", "-d", str(place / "doctrees"), str(source), str(html)]):
        sys.exit("the site was not built")
    _share_pictures(html)
    wrong = [*_dead_links(html), *_too_large(html)]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{html / 'README.html'}\n{_megabytes(html):.1f} MB")


def _fingerprint() -> str:
    """Return what changes with any lesson and any module that a lesson runs."""
    digest = hashlib.sha256(sys.version.encode())
    for folder, pattern in (("notebooks", "*.ipynb"), ("lib", "*.py"), ("lib", "*.j2"), ("labapp", "*.py")):
        for path in sorted((ROOT / folder).rglob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _execute(folder: Path) -> None:
    """Execute the lessons into that folder, and write the report beside them."""
    begun = folder.with_suffix(".part")
    shutil.rmtree(begun, ignore_errors=True)
    (begun / "notebooks").mkdir(parents=True)
    report = make_report(find_notebooks([], ROOT / "notebooks"), begun / "report", tick=_tell)
    for one in report.executed:
        nbformat.write(one.notebook, begun / "notebooks" / f"{one.name}.ipynb")
    if report.failed:
        sys.exit("\n".join(f"{one.name}: {one.error}" for one in report.failed))
    begun.rename(folder)


def _tell(name: str, share: float) -> None:
    print(f"\rexecuting {name}, {share:.0%} of all cells   ", end="", file=sys.stderr, flush=True)


# The sources


def _put_together(source: Path, executed: Path) -> None:
    """Copy what becomes a page, with its links, and write what is made of code."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".md":
                target.write_text(_with_links(path.read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copyfile(path, target)
    lessons = sorted((executed / "notebooks").glob("*.ipynb"))
    for path in lessons:
        (source / "notebooks" / path.name).write_text(_lesson(path), encoding="utf-8")
    shutil.copytree(executed / "report", source / "extra" / "report")
    (source / "conf.py").write_text((Path(__file__).parent / "conf.py").read_text())
    with (source / "README.md").open("a", encoding="utf-8") as page:
        page.write(
            CONTENTS % (_names("notebooks", lessons), _names("docs/run", (source / "docs/run").glob("[a-z]*.md")))
        )
    _examples(source / "examples")
    _reference(source / "api")


def _names(folder: str, paths: Iterable[Path]) -> str:
    return "\n".join(f"{folder}/{path.stem}" for path in sorted(paths))


def _with_links(text: str) -> str:
    """Return a page whose links to folders lead to their pages."""
    return text.replace("](examples)", "](examples/README.md)").replace("](LICENSE)", "](path:LICENSE)")


def _lesson(path: Path) -> str:
    """Return an executed lesson whose cells that only check answers are folded, as in JupyterLab."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell.get("metadata", {}).get("jupyter", {}).get("source_hidden"):
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-input"]
    return json.dumps(notebook)


def _examples(folder: Path) -> None:
    folder.mkdir(parents=True)
    parts = ["# Reports that people made in public\n\nEach is tried in a few lines; run one with Python."]
    for path in sorted((ROOT / "examples").glob("*.py")):
        shutil.copyfile(path, folder / path.name)
        parts.append(f"## {path.stem}\n\n```{{literalinclude}} {path.name}\n:language: python\n```")
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _reference(folder: Path) -> None:
    """Write a page with each public name, in the words of its docstring."""
    folder.mkdir(parents=True)
    lines = ["Reference", "=========", "", "All public names: ``import requestlab as lab``.", ""]
    for name in sorted(lab.__all__, key=str.lower):
        lines += [*_described(f"requestlab.{name}", getattr(lab, name)), ""]
    lines += ["Figures", "-------", "", "``lab.plots``: each takes a run or a comparison, and returns a figure.", ""]
    for name in sorted(lab.plots.__all__):
        lines += [*_described(f"requestlab.plots.{name}", getattr(lab.plots, name)), ""]
    (folder / "README.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _described(name: str, thing: object) -> Iterator[str]:
    if inspect.isclass(thing):
        yield f".. autoclass:: {name}"
    elif inspect.isroutine(thing):
        yield f".. autofunction:: {name}"
    elif not inspect.ismodule(thing):
        yield f".. py:data:: {name}"
        yield f"   :value: {thing}"


# What was built


def _share_pictures(html: Path) -> None:
    """Put the pictures that pages hold into files: the report shows the same ones as the lessons."""
    for page in html.rglob("*.html"):

        def shared(found: re.Match[str], page: Path = page) -> str:
            data = base64.b64decode(found[1])
            file = html / "_figures" / f"{hashlib.sha256(data).hexdigest()[:20]}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)
            return os.path.relpath(file, page.parent)

        text = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"data:image/png;base64,([A-Za-z0-9+/=]+)", shared, text), encoding="utf-8")


def _dead_links(html: Path) -> Iterator[str]:
    """Yield each link within the site that leads nowhere."""
    pages = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in html.rglob("*.html")}
    named = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    for path, page in pages.items():
        if path.name in ("search.html", "genindex.html"):
            continue
        for leads in [tag.get("href") or tag.get("src") or "" for tag in page.find_all(["a", "img", "link", "script"])]:
            link = urlsplit(leads)
            if link.scheme or link.netloc or not leads:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{path.relative_to(html)}: {leads} leads nowhere"
            elif link.fragment and target in named and unquote(link.fragment) not in named[target]:
                yield f"{path.relative_to(html)}: {leads} names no part of that page"


def _too_large(html: Path) -> Iterator[str]:
    if (size := _megabytes(html)) > MAX_MB:
        yield f"the site has {size:.1f} MB; expected at most {MAX_MB}"


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
