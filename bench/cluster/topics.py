"""Makes and removes topics, also where the question is lost: a broker that leaves the metadata for a moment, as a young
cluster's may, takes the requests that librdkafka had addressed to it along, and nobody knows what became of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.waiting import DeadlineExceeded, wait_until

LOST: Final = frozenset({KafkaError._DESTROY_BROKER, KafkaError._TRANSPORT})
"""What librdkafka says of a request without an answer."""

Ask = Callable[[list[str]], Mapping[str, Future[None]]]
"""Topics → an answer each."""


def make_topics(admin: AdminClient, wanted: Sequence[NewTopic], *, deadline_s: float) -> None:
    """Returns when all of them are there. Raises `KafkaException` with the first refusal, or `DeadlineExceeded`."""
    named = {topic.topic: topic for topic in wanted}

    def ask(left: list[str]) -> Mapping[str, Future[None]]:
        again = [named[name] for name in left]
        return admin.create_topics(again, request_timeout=deadline_s, operation_timeout=deadline_s)

    _ask_until_heard(ask, named, heard=KafkaError.TOPIC_ALREADY_EXISTS, deadline_s=deadline_s)


def remove_topics(admin: AdminClient, names: Iterable[str], *, deadline_s: float) -> None:
    """Returns when none of them is there any more. Raises as `make_topics` does."""
    ask = partial(admin.delete_topics, request_timeout=deadline_s, operation_timeout=deadline_s)
    _ask_until_heard(ask, names, heard=KafkaError.UNKNOWN_TOPIC_OR_PART, deadline_s=deadline_s)


def _ask_until_heard(ask: Ask, names: Iterable[str], *, heard: int, deadline_s: float) -> None:
    """`heard` is how a broker refuses what it was asked before; of a question that was lost it says the answer."""
    left, lost = set(names), set[str]()
    if not left:
        return

    def is_done() -> bool:
        for name, answer in ask(sorted(left)).items():
            code = _refusal(answer, passing=LOST | {heard} if name in lost else LOST)
            if code in LOST:
                lost.add(name)
            else:
                left.discard(name)
        return not left

    try:
        wait_until(is_done, deadline_s=deadline_s, why="a broker's answer about topics")
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}: {', '.join(sorted(left))}") from None


def _refusal(answer: Future[None], *, passing: frozenset[int]) -> int | None:
    """The code of an answer that is an error. Raises `KafkaException` for one that is not `passing`."""
    try:
        answer.result()
    except KafkaException as error:
        code: int = error.args[0].code()
        if code not in passing:
            raise
        return code
    return None
