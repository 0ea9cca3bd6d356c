"""What every contender is configured with: the same meaning for librdkafka's clients and for Java's.

Sources: librdkafka CONFIGURATION.md; Kafka's producer and consumer configuration. What serves a contender best and
changes nothing in what is promised is given to it; what changes the promise is given to all alike.
"""

from typing import Final

from bench.raw.plan import Cell
from bench.recording.calibration import SETTINGS
from system.kafka.config import Properties, Value

TRANSACTION_S: Final = 0.1
"""A transaction is committed this long after it began, by every contender, as `ProducerPerformance` does it."""
FETCH_WAIT_MS: Final = 10
FETCH_BYTES: Final = 2**19
"""A fetch of one partition at most, with `QUEUE_KIB` and the takes so small that a core's 2 MiB of cache hold what is
on its way: 4.4 M records/s into columns, against 3.1 M with fetches of 1 MiB, 16 MiB of queue and takes of 100,000.
"""
QUEUE_KIB: Final = 8 * 1024
JAVA_FETCH_BYTES: Final = 2**20
"""The same of Java's consumer, which is as fast with half of it."""


def producer(connection: Properties, cell: Cell) -> dict[str, Value]:
    """A librdkafka producer with the settings of `produce_batch`'s calibration and the cell's own."""
    return {
        **connection,
        **SETTINGS,
        "acks": cell.acks,
        "enable.idempotence": cell.idempotence,
        "compression.type": cell.compression,
        "partitioner": "murmur2_random",
        "delivery.timeout.ms": 60_000,
    }


def consumer(connection: Properties, *, group: str) -> dict[str, Value]:
    """A librdkafka consumer that commits nothing and keeps its queue full."""
    return {
        **connection,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "check.crcs": False,
        "fetch.message.max.bytes": FETCH_BYTES,
        "queued.min.messages": 1_000_000,
        "queued.max.messages.kbytes": QUEUE_KIB,
        "fetch.queue.backoff.ms": 5,
        # The first fetch may ask for a partition alone that has nothing: half a second by default, for all of them.
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "log_level": 0,
    }


def at_once(properties: Properties) -> dict[str, Value]:
    """The same without lingering: for one record in flight."""
    return {**properties, "linger.ms": 0}


def java_promises(cell: Cell) -> list[str]:
    """`name=value` of the Java producer: what the cell asks for, all else as Java's client comes."""
    return [
        f"acks={cell.acks}",
        f"enable.idempotence={str(cell.idempotence).lower()}",
        f"compression.type={cell.compression}",
    ]


def java_producer(cell: Cell) -> list[str]:
    """The same with the batch and the linger of the others, and memory for them: it doubles what the tool reaches."""
    return [
        *java_promises(cell),
        f"linger.ms={SETTINGS['linger.ms']}",
        f"batch.size={SETTINGS['batch.size']}",
        f"buffer.memory={256 * 2**20}",
    ]


def java_consumer() -> list[str]:
    """`name=value` of the Java consumer."""
    return [
        "isolation.level=read_committed",
        "check.crcs=false",
        "enable.auto.commit=false",
        "max.poll.records=10000",
        f"fetch.max.wait.ms={FETCH_WAIT_MS}",
        f"fetch.max.bytes={64 * 2**20}",
    ]
