"""The relay publishes what its partitions have to say, in order and at least once, and deletes only what was
acknowledged.
"""

from collections.abc import Callable, Sequence

import pytest

from system.kafka.batch import Outgoing, Raw
from system.runtime import relay as module
from system.runtime.relay import CLEAR_PERIOD_S, LOOK_PERIOD_S, Relay
from system.store import outbox
from system.store.postgres import Transaction

Open = Callable[[str], Transaction]
SOURCES = ("In-topic/0", "In-topic/1")


class Clock:
    """Stands still until it is moved."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def db(open_db: Open) -> Transaction:
    return open_db("pay")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def relay(clock: Clock) -> Relay:
    made = Relay("p-", clock_s=clock)
    made.assigned(SOURCES)
    return made


def said(*keys: str) -> list[Outgoing]:
    return [Outgoing("Out-topic", list(keys), [b"1"] * len(keys))]


def polled(keys: Sequence[str], partitions: Sequence[int]) -> list[Raw]:
    return [Raw("p-In-topic", partitions, list(range(len(keys))), [key.encode() for key in keys], [b"1"] * len(keys))]


def left(db: Transaction) -> list[str]:
    return [key for row in outbox.read(SOURCES, db, rows_max=100) for key in row.outgoing.keys]


def keys_of(picked: Sequence[Outgoing] | None) -> list[str] | None:
    return None if picked is None else [key for one in picked for key in one.keys]


def settle(relay: Relay, db: Transaction) -> None:
    """Past the first look, which every new assignment asks for."""
    assert relay.pick(db, is_idle=True) is None
    assert relay.is_level


def test_a_batch_is_published_and_then_deleted(relay: Relay, db: Transaction, clock: Clock) -> None:
    settle(relay, db)
    relay.keep(said("a", "b", "c"), polled(["a", "b", "c"], [0, 1, 0]), db)
    assert keys_of(relay.pick(db, is_idle=False)) == ["a", "c", "b"]
    assert not relay.clear(db, is_idle=False)
    relay.acknowledged()
    clock.now_s += 2 * CLEAR_PERIOD_S
    assert left(db) == ["a", "c", "b"]
    assert relay.clear(db, is_idle=False)
    assert left(db) == []


def test_nothing_is_deleted_that_was_not_acknowledged(relay: Relay, db: Transaction) -> None:
    settle(relay, db)
    relay.keep(said("a"), polled(["a"], [0]), db)
    relay.pick(db, is_idle=False)
    assert relay.clear(db, is_idle=True)
    assert left(db) == ["a"]


def test_what_an_earlier_life_left_behind_goes_out_first(relay: Relay, db: Transaction) -> None:
    Relay("p-").keep(said("old"), polled(["old"], [1]), db)
    relay.keep(said("new"), polled(["new"], [1]), db)
    assert keys_of(relay.pick(db, is_idle=False)) == ["old", "new"]


def test_rows_of_a_partition_that_is_somebody_elses_are_left_alone(relay: Relay, db: Transaction) -> None:
    Relay("p-").keep(said("mine", "theirs"), polled(["mine", "theirs"], [0, 1]), db)
    relay.dropped(["In-topic/1"])
    assert keys_of(relay.pick(db, is_idle=True)) == ["mine"]


def test_an_idle_worker_looks_now_and_then_for_what_a_zombie_stored(
    relay: Relay, db: Transaction, clock: Clock
) -> None:
    settle(relay, db)
    Relay("p-").keep(said("late"), polled(["late"], [0]), db)
    assert relay.pick(db, is_idle=True) is None
    clock.now_s += 2 * LOOK_PERIOD_S
    assert keys_of(relay.pick(db, is_idle=True)) == ["late"]


def test_a_backlog_is_published_in_pieces_and_the_watermark_waits_for_the_last(
    relay: Relay, db: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 2)
    for key in "abc":
        Relay("p-").keep(said(key), polled([key], [0]), db)
    relay.keep(said("d"), polled(["d"], [0]), db)
    seen = []
    while (picked := relay.pick(db, is_idle=True)) is not None:
        seen.append((keys_of(picked), relay.is_level))
        relay.acknowledged()
        relay.clear(db, is_idle=True)
    assert seen == [(["a", "b"], False), (["c", "d"], False)]
    assert left(db) == []
    assert relay.is_level


def test_after_a_commit_of_unknown_fate_the_table_is_asked(relay: Relay, db: Transaction) -> None:
    settle(relay, db)
    Relay("p-").keep(said("perhaps"), polled(["perhaps"], [0]), db)
    relay.doubt()
    relay.keep(said("again"), polled(["again"], [0]), db)
    assert keys_of(relay.pick(db, is_idle=False)) == ["perhaps", "again"]
