"""A topic is made and removed once, whatever becomes of the question, and a refusal is told."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.cluster import ready
from bench.cluster.endpoints import Endpoints
from bench.cluster.errors import ServerUnavailable
from bench.cluster.topics import make_topics, remove_topics
from bench.waiting import DeadlineExceeded

DONE = None
LOST = KafkaError._DESTROY_BROKER
THERE = KafkaError.TOPIC_ALREADY_EXISTS
GONE = KafkaError.UNKNOWN_TOPIC_OR_PART


class Answering:
    """An admin client that answers each topic's questions in turn, the last answer for ever."""

    def __init__(self, **answers: Sequence[int | None]) -> None:
        self._answers = {name: list(each) for name, each in answers.items()}
        self.asked: list[list[str]] = []

    def create_topics(self, wanted: Sequence[NewTopic], **_: float) -> dict[str, Future[None]]:
        names = [topic.topic for topic in wanted]
        self.asked.append(names)
        return {name: self._answer(name) for name in names}

    def delete_topics(self, names: list[str], **_: float) -> dict[str, Future[None]]:
        self.asked.append(names)
        return {name: self._answer(name) for name in names}

    def _answer(self, name: str) -> Future[None]:
        answers, future = self._answers[name], Future[None]()
        code = answers.pop(0) if len(answers) > 1 else answers[0]
        if code is None:
            future.set_result(None)
        else:
            future.set_exception(KafkaException(KafkaError(code)))
        return future


def make(admin: Answering, *, deadline_s: float = 5.0) -> None:
    make_topics(cast(AdminClient, admin), [NewTopic("a", 1), NewTopic("b", 1)], deadline_s=deadline_s)


@pytest.mark.parametrize("second", [DONE, THERE])
def test_a_lost_question_is_asked_again_and_no_other(second: int | None) -> None:
    admin = Answering(a=[DONE], b=[LOST, second])
    make(admin)
    assert admin.asked == [["a", "b"], ["b"]]


@pytest.mark.parametrize("second", [DONE, GONE])
def test_a_topic_whose_removal_was_lost_is_removed_once(second: int | None) -> None:
    admin = Answering(a=[DONE], b=[LOST, second])
    remove_topics(cast(AdminClient, admin), ["a", "b"], deadline_s=5.0)
    assert admin.asked == [["a", "b"], ["b"]]


def test_a_topic_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(KafkaException):
        remove_topics(cast(AdminClient, Answering(a=[GONE])), ["a"], deadline_s=5.0)


def test_nothing_to_remove_asks_nobody() -> None:
    admin = Answering()
    remove_topics(cast(AdminClient, admin), [], deadline_s=5.0)
    assert admin.asked == []


@pytest.mark.parametrize("code", [THERE, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_refusal_is_told(code: int) -> None:
    with pytest.raises(KafkaException) as told:
        make(Answering(a=[DONE], b=[code]))
    assert told.value.args[0].code() == code


def test_a_question_that_is_lost_every_time_ends() -> None:
    with pytest.raises(DeadlineExceeded, match="about topics: b"):
        make(Answering(a=[DONE], b=[LOST]), deadline_s=0.1)


def test_servers_whose_probe_was_lost_are_probed_again(cluster: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, warm = [LOST], ready._warm_coordinators

    def lost_once(admin: AdminClient, properties: ready.Properties, topic: str) -> None:
        if codes:
            raise KafkaException(KafkaError(codes.pop()))
        warm(admin, properties, topic)

    monkeypatch.setattr(ready, "_warm_coordinators", lost_once)
    ready.await_kafka(cluster.bootstrap, [])
    assert codes == []
    codes.append(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    with pytest.raises(ServerUnavailable, match="does not serve"):
        ready.await_kafka(cluster.bootstrap, [])
