"""The configuration of every Kafka client, in one place, in librdkafka's own property names.

What decides correctness is fixed here and cannot be overridden by a client file; what decides speed or says how to
reach the cluster can. Sources: librdkafka CONFIGURATION.md; KIP-98 (idempotence), KIP-345 (static members), KIP-848.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Value = str | int | float | bool
Properties = Mapping[str, Value]

RESERVED: Mapping[str, str] = MappingProxyType(
    {
        "enable.auto.commit": "offsets are committed by the worker loop",
        "enable.auto.offset.store": "librdkafka's default stores an offset before its record is processed",
        "enable.idempotence": "per-key order needs it",
        "acks": "an acknowledged record must survive",
        "partitioner": "peers must agree on a key's partition",
        "isolation.level": "judges read committed records only",
        "auto.offset.reset": "a group without offsets begins at the start",
        "group.id": "every group carries the run's prefix",
        "group.instance.id": "given by the worker's slot",
        "transactional.id": "given by the worker's slot",
        "client.id": "given by the worker's slot",
        "group.protocol": "chosen by --group-protocol",
    }
)
"""Property → why a client file may not set it."""


SESSION_TIMEOUT_MS = 6_000
"""After so long without a heartbeat a member counts as dead. Under KIP-848 the broker says it, not the client."""

ASSIGNORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"classic": ("cooperative-sticky", "range", "roundrobin"), "consumer": ("uniform", "range")}
)
"""Group protocol → who may assign under it, the default first. Under `classic` a member does it: cooperatively, so that
only what moves is given up (KIP-429), or eagerly. Under `consumer` the broker does (KIP-848)."""


@dataclass(frozen=True, slots=True)
class Membership:
    """How a member takes part in its group. `static`: a name for each slot, which a restart within the session keeps
    (KIP-345).
    """

    protocol: str = "classic"
    assignor: str = "cooperative-sticky"
    static: bool = False

    @property
    def is_eager(self) -> bool:
        """Every member gives up everything at each rebalance."""
        return self.protocol == "classic" and self.assignor != "cooperative-sticky"


COOPERATIVE = Membership()


class BadClientConfig(ValueError):
    """A client property that librdkafka does not know, cannot use, or that the run keeps for itself; one line."""


def refuse_reserved(properties: Properties) -> None:
    """Raises `BadClientConfig` for a property that decides correctness and is therefore not for a client file."""
    for name in properties:
        if name in RESERVED:
            raise BadClientConfig(f"client property {name!r} is not yours to set: {RESERVED[name]}")


def producer(connection: Properties, *, client_id: str) -> dict[str, Value]:
    """A producer that keeps each partition's order and loses nothing that it reported as delivered.

    `linger.ms` is small because a worker flushes at the end of its batch anyway: the batch is the linger.
    """
    return {
        **connection,
        "client.id": client_id,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 512 * 1024,
        "delivery.timeout.ms": 30_000,
        "compression.type": "none",
    }


def transactional(properties: Properties, *, transactional_id: str, timeout_ms: int) -> dict[str, Value]:
    """The same producer with transactions (KIP-98). `transactional_id` outlives the process: the next one with it
    fences this one. An open transaction is aborted by the broker after `timeout_ms`.

    While a broker is still writing the end of one transaction it refuses the next one's first records for a moment;
    the default back-off of 100 ms would be added to each transaction.
    """
    return {
        **properties,
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 5,
        "delivery.timeout.ms": min(timeout_ms, int(properties["delivery.timeout.ms"])),
        # `send_offsets_to_transaction` waits for ever for a group coordinator that has left the cluster's metadata,
        # past its own time-out (librdkafka 2.16, its issues 5511 and 5456). Any connection that changes its state makes
        # it look for the coordinator again, and idle ones that are closed do.
        "connections.max.idle.ms": 4_000,
    }


FETCH_WAIT_MS = 6
"""A hop waits half of this, and a fetch that ends with nothing costs the broker as much as one with records."""


def reader(connection: Properties, *, client_id: str, partitions: int = 1) -> dict[str, Value]:
    """A consumer that is assigned its partitions by hand, commits nothing and sees committed records only.

    `partitions`: how many a topic has. A fetch waits `FETCH_WAIT_MS` for 64 KiB to gather, longer over many partitions.
    """
    return {
        **connection,
        "client.id": client_id,
        "group.id": client_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # The default of one second would be seen as latency after each burst that filled the local queue.
        "fetch.queue.backoff.ms": 5,
        # A produce request is one partition's, and each would be answered to every reader at once. Waiting this long
        # for the other partitions' records makes a quarter of the requests, which cost the broker more than the
        # records.
        "fetch.min.bytes": 64 * 1024,
        # For each fetch the broker looks at every partition of it: over 900 of them, every 6 ms, it does nothing else.
        "fetch.wait.max.ms": FETCH_WAIT_MS + partitions // 6,
        "fetch.message.max.bytes": 4 * 1024 * 1024,
    }


def heartbeat_interval_ms(session_timeout_ms: int) -> int:
    """A member hears of a rebalance in the answer to a heartbeat, so this delays every hand-over."""
    return max(100, session_timeout_ms // 20)


def membership(how: Membership, *, client_id: str, session_timeout_ms: int) -> dict[str, Value]:
    """The properties that are a group protocol's own.

    KIP-848 takes session, heartbeat and assignor from the broker (`group.consumer.session.timeout.ms` and so on);
    librdkafka refuses them from the client.
    """
    name: dict[str, Value] = {"group.instance.id": client_id} if how.static else {}
    if how.protocol == "consumer":
        return {"group.protocol": "consumer", "group.remote.assignor": how.assignor, **name}
    return {
        "group.protocol": "classic",
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": heartbeat_interval_ms(session_timeout_ms),
        "partition.assignment.strategy": how.assignor,
        **name,
    }


def member(
    connection: Properties,
    *,
    client_id: str,
    group: str,
    session_timeout_ms: int,
    how: Membership = COOPERATIVE,
    partitions: int = 1,
) -> dict[str, Value]:
    """A member of `group` whose offsets only the worker loop commits."""
    return {
        **reader(connection, client_id=client_id, partitions=partitions),
        "group.id": group,
        **membership(how, client_id=client_id, session_timeout_ms=session_timeout_ms),
        "max.poll.interval.ms": 120_000,
        # One worker needs no more than a few batches ahead; the default of 64 MiB would count as the harness's memory.
        "queued.max.messages.kbytes": 16 * 1024,
        "queued.min.messages": 20_000,
    }
