"""say(): a sentence that the measurement chooses, so that a lesson claims nothing that the reader's machine refutes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from requestlab.comparison import wording
from requestlab.comparison.comparison import FASTER, SLOWER, Ratio
from requestlab.errors import ConfigurationError
from requestlab.system import checks
from requestlab.system.wording import times


@dataclass(frozen=True)
class Said:
    """A sentence; a notebook shows it as text."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def say(found: bool | Ratio, yes: str, no: str, unsure: str = "") -> Said:
    """Return the sentence that fits what was found.

    >>> say(run.requests["thread"].nunique() == 1, "One thread ran them all.", "More than one thread ran them.")
    >>> say(result.ratio("asgi", "sync"), "ASGI answers {value} times as many.", "It answers fewer: {value} times.")

    `found` is true or false, or a ratio of a comparison: `yes` where it is faster, `no` where it is slower, and
    `unsure`, with the reason, where that cannot be told. `{value}`, `{low}` and `{high}` stand for those of the ratio.
    Raises ConfigurationError for anything else.
    """
    for name, given in {"yes": yes, "no": no, "unsure": unsure}.items():
        checks.writable(f"say({name})", given)
    if isinstance(found, bool | np.bool_):
        return Said(yes if found else no)
    if not isinstance(found, Ratio):
        raise ConfigurationError(
            f"say(found={checks.shown(found)}): expected True, False, or a ratio, such as result.ratio(a, b)"
        )
    sentence = {FASTER: yes, SLOWER: no}.get(found.verdict, unsure or "This machine cannot tell")
    for name in ("value", "low", "high"):
        sentence = sentence.replace(f"{{{name}}}", times(getattr(found, name)))
    if found.verdict in (FASTER, SLOWER):
        return Said(sentence)
    return Said(f"{sentence.rstrip('.')}: {wording.reason(found)}.")
