"""Which operation ends with which outcome, in whatever order answers and outcomes come."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.history import History, create_history, read_progress
from loadgen.ledger import Ledger
from loadgen.target import FAIL, INFO, OK, Finished, Outcomes, Waiting


@pytest.fixture
def history(tmp_path: Path) -> History:
    return create_history(tmp_path / "h", operations=8)


def waiting(*rows: tuple[int, int, int]) -> Waiting:
    operation, entity, tr = zip(*rows, strict=True)
    return Waiting(np.array(operation, np.int64), np.array(entity, np.int64), np.array(tr, np.int32))


def outcomes(*rows: tuple[int, int, bool]) -> Outcomes:
    entity, tr, success = zip(*rows, strict=True)
    return Outcomes(np.array(entity, np.int64), np.array(tr, np.int32), np.array(success, np.bool_))


def test_an_outcome_ends_the_operation_that_waits_for_its_saga(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.wait_for(waiting((0, 2, 1), (1, 1, 1)), acknowledged_ns=10)
    ledger.resolve(outcomes((2, 1, True)), now_ns=20)
    assert history.outcome[:2].tolist() == [OK, 0]
    assert history.completed_ns[:2].tolist() == [20, 0]
    assert history.acknowledged_ns[:2].tolist() == [10, 10]
    assert ledger.finished == 1


def test_an_outcome_that_comes_before_the_answer_is_kept(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.resolve(outcomes((2, 1, False)), now_ns=20)
    ledger.wait_for(waiting((0, 2, 1)), acknowledged_ns=25)
    assert history.outcome[0] == FAIL
    assert history.completed_ns[0] == 25


def test_an_operation_that_joins_a_saga_already_ended_ends_with_it(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.wait_for(waiting((0, 2, 1)), acknowledged_ns=10)
    ledger.resolve(outcomes((2, 1, True)), now_ns=20)
    ledger.wait_for(waiting((1, 2, 1)), acknowledged_ns=30)
    assert history.outcome[:2].tolist() == [OK, OK]


def test_all_operations_of_one_saga_end_together(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.wait_for(waiting((0, 2, 1), (1, 2, 1)), acknowledged_ns=10)
    ledger.wait_for(waiting((2, 2, 1), (3, 1, 1)), acknowledged_ns=11)
    ledger.resolve(outcomes((2, 1, True)), now_ns=20)
    assert history.outcome[:4].tolist() == [OK, OK, OK, 0]


def test_a_later_tr_ends_only_the_operations_that_wait_for_it(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.wait_for(waiting((0, 2, 1), (1, 2, 2)), acknowledged_ns=10)
    ledger.resolve(outcomes((2, 2, True)), now_ns=20)
    assert history.outcome[:2].tolist() == [0, OK]
    ledger.resolve(outcomes((2, 1, False)), now_ns=21)
    assert history.outcome[:2].tolist() == [FAIL, OK]


def test_the_outcome_of_an_earlier_tr_is_remembered_behind_a_later_one(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.resolve(outcomes((2, 1, False), (2, 2, True)), now_ns=20)
    ledger.wait_for(waiting((0, 2, 1), (1, 2, 2)), acknowledged_ns=10)
    assert history.outcome[:2].tolist() == [FAIL, OK]


def test_a_repeated_outcome_is_counted_and_changes_nothing(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.wait_for(waiting((0, 2, 1)), acknowledged_ns=10)
    ledger.resolve(outcomes((2, 1, True), (2, 1, False), (2, 1, True)), now_ns=20)
    assert history.outcome[0] == OK
    assert read_progress(history).repeated_outcomes == 2
    assert read_progress(history).ok == 1


def test_outcomes_of_entities_that_are_not_ours_are_passed_over(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.resolve(outcomes((3, 1, True), (-1, 1, True), (0, 0, True)), now_ns=20)
    assert ledger.finished == 0


def test_an_operation_that_is_finished_at_once_keeps_its_balance_and_tr(history: History) -> None:
    ledger = Ledger(history, entities=3)
    columns = Finished(np.array([4, 5]), np.array([OK, FAIL], np.uint8), np.array([3, 0], np.int32), np.array([-1, 70]))
    ledger.finish(columns, acknowledged_ns=9)
    assert history.completed_ns[4:6].tolist() == [9, 9]
    assert history.tr[4:6].tolist() == [3, 0]
    assert history.balance[4:6].tolist() == [-1, 70]
    assert read_progress(history).fail == 1


def test_a_batch_given_up_is_info_without_an_end_or_fail_with_one(history: History) -> None:
    ledger = Ledger(history, entities=3)
    ledger.give_up(np.array([0, 1]), outcome=INFO, error="OperationalError")
    ledger.give_up(np.array([2]), outcome=FAIL, error="DeadlockDetected")
    assert history.outcome[:3].tolist() == [INFO, INFO, FAIL]
    assert (history.completed_ns[:3] > 0).tolist() == [False, False, True]
    assert history.error_names == ["OperationalError", "DeadlockDetected"]
    assert ledger.finished == 3


steps = st.lists(
    st.tuples(st.sampled_from(("wait", "outcome")), st.integers(0, 2), st.integers(1, 3), st.booleans()), max_size=24
)


@given(steps)
def test_an_operation_ends_exactly_when_its_saga_has_an_outcome(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, bool]]
) -> None:
    history = create_history(tmp_path_factory.mktemp("ledger") / "h", operations=max(1, len(steps)))
    ledger = Ledger(history, entities=3)
    sagas: dict[int, tuple[int, int]] = {}
    first: dict[tuple[int, int], bool] = {}
    for number, (step, entity, tr, success) in enumerate(steps):
        if step == "wait":
            sagas[number] = (entity, tr)
            ledger.wait_for(waiting((number, entity, tr)), acknowledged_ns=1 + number)
        else:
            verdict = first.setdefault((entity, tr), success)
            ledger.resolve(outcomes((entity, tr, verdict)), now_ns=1 + number)
    for number, saga in sagas.items():
        expected = 0 if saga not in first else OK if first[saga] else FAIL
        assert history.outcome[number] == expected
    assert ledger.finished == sum(saga in first for saga in sagas.values())
