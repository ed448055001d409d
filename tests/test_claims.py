"""Claims, what judges them, and the ledger that keeps the verdicts."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from requestlab import cli
from requestlab.claims import judging, ledger
from requestlab.claims.judging import claim
from requestlab.claims.ledger import FILE, LEDGER_VARIABLE, MACHINE_FILE, Ledger, read, read_all
from requestlab.claims.statement import CANNOT_TELL, KINDS, MEASURES, NEITHER, NOT_TRIED, REFUTED, SUPPORTED, statements
from requestlab.comparison.comparison import ALIKE, Comparison, Ratio, Slice
from requestlab.comparison.intervals import Interval, ratio as ratio_of
from requestlab.errors import ConfigurationError, LabError, LedgerFormatError
from requestlab.system.machine import Cores
from requestlab.system.quick import QUICK_VARIABLE
from requestlab.system.values import to_plain
from tests.made_runs import COMPARED, MACHINE

NAMED_IN_THE_LIST = """
    crossing-1ms crossing-tens-of-us crossing-grows switch-once middleware-position no-python-threads thread-per-request
    brand-new-thread sync-wins-static gap-is-the-server asgi-adds-15ms async-beats-threads-waiting sync-faster-under-asgi
    silent-client slow-clients gil-cap cpu-asgi-loses sleep-in-async sync-stream-buffers async-under-wsgi orm-is-threads
    uvloop-fades
"""


@pytest.fixture(autouse=True)
def _an_empty_ledger(monkeypatch):
    monkeypatch.setattr(ledger, "_given", [])
    monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
    monkeypatch.delenv(QUICK_VARIABLE, raising=False)


def between(low, high, rounds=8, **more):
    return Interval((low + high) / 2, low, high, rounds, **more)


def evidence_of(given):
    """What was given, with pairs as intervals."""
    if isinstance(given, dict):
        return {name: evidence_of(one) for name, one in given.items()}
    return between(*given) if isinstance(given, tuple) else given


def text_of(shown):
    """What a reader of the HTML sees."""
    return re.sub("<[^>]+>", " ", shown._repr_html_())


def compared(figures, *, errors=0, validity="valid", busy=False, cpu=(), control=None):
    """A comparison of hand-made figures: for each label, the throughput of each round; p50 is a thousand times its
    inverse.

    `cpu` is the CPU time per request of each label, 1 ms unless said otherwise, `control` the label that is the A/A
    control.
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
                about=SimpleNamespace(rate=None, cores=None, pids=(1,)),
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


def rules_of(one):
    return [one.rule] if one.rule else list(one.cases.values())


def test_every_question_of_the_thread_and_every_named_claim_is_there_in_the_order_of_the_lessons():
    assert {one.question for one in statements()} - {""} == {f"Q{number}" for number in range(1, 16)}
    assert {one.id for one in statements()} >= set(NAMED_IN_THE_LIST.split())
    assert len({one.id for one in statements()}) == len(statements())
    lessons = [one.notebook for one in statements()]
    assert lessons == sorted(lessons)


@pytest.mark.parametrize("one", statements(), ids=lambda one: one.id)
def test_a_claim_is_complete_and_decided_by_counts_alone_or_by_intervals(one):
    assert re.fullmatch(r"[a-z0-9-]+", one.id)
    assert one.sentence.rstrip("”").endswith(".")
    assert one.source
    assert one.url == "" or one.url.startswith("https://")
    assert re.fullmatch(r"\d\d-[a-z-]+|report_\d\d_[a-z_]+", one.notebook)
    assert one.kind in KINDS
    assert set(one.answers) <= {SUPPORTED, REFUTED, CANNOT_TELL}
    for rule in rules_of(one):
        assert rule.what in MEASURES
        assert rule.supported.low <= rule.supported.high
        assert bool(rule.metric) == bool(rule.over) == bool(rule.under)
        assert rule.words
    measures = {rule.what for rule in rules_of(one)}
    assert measures == {"count"} if one.kind == "structure" else measures != {"count"}


def test_a_claim_is_found_by_its_name_and_by_its_question_and_else_those_that_are_near_are_named():
    assert claim("sync-wins-static") is claim("Q3") is claim("q3")
    with pytest.raises(ConfigurationError, match="did you mean sync-wins-static"):
        claim("sync-wins-statik")
    with pytest.raises(ConfigurationError, match=r"there are .*one-run-is-enough"):
        claim("zzz")


# Judging

ACROSS = "the interval leaves more than one answer open"
SLEEPS = ("debug mode at 90 ms", "debug mode at 110 ms", "victims at 90 ms", "victims at 110 ms")


@pytest.mark.parametrize(
    ("id", "evidence", "verdict", "reason"),
    [
        # an interval wholly in a region decides, one across a limit or between the two does not
        ("asgi-adds-15ms", (10.1, 20), SUPPORTED, "ms, and between 10 ms and 25 ms was claimed"),
        (
            "asgi-adds-15ms",
            (-0.2, 2.9),
            REFUTED,
            "ms, where between 10 ms and 25 ms was claimed, and below 3 ms refutes",
        ),
        *(("asgi-adds-15ms", bounds, CANNOT_TELL, ACROSS) for bounds in ((2.9, 3.1), (9.9, 20), (20, 25.1))),
        # one wholly between what was claimed and what refutes it is neither
        (
            "asgi-adds-15ms",
            (4, 9),
            NEITHER,
            "ms, where between 10 ms and 25 ms was claimed, and below 3 ms would refute",
        ),
        ("asgi-adds-15ms", (26, 30), NEITHER, ""),
        ("crossing-1ms", (0.31, 0.49), NEITHER, ""),
        ("near-zero-overhead", (1.15, 1.2), NEITHER, "1.17, where below 1.1 was claimed, and above 1.25 would refute"),
        ("near-zero-overhead", (1.12, 1.23), CANNOT_TELL, "two equal processes"),
        ("sync-wins-static", ratio_of([2, 2], [1, 1]), CANNOT_TELL, "2 rounds have a figure"),
        # a count decides exactly, and what is none decides nothing
        *((id, 0, SUPPORTED, "and exactly 0") for id in ("Q7", "Q11", "thread-per-request", "no-python-threads")),
        *((id, 1, REFUTED, "where exactly 0") for id in ("Q11", "no-python-threads", "brand-new-thread")),
        *((id, 1, SUPPORTED, "and exactly 1") for id in ("Q1", "Q4", "switch-once")),
        *((id, 2, REFUTED, "where exactly 1") for id in ("Q1", "switch-once")),
        *(("Q4", np.int64(60), REFUTED, ""), ("Q7", 0.01, REFUTED, ""), ("thread-per-request", -59, REFUTED, "")),
        *(("brand-new-thread", 0, SUPPORTED, ""), ("middleware-position", 2, SUPPORTED, "")),
        *(("middleware-position", 0, REFUTED, ""), ("Q1", 0, NEITHER, "and at least 2 would refute")),
        *(("Q7", nothing, CANNOT_TELL, "nothing was counted") for nothing in (math.nan, math.inf, pd.NA)),
        # all cases must be supported, and one refutes
        ("sync-wins-static", {"1": (1.4, 1.6), "2": (1.2, 1.3)}, SUPPORTED, "1: 1.5, and above 1 was claimed; 2: 1.25"),
        ("sync-wins-static", {"1": (1.4, 1.6), "2": (0.9, 1.1)}, CANNOT_TELL, "2: the interval"),
        (
            "sync-wins-static",
            {"1": (1.4, 1.6), "2": (0.9, 1.1), "3": (0.5, 0.6)},
            REFUTED,
            "3: 0.55, where above 1 was claimed",
        ),
        # where the claim says that there is a case, one supports and all must refute
        ("Q13", {"1": (0.5, 0.6), "2": (1.2, 1.3)}, SUPPORTED, "2: "),
        ("Q13", {"1": (0.5, 0.6), "2": (0.9, 1.1)}, CANNOT_TELL, "2: "),
        ("Q13", {"1": (0.5, 0.6), "2": (0.7, 0.8)}, REFUTED, "1: 0.55, where above 1 was claimed; 2: 0.75"),
        # cases may have rules of their own
        ("uvloop-fades", {"bare": (1.4, 1.6), "Django": (1.0, 1.1)}, SUPPORTED, ""),
        ("uvloop-fades", {"bare": (1.4, 1.6), "Django": (1.4, 1.6)}, REFUTED, "Django: "),
        ("uvloop-fades", {"bare": (1.2, 1.25), "Django": (1.0, 1.1)}, NEITHER, "bare: "),
        ("uvloop-fades", {"bare": (1.2, 1.25), "Django": (0.9, 1.5)}, CANNOT_TELL, "Django: "),
        ("sleep-in-async", dict(zip(SLEEPS, (0.0, 0.95, (0.9, 1.05), (0.9, 1.05)), strict=True)), SUPPORTED, ""),
    ],
)
def test_evidence_becomes_a_verdict_with_its_reason(id, evidence, verdict, reason):
    judged = claim(id).judge(evidence_of(evidence))
    assert judged.verdict == verdict
    assert reason in judged.reason
    assert [finding.name for finding in judged.findings] == list(evidence if isinstance(evidence, dict) else [""])


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


def test_a_claim_is_a_question_that_a_comparison_answers_by_itself_or_by_what_is_taken_from_it():
    sure, unsure = compared(FASTER_SYNC), compared({name: rates[:3] for name, rates in FASTER_SYNC.items()})
    wins, fades, scatters = map(claim, ("sync-wins-static", "uvloop-fades", "one-run-is-enough"))
    assert wins.answered(sure)
    assert not wins.answered(unsure)
    assert wins.answered({"1 user": sure})
    assert not wins.answered({"1 user": sure, "10 users": unsure})
    rates = {"asyncio": FASTER_SYNC["sync"], "uvloop": FASTER_SYNC["asgi"]}
    half_faster, between_both = (compared(rates, cpu={"asyncio": cpu}) for cpu in (1.5, 1.22))
    assert fades.case("bare").answered(half_faster)
    assert fades.answered(half_faster)  # refuted, by the other case
    assert fades.case("Django").answered(between_both)  # neither is an answer
    assert fades.case("bare").words == fades.words
    wide = compared({"a": [1000.0] * 8, "b": [1000.0, 1100.0] * 4})
    assert scatters.by(lambda result: result.scatter("b", "a")).answered(wide)
    with pytest.raises(ConfigurationError, match="expected one of: bare, Django"):
        fades.case("flask")
    with pytest.raises(ConfigurationError, match="this comparison is of a, b"):
        wins.answered(wide)
    assert ledger.ledger().verdicts == ()  # asking records nothing


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


def test_a_comparison_is_judged_by_the_metric_and_the_contenders_of_the_rule():
    result = compared(FASTER_SYNC)
    verdict = claim("sync-wins-static").judge(result)
    assert verdict.verdict == SUPPORTED
    assert verdict.value == pytest.approx(2, rel=0.01)
    assert (verdict.low, verdict.high) == (result.ratio("sync", "asgi").low, result.ratio("sync", "asgi").high)
    assert verdict.rounds == 5
    assert claim("sync-faster-under-asgi").judge(result).verdict == REFUTED
    added = claim("asgi-adds-15ms").judge(result)
    assert (added.verdict, added.value) == (REFUTED, pytest.approx(0.5, rel=0.02))


def test_a_verdict_names_the_contenders_that_were_taken():
    result = compared({"sync": FASTER_SYNC["sync"], "async": FASTER_SYNC["asgi"], "asgi": FASTER_SYNC["asgi"]})
    ratio = claim("sync-wins-static").judge({"again": result.ratio("sync", "async"), "one user": result})
    assert [found.taken for found in ratio.findings] == ["sync / async", "sync / asgi"]
    assert claim("asgi-adds-15ms").judge(result).findings[0].taken == "asgi − sync"
    for card in (repr(ratio), text_of(ratio), repr(ledger.ledger())):
        assert "again: 2 (1.97 to 2.03), sync / async, supported" in " ".join(card.split())
        assert "one user: 2 (1.97 to 2.03), sync / asgi, supported" in " ".join(card.split())
    for id, evidence in (("crossing-grows", between(2, 3)), ("Q1", 1)):
        assert claim(id).judge(evidence).findings[0].taken == ""


@pytest.mark.parametrize(
    ("id", "interval"), [("sync-wins-static", (1.4, 1.6)), ("asgi-adds-15ms", (12, 20)), ("Q15", (0.05, 0.08))]
)
def test_what_speaks_against_an_interval_is_why_nothing_can_be_told(id, interval):
    assert claim(id).judge(between(*interval)).verdict != CANNOT_TELL
    doubted = claim(id).judge(between(*interval, caveats=("sync was late", "the answers are not alike")))
    assert (doubted.verdict, doubted.low) == (CANNOT_TELL, interval[0])
    assert doubted.reason == "sync was late; the answers are not alike"


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


@pytest.mark.parametrize(
    ("bare", "django", "verdict"),
    [
        *((1.5, 1.05, SUPPORTED), (1.5, 1.5, REFUTED), (1.05, 1.05, REFUTED), (1.5, 1.22, NEITHER)),
        *((1.22, 1.05, NEITHER), (2.5, 1.05, NEITHER), (1.22, 1.5, REFUTED)),
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


@pytest.mark.parametrize(("by", "verdict"), [(0.05, REFUTED), (0.004, SUPPORTED), (0.01, CANNOT_TELL)])
def test_whether_one_run_is_enough_is_judged_by_how_much_an_a_a_scatters(by, verdict):
    rates = [1000.0 * math.exp(by * side) for side in (1, -1) * 10]
    scatter = compared({"a": [1000.0] * 20, "b": rates}).scatter("b", "a")
    assert claim("one-run-is-enough").judge(scatter).verdict == verdict


FASTER = Ratio("sync", "asgi", "throughput", between(1.4, 1.6), "faster", "the interval lies on one side")


def test_a_ratio_of_the_rules_contenders_and_metric_is_evidence():
    assert claim("sync-wins-static").judge(FASTER).verdict == SUPPORTED
    assert claim("crossing-grows").judge(Ratio("50", "1", "p50", between(2, 3), "slower", "")).verdict == SUPPORTED


@pytest.mark.parametrize(
    ("id", "evidence", "also"),
    [
        *(("asgi-adds-15ms", 0.4, ""), ("gap-is-the-server", 0.7, "")),  # a time without an interval
        *(("sync-wins-static", 1.5, ""), ("sync-wins-static", {}, "this mapping is empty")),
        *(("Q1", between(1, 1), ""), ("Q1", "one", ""), ("Q1", True, ""), ("Q1", None, "")),
        ("sync-wins-static", {"1 user": {"again": between(1, 2)}}, ""),
        ("one-run-is-enough", 0.12, "an Interval over rounds: .*; this is the bare number 0.12"),
        ("sync-wins-static", compared({"sync": [1.0] * 4, "other": [1.0] * 4}), "this comparison is of sync, other"),
        ("crossing-grows", compared(FASTER_SYNC), "a Comparison"),
        *((id, FASTER, "this is") for id in ("Q8", "sync-faster-under-asgi", "asgi-adds-15ms")),
        *(("uvloop-fades", {}, "'bare'.*'Django'"), ("uvloop-fades", between(1, 2), "'bare'.*'Django'")),
        ("uvloop-fades", {"bare": between(1, 2)}, "'bare'.*'Django'"),
        ("uvloop-fades", {"bare": 1, "Django": 2, "more": 3}, "'bare'.*'Django'"),
    ],
)
def test_evidence_of_a_wrong_kind_says_what_the_claim_wants(id, evidence, also):
    with pytest.raises(ConfigurationError, match=f"the claim '{claim(id).id}' wants .*{also}"):
        claim(id).judge(evidence)
    assert ledger.ledger().verdicts == ()


# Cards


def test_a_card_shows_the_sentence_its_source_the_rule_the_figure_the_verdict_and_the_machine():
    verdict = claim("asgi-adds-15ms").judge(between(0.2, 0.6), note="one worker")
    for card in (repr(verdict), text_of(verdict)):
        text = " ".join(card.split())
        for part in ("ASGI adds about 15 ms", "topic 30344", "between 10 ms and 25 ms, refuted where it is below 3 ms"):
            assert part in text
        for part in ("0.4 ms (0.2 ms to 0.6 ms)", "8 rounds", "refuted", "one worker", "Python", "asgiref", "UTC"):
            assert part in text
        assert "quick" not in text


def test_a_card_speaks_of_one_thread_and_of_several_threads():
    one, two = (str(claim("Q11").judge(count)) for count in (1, 2))
    assert re.search(r"^measured +1 thread$", one, re.M)
    assert re.search(r"^measured +2 threads$", two, re.M)


def test_a_card_is_legible_on_any_background_and_escapes_what_it_is_given():
    card = claim("Q1").judge({"<b>": 60}, note="<script>x</script>")._repr_html_()
    for part in ("background:#ffffff", "color:#1a1a1a", "&lt;b&gt;", "No. Each has a thread of its own"):
        assert part in card
    assert "<script>" not in card


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
    """A folder with one verdict more in its ledger: so many threads were counted, on a machine with these facts
    changed."""
    verdict = claim("everything-in-one-thread").judge(number)
    ledger.append(folder, replace(verdict, machine=replace(verdict.machine, **machine)))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        *("[]", "null", "\xff", '{"format": 2, "claim": ', {"findings": []}, {"verdict": "won"}, {"machine": {}}),
        *({"time": 3}, {"quick": None}, {"quick": "yes"}, {"quick": 1}, {"note": KeyError}, {"reason": math.nan}),
    ],
    ids=str,
)
def test_a_damaged_line_of_a_ledger_is_left_out_and_named(tmp_path, change):
    good = (written(tmp_path) / FILE).read_text()
    line = change
    if isinstance(change, dict):
        row = json.loads(good) | change
        line = json.dumps({name: value for name, value in row.items() if value is not KeyError})
    (tmp_path / FILE).write_text(good + line)
    written(tmp_path)  # after what was left when the machine went down in the middle of a line
    (found,) = read(tmp_path)
    assert len(found.verdicts) == 2
    assert re.fullmatch(r"line 2 of .*: it is damaged", *found.damaged)
    (tmp_path / FILE).write_text(line)
    with pytest.raises(LedgerFormatError, match=r"line 1 of .*damaged"):
        read(tmp_path)


@pytest.mark.parametrize("bytes_left", [0, 10])
def test_a_verdict_that_does_not_fit_onto_the_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch, bytes_left):
    before = (written(tmp_path) / FILE).read_bytes()
    monkeypatch.setattr(os, "write", lambda descriptor, data, write=os.write: write(descriptor, data[:bytes_left]))
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"), [({"format": 99}, "format 99"), ({"claim": "from-the-future"}, "from-the-future")]
)
def test_a_ledger_of_another_version_is_refused(tmp_path, change, said):
    row = json.loads((written(tmp_path) / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(row | change))
    with pytest.raises(LedgerFormatError, match=said):
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
    (tmp_path / MACHINE_FILE).write_text(json.dumps(to_plain(MACHINE)))
    assert read(tmp_path)[0].machine == MACHINE
    (tmp_path / MACHINE_FILE).write_text("{")
    assert read(tmp_path) == (Ledger((), tmp_path.name, None),)


# The command


def ran(*arguments, exits=0):
    """What the command prints; every cell of a line by itself where these are columns."""
    done = CliRunner().invoke(cli.commands, ["claims", *map(str, arguments)])
    assert done.exit_code == exits
    return json.loads(done.output) if "--json" in arguments else done.output.splitlines()


def cells(line):
    return re.split(r" {2,}", line)


def test_the_command_lists_all_claims():
    text = ran()
    assert [cells(line)[0] for line in text] == ["id", *(one.id for one in statements())]
    assert all(one.sentence in line for one, line in zip(statements(), text[1:], strict=True))
    assert [row["id"] for row in ran("--json")["claims"]] == [one.id for one in statements()]


def test_the_command_shows_one_ledger_and_merges_several_those_of_quick_mode_told_apart(tmp_path, monkeypatch):
    full = written(tmp_path / "full")
    assert "refuted" in ran(full)[1]
    monkeypatch.setenv(QUICK_VARIABLE, "1")
    quick = written(tmp_path / "quick", processor="Other CPU")
    written(full, processor="another")
    machines, table = ran(full, quick)[:3], ran(full, quick)[4:]
    assert "Other CPU" in machines[2]
    assert len(table) == len(statements()) + 1
    assert cells(table[0]) == ["claim", "full #1", "full #2", "quick"]
    assert cells(table[2]) == ["everything-in-one-thread", "refuted", "refuted (quick)", "refuted (quick)"]
    found = [book["verdicts"] for book in ran(full, quick, "--json")["ledgers"]]
    judged = [verdicts["everything-in-one-thread"] for verdicts in found]
    assert [(one["verdict"], one["quick"]) for one in judged] == [(REFUTED, False), (REFUTED, True), (REFUTED, True)]
    assert found[0]["switch-once"] == {"verdict": NOT_TRIED}


OPPOSITE = "Opposite verdicts on one machine: everything-in-one-thread: "


@pytest.mark.parametrize(
    ("reports", "exits", "last"),
    [
        ("one: 1; two: 60; three: 1", 1, f"{OPPOSITE}supported in one, three; refuted in two."),
        ("one: 1; one: 60", 1, f"{OPPOSITE}supported in one; refuted in one."),
        ("one: 1; two: 1; two: nan", 0, "No opposite verdicts in 2 reports."),
        (
            "one: 1; two: 60 elsewhere",
            0,
            "No opposite verdicts in 2 reports of 2 machines, each compared with its own.",
        ),
    ],
)
def test_reports_of_one_machine_that_contradict_each_other_are_named_and_fail(tmp_path, reports, exits, last):
    folders = {}
    for name, _, verdict in (one.partition(": ") for one in reports.split("; ")):
        number, _, elsewhere = verdict.partition(" ")
        changed = {"processor": "another"} if elsewhere else {}
        folders[written(tmp_path / name, float(number), **changed)] = True
    ran(*folders)
    assert ran(*folders, "--agree", exits=exits)[-1] == last
    told = ran(*folders, "--agree", "--json", exits=exits)["contradictions"]
    assert [one["claim"] for one in told] == ["everything-in-one-thread"] * exits
    for one in told:
        assert one["supported"][0] == "one"
        assert one["machine"]["cores"] >= 1


def test_the_command_refuses_what_has_no_ledger_and_agreement_of_none(tmp_path):
    assert ran(tmp_path / "none", exits=1)[0].startswith("Error: there is no ledger")
    assert "needs the folders of reports" in ran("--agree", exits=2)[-1]


def test_a_large_count_is_shown_in_full():
    made = claim("large-counts", "There are many.", of="objects", supported=(1000, math.inf))
    assert "measured  1,234\n" in f"{made.judge(1234)!r}"
