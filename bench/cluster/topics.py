"""Makes topics, also where the question is lost: a broker that leaves the metadata for a moment, as a young cluster's
may, takes the requests that librdkafka had addressed to it along, and nobody knows what became of them.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.waiting import DeadlineExceeded, wait_until

LOST: Final = frozenset({KafkaError._DESTROY_BROKER, KafkaError._TRANSPORT})
"""What librdkafka says of a request without an answer."""


def make_topics(admin: AdminClient, wanted: Sequence[NewTopic], *, deadline_s: float) -> None:
    """Returns when all of them are there. Raises `KafkaException` with the first refusal, or `DeadlineExceeded`."""
    left = {topic.topic: topic for topic in wanted}
    lost: set[str] = set()
    made = partial(_all_made, admin, left, lost, timeout_s=deadline_s)
    try:
        wait_until(made, deadline_s=deadline_s, why="topics to be made")
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}: {', '.join(sorted(left))}") from None


def _all_made(admin: AdminClient, left: dict[str, NewTopic], lost: set[str], *, timeout_s: float) -> bool:
    """Asks for those that are `left`; whether none is any more. A topic whose question was `lost` may be there."""
    asked = admin.create_topics(list(left.values()), request_timeout=timeout_s, operation_timeout=timeout_s)
    for name, made in asked.items():
        try:
            made.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code in LOST:
                lost.add(name)
                continue
            if code != KafkaError.TOPIC_ALREADY_EXISTS or name not in lost:
                raise
        del left[name]
    return not left
