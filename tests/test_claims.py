"""Claims, what judges them, and the ledger that keeps the verdicts."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from requestlab import cli
from requestlab.claims import judging, ledger
from requestlab.claims.claim import claim
from requestlab.claims.ledger import FILE, LEDGER_VARIABLE, MACHINE_FILE, Ledger, read, read_all
from requestlab.claims.statement import CANNOT_TELL, KINDS, MEASURES, NOT_TRIED, REFUTED, SUPPORTED, statements
from requestlab.comparison.comparison import ALIKE, Comparison, Ratio, Slice
from requestlab.comparison.intervals import Interval
from requestlab.comparison.intervals import ratio as ratio_of
from requestlab.errors import ConfigurationError, LabError, LedgerFormatError
from requestlab.system.machine import Cores
from requestlab.system.quick import QUICK_VARIABLE
from requestlab.system.values import to_plain
from tests.made_runs import COMPARED, MACHINE

NAMED_IN_THE_LIST = {
    *(
        "crossing-1ms",
        "crossing-tens-of-us",
        "crossing-grows",
        "switch-once",
        "middleware-position",
        "no-python-threads",
    ),
    *("thread-per-request", "brand-new-thread", "sync-wins-static", "gap-is-the-server", "asgi-adds-15ms"),
    *("async-beats-threads-waiting", "sync-faster-under-asgi", "silent-client", "slow-clients", "gil-cap"),
    *("cpu-asgi-loses", "sleep-in-async", "sync-stream-buffers", "async-under-wsgi", "orm-is-threads", "uvloop-fades"),
}


@pytest.fixture(autouse=True)
def _an_empty_ledger(monkeypatch):
    monkeypatch.setattr(ledger, "_given", [])
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
    monkeypatch.delenv(QUICK_VARIABLE, raising=False)


def between(low, high, rounds=8, **more):
    return Interval((low + high) / 2, low, high, rounds, **more)


def compared(figures, *, errors=0, validity="valid", busy=False, cpu=(), control=None):
    """A comparison of hand-made figures: for each label, the throughput of each round; p50 is a thousand times its inverse.

    `cpu` is the CPU time per request of each label, 1 ms unless said otherwise, `control` the label that is the A/A control.
    """
    slices = []
    for label, rates in figures.items():
        for number, rate in enumerate(rates):
            summary = {"throughput": rate, "p50": 1000 / rate, "p95": math.nan, "p99": math.nan, "errors": errors}
            summary |= {"cpu_per_request": dict(cpu).get(label, 1.0), "validity": validity, "reasons": ["a reason"]}
            run = SimpleNamespace(
                summary=summary,
                response_ms=[1.0] * 400,
                requests=pd.DataFrame({"status": [200] * 400}),
                generator_was_busy=busy,
                about=SimpleNamespace(rate=None, cores=None),
            )
            slices.append(Slice(number, 0, label, run))
    return Comparison(tuple(slices), tuple(label for label in figures if label != control), control, COMPARED)


def on_cores(result, server):
    """The same comparison, of servers that had these cores."""
    for part in result.slices:
        part.run.about.cores = Cores(server=server, generator=None)
    return result


FASTER_SYNC = {"sync": [2000.0, 2010.0, 1990.0, 2005.0, 2000.0], "asgi": [1000.0, 1005.0, 1000.0, 995.0, 1001.0]}


# The list


def test_every_question_of_the_thread_and_every_named_claim_is_there():
    assert {one.question for one in statements()} - {""} == {f"Q{number}" for number in range(1, 16)}
    assert {one.id for one in statements()} >= NAMED_IN_THE_LIST


def test_a_claim_is_complete():
    assert len({one.id for one in statements()}) == len(statements())
    for one in statements():
        assert re.fullmatch(r"[a-z0-9-]+", one.id)
        assert one.sentence.rstrip("”").endswith(".")
        assert one.source
        assert one.url == "" or one.url.startswith("https://")
        assert re.fullmatch(r"\d\d-[a-z-]+", one.notebook)
        assert one.kind in KINDS
        assert set(one.answers) <= {SUPPORTED, REFUTED, CANNOT_TELL}
        for rule in [one.rule] if one.rule else one.cases.values():
            assert rule.what in MEASURES
            assert rule.supported.low <= rule.supported.high
            assert bool(rule.metric) == bool(rule.over) == bool(rule.under)
            assert rule.words


def test_claims_are_in_the_order_of_the_lessons():
    lessons = [one.notebook for one in statements()]
    assert lessons == sorted(lessons)


def test_a_claim_about_several_cores_is_not_tried_on_one(monkeypatch):
    monkeypatch.setattr(judging.limits, "cpu_limit", lambda: None)
    figures = {"one thread": [20.0, 20.1, 19.9, 20.0], "four processes": [40.0, 40.2, 39.9, 40.0]}
    four = claim("four-processes-beat-one-thread")
    assert four.judge(on_cores(compared(figures), [0, 1])).verdict == SUPPORTED
    untried = four.judge(on_cores(compared(figures), [0]))
    assert (untried.verdict, untried.reason) == (CANNOT_TELL, "the servers had 1 core, and it takes 2 to try this")
    monkeypatch.setattr(judging.limits, "cpu_limit", lambda: 1.5)
    limited = four.judge(on_cores(compared(figures), [0, 1]))
    assert limited.reason == "the servers had 1.5 cores, and it takes 2 to try this"
    assert claim("sync-wins-static").judge(on_cores(compared(FASTER_SYNC), [0])).verdict == SUPPORTED


def test_structure_is_decided_by_counts_alone_and_time_by_intervals():
    for one in statements():
        measures = {rule.what for rule in ([one.rule] if one.rule else one.cases.values())}
        assert measures == {"count"} if one.kind == "structure" else measures != {"count"}


def test_a_claim_is_found_by_its_name_and_by_its_question():
    assert claim("sync-wins-static") is claim("Q3") is claim("q3")


def test_an_unknown_claim_names_those_that_are_near():
    with pytest.raises(ConfigurationError, match="did you mean sync-wins-static"):
        claim("sync-wins-statik")
    with pytest.raises(ConfigurationError, match=r"there are .*one-run-is-enough"):
        claim("zzz")


# Judging


def test_an_interval_wholly_in_a_region_decides_and_one_across_the_limit_does_not():
    one = claim("asgi-adds-15ms")
    assert one.judge(between(10.1, 20)).verdict == SUPPORTED
    assert one.judge(between(-0.2, 2.9)).verdict == REFUTED
    assert one.judge(between(2.9, 3.1)).verdict == CANNOT_TELL
    assert one.judge(between(9.9, 20)).verdict == CANNOT_TELL
    assert one.judge(between(20, 25.1)).verdict == CANNOT_TELL


@pytest.mark.parametrize(
    ("id", "between_them"),
    [("asgi-adds-15ms", (4, 9)), ("crossing-1ms", (0.31, 0.49)), ("near-zero-overhead", (1.15, 1.2))],
)
def test_between_what_supports_a_claim_and_what_refutes_it_nothing_can_be_told(id, between_them):
    verdict = claim(id).judge(between(*between_them))
    assert verdict.verdict == CANNOT_TELL
    assert "neither wholly where the claim is supported nor wholly where it is refuted" in verdict.reason


@pytest.mark.parametrize(
    ("id", "lower", "upper"),
    [
        *(("sync-wins-static", 1, 1), ("sync-faster-under-asgi", 2, 2), ("cpu-asgi-loses", 0.95, 0.95)),
        *(("crossing-grows", 1.5, 1.5), ("near-zero-overhead", 1.1, 1.25), ("orm-is-threads", 1.5, 1.5)),
    ],
)
def test_a_ratio_has_to_be_farther_from_the_limit_than_two_equal_processes_may_lie_apart(id, lower, upper):
    below = claim(id).judge(between(lower * 0.85, lower / (1 + ALIKE) * 0.999)).verdict
    above = claim(id).judge(between(upper * (1 + ALIKE) * 1.001, upper * 1.3)).verdict
    assert {below, above} == {SUPPORTED, REFUTED}
    for near in (between(lower * 0.85, lower * 0.99), between(upper * 1.01, upper * 1.3)):
        verdict = claim(id).judge(near)
        assert verdict.verdict == CANNOT_TELL
        assert "two equal processes" in verdict.reason


@pytest.mark.parametrize(
    ("id", "supporting", "refuting"),
    [
        *(("Q1", 1, 2), ("Q4", 1, 60), ("Q7", 0, 0.01), ("thread-per-request", 0, -59), ("no-python-threads", 0, 1)),
        *(("switch-once", 1, 2), ("middleware-position", 2, 0), ("brand-new-thread", 0, 1), ("Q11", 0, 1)),
    ],
)
def test_a_count_decides_exactly(id, supporting, refuting):
    assert claim(id).judge(supporting).verdict == SUPPORTED
    assert claim(id).judge(np.int64(refuting) if refuting == int(refuting) else refuting).verdict == REFUTED


def test_a_card_speaks_of_one_thread_and_of_several_threads():
    one, two = (str(claim("Q11").judge(count)) for count in (1, 2))
    assert re.search(r"^measured +1 thread$", one, re.M)
    assert re.search(r"^measured +2 threads$", two, re.M)


@pytest.mark.parametrize("nothing", [math.nan, math.inf, pd.NA])
def test_what_is_no_number_decides_nothing(nothing):
    verdict = claim("Q7").judge(nothing)
    assert verdict.verdict == CANNOT_TELL
    assert "nothing was counted" in verdict.reason


def test_no_thread_at_all_is_no_evidence_that_there_was_one():
    assert claim("Q1").judge(0).verdict == CANNOT_TELL


def test_an_interval_without_bounds_decides_nothing_and_says_why():
    few = ratio_of([2, 2], [1, 1])
    verdict = claim("sync-wins-static").judge(few)
    assert verdict.verdict == CANNOT_TELL
    assert "2 rounds have a figure" in verdict.reason


def test_a_comparison_is_judged_by_the_metric_and_the_contenders_of_the_rule():
    result = compared(FASTER_SYNC)
    verdict = claim("sync-wins-static").judge(result)
    assert verdict.verdict == SUPPORTED
    assert verdict.value == pytest.approx(2, rel=0.01)
    assert (verdict.low, verdict.high) == (result.ratio("sync", "asgi").low, result.ratio("sync", "asgi").high)
    assert verdict.rounds == 5
    assert claim("sync-faster-under-asgi").judge(result).verdict == REFUTED
    assert claim("asgi-adds-15ms").judge(result).value == pytest.approx(0.5, rel=0.02)
    assert claim("asgi-adds-15ms").judge(result).verdict == REFUTED


def test_a_verdict_names_the_contenders_that_were_taken():
    result = compared({"sync": FASTER_SYNC["sync"], "async": FASTER_SYNC["asgi"], "mixed": FASTER_SYNC["asgi"]})
    ratio = claim("sync-wins-static").judge({"again": result.ratio("sync", "async"), "one user": result})
    assert [found.taken for found in ratio.findings] == ["sync / async", "sync / mixed"]
    assert claim("asgi-adds-15ms").judge(result).findings[0].taken == "mixed − sync"
    for card in (repr(ratio), re.sub("<[^>]+>", " ", ratio._repr_html_()), repr(ledger.ledger())):
        text = " ".join(card.split())
        assert re.search(r"again: 2 \(1.98 to 2.02\), sync / async, supported", text), text
        assert re.search(r"one user: 2 \(1.98 to 2.02\), sync / mixed, supported", text), text
    assert claim("crossing-grows").judge(between(2, 3)).findings[0].taken == ""
    assert claim("Q1").judge(1).findings[0].taken == ""


@pytest.mark.parametrize(
    ("id", "interval"), [("sync-wins-static", (1.4, 1.6)), ("asgi-adds-15ms", (12, 20)), ("Q15", (0.05, 0.08))]
)
def test_what_speaks_against_an_interval_is_why_nothing_can_be_told(id, interval):
    assert claim(id).judge(between(*interval)).verdict != CANNOT_TELL
    doubted = claim(id).judge(between(*interval, caveats=("sync was late", "the answers are not alike")))
    assert doubted.verdict == CANNOT_TELL
    assert doubted.reason == "sync was late; the answers are not alike"
    assert doubted.low == interval[0]


def test_a_comparison_without_the_rules_contenders_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"sync with asgi or mixed or async.*this comparison is of sync, other"
    ):
        claim("sync-wins-static").judge(compared({"sync": [1.0] * 4, "other": [1.0] * 4}))
    with pytest.raises(ConfigurationError, match="a Comparison"):
        claim("crossing-grows").judge(compared(FASTER_SYNC))


@pytest.mark.parametrize(
    ("how", "why"),
    [({"busy": True}, "generator"), ({"errors": 50}, "requests failed"), ({"validity": "invalid"}, "invalid")],
)
def test_a_doubtful_contender_gives_no_verdict_in_any_form(how, why):
    result = compared(FASTER_SYNC, **how)
    for id, evidence in (
        ("sync-wins-static", result),
        ("asgi-adds-15ms", result),
        ("sync-wins-static", result.ratio("sync", "asgi")),
        *([] if "busy" in how else [("near-zero-overhead", result.ratio("asgi", "sync", "cpu_per_request"))]),
    ):
        verdict = claim(id).judge(evidence)
        assert verdict.verdict == CANNOT_TELL
        assert why in verdict.reason


def test_a_ratio_of_something_else_is_refused():
    found = Ratio("sync", "asgi", "throughput", between(1.4, 1.6), "faster", "the interval lies on one side")
    assert claim("sync-wins-static").judge(found).verdict == SUPPORTED
    assert claim("crossing-grows").judge(Ratio("50", "1", "p50", between(2, 3), "slower", "")).verdict == SUPPORTED
    for id in ("Q8", "sync-faster-under-asgi", "asgi-adds-15ms"):
        with pytest.raises(ConfigurationError, match=r"wants .* this is"):
            claim(id).judge(found)


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([(1.4, 1.6), (1.2, 1.3)], SUPPORTED),
        ([(1.4, 1.6), (0.9, 1.1)], CANNOT_TELL),
        ([(1.4, 1.6), (0.9, 1.1), (0.5, 0.6)], REFUTED),
    ],
)
def test_all_cases_must_be_supported_and_one_refutes(cases, verdict):
    evidence = {f"{number} users": between(*case) for number, case in enumerate(cases)}
    judged = claim("sync-wins-static").judge(evidence)
    assert judged.verdict == verdict
    assert [finding.name for finding in judged.findings] == list(evidence)


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([(0.5, 0.6), (1.2, 1.3)], SUPPORTED),
        ([(0.5, 0.6), (0.9, 1.1)], CANNOT_TELL),
        ([(0.5, 0.6), (0.7, 0.8)], REFUTED),
    ],
)
def test_where_the_claim_says_that_there_is_a_case_one_supports_and_all_must_refute(cases, verdict):
    assert claim("Q13").judge({str(number): between(*case) for number, case in enumerate(cases)}).verdict == verdict


def test_cases_may_have_rules_of_their_own():
    one = claim("uvloop-fades")
    assert one.judge({"bare": between(1.4, 1.6), "Django": between(1.0, 1.1)}).verdict == SUPPORTED
    assert one.judge({"bare": between(1.4, 1.6), "Django": between(1.4, 1.6)}).verdict == REFUTED
    mixed = {"debug mode at 90 ms": 0.0, "debug mode at 110 ms": 0.95}
    mixed |= {"victims at 90 ms": between(0.9, 1.05), "victims at 110 ms": between(0.9, 1.05)}
    assert claim("sleep-in-async").judge(mixed).verdict == SUPPORTED


@pytest.mark.parametrize(
    ("bare", "django", "verdict"),
    [
        *((1.5, 1.05, SUPPORTED), (1.5, 1.5, REFUTED), (1.05, 1.05, REFUTED), (1.5, 1.22, CANNOT_TELL)),
        *((1.22, 1.05, CANNOT_TELL), (2.5, 1.05, CANNOT_TELL), (1.22, 1.5, REFUTED)),
    ],
)
def test_whether_uvloop_fades_is_judged_by_the_cpu_time_of_asyncio_over_that_of_uvloop(bare, django, verdict):
    # by the throughputs it would be the other way round
    rates = {"asyncio": FASTER_SYNC["sync"], "uvloop": FASTER_SYNC["asgi"]}
    evidence = {name: compared(rates, cpu={"asyncio": cpu}) for name, cpu in (("bare", bare), ("Django", django))}
    judged = claim("uvloop-fades").judge(evidence)
    assert judged.verdict == verdict
    assert [found.value for found in judged.findings] == pytest.approx([bare, django])
    assert {found.taken for found in judged.findings} == {"asyncio / uvloop"}


def test_whether_one_run_is_enough_is_judged_by_how_much_an_a_a_scatters():
    def scattered(by):
        rates = [1000.0 * math.exp(by * side) for side in (1, -1) * 10]
        return compared({"a": [1000.0] * 20, "b": rates}).scatter("b", "a")

    one = claim("one-run-is-enough")
    assert one.judge(scattered(0.05)).verdict == REFUTED
    assert one.judge(scattered(0.004)).verdict == SUPPORTED
    assert one.judge(scattered(0.01)).verdict == CANNOT_TELL
    with pytest.raises(ConfigurationError, match=r"wants an Interval over rounds: .*; this is the bare number 0.12"):
        one.judge(0.12)


@pytest.mark.parametrize("evidence", [{}, {"bare": between(1, 2)}, between(1, 2), {"bare": 1, "Django": 2, "more": 3}])
def test_each_case_of_a_rule_wants_its_evidence(evidence):
    with pytest.raises(ConfigurationError, match=r"'bare'.*'Django'"):
        claim("uvloop-fades").judge(evidence)


@pytest.mark.parametrize(
    ("id", "evidence"),
    [
        *(("asgi-adds-15ms", 0.4), ("gap-is-the-server", 0.7), ("sync-wins-static", 1.5)),  # a time without an interval
        *(("Q1", between(1, 1)), ("Q1", "one"), ("Q1", True), ("Q1", None), ("sync-wins-static", {})),
        ("sync-wins-static", {"1 user": {"again": between(1, 2)}}),
    ],
)
def test_evidence_of_a_wrong_kind_says_what_the_claim_wants(id, evidence):
    with pytest.raises(ConfigurationError, match=f"the claim '{claim(id).id}' wants "):
        claim(id).judge(evidence)
    assert ledger.ledger().verdicts == ()


# Cards


def test_a_card_shows_the_sentence_its_source_the_rule_the_figure_the_verdict_and_the_machine():
    verdict = claim("asgi-adds-15ms").judge(between(0.2, 0.6), note="one worker")
    for card in (repr(verdict), str(verdict), re.sub("<[^>]+>", " ", verdict._repr_html_())):
        text = " ".join(card.split())
        for part in ("ASGI adds about 15 ms", "topic 30344", "refuted where it is below 3 ms", "8 rounds"):
            assert part in text
        for part in ("between 10 ms and 25 ms", "0.4 ms (0.2 ms to 0.6 ms)"):
            assert part in text
        for part in ("refuted", "one worker", "Python", "asgiref", "UTC"):
            assert part in text
        assert "quick" not in text


def test_a_card_is_legible_on_any_background_and_escapes_what_it_is_given():
    card = claim("Q1").judge({"<b>": 60}, note="<script>x</script>")._repr_html_()
    assert "background:#ffffff" in card
    assert "color:#1a1a1a" in card
    assert "&lt;b&gt;" in card
    assert "<script>" not in card
    assert "No. Each has a thread of its own" in card


def test_a_plain_card_fits_a_terminal():
    one = claim("sleep-in-async")
    evidence = {name: 3 if rule.what == "count" else between(1, 2) for name, rule in one.cases.items()}
    assert max(map(len, repr(one.judge(evidence)).splitlines())) <= 100


# The ledger


def test_the_ledger_holds_all_claims_and_the_latest_verdict_on_each():
    claim("Q1").judge(1)
    claim("Q1").judge(60)
    book = ledger.ledger()
    assert book.verdict("many-requests-one-thread").verdict == REFUTED
    assert book.verdict("switch-once") is None
    lines = repr(book).splitlines()
    assert len(lines) == len(statements())
    assert f"{REFUTED} (earlier: {SUPPORTED})" in lines[0]
    assert NOT_TRIED in lines[1]
    page = book._repr_html_()
    assert page.count("<tr id=") == len(statements())
    assert page.count(NOT_TRIED) == len(statements()) - 1
    assert f"earlier: {SUPPORTED}" in page


def test_a_verdict_of_quick_mode_says_so_wherever_it_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path))
    claim("Q1").judge(1)
    assert "quick" not in repr(ledger.ledger()) + ledger.ledger()._repr_html_()
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    quick = claim("Q1").judge(60)
    assert "refuted, in quick mode: " in repr(quick)
    assert "on this machine, in quick mode" in quick._repr_html_()
    assert "refuted (quick; earlier: supported)" in repr(ledger.ledger()).splitlines()[0]
    assert ">quick</span>" in ledger.ledger()._repr_html_()
    monkeypatch.delenv(QUICK_VARIABLE)
    [book] = read(tmp_path)
    assert [one.quick for one in book.verdicts] == [False, True]
    assert "refuted (quick; earlier: supported)" in repr(book)
    claim("Q1").judge(60)
    assert "quick" not in repr(read(tmp_path)[0])


def test_without_the_variable_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claim("Q1").judge(60)
    assert list(tmp_path.iterdir()) == []


def test_verdicts_are_written_as_strict_json_and_come_back(tmp_path, monkeypatch):
    folder = tmp_path / "new"
    monkeypatch.setenv(LEDGER_VARIABLE, str(folder))
    given = [
        claim("Q1").judge(math.nan),
        claim("sync-wins-static").judge({"1 user": between(1.4, 1.6), "10 users": ratio_of([1], [1])}, "µ\n"),
        claim("uvloop-fades").judge({"bare": between(1.4, 1.6), "Django": between(1.0, 1.1)}),
    ]
    lines = (folder / FILE).read_text().splitlines()
    assert len(lines) == 3
    assert not re.search("NaN|Infinity", "".join(lines))
    [book] = read(folder)
    assert list(map(repr, book.verdicts)) == list(map(repr, given))
    assert book.machine == given[0].machine


def test_a_line_as_the_first_version_of_the_format_wrote_it_is_read(tmp_path):
    finding = {"name": "", "value": 60.0, "low": 60.0, "high": None, "unit": "threads", "rounds": 0}
    finding |= {"verdict": REFUTED, "reason": "a reason", "taken": ""}
    line = {
        "format": 2,
        "claim": "everything-in-one-thread",
        "verdict": REFUTED,
        "reason": "a reason",
        "rule": "a rule",
    }
    line |= {"note": "µ", "findings": [finding], "machine": to_plain(MACHINE)}
    line |= {"time": "2026-11-28T16:34:57+00:00", "quick": True}
    (tmp_path / FILE).write_text(json.dumps(line, ensure_ascii=False) + "\n")
    [book] = read(tmp_path)
    [verdict] = book.verdicts
    assert (verdict.claim.question, verdict.note, verdict.value, book.machine) == ("Q4", "µ", 60, MACHINE)
    assert math.isnan(verdict.deciding.high)


def test_a_verdict_that_cannot_be_recorded_says_where(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(LabError, match=LEDGER_VARIABLE):
        claim("Q1").judge(60)


def written(folder, number=60, **machine):
    """A folder with one verdict more in its ledger: so many threads were counted, on a machine with these facts changed."""
    verdict = claim("everything-in-one-thread").judge(number)
    ledger.append(folder, replace(verdict, machine=replace(verdict.machine, **machine)))
    return folder


def test_a_damaged_ledger_names_the_line(tmp_path):
    folder = written(tmp_path / "one")
    good = (folder / FILE).read_text()
    row = json.loads(good)
    broken = [
        good[:40],
        "[]",
        "null",
        "\xff",
        *(json.dumps(row | change) for change in ({"findings": []}, {"verdict": "won"}, {"machine": {}}, {"time": 3})),
        *(json.dumps(row | {"quick": wrong}) for wrong in (None, "yes", 1)),
        json.dumps({name: value for name, value in row.items() if name != "note"}),
        good.replace("60.0", "NaN"),
    ]
    for line in broken:
        (folder / FILE).write_text(good + line)
        with pytest.raises(LedgerFormatError, match=r"line 2 of .*damaged"):
            read(folder)
    (folder / FILE).write_text(json.dumps(row | {"format": 99}))
    with pytest.raises(LedgerFormatError, match="format 99"):
        read(folder)
    (folder / FILE).write_text(json.dumps(row | {"claim": "from-the-future"}))
    with pytest.raises(LedgerFormatError, match="from-the-future"):
        read(folder)


def test_a_folder_without_a_ledger_is_refused(tmp_path):
    with pytest.raises(LedgerFormatError, match="there is no ledger"):
        read(tmp_path)


def test_ledgers_of_different_machines_are_never_made_one(tmp_path):
    shared = written(tmp_path / "hub")
    written(shared, processor="another")
    other = written(tmp_path / "deep" / "hub")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / FILE).touch()
    books = read_all([shared, other, empty, shared])
    assert [book.name for book in books] == [f"{shared} #1", f"{shared} #2", str(other), "empty"]
    assert [len(book.verdicts) for book in books] == [1, 1, 1, 0]
    assert books[1].machine.processor == "another"


def test_a_report_in_which_nothing_was_judged_still_knows_its_machine(tmp_path):
    (tmp_path / FILE).touch()
    facts = claim("Q1").judge(60).machine
    (tmp_path / MACHINE_FILE).write_text(json.dumps(to_plain(facts)))
    assert read(tmp_path)[0].machine == facts
    (tmp_path / MACHINE_FILE).write_text("{")
    assert read(tmp_path) == (Ledger((), tmp_path.name, None),)


# The command


def ran(*arguments):
    return CliRunner().invoke(cli.commands, ["claims", *map(str, arguments)])


def test_the_command_lists_all_claims():
    text = ran().output.splitlines()
    assert len(text) == len(statements()) + 1
    assert all(one.id in line and one.sentence in line for one, line in zip(statements(), text[1:], strict=True))
    listed = json.loads(ran("--json").output)["claims"]
    assert [row["id"] for row in listed] == [one.id for one in statements()]


def test_the_command_shows_one_ledger_and_merges_several(tmp_path):
    one, two = written(tmp_path / "one"), written(tmp_path / "two", processor="Other CPU")
    assert "refuted" in ran(one).output.splitlines()[1]
    merged = ran(one, two).output
    assert "Other CPU" in merged
    table = merged.partition("\n\n")[2].splitlines()
    assert table[0].split() == ["claim", "one", "two"]
    assert table[2].split() == ["everything-in-one-thread", "refuted", "refuted"]
    assert len(table) == len(statements()) + 1
    found = json.loads(ran(one, two, "--json").output)["ledgers"]
    assert [book["verdicts"]["everything-in-one-thread"]["verdict"] for book in found] == [REFUTED, REFUTED]
    assert found[0]["verdicts"]["switch-once"] == {"verdict": NOT_TRIED}


def test_folders_of_quick_and_of_full_reports_are_merged_and_told_apart(tmp_path, monkeypatch):
    full = written(tmp_path / "full")
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    quick = written(tmp_path / "quick")
    both = written(full, processor="another")
    table = ran(full, quick).output.partition("\n\n")[2].splitlines()
    assert re.split(r" {2,}", table[0]) == ["claim", f"{both.name} #1", f"{both.name} #2", "quick"]
    assert re.split(r" {2,}", table[2]) == ["everything-in-one-thread", "refuted", "refuted (quick)", "refuted (quick)"]
    found = json.loads(ran(full, quick, "--json").output)["ledgers"]
    assert [book["verdicts"]["everything-in-one-thread"]["quick"] for book in found] == [False, True, True]


def test_reports_of_one_machine_that_contradict_each_other_are_named_and_fail(tmp_path):
    one, two, three = (written(tmp_path / name, n) for name, n in (("one", 1), ("two", 60), ("three", 1)))
    assert ran(one, two, three).exit_code == 0
    said = ran(one, two, three, "--agree")
    assert said.exit_code == 1
    words = "Opposite verdicts on one machine: everything-in-one-thread: supported in one, three; refuted in two."
    assert said.output.splitlines()[-1] == words
    (told,) = json.loads(ran(two, one, "--agree", "--json").output)["contradictions"]
    assert (told["claim"], told["supported"], told["refuted"]) == ("everything-in-one-thread", ["one"], ["two"])
    assert told["machine"]["cores"] >= 1


def test_reports_that_agree_or_cannot_tell_pass(tmp_path):
    one, two = (written(tmp_path / name, 1) for name in ("one", "two"))
    written(two, math.nan)
    said = ran(one, two, "--agree")
    assert said.exit_code == 0
    assert said.output.splitlines()[-1] == "No opposite verdicts in 2 reports."
    assert json.loads(ran(one, two, "--agree", "--json").output)["contradictions"] == []


def test_machines_may_differ_and_a_report_may_not_contradict_itself(tmp_path):
    one = written(tmp_path / "one", 1)
    other = written(tmp_path / "other", 60, processor="another")
    said = ran(one, other, "--agree")
    assert said.exit_code == 0
    assert said.output.splitlines()[-1].endswith("of 2 machines, each compared with its own.")
    written(one, 60)
    assert ran(one, "--agree").output.splitlines()[-1].endswith("supported in one; refuted in one.")
    assert ran(one, "--agree").exit_code == 1


def test_agreement_needs_reports():
    assert ran("--agree").exit_code == 2


def test_the_command_refuses_a_folder_without_a_ledger(tmp_path):
    result = ran(tmp_path / "none")
    assert result.exit_code == 1
    assert result.output.startswith("Error: there is no ledger")
