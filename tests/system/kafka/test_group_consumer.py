"""What a refused commit leaves owed: kept where partitions may stay, forgotten when records are polled again."""

from collections.abc import Iterable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from system.kafka.batch import Span
from system.kafka.consumer import CommitRefused, GroupConsumer

SPAN = Span("t", 0, 5, 9, 5)


class Client:
    """A columnar consumer that refuses one commit."""

    def __init__(self, *_args: object, **_more: object) -> None:
        self.refusals = 1
        self.committed: list[tuple[int, int]] = []
        self.sought: list[int] = []
        self.asked = 0

    def subscribe(self, _topics: Iterable[str]) -> None:
        pass

    def commit(self, offsets: Iterable[TopicPartition]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        self.committed += [(one.partition, one.offset) for one in offsets]

    def generation(self) -> int:
        self.asked += 1
        return self.asked

    def seek(self, firsts: Iterable[TopicPartition], *, timeout_s: float) -> None:
        self.sought += [one.offset for one in firsts]


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> tuple[GroupConsumer, Client]:
    client = Client()
    monkeypatch.setattr("system.kafka.consumer.ColumnConsumer", lambda *_args, **_more: client)

    def nothing(_partitions: Any) -> None:  # noqa: ANN401 - a callback
        pass

    return GroupConsumer({}, ["t"], on_assign=nothing, on_revoke=nothing, on_lost=nothing), client


def test_a_refused_commit_stays_owed(member: tuple[GroupConsumer, Client]) -> None:
    consumer, client = member
    with pytest.raises(CommitRefused):
        consumer.commit([SPAN])
    consumer.commit()
    assert client.committed == [(0, 10)]


def test_what_is_polled_again_is_no_longer_owed(member: tuple[GroupConsumer, Client]) -> None:
    """Else an idle moment would commit records that are yet to be done."""
    consumer, client = member
    with pytest.raises(CommitRefused):
        consumer.commit([SPAN])
    consumer.rewind([SPAN])
    consumer.commit()
    assert (client.committed, client.sought) == ([], [5])


def test_the_generation_is_asked_again_after_a_commit_and_not_for_each_batch(
    member: tuple[GroupConsumer, Client],
) -> None:
    consumer, client = member
    client.refusals = 0
    assert [consumer.generation(), consumer.generation()] == [1, 1]
    consumer.commit([SPAN])
    assert consumer.generation() == 2


def test_the_generation_is_asked_again_after_a_refused_commit(member: tuple[GroupConsumer, Client]) -> None:
    consumer, _ = member
    assert consumer.generation() == 1
    with pytest.raises(CommitRefused):
        consumer.commit([SPAN])
    assert consumer.generation() == 2
