from __future__ import annotations

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError


def test_a_view_is_shown_with_its_decorators_and_nothing_else():
    code = lab.source("labapp.sync_views.wait").code
    assert code.startswith("# labapp.sync_views.wait\n@require_safe\ndef wait(")
    assert "def burn" not in code
    assert code.rstrip().endswith(")")


def test_twins_are_shown_one_after_the_other_and_in_colour():
    both = lab.source("labapp.sync_views.wait", "labapp.async_views.wait")
    assert both.code.index("\ndef wait") < both.code.index("\nasync def wait")
    assert both._repr_markdown_().startswith("```python\n# labapp.sync_views.wait\n")
    assert "\n\n\n# labapp.async_views.wait\n@require_safe\nasync def" in both.code
    assert lab.source("labapp.work.burn_cpu") == lab.source("labapp.work.burn_cpu")  # twice: no module in its place


@pytest.mark.parametrize("name", ["labapp.nowhere.wait", "labapp.sync_views.nothing", "wait", ""])
def test_a_name_that_is_not_there_is_refused(name):
    with pytest.raises(ConfigurationError, match="there is no"):
        lab.source(name)
