"""Where topics end and where groups stand, asked of the brokers: last stable offsets and committed offsets, with a
deadline each.

End always means the last stable offset (LSO), from ListOffsets with `read_committed`: what no reader of ours can
pass.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from bench.recording.errors import RecordingFailed
from bench.waiting import DeadlineExceeded, wait_until

Client = Mapping[str, str | int | float | bool]
"""librdkafka properties that reach the cluster: `bootstrap.servers`, and SASL and TLS settings where it wants them."""

Result = TypeVar("Result")
REQUEST_S: Final = 10.0
_LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_PASSING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
"""What a healthy cluster answers for a moment; anything else is reported at once."""


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


def partitions_of(admin: AdminClient, topics: Sequence[str], *, deadline_s: float = REQUEST_S) -> list[TopicPartition]:
    """Every partition of these topics, in order. Raises `RecordingFailed` for a topic that is not there."""
    metadata = _asked("list topics", lambda: admin.list_topics(timeout=deadline_s), deadline_s=deadline_s).topics
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
    metadata = _asked(
        "list topics", lambda: admin_client(client).list_topics(timeout=deadline_s), deadline_s=deadline_s
    )
    return sorted(topic for topic in metadata.topics if topic.startswith(prefix))


def ends_of(
    admin: AdminClient,
    partitions: Sequence[TopicPartition],
    *,
    deadline_s: float = REQUEST_S,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[tuple[str, int], int]:
    """(topic, partition) → LSO, or the high watermark under `READ_UNCOMMITTED`. Raises `RecordingFailed`."""
    wanted = {TopicPartition(one.topic, one.partition): _LATEST for one in partitions}

    def ask() -> dict[tuple[str, int], int]:
        futures = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=deadline_s)
        ends = {(one.topic, one.partition): future.result().offset for one, future in futures.items()}
        # A broker that dies while it is asked comes back as offset -1001 without an error (librdkafka 2.16):
        # an end of that kind would make every reader content with nothing.
        if any(end < 0 for end in ends.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "a broker did not say where its log ends"))
        return ends

    return _asked("list offsets", ask, deadline_s=deadline_s) if wanted else {}


class End(NamedTuple):
    """Where one partition ends: `stable` for `read_committed` readers (the LSO), `high` for all others."""

    topic: str
    partition: int
    stable: int
    high: int


def log_ends(client: Client, topics: Sequence[str], *, deadline_s: float = REQUEST_S) -> list[End]:
    """Both ends of every partition of these full topic names. Raises `RecordingFailed`."""
    admin = admin_client(client)
    partitions = partitions_of(admin, topics, deadline_s=deadline_s)
    # The high watermark first: a transaction that ends in between moves only the stable end, up to it or past it.
    high = ends_of(admin, partitions, deadline_s=deadline_s, isolation=IsolationLevel.READ_UNCOMMITTED)
    stable = ends_of(admin, partitions, deadline_s=deadline_s)
    return [End(*place, stable[place], max(high[place], stable[place])) for place in high]


def committed_of(
    admin: AdminClient, groups: Mapping[str, Sequence[str]], *, deadline_s: float = REQUEST_S
) -> dict[tuple[str, str, int], int]:
    """(group, topic, partition) → committed offset, -1 = none, for full group name → full topics. Raises
    `RecordingFailed`.
    """
    committed = {}
    read = sorted({topic for topics in groups.values() for topic in topics})
    partitions = partitions_of(admin, read, deadline_s=deadline_s)
    for group, topics in groups.items():
        request = ConsumerGroupTopicPartitions(group, [one for one in partitions if one.topic in topics])
        ask = partial(_ask_committed, admin, request, deadline_s)
        answer = _asked(f"read the offsets of group {group}", ask, deadline_s=deadline_s)
        for one in answer.topic_partitions or ():
            committed[group, one.topic, one.partition] = one.offset if one.offset >= 0 else -1
    return committed


def _ask_committed(
    admin: AdminClient, request: ConsumerGroupTopicPartitions, deadline_s: float
) -> ConsumerGroupTopicPartitions:
    future = admin.list_consumer_group_offsets([request], request_timeout=deadline_s)[request.group_id]
    answer = cast(ConsumerGroupTopicPartitions, future.result())
    for one in answer.topic_partitions or ():
        if one.error is not None:
            raise KafkaException(one.error)
    return answer


def positions_of(
    admin: AdminClient, groups: Mapping[str, Sequence[str]], *, deadline_s: float = REQUEST_S
) -> list[Position]:
    """Every group on every partition that it reads; committed is read before end, so lag is never understated by
    time.
    """
    committed = committed_of(admin, groups, deadline_s=deadline_s)
    ends = ends_of(admin, [TopicPartition(topic, number) for _, topic, number in committed], deadline_s=deadline_s)
    return [
        Position(group, topic, number, offset, ends.get((topic, number), -1))
        for (group, topic, number), offset in committed.items()
    ]


def _asked(what: str, ask: Callable[[], Result], *, deadline_s: float) -> Result:
    """The answer; while leaders and coordinators move (a new topic, a restart) the question is asked again until the
    deadline.
    """
    refusals: list[KafkaError] = []

    def answer() -> list[Result]:
        try:
            return [ask()]
        except KafkaException as error:
            refusals.append(error.args[0])
            if refusals[-1].code() not in _PASSING:
                raise RecordingFailed(f"could not {what}: {refusals[-1].str()}") from error
            return []

    try:
        return wait_until(answer, deadline_s=deadline_s, why=what)[0]
    except DeadlineExceeded as error:
        raise RecordingFailed(f"could not {what} within {deadline_s:g} s: {refusals[-1].str()}") from error
