"""Where topics end and where groups stand, asked of the brokers: last stable offsets and committed offsets, with a
deadline each.

End always means the last stable offset (LSO), from ListOffsets with `read_committed`: what no reader of ours can
pass. Asked by consumers that join no group: an admin client that has asked about a group or about offsets when a broker
went away may end its whole process (librdkafka 2.16, an assertion in `rd_kafka_enq_once_del_source_return`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from bench.recording.errors import RecordingFailed
from bench.waiting import DeadlineExceeded, wait_until

Client = Mapping[str, str | int | float | bool]
"""librdkafka properties that reach the cluster: `bootstrap.servers`, and SASL and TLS settings where it wants them."""

Result = TypeVar("Result")
REQUEST_S: Final = 10.0
ATTEMPT_S: Final = 5.0
"""A broker that says nothing is asked so long; the next attempt may go to another one."""
COMMITTED: Final = "read_committed"
UNCOMMITTED: Final = "read_uncommitted"
_LATEST: Final = -1
"""The time of ListOffsets that stands for the end."""
_PASSING: Final = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._DESTROY_BROKER,
    KafkaError._WAIT_COORD,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
"""What a cluster answers for a moment, or while a broker is away; anything else is reported at once."""


class Position(NamedTuple):
    """One group on one partition; `committed` and `end` are -1 when there is none."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int

    @property
    def lag_records(self) -> int:
        """Offsets still to go; control records among them count, so 1 or 2 at rest under transactions."""
        return max(0, self.end - max(self.committed, 0))


def admin_client(client: Client) -> AdminClient:
    """An admin client that says nothing on stderr; what fails is raised by the request that failed."""
    settings: dict[str, Any] = {**client, "error_cb": lambda _error: None, "log_level": 0}
    return AdminClient(settings)


class Asker:
    """A client that only asks. Not shared between threads; its connections go with it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._consumers: dict[tuple[str, str], Consumer] = {}

    def metadata(self, *, timeout_s: float) -> ClusterMetadata:
        """What the cluster says of its topics. It and the two below raise `KafkaException`."""
        metadata: ClusterMetadata = self._consumer().list_topics(timeout=timeout_s)
        return metadata

    def ends(self, partitions: Sequence[TopicPartition], *, isolation: str, timeout_s: float) -> list[TopicPartition]:
        """Each partition with its end under `read_committed` or `read_uncommitted`, or with an error."""
        wanted = [TopicPartition(one.topic, one.partition, _LATEST) for one in partitions]
        found = self._consumer(isolation=isolation).offsets_for_times(wanted, timeout=timeout_s)
        return _without_errors(found)

    def committed(self, group: str, partitions: Sequence[TopicPartition], *, timeout_s: float) -> list[TopicPartition]:
        """Each partition with the offset that the group has committed, negative for none."""
        return _without_errors(self._consumer(group).committed(list(partitions), timeout=timeout_s))

    def _consumer(self, group: str = "none", *, isolation: str = COMMITTED) -> Consumer:
        if (group, isolation) not in self._consumers:
            settings: dict[str, Any] = {
                **self._client,
                "group.id": group,
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "error_cb": lambda _error: None,
                "log_level": 0,
            }
            self._consumers[group, isolation] = Consumer(settings)
        return self._consumers[group, isolation]


def _without_errors(partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
    for one in partitions:
        if one.error is not None:
            raise KafkaException(one.error)
    return list(partitions)


def partitions_of(asker: Asker, topics: Sequence[str], *, deadline_s: float = REQUEST_S) -> list[TopicPartition]:
    """Every partition of these topics, in order. Raises `RecordingFailed` for a topic that is not there."""
    metadata = _asked("list topics", lambda left_s: asker.metadata(timeout_s=left_s), deadline_s=deadline_s).topics
    missing = [
        topic
        for topic in topics
        if topic not in metadata or metadata[topic].error is not None or not metadata[topic].partitions
    ]
    if missing:
        raise RecordingFailed(f"no topic {', '.join(missing)} on this cluster")
    return [TopicPartition(topic, number) for topic in topics for number in sorted(metadata[topic].partitions)]


def topics_of(client: Client, prefix: str, *, deadline_s: float = REQUEST_S) -> list[str]:
    """The full names of all topics of a run, dead letters included, sorted. Raises `RecordingFailed`."""
    asker = Asker(client)
    metadata = _asked("list topics", lambda left_s: asker.metadata(timeout_s=left_s), deadline_s=deadline_s)
    return sorted(topic for topic in metadata.topics if topic.startswith(prefix))


def ends_of(
    asker: Asker, partitions: Sequence[TopicPartition], *, deadline_s: float = REQUEST_S, isolation: str = COMMITTED
) -> dict[tuple[str, int], int]:
    """(topic, partition) → LSO, or the high watermark under `UNCOMMITTED`. Raises `RecordingFailed`."""

    def ask(left_s: float) -> dict[tuple[str, int], int]:
        found = asker.ends(partitions, isolation=isolation, timeout_s=left_s)
        ends = {(one.topic, one.partition): one.offset for one in found}
        # A broker that dies while it is asked has been seen to come back as offset -1001 without an error
        # (librdkafka 2.16): an end of that kind would make every reader content with nothing.
        if any(end < 0 for end in ends.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "a broker did not say where its log ends"))
        return ends

    return _asked("list offsets", ask, deadline_s=deadline_s) if partitions else {}


class End(NamedTuple):
    """Where one partition ends: `stable` for `read_committed` readers (the LSO), `high` for all others."""

    topic: str
    partition: int
    stable: int
    high: int


def log_ends(client: Client, topics: Sequence[str], *, deadline_s: float = REQUEST_S) -> list[End]:
    """Both ends of every partition of these full topic names. Raises `RecordingFailed`."""
    asker = Asker(client)
    partitions = partitions_of(asker, topics, deadline_s=deadline_s)
    # The high watermark first: a transaction that ends in between moves only the stable end, up to it or past it.
    high = ends_of(asker, partitions, deadline_s=deadline_s, isolation=UNCOMMITTED)
    stable = ends_of(asker, partitions, deadline_s=deadline_s)
    return [End(*place, stable[place], max(high[place], stable[place])) for place in high]


def committed_of(
    asker: Asker, groups: Mapping[str, Sequence[str]], *, deadline_s: float = REQUEST_S
) -> dict[tuple[str, str, int], int]:
    """(group, topic, partition) → committed offset, -1 = none, for full group name → full topics. Raises
    `RecordingFailed`.
    """
    committed = {}
    read = sorted({topic for topics in groups.values() for topic in topics})
    partitions = partitions_of(asker, read, deadline_s=deadline_s)
    for group, topics in groups.items():
        wanted = [TopicPartition(one.topic, one.partition) for one in partitions if one.topic in topics]
        ask = partial(_ask_committed, asker, group, wanted)
        for one in _asked(f"read the offsets of group {group}", ask, deadline_s=deadline_s):
            committed[group, one.topic, one.partition] = one.offset if one.offset >= 0 else -1
    return committed


def _ask_committed(asker: Asker, group: str, wanted: Sequence[TopicPartition], left_s: float) -> list[TopicPartition]:
    return asker.committed(group, wanted, timeout_s=left_s)


def positions_of(asker: Asker, groups: Mapping[str, Sequence[str]], *, deadline_s: float = REQUEST_S) -> list[Position]:
    """Every group on every partition that it reads; committed is read before end, so lag is never understated by
    time.
    """
    committed = committed_of(asker, groups, deadline_s=deadline_s)
    ends = ends_of(asker, [TopicPartition(topic, number) for _, topic, number in committed], deadline_s=deadline_s)
    return [
        Position(group, topic, number, offset, ends.get((topic, number), -1))
        for (group, topic, number), offset in committed.items()
    ]


def _asked(what: str, ask: Callable[[float], Result], *, deadline_s: float) -> Result:
    """The answer; while leaders and coordinators move (a new topic, a broker away) the question is asked again until
    the deadline. `ask` is told how long it may wait, in seconds.
    """
    refusals: list[KafkaError] = []
    due_s = time.monotonic() + deadline_s

    def answer() -> list[Result]:
        try:
            return [ask(max(0.1, min(ATTEMPT_S, due_s - time.monotonic())))]
        except KafkaException as error:
            refusals.append(error.args[0])
            if refusals[-1].code() not in _PASSING:
                raise RecordingFailed(f"could not {what}: {refusals[-1].str()}") from error
            return []

    try:
        return wait_until(answer, deadline_s=deadline_s, why=what)[0]
    except DeadlineExceeded as error:
        raise RecordingFailed(f"could not {what} within {deadline_s:g} s: {refusals[-1].str()}") from error
