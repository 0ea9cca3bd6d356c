"""Clients of the tests, set so that a test waits for nothing that it does not test."""

from system.kafka import config
from system.kafka.column_producer import ColumnProducer
from system.kafka.kernel import KERNEL, Kernel


def opened(connection: config.Properties, kernel: Kernel = KERNEL, **more: config.Value) -> ColumnProducer:
    """A producer that knows the topics: the first record to another one waits up to a second for its leaders."""
    producer = ColumnProducer({**config.producer(connection, client_id="t"), **more}, kernel=kernel)
    producer.look_around(timeout_s=10)
    return producer
