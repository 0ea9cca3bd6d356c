"""Each guarantee keeps what it claims in every simulated history, and the simulation is able to show what it does not
claim.
"""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.runtime.guarantees import GUARANTEES, Ended, Position, Step, advance, failpoints, next_step
from tests.system.runtime.simulation import World, simulate

LOGS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), min_size=1, max_size=3)
CHOICES = st.lists(st.integers(0, 200), max_size=120)

IDEMPOTENT, AT_LEAST_ONCE, AT_MOST_ONCE = (GUARANTEES[name] for name in ("idempotent", "at-least-once", "at-most-once"))


def keys_of(log: Sequence[Sequence[str]]) -> set[str]:
    return {key for partition in log for key in partition}


@settings(max_examples=500, deadline=None)
@given(LOGS, CHOICES)
def test_idempotent_applies_each_message_once_and_answers_it_at_least_once(
    log: list[list[str]], choices: list[int]
) -> None:
    world = simulate(IDEMPOTENT, log, choices)
    assert world.effects == dict.fromkeys(keys_of(log), 1)
    assert set(world.replies) == keys_of(log)


@settings(max_examples=500, deadline=None)
@given(LOGS, CHOICES)
def test_at_least_once_applies_and_answers_every_record_at_least_once(log: list[list[str]], choices: list[int]) -> None:
    world = simulate(AT_LEAST_ONCE, log, choices)
    for key in keys_of(log):
        written = sum(partition.count(key) for partition in log)
        assert world.effects[key] >= written
        assert world.replies[key] >= written


@settings(max_examples=500, deadline=None)
@given(LOGS, CHOICES)
def test_at_most_once_never_answers_more_often_than_asked_unless_a_zombie_ran(
    log: list[list[str]], choices: list[int]
) -> None:
    quiet_moves = [choice for choice in choices if (choice // 2) % 8 != 7]
    world = simulate(AT_MOST_ONCE, log, quiet_moves)
    for key in keys_of(log):
        assert world.effects[key] <= sum(partition.count(key) for partition in log)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GUARANTEES)), LOGS)
def test_without_faults_every_guarantee_is_exactly_once(name: str, log: list[list[str]]) -> None:
    distinct = [[f"{p}.{offset}" for offset, _ in enumerate(partition)] for p, partition in enumerate(log)]
    world = simulate(GUARANTEES[name], distinct, [])
    assert not world.disturbed
    assert world.effects == dict.fromkeys(keys_of(distinct), 1)
    assert world.replies == dict.fromkeys(keys_of(distinct), 1)


def worlds(name: str, seeds: range) -> list[World]:
    log = [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
    return [
        simulate(GUARANTEES[name], log, [random.Random(seed).randrange(200) for seed in range(s, s + 60)])
        for s in seeds
    ]


def test_the_simulation_shows_that_at_least_once_repeats_and_at_most_once_loses() -> None:
    assert any(max(world.effects.values()) > 1 for world in worlds("at-least-once", range(50)))
    assert any(world.effects.total() < 8 for world in worlds("at-most-once", range(50)))


def test_the_same_choices_give_the_same_history() -> None:
    first, second = (worlds("idempotent", range(7, 8))[0] for _ in range(2))
    assert (first.effects, first.replies, first.committed) == (second.effects, second.replies, second.committed)


def test_a_worker_stops_between_two_batches_only() -> None:
    assert next_step(IDEMPOTENT, Position(index=0, stopping=True)) is Step.STOP
    assert next_step(IDEMPOTENT, Position(index=1, stopping=True)) is Step.STATE


@pytest.mark.parametrize(
    ("name", "index", "ended", "expected"),
    [
        ("idempotent", 1, Ended.ROLLED_BACK, Step.STATE),
        ("idempotent", 1, Ended.UNKNOWN, Step.STATE),
        ("at-least-once", 1, Ended.UNKNOWN, Step.EXIT),
        ("idempotent", 2, Ended.FAILED, Step.EXIT),
        ("idempotent", 3, Ended.FAILED, Step.POLL),
        ("at-most-once", 1, Ended.FAILED, Step.EXIT),
        ("idempotent", 0, Ended.EMPTY, Step.POLL),
        ("idempotent", 3, Ended.DONE, Step.POLL),
    ],
)
def test_the_next_step_follows_from_how_the_last_one_ended(name: str, index: int, ended: Ended, expected: Step) -> None:
    guarantee = GUARANTEES[name]
    assert next_step(guarantee, advance(guarantee, Position(index), ended)) is expected


def test_a_batch_that_is_rolled_back_for_ever_ends_the_worker() -> None:
    position = Position(index=1)
    for _ in range(100):
        position = advance(IDEMPOTENT, position, Ended.ROLLED_BACK)
    assert next_step(IDEMPOTENT, position) is Step.EXIT


def test_failpoints_stand_between_any_two_steps() -> None:
    assert set(failpoints(IDEMPOTENT)) == {
        "after-poll",
        "after-state",
        "after-produce",
        "before-commit",
        "after-commit",
    }
