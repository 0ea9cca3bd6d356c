"""Judgement: the worst verdict wins, tolerated kinds leave VALID, and no evidence is no proof."""

from pathlib import Path

import duckdb
import pytest

from verifiers.checker import Checker, Finding, Verdict, judge, run_checker
from verifiers.recording import Missing, Recording


def checker_that(finding: Finding) -> Checker:
    return Checker("claim", "safety", lambda _recording: finding)


@pytest.mark.parametrize(
    ("finding", "tolerates", "verdict"),
    [
        (Finding({"rows": 3}), frozenset(), Verdict.VALID),
        (Finding({"rows": 0}), frozenset(), Verdict.UNKNOWN),
        (Finding({}), frozenset(), Verdict.UNKNOWN),
        (Finding({"rows": 3}, {"duplicate": 1}), frozenset(), Verdict.INVALID),
        (Finding({"rows": 3}, {"duplicate": 1}), frozenset({"duplicate"}), Verdict.VALID),
        (Finding({"rows": 3}, {"duplicate": 1, "lost-write": 1}), frozenset({"duplicate"}), Verdict.INVALID),
        (Finding({"rows": 3}, unknown="a reason"), frozenset(), Verdict.UNKNOWN),
        (Finding({"rows": 3}, {"lost-write": 1}, unknown="a reason"), frozenset(), Verdict.INVALID),
        (Finding({}, not_applicable="a reason"), frozenset(), Verdict.VALID),
    ],
)
def test_a_finding_is_judged_by_its_worst_part(finding: Finding, tolerates: frozenset[str], verdict: Verdict) -> None:
    assert judge(checker_that(finding), finding, tolerates=tolerates).verdict is verdict


@pytest.mark.parametrize("error", [Missing("no file"), duckdb.Error("broken"), KeyError("x"), ZeroDivisionError()])
def test_a_checker_that_crashes_is_unknown_with_the_reason(error: Exception) -> None:
    def crash(_recording: Recording) -> Finding:
        raise error

    recording = Recording(Path(), {"incomplete": None}, duckdb.connect(":memory:"), frozenset())
    finding = run_checker(Checker("claim", "safety", crash, at_quiescence=False), recording)
    assert finding.unknown
    assert judge(checker_that(finding), finding, tolerates=frozenset()).verdict is Verdict.UNKNOWN


def test_an_incomplete_run_says_nothing_about_claims_at_quiescence() -> None:
    recording = Recording(Path(), {"incomplete": "the broker died"}, duckdb.connect(":memory:"), frozenset())
    finding = run_checker(checker_that(Finding({"rows": 1})), recording)
    assert finding.unknown == "the run is incomplete: the broker died"
