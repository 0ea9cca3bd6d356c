"""Each guarantee keeps what it claims in every simulated history, shows what it does not claim, and the judge of the
histories is not blind.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.runtime.guarantees import GUARANTEES, Ended, Step
from tests.system.runtime import simulation
from tests.system.runtime.histories import (
    SLOTS,
    History,
    broken_claims,
    examined,
    history_of,
    shrunk,
    walk,
)
from tests.system.runtime.simulation import KINDS, Member, World, simulate

NAMES = sorted(GUARANTEES)
CHOICES = st.lists(st.integers(0, SLOTS * KINDS * 8 - 1), max_size=60)
LOGS = st.lists(st.integers(0, 3), max_size=8).map(
    lambda numbers: [[f"{'abcd'[n]}{at}" for at, n in enumerate(numbers) if n % 2 == p] for p in range(2)]
)


@pytest.mark.parametrize("name", NAMES)
def test_every_history_of_a_seed_keeps_the_claims(name: str, request: pytest.FixtureRequest) -> None:
    first, histories = request.config.getoption("--first-seed"), request.config.getoption("--histories")
    seen = walk(GUARANTEES[name], range(first, first + histories))
    assert seen.disturbed > 0.8 * histories
    # What theory says to be possible is seen, and what it excludes is not.
    assert (seen.lost > 0) is (name == "at-most-once")
    assert (seen.effects_repeated > 0) is (name == "at-least-once")
    assert (seen.answers_repeated > 0) is (name in ("at-least-once", "idempotent", "outbox"))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(LOGS, CHOICES)
def test_hypothesis_finds_no_history_that_breaks_a_claim(name: str, log: list[list[str]], choices: list[int]) -> None:
    assert examined(GUARANTEES[name], History(log, choices))[1] == []


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(LOGS)
def test_without_faults_every_guarantee_is_exactly_once(name: str, log: list[list[str]]) -> None:
    world = simulate(GUARANTEES[name], log, [])
    messages = [message for partition in log for message in partition]
    assert not world.disturbed
    assert world.effects == dict.fromkeys(messages, 1)
    assert sorted(message for message, _ in world.answers) == sorted(messages)


@pytest.mark.parametrize(
    ("walked", "claimed"),
    [
        ("at-least-once", "idempotent"),
        ("at-most-once", "idempotent"),
        ("at-least-once", "at-most-once"),
        ("outbox", "transactional"),
        ("idempotent", "transactional"),
    ],
)
def test_what_a_weaker_guarantee_does_breaks_a_stronger_claim(walked: str, claimed: str) -> None:
    worlds = [examined(GUARANTEES[walked], history_of(seed))[0] for seed in range(100)]
    assert any(broken_claims(GUARANTEES[claimed], world) for world in worlds)


def _clear_what_was_only_picked(world: World, member: Member, luck: int) -> Ended:
    for n in member.stored:
        world.outbox.pop(n, None)
    return World._produce(world, member, luck)


def _pick_backwards(world: World, member: Member, luck: int) -> Ended:
    ended = World._pick(world, member, luck)
    member.answers.reverse()
    return ended


def _offsets_apart(world: World, member: Member, _luck: int) -> Ended:
    world._owe(member)
    world._settle(member)
    return Ended.DONE


def _offsets_of_anybody(world: World, member: Member, _luck: int) -> Ended:
    if world._is_fenced(member):
        return Ended.FAILED
    world.open[member.slot].offsets.update((p, offset + 1) for p, offset in member.batch)
    return Ended.DONE


@pytest.mark.parametrize(
    ("name", "step", "wrong"),
    [
        ("outbox", Step.PRODUCE, _clear_what_was_only_picked),
        ("outbox", Step.PICK, _pick_backwards),
        ("transactional", Step.OFFSETS, _offsets_apart),
        ("transactional", Step.OFFSETS, _offsets_of_anybody),
    ],
)
def test_a_wrong_step_is_caught(name: str, step: Step, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(simulation.ACTS, step, wrong)
    with pytest.raises(AssertionError, match=rf"{name}, seed \d+"):
        walk(GUARANTEES[name], range(500))


def test_a_failure_shrinks_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(simulation.ACTS, Step.PICK, _pick_backwards)
    outbox = GUARANTEES["outbox"]
    seed = next(seed for seed in range(500) if examined(outbox, history_of(seed))[1])
    least = shrunk(outbox, history_of(seed))
    assert examined(outbox, least)[1]
    assert sum(map(len, least.log)) == 2
    assert len(least.choices) < len(history_of(seed).choices) / 2


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = (examined(GUARANTEES["outbox"], history_of(7))[0] for _ in range(2))
    assert (first.effects, first.answers, first.committed) == (second.effects, second.answers, second.committed)
