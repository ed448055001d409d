"""Files that are written whole or not at all, and pages that load and run nothing."""

from __future__ import annotations

import os
import stat

import pytest

from requestlab.notebooks.page import _harmless
from requestlab.system.files import whole_file


def write(path, text="new"):
    with whole_file(path) as file:
        file.write(text.encode())


def test_a_device_a_pipe_and_a_folder_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(OSError, match="no regular file"):
            write(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_a_file_keeps_its_mode_a_new_one_has_what_the_umask_leaves_and_a_link_is_followed(tmp_path):
    old, new, link = (tmp_path / name for name in ("old", "new", "link"))
    old.write_text("old")
    old.chmod(0o600)
    link.symlink_to(old)
    before = os.umask(0o027)
    try:
        write(link)
        write(new)
    finally:
        os.umask(before)
    assert (old.read_text(), stat.S_IMODE(old.stat().st_mode)) == ("new", 0o600)
    assert link.is_symlink()
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_what_fails_half_way_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    (tmp_path / "figure.png").write_text("old")

    def half() -> None:
        with whole_file(tmp_path / "figure.png") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"figure.png": "old"}


@pytest.mark.parametrize(
    "html",
    [
        "<!--><script>alert(1)</script>",
        '<a href="javascript:alert(1)">x</a>',
        '<img src="https://example.org/a.png" alt="x">',
        '<svg><style>@import "https://example.org/a.css"</style></svg>',
        '<p style="background:url(https://example.org/a.png)">x</p>',
        '<p onclick="alert(1)">x</p>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    ],
)
def test_raw_html_of_a_notebook_neither_runs_nor_loads_anything(html):
    left = _harmless(html)
    assert not any(word in left for word in ("script", "example.org", "onclick", "srcdoc"))


def test_what_does_no_harm_stays():
    html = '<p id="a" style="color:red">x <a href="#a">y</a> <a href="https://example.org/">z</a></p>'
    assert _harmless(html) == html
    assert 'src="data:image/png;base64,AAAA"' in _harmless('<img alt="x" src="data:image/png;base64,AAAA">')
