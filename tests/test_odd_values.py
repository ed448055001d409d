"""Odd values for every argument of every public function: each gets a clear error, or is understood; none hangs."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import requestlab as lab
from requestlab.errors import LabError
from requestlab.serving.applications import PARTS
from tests.made_runs import closed_loop, comparison


class Hostile:
    """Fails at whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("hostile")

    def __repr__(self) -> str:
        return "<hostile>"


def compared() -> lab.Comparison:
    result = comparison({"a": [1.0, 1.1, 1.0, 0.9, 1.0], "b": [1.0] * 5})
    each = dict.fromkeys("ab", "/")
    return replace(result, about=replace(result.about, paths=each, loads=each))


def itself() -> list[Any]:
    nested: list[Any] = []
    nested.append(nested)
    return nested


ODD: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "minus one": lambda: -1,
    "zero": lambda: 0,
    "huge": lambda: 10**400,
    "without digits": lambda: 10**5000,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "minus inf": lambda: -math.inf,
    "tiny": lambda: 5e-324,
    "large": lambda: 1e300,
    "complex": lambda: 1j,
    "decimal": lambda: Decimal("1e999999"),
    "fraction": lambda: Fraction(1, 3),
    "numpy nan": lambda: np.float64("nan"),
    "array": lambda: np.zeros((2, 0)),
    "empty text": lambda: "",
    "surrogate": lambda: "/\ud800",
    "null byte": lambda: "/\0",
    "line break": lambda: "/a\r\nHost: b",
    "long text": lambda: "/" + "a" * 100_000,
    "bytes": lambda: b"/x",
    "list": list,
    "list of none": lambda: [None],
    "itself": itself,
    "dict": dict,
    "dict of none": lambda: {None: None},
    "set": lambda: {1, 2},
    "endless": itertools.count,
    "long range": lambda: range(10**12),
    "function": lambda: len,
    "type": lambda: int,
    "object": object,
    "hostile": Hostile,
    "folder": lambda: Path("/"),
    "device": lambda: Path("/dev/null"),
}

MORE: dict[str, dict[str, Any]] = {"counts": {"of": "requests"}, "stack": {"layers": {"a": {"all": "a"}}}}
"""What some figures want besides what they draw."""

CALLS: dict[str, Callable[[Any], Any]] = {
    "closed(users)": lambda odd: lab.closed(odd),
    **{
        f"closed({name})": lambda odd, name=name: lab.closed(1, **{name: odd})
        for name in ("each", "pause_ms", "delay_ms", "keep_alive", "headers", "encodings")
    },
    "open(rate)": lambda odd: lab.open(odd),
    **{
        f"open({name})": lambda odd, name=name: lab.open(1, **{name: odd})
        for name in ("arrivals", "seed", "delay_ms", "keep_alive", "headers")
    },
    "silent": lambda odd: lab.silent(odd),
    "idle": lambda odd: lab.idle(odd),
    "disconnecting(clients)": lambda odd: lab.disconnecting(odd, after_ms=1),
    "disconnecting(after_ms)": lambda odd: lab.disconnecting(1, after_ms=odd),
    "slow_readers(clients)": lambda odd: lab.slow_readers(odd, per_s=1),
    "slow_readers(per_s)": lambda odd: lab.slow_readers(1, per_s=odd),
    "slow_senders(per_s)": lambda odd: lab.slow_senders(1, per_s=odd),
    "slow_senders(size)": lambda odd: lab.slow_senders(1, per_s=1, size=odd),
    "slow_senders(head)": lambda odd: lab.slow_senders(1, per_s=1, head=odd),
    "ask(path)": lambda odd: lab.ask(odd),
    **{
        f"ask({name})": lambda odd, name=name: lab.ask("/", **{name: odd})
        for name in ("method", "headers", "body", "weight")
    },
    "mix": lambda odd: lab.mix(odd),
    "claim(id)": lambda odd: lab.claim(odd),
    **{
        f"claim({name})": lambda odd, name=name: lab.claim("odd", "A sentence.", **{"supported": (0, 1), name: odd})
        for name in ("source", "url", "of", "what", "supported", "refuted", "unit", "metric", "over", "under")
    },
    "claim(sentence)": lambda odd: lab.claim("odd", odd, supported=(0, 1)),
    "judge(count)": lambda odd: lab.claim("many-requests-one-thread").answered(odd),
    "judge(ratio)": lambda odd: lab.claim("sync-wins-static").answered(odd),
    "judge(cases)": lambda odd: lab.claim("only-waiting-gains").answered(odd),
    "judge(case)": lambda odd: lab.claim("only-waiting-gains").case(odd),
    "interval(values)": lambda odd: lab.interval(odd),
    "interval(baseline)": lambda odd: lab.interval([1.0, 2.0, 3.0], baseline=odd),
    "load_run": lambda odd: lab.load_run(odd),
    "save": lambda odd: closed_loop().save(odd),
    "measure(target)": lambda odd: lab.measure(odd, "/", lab.closed(1, each=1), seconds=1),
    **{
        f"measure({name})": lambda odd, name=name: lab.measure(
            "http://127.0.0.1:1", **{"load": lab.closed(1, each=1), "seconds": 1, name: odd}
        )
        for name in ("path", "load", "seconds", "warmup", "timeout", "expect", "client", "beside")
    },
    "compare(contenders)": lambda odd: lab.compare(odd, "/", lab.closed(1), rounds=2, seconds=0.01),
    **{
        f"compare({name})": lambda odd, name=name: lab.compare(
            {"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:1/b"}, **{name: odd, "rounds": 0}
        )
        for name in (
            "path",
            "load",
            "ask",
            "budget",
            "width",
            "control",
            "seconds",
            "warmup",
            "timeout",
            "seed",
            "expect",
        )
    },
    "compare(rounds)": lambda odd: lab.compare({"a": "http://127.0.0.1:1", "b": "x"}, rounds=odd),
    "resolution": lambda odd: None if _is_time(odd) else lab.resolution(odd),
    **{
        f"call_costs({name})": lambda odd, name=name: (
            lab.call_costs(**{"rounds": -1, name: odd}) if name != "rounds" or not _is_time(odd) else None
        )
        for name in ("seconds", "loop", "busy_threads", "seed")
    },
    "serve": lambda odd: lab.serve(odd),
    **{
        f"replace({name})": lambda odd, name=name: lab.SYNC.replace(**{name: odd})
        for name in (
            *("server", "workers", "threads", "loop", "application", "probe", "asyncio_debug", "switch_interval_ms"),
            *("all_cores", "options", "env", "python", *PARTS),
        )
    },
    "app(views)": lambda odd: lab.app(odd),
    **{
        f"app({name})": lambda odd, name=name: lab.app(**{name: odd})
        for name in ("settings", "middleware", "database", "upstream")
    },
    "database(conn_max_age)": lambda odd: lab.database(conn_max_age=odd),
    "database(pool)": lambda odd: lab.database(pool=odd),
    "project": lambda odd: lab.project(odd),
    **{
        f"project({name})": lambda odd, name=name: lab.project("/nowhere", **{name: odd})
        for name in ("settings", "wsgi", "asgi", "python", "env", "login", "cookie", "migrate")
    },
    "bookshop": lambda odd: lab.bookshop(odd) if odd is not None else None,
    "source": lambda odd: lab.source(odd),
    "seconds": lambda odd: lab.seconds(odd),
    "budget": lambda odd: lab.budget(odd),
    "until": lambda odd: list(itertools.islice(lab.until(lambda: True, odd), 3)),
    "say": lambda odd: lab.say(odd, yes="y", no="n"),
    "say(yes)": lambda odd: lab.say(True, yes=odd, no="n"),
    "hey": lambda odd: lab.hey(odd, "/"),
    "wrk": lambda odd: lab.wrk(odd, "/"),
    "freeze": lambda odd: lab.freeze(odd).__enter__(),
    "proxy": lambda odd: lab.proxy(odd).__enter__(),
    "advise": lambda odd: lab.advise(odd),
    "Ramp": lambda odd: lab.Ramp(odd).table,
    "ratio(over)": lambda odd: compared().ratio(odd, "b", "throughput"),
    "ratio(metric)": lambda odd: compared().ratio("a", "b", odd),
    **{
        f"plots.{name}": lambda odd, name=name: getattr(lab.plots, name)(odd, **MORE.get(name, {}))
        for name in lab.plots.__all__
        if name != "Picture"
    },
    **{
        f"plots.{name}(predicted)": lambda odd, name=name: getattr(lab.plots, name)(compared(), predicted=odd)
        for name in ("ratios",)
    },
}


def _is_time(odd: Any) -> bool:
    """Whether it is a number of seconds that would be measured for."""
    return isinstance(odd, (int, float, Fraction)) and 0 < odd < math.inf


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_odd_value_is_understood_or_refused_in_a_sentence(call, tmp_path):
    raised: dict[str, str] = {}
    for name, make in ODD.items():
        try:
            call(make())
        except LabError as problem:
            said = str(problem)
            if len(said) > 2_000 or not said.strip():
                raised[name] = f"a message of {len(said)} letters"
            said.encode("utf-8", "backslashreplace")
        except OSError as problem:
            if call is not CALLS["save"]:
                raised[name] = f"{problem}"
        except Exception as problem:
            raised[name] = f"{type(problem).__name__}: {str(problem)[:100]!r}"
    lab.stop_all()
    assert raised == {}
    assert set(os.listdir(tmp_path)) <= {"bookshop"}
