"""Where the lab runs: each place by what shows it, from made-up files and variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from requestlab.system.place import places


def with_files(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


FREQUENCY = "sys__devices__system__cpu__cpufreq__policy0"
BATTERY = "sys__class__power_supply__BAT0"


@pytest.mark.parametrize(
    ("files", "variables", "name"),
    [
        ({}, {"BINDER_REPO_URL": "https://example.org"}, "a session on Binder"),
        ({}, {"CODESPACES": "true"}, "a codespace"),
        ({}, {"JUPYTERHUB_USER": "ada"}, "a hub"),
        ({"proc__sys__kernel__osrelease": "6.6.87-microsoft-standard-WSL2\n"}, {}, "Linux inside Windows (WSL)"),
        ({".dockerenv": ""}, {}, "a container"),
        ({"run__.containerenv": ""}, {}, "a container"),
        ({}, {"container": "podman"}, "a container"),
        ({f"{BATTERY}__type": "Battery\n", f"{BATTERY}__status": "Discharging\n"}, {}, "a laptop on its battery"),
        (
            {f"{FREQUENCY}__scaling_max_freq": "1200000\n", f"{FREQUENCY}__cpuinfo_max_freq": "3600000\n"},
            {},
            "a processor that is held below its full speed",
        ),
    ],
)
def test_each_place_is_known_by_what_shows_it(tmp_path, files, variables, name):
    [found] = places(with_files(tmp_path, **files), variables)
    assert found.name == name
    assert found.sentence == f"this is {name}: {found.costs}; {found.helps}"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc__sys__kernel__osrelease": "6.1.0-32-amd64"},
        {f"{BATTERY}__type": "Battery", f"{BATTERY}__status": "Charging"},
        {f"{BATTERY}__type": "Mains", f"{BATTERY}__status": "Discharging"},
        {f"{FREQUENCY}__scaling_max_freq": "3600000", f"{FREQUENCY}__cpuinfo_max_freq": "3600000"},
        {f"{FREQUENCY}__scaling_max_freq": "", f"{FREQUENCY}__cpuinfo_max_freq": "nonsense"},
    ],
)
def test_a_plain_machine_is_no_place_to_speak_of(tmp_path, files):
    assert places(with_files(tmp_path, **files), {}) == ()


def test_several_places_at_once_are_all_told(tmp_path):
    found = places(with_files(tmp_path, **{".dockerenv": ""}), {"JUPYTERHUB_USER": "ada", "CODESPACES": ""})
    assert [one.name for one in found] == ["a hub", "a container"]
