"""A mutant is caught only by what was expected of it; a miss is told from what could not be tried."""

from typing import Any

import pytest

from bench.corrupt import corruptions
from bench.matrix import kill
from bench.matrix.cells import Result, exit_code
from bench.scenario import scenarios
from tests.bench.matrix.literal import finding, result

CHECKOUT = scenarios()["checkout"]
CREDIT = kill.corruption_of(CHECKOUT, "credit-changed")


def judged(row: str, column: str, *findings: dict[str, Any], **more: object) -> Result:
    return kill.judged(result(row, column, *findings, **more), CHECKOUT)


def caught(kind: str = CREDIT.kind, entity: str = "7", checker: str = CREDIT.checker) -> Result:
    return judged(CREDIT.name, kill.RECORDING, finding(kind, checker=checker, entity=entity), entity="7")


SYSTEM = judged("no-inbox", kill.SYSTEM, finding("double-effect"))
CLEAN = judged("idempotent s1", kill.CLEAN)


def test_standard_has_every_broken_system_and_every_corruption() -> None:
    rows = {(cell.column, cell.row) for cell in kill.cells(CHECKOUT, "standard", seed=1)}
    assert {row for column, row in rows if column == kill.SYSTEM} == set(CHECKOUT.broken)
    assert {row for column, row in rows if column == kill.RECORDING} == {one.name for one in corruptions("checkout")}


def test_full_has_fifty_clean_runs_evenly_over_the_guarantees_each_with_its_own_seed() -> None:
    clean = [cell.options for cell in kill.cells(CHECKOUT, "full", seed=5) if cell.column == kill.CLEAN]
    guarantees = [one.guarantee for one in clean if one]
    assert {guarantees.count(name) for name in CHECKOUT.guarantees} == {10}
    assert len({one.seed for one in clean if one}) == 50


def test_recordings_are_damaged_after_they_were_made_first_that_without_transactions() -> None:
    cells = kill.cells(CHECKOUT, "standard", seed=1)
    names = [cell.name for cell in cells]
    for cell in cells:
        assert all(names.index(base) < names.index(cell.name) for base in cell.bases)
    assert next(cell.bases for cell in cells if cell.bases) == ["clean.idempotent.0", "clean.transactional.1"]


def test_a_recording_is_caught_by_its_checker_its_kind_and_its_entity_alone() -> None:
    assert (caught()["fate"], caught()["caught_by"]) == ("caught", [CREDIT.checker])
    assert caught(entity="8")["fate"] == "missed"
    assert caught(kind="lost-row")["fate"] == "missed"
    other = caught(checker="another_checker")
    assert (other["fate"], other["also"]) == ("missed", ["another_checker"])


def test_what_a_recording_does_not_have_was_not_tried() -> None:
    assert judged(CREDIT.name, kill.RECORDING, entity=None, verdict="UNKNOWN")["fate"] == "not tried"


def test_a_system_is_caught_by_an_expected_kind_that_is_not_tolerated() -> None:
    assert SYSTEM["fate"] == "caught"
    assert judged("no-inbox", kill.SYSTEM, finding("double-effect", tolerated=True))["fate"] == "missed"
    assert judged("no-inbox", kill.SYSTEM, finding("wrong-partition"))["fate"] == "missed"
    assert judged("no-inbox", kill.SYSTEM, verdict="UNKNOWN")["fate"] == "not tried"
    assert judged("no-inbox", kill.SYSTEM, finding("double-effect"), exit_codes=[5])["fate"] == "missed"
    assert judged("offsets-left-out", kill.SYSTEM, finding("unprocessed"), exit_codes=[5])["fate"] == "caught"


def test_an_idle_nemesis_is_caught_by_the_reason_that_nothing_struck() -> None:
    unknown: dict[str, Any] = {"verdict": "UNKNOWN", "exit_codes": [2]}
    noticed = judged("idle-nemesis", kill.SYSTEM, reasons=["the fault did not strike: crash:pay@x#4"], **unknown)
    assert (noticed["fate"], noticed["caught_by"]) == ("caught", ["the fault did not strike: crash:pay@x#4"])
    assert judged("idle-nemesis", kill.SYSTEM, reasons=["examined nothing"], **unknown)["fate"] == "not tried"
    assert judged("idle-nemesis", kill.SYSTEM)["fate"] == "missed"


def test_a_generator_that_hides_a_stall_is_caught_by_the_reason_of_its_own_and_not_by_a_busy_machine() -> None:
    shifted, slow = "9 operations stand up to 3000.0 ms away from the seeded schedule", "schedule slip p99 exceeds 5 ms"
    noticed = judged("stalling-generator", kill.SYSTEM, measurement_reasons=[slow, shifted], exit_codes=[4])
    assert (noticed["fate"], noticed["caught_by"]) == ("caught", [shifted])
    assert judged("stalling-generator", kill.SYSTEM, measurement_reasons=[slow], exit_codes=[4])["fate"] == "missed"
    wrong = finding("lost-write")
    late = judged("stalling-generator", kill.SYSTEM, wrong, measurement_reasons=[shifted], exit_codes=[1, 4])
    assert late["fate"] == "missed"


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([SYSTEM, caught(), CLEAN], 0),
        ([SYSTEM, caught(entity="8"), CLEAN], 1),
        ([judged("no-inbox", kill.SYSTEM), caught(), CLEAN], 1),
        ([SYSTEM, caught(), judged("idempotent s1", kill.CLEAN, finding("duplicate"))], 1),
        ([SYSTEM, caught(), judged("idempotent s1", kill.CLEAN, verdict="UNKNOWN")], 2),
        ([judged("no-inbox", kill.SYSTEM, verdict="UNKNOWN"), caught(), CLEAN], 2),
        ([SYSTEM], 0),
    ],
    ids=["all-well", "blind-checker", "blind-to-a-system", "false-alarm", "vague", "vacuous", "part-of-it"],
)
def test_the_exit_code_is_that_of_the_worst_claim(cells: list[Any], code: int) -> None:
    assert exit_code(kill.claims(cells)) == code


def test_checkers_are_listed_with_what_they_caught_also_those_that_caught_nothing() -> None:
    one = {**caught(), "examined": {CREDIT.checker: 50, "idle": 7}}
    found = kill.summary([one, SYSTEM])["checkers"]
    assert found[CREDIT.checker] == {"caught": 1, "accused": 0, "examined": 50}
    assert found["idle"] == {"caught": 0, "accused": 0, "examined": 7}
