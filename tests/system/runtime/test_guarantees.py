"""The machine names the right next step however a step ended, and its failpoints stand between any two of them."""

import pytest

from system.runtime.guarantees import (
    GUARANTEES,
    REDO_LIMIT,
    RESTART_POINTS,
    Ended,
    Position,
    Step,
    advance,
    failpoints,
    next_step,
)

IDEMPOTENT, TRANSACTIONAL = GUARANTEES["idempotent"], GUARANTEES["transactional"]


def test_a_worker_stops_between_two_batches_only() -> None:
    for guarantee in GUARANTEES.values():
        assert next_step(guarantee, Position(index=0), stopping=True) is Step.STOP
        assert next_step(guarantee, Position(index=1), stopping=True) is guarantee.steps[1]


@pytest.mark.parametrize(
    ("name", "step", "ended", "expected"),
    [
        ("idempotent", Step.POLL, Ended.EMPTY, Step.POLL),
        ("outbox", Step.POLL, Ended.EMPTY, Step.PICK),
        ("outbox", Step.PICK, Ended.EMPTY, Step.POLL),
        ("idempotent", Step.STATE, Ended.ROLLED_BACK, Step.STATE),
        ("at-most-once", Step.STATE, Ended.ROLLED_BACK, Step.STATE),
        ("idempotent", Step.STATE, Ended.UNKNOWN, Step.STATE),
        ("outbox", Step.STATE, Ended.UNKNOWN, Step.STATE),
        ("transactional", Step.STATE, Ended.UNKNOWN, Step.STATE),
        ("at-least-once", Step.STATE, Ended.UNKNOWN, Step.EXIT),
        ("at-most-once", Step.STATE, Ended.UNKNOWN, Step.EXIT),
        ("idempotent", Step.PRODUCE, Ended.FAILED, Step.EXIT),
        ("transactional", Step.PRODUCE, Ended.ABORTABLE, Step.ABORT),
        ("transactional", Step.OFFSETS, Ended.ABORTABLE, Step.ABORT),
        ("transactional", Step.COMMIT, Ended.ABORTABLE, Step.ABORT),
        ("transactional", Step.COMMIT, Ended.FAILED, Step.EXIT),
        ("transactional", Step.BEGIN, Ended.FAILED, Step.EXIT),
        ("idempotent", Step.COMMIT, Ended.FAILED, Step.POLL),
        ("at-least-once", Step.COMMIT, Ended.FAILED, Step.POLL),
        ("outbox", Step.COMMIT, Ended.FAILED, Step.PICK),
        ("at-most-once", Step.COMMIT, Ended.FAILED, Step.EXIT),
        ("at-most-once", Step.COMMIT, Ended.ABORTABLE, Step.ABORT),
        ("outbox", Step.CLEAR, Ended.SKIPPED, Step.POLL),
        ("idempotent", Step.COMMIT, Ended.SKIPPED, Step.POLL),
        ("idempotent", Step.COMMIT, Ended.DONE, Step.POLL),
    ],
)
def test_the_next_step_follows_from_how_the_last_one_ended(name: str, step: Step, ended: Ended, expected: Step) -> None:
    guarantee = GUARANTEES[name]
    position = Position(guarantee.steps.index(step))
    assert next_step(guarantee, advance(guarantee, position, ended)) is expected


@pytest.mark.parametrize(("name", "step"), [("at-most-once", Step.COMMIT), ("transactional", Step.COMMIT)])
def test_a_step_that_nothing_later_makes_good_cannot_be_skipped(name: str, step: Step) -> None:
    guarantee = GUARANTEES[name]
    with pytest.raises(ValueError, match=f"{name} does not skip {step}"):
        advance(guarantee, Position(guarantee.steps.index(step)), Ended.SKIPPED)


def test_a_batch_that_is_rolled_back_for_ever_ends_the_worker() -> None:
    position = Position(index=1)
    for _ in range(REDO_LIMIT + 1):
        assert next_step(IDEMPOTENT, position) is Step.STATE
        position = advance(IDEMPOTENT, position, Ended.ROLLED_BACK)
    assert next_step(IDEMPOTENT, position) is Step.EXIT


def test_a_batch_whose_transaction_is_aborted_for_ever_ends_the_worker() -> None:
    position = Position()
    for _ in range(REDO_LIMIT):
        for ended in (Ended.DONE, Ended.DONE, Ended.DONE, Ended.ABORTABLE):
            position = advance(TRANSACTIONAL, position, ended)
        assert next_step(TRANSACTIONAL, position) is Step.ABORT
        position = advance(TRANSACTIONAL, position, Ended.DONE)
        assert next_step(TRANSACTIONAL, position) is Step.POLL
    for ended in (Ended.DONE, Ended.DONE, Ended.DONE, Ended.ABORTABLE):
        position = advance(TRANSACTIONAL, position, ended)
    assert next_step(TRANSACTIONAL, position) is Step.EXIT


def test_a_transaction_that_cannot_be_aborted_ends_the_worker() -> None:
    position = advance(TRANSACTIONAL, Position(TRANSACTIONAL.steps.index(Step.PRODUCE)), Ended.ABORTABLE)
    assert next_step(TRANSACTIONAL, advance(TRANSACTIONAL, position, Ended.FAILED)) is Step.EXIT


@pytest.mark.parametrize("name", sorted(GUARANTEES))
def test_failpoints_stand_between_any_two_steps_and_in_the_restart(name: str) -> None:
    guarantee = GUARANTEES[name]
    points = failpoints(guarantee)
    assert {f"after-{step}" for step in guarantee.steps} < set(points)
    assert {"before-commit", *RESTART_POINTS} < set(points)
    assert len(points) == len(set(points))


def test_only_a_guarantee_that_commits_first_loses() -> None:
    assert [name for name, guarantee in GUARANTEES.items() if guarantee.loses] == ["at-most-once"]
