"""The columnar client of `system.kafka` as a contender: columns in, columns out, every report looked at.

Values are columns before the window opens, as a system that works in columns has them; building librdkafka's rows,
hashing keys, taking every delivery report and copying every payload out of librdkafka's memory are inside it.
"""

from functools import partial
from threading import Event
from typing import Final, NamedTuple

import numpy as np

from bench.raw import settings
from bench.raw.plan import Cell
from bench.raw.site import Sample, Stand
from bench.raw.windows import (
    FLUSH_S,
    METADATA_S,
    STALL_S,
    WAIT_S,
    Taken,
    Window,
    failed,
    in_transactions,
    require_flushed,
    single_trips,
    together,
)
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.column_producer import ColumnProducer
from system.kafka.columns import BytesColumn, Int32
from system.kafka.kernel import KERNEL, Kernel

SEND_BYTES: Final = 10**7
"""Payload a call of `send`; in a transaction a fifth of it, so that it can be committed in time."""
TAKE_RECORDS: Final = 8_192


class _Load(NamedTuple):
    """What one call sends at most, cut from the pool."""

    values: BytesColumn
    keys: BytesColumn | None
    kernel: Kernel
    cell: Cell

    def send(self, producer: ColumnProducer, topic: str, records: int) -> None:
        for begin in range(0, records, len(self.values)):
            size = min(len(self.values), records - begin)
            keys = None if self.keys is None else self.keys.slice(0, size)
            producer.send(topic, keys, self.values.slice(0, size), partitions=self._partitions(keys))
            _require_delivered(producer, self.cell)

    def _partitions(self, keys: BytesColumn | None) -> Int32 | int:
        """Of the keys, in bulk; without keys librdkafka chooses."""
        if keys is None:
            return -1
        hashes = self.kernel.murmur2(keys) & np.uint32(0x7FFFFFFF)
        return (hashes % np.uint32(self.cell.partitions)).astype(np.int32)


def _load(at: Stand, records: int, kernel: Kernel = KERNEL, *, keyed: bool = False, calls: int = 1) -> _Load:
    size = max(1, min(records, SEND_BYTES // calls // at.cell.payload_bytes))
    keys = at.payloads.keys_column(size) if keyed else None
    return _Load(at.payloads.values_column(size), keys, kernel, at.cell)


def _require_delivered(producer: ColumnProducer, cell: Cell) -> None:
    """Takes the reports so far. Raises `RecordingFailed` where one is a failure."""
    refused = sum(int(np.count_nonzero(report.errors)) for report in producer.delivered())
    if refused:
        raise failed(cell, f"{refused} records were refused")


def _flush(producer: ColumnProducer, cell: Cell) -> None:
    require_flushed(cell, producer.flush(FLUSH_S))
    _require_delivered(producer, cell)


def produce(at: Stand, records: int, *, kernel: Kernel = KERNEL, keyed: bool = False) -> Sample:
    """From the first `send` to the last delivery report."""
    load, warm_up = _load(at, records, kernel, keyed=keyed), at.warm_up(records)
    with ColumnProducer(settings.producer(at.site.connection, at.cell), kernel=kernel) as producer:
        producer.look_around(timeout_s=METADATA_S)
        load.send(producer, at.topic, warm_up)
        _flush(producer, at.cell)
        window = Window(at.site)
        load.send(producer, at.topic, records)
        _flush(producer, at.cell)
        return window.sample(records, stored=warm_up + records)


def transactional(at: Stand, records: int) -> Sample:
    """The same in transactions, to the last commit."""
    load, warm_up = _load(at, records, calls=5), at.warm_up(records)
    properties = {**settings.producer(at.site.connection, at.cell), "transactional.id": at.topic}
    with ColumnProducer(properties) as producer:

        def send(count: int) -> None:
            load.send(producer, at.topic, count)

        def commit() -> None:
            producer.commit_transaction(timeout_s=FLUSH_S)
            _require_delivered(producer, at.cell)

        producer.init_transactions(timeout_s=METADATA_S)
        size = len(load.values)
        in_transactions(warm_up, size, begin=producer.begin_transaction, send=send, commit=commit)
        window = Window(at.site)
        in_transactions(records, size, begin=producer.begin_transaction, send=send, commit=commit)
        return window.sample(records, stored=warm_up + records)


def consume(at: Stand, records: int, *, kernel: Kernel = KERNEL) -> Sample:
    """From the assignment to the last record, every payload copied into columns of our own."""
    with ColumnConsumer(settings.consumer(at.site.connection, group=at.topic), kernel=kernel) as consumer:
        consumer.look_around(timeout_s=METADATA_S)
        window = Window(at.site)
        consumer.assign(at.partitions())
        _take(consumer, at.cell, records)
        return window.sample(records)


def _take(consumer: ColumnConsumer, cell: Cell, records: int, stop: Event | None = None) -> None:
    """Takes exactly so many records, unless stopped. Raises `RecordingFailed` for an error or a standstill."""
    taken = Taken(cell, records)
    while taken.left() and not (stop is not None and stop.is_set()):
        batch = consumer.take(records_max=min(TAKE_RECORDS, taken.left()), timeout_s=WAIT_S)
        if batch.errors.any():
            raise failed(cell, "the consumer was told of an error")
        taken.add(len(batch), int(batch.values.offsets[-1]))


def produce_and_consume(at: Stand, records: int) -> Sample:
    """Both at once, a thread each: from the first `send` until the consumer has the last record."""
    load, warm_up = _load(at, records), at.warm_up(records)
    with (
        ColumnProducer(settings.producer(at.site.connection, at.cell)) as producer,
        ColumnConsumer(settings.consumer(at.site.connection, group=at.topic)) as consumer,
    ):
        producer.look_around(timeout_s=METADATA_S)
        consumer.look_around(timeout_s=METADATA_S)
        load.send(producer, at.topic, warm_up)
        _flush(producer, at.cell)
        consumer.assign(at.partitions())
        _take(consumer, at.cell, warm_up)

        def produce_all() -> None:
            load.send(producer, at.topic, records)
            _flush(producer, at.cell)

        take = partial(_take, consumer, at.cell, records)
        return together(at.site, records, produce=produce_all, take=take, stored=warm_up + records)


def round_trip(at: Stand, trips: int) -> Sample:
    """One record at a time: sent, acknowledged, taken; then the next."""
    value = at.payloads.values_column(1)
    with (
        ColumnProducer(settings.at_once(settings.producer(at.site.connection, at.cell))) as producer,
        ColumnConsumer(settings.consumer(at.site.connection, group=at.topic)) as consumer,
    ):
        producer.look_around(timeout_s=METADATA_S)
        consumer.assign(at.partitions())

        def once() -> None:
            producer.send(at.topic, None, value)
            # `send` has looked for reports once: to wait for one that it has served would be to wait in vain.
            while producer.in_flight():
                producer.poll(STALL_S)
            _take(consumer, at.cell, 1)

        sample = single_trips(at.site, trips, once)
        _require_delivered(producer, at.cell)
        return sample
