"""Verdicts are retold faithfully: the worst wins, complete counts beat examples, nothing tolerated is hidden."""

from hypothesis import given
from hypothesis import strategies as st

from reports.headline import SEVERITY, worst
from reports.judged import cards, lines, sentence
from tests.reports.synthetic_run import ANOMALY, INVALID, VALID


@given(st.lists(st.sampled_from([*SEVERITY, "NONSENSE", None]), min_size=1))
def test_the_worst_verdict_wins_and_the_unheard_of_is_unknown(words: list[str | None]) -> None:
    known = [word if word in SEVERITY else "UNKNOWN" for word in words]
    assert worst(*words) == max(known, key=SEVERITY.index)


def test_a_complete_count_beats_the_number_of_examples() -> None:
    row = {**INVALID["checkers"][0], "counts": {"double-effect": 4_211}}
    assert lines({"checkers": [row]})[0].found == (("double-effect", "4,211", False),)
    assert lines(INVALID)[0].found == (("double-effect", "1", False),)


def test_untolerated_examples_come_first_and_each_kind_before_its_second() -> None:
    allowed = {**ANOMALY, "tolerated": True, "entity": "1_1"}
    other = {**ANOMALY, "kind": "missing-effect", "entity": "9_1"}
    row = {**VALID["checkers"][0], "anomalies": [allowed, ANOMALY, {**ANOMALY, "entity": "18_1"}, other]}
    assert [card.entity for card in cards({"checkers": [row]})] == ["17_1", "9_1", "18_1", "1_1"]


def test_the_sentence_says_what_was_found_and_what_is_not_known() -> None:
    unknown = {**VALID["checkers"][0], "verdict": "UNKNOWN"}
    assert sentence(VALID) == "All 2 checkers that apply found their invariant to hold."
    assert sentence(INVALID) == "1 of 2 checkers found a violation: double-effect."
    assert sentence({"verdict": "UNKNOWN", "checkers": [unknown]}).startswith("1 of 1 checkers could not tell")
    assert sentence({}) == "This run has not been checked."
    assert sentence({**VALID, "verdict": "INVALID"}) == "No checker found a violation; a gate of the run did."


def test_a_checker_that_does_not_apply_stands_last_with_its_reason() -> None:
    row = {**VALID["checkers"][0], "reason": "not applicable: no transactions"}
    found = lines({"checkers": [row, VALID["checkers"][1]]})
    assert [line.verdict for line in found] == ["VALID", "NOT APPLICABLE"]
    assert found[1].reason == "not applicable: no transactions"
