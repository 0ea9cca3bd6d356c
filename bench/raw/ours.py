"""The columnar client of `system.kafka` as a contender: columns in, columns out, every report looked at.

Values are columns before the window opens, as a system that works in columns has them; building librdkafka's rows,
hashing keys, taking every delivery report and copying every payload out of librdkafka's memory are inside it.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Final, NamedTuple

import numpy as np

from bench.raw import settings
from bench.raw.plan import Cell
from bench.raw.site import Sample, Stand
from bench.raw.threads import Watch
from bench.recording.errors import RecordingFailed
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.column_producer import ColumnProducer
from system.kafka.columns import BytesColumn, Int32
from system.kafka.kernel import KERNEL, Kernel

SEND_RECORDS: Final = 100_000
"""Records a call of `send`."""
TAKE_RECORDS: Final = 100_000
FLUSH_S: Final = 60.0
STALL_S: Final = 20.0
METADATA_S: Final = 10.0


class _Load(NamedTuple):
    """What one call sends, cut from the pool."""

    values: BytesColumn
    keys: BytesColumn | None
    kernel: Kernel
    cell: Cell

    def send(self, producer: ColumnProducer, topic: str, records: int) -> None:
        for begin in range(0, records, len(self.values)):
            size = min(len(self.values), records - begin)
            keys = None if self.keys is None else self.keys.slice(0, size)
            producer.send(topic, keys, self.values.slice(0, size), partitions=self._partitions(keys))
            require_delivered(producer, self.cell)

    def _partitions(self, keys: BytesColumn | None) -> Int32 | int:
        """Of the keys, in bulk; without keys librdkafka chooses."""
        if keys is None:
            return -1
        hashes = self.kernel.murmur2(keys) & np.uint32(0x7FFFFFFF)
        return (hashes % np.uint32(self.cell.partitions)).astype(np.int32)


def require_delivered(producer: ColumnProducer, cell: Cell) -> int:
    """Takes the reports so far; their number. Raises `RecordingFailed` where one is a failure."""
    reports = producer.delivered()
    failed = sum(int(np.count_nonzero(report.errors)) for report in reports)
    if failed:
        raise RecordingFailed(f"could not measure {cell.name}: {failed} records were refused")
    return sum(map(len, reports))


def _load(at: Stand, records: int, kernel: Kernel, *, keyed: bool) -> _Load:
    size = min(records, max(1, SEND_RECORDS * 100 // at.cell.payload_bytes))
    keys = at.payloads.keys_column(size) if keyed else None
    return _Load(at.payloads.values_column(size), keys, kernel, at.cell)


def _flush(producer: ColumnProducer, cell: Cell) -> None:
    left = producer.flush(FLUSH_S)
    if left:
        raise RecordingFailed(f"could not measure {cell.name}: {left} records not acknowledged in {FLUSH_S:g} s")
    require_delivered(producer, cell)


def produce(at: Stand, records: int, *, kernel: Kernel = KERNEL, keyed: bool = False) -> Sample:
    """From the first `send` to the last delivery report."""
    load = _load(at, records, kernel, keyed=keyed)
    with ColumnProducer(settings.producer(at.site.connection, at.cell), kernel=kernel) as producer:
        producer.look_around(timeout_s=METADATA_S)
        load.send(producer, at.topic, at.warm_up(records))
        _flush(producer, at.cell)
        watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
        load.send(producer, at.topic, records)
        _flush(producer, at.cell)
        window_s = time.perf_counter() - begin_s
        return Sample(records / window_s, records, at.warm_up(records) + records, watch.close())


def transactional(at: Stand, records: int) -> Sample:
    """The same in transactions that are committed a tenth of a second after they began, to the last commit."""
    load = _load(at, min(records, 20_000), KERNEL, keyed=False)
    size = len(load.values)
    properties = {**settings.producer(at.site.connection, at.cell), "transactional.id": at.topic}
    with ColumnProducer(properties) as producer:
        producer.init_transactions(timeout_s=METADATA_S)
        producer.begin_transaction()
        load.send(producer, at.topic, at.warm_up(records))
        producer.commit_transaction(timeout_s=FLUSH_S)
        watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
        sent = 0
        while sent < records:
            producer.begin_transaction()
            commit_s = time.perf_counter() + settings.TRANSACTION_S
            while sent < records and time.perf_counter() < commit_s:
                load.send(producer, at.topic, min(size, records - sent))
                sent += min(size, records - sent)
            producer.commit_transaction(timeout_s=FLUSH_S)
            require_delivered(producer, at.cell)
        window_s = time.perf_counter() - begin_s
        return Sample(records / window_s, records, at.warm_up(records) + records, watch.close())


def consume(at: Stand, records: int, *, kernel: Kernel = KERNEL) -> Sample:
    """From the assignment to the last record, every payload copied into columns of our own."""
    with ColumnConsumer(settings.consumer(at.site.connection, group=at.topic), kernel=kernel) as consumer:
        consumer.look_around(timeout_s=METADATA_S)
        watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
        consumer.assign(at.partitions())
        take(consumer, at.cell, records)
        window_s = time.perf_counter() - begin_s
        return Sample(records / window_s, records, busy=watch.close())


def take(consumer: ColumnConsumer, cell: Cell, records: int, *, stop: Event | None = None) -> None:
    """Takes exactly so many records. Raises `RecordingFailed` for an error or a standstill."""
    taken, payload_bytes, moved_s = 0, 0, time.perf_counter()
    while taken < records and not (stop is not None and stop.is_set()):
        batch = consumer.take(records_max=min(TAKE_RECORDS, records - taken), timeout_s=0.2)
        if len(batch):
            moved_s = time.perf_counter()
            if batch.errors.any():
                raise RecordingFailed(f"could not measure {cell.name}: the consumer was told of an error")
            payload_bytes += int(batch.values.offsets[-1])
            taken += len(batch)
        elif time.perf_counter() - moved_s > STALL_S:
            raise RecordingFailed(f"could not measure {cell.name}: {taken} of {records} records came")
    if taken == records and payload_bytes != records * cell.payload_bytes:
        raise RecordingFailed(f"could not measure {cell.name}: {payload_bytes} bytes came in {records} records")


def produce_and_consume(at: Stand, records: int) -> Sample:
    """Both at once, a thread each: from the first `send` until the consumer has the last record."""
    load = _load(at, records, KERNEL, keyed=False)
    warm_up, stop = at.warm_up(records), Event()
    with (
        ColumnProducer(settings.producer(at.site.connection, at.cell)) as producer,
        ColumnConsumer(settings.consumer(at.site.connection, group=at.topic)) as consumer,
        ThreadPoolExecutor(1) as pool,
    ):
        producer.look_around(timeout_s=METADATA_S)
        consumer.look_around(timeout_s=METADATA_S)
        load.send(producer, at.topic, warm_up)
        _flush(producer, at.cell)
        consumer.assign(at.partitions())
        take(consumer, at.cell, warm_up)
        watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
        taking = pool.submit(take, consumer, at.cell, records, stop=stop)
        try:
            load.send(producer, at.topic, records)
            _flush(producer, at.cell)
            taking.result()
        finally:
            stop.set()
        window_s = time.perf_counter() - begin_s
        return Sample(records / window_s, records, warm_up + records, watch.close())


def round_trip(at: Stand, trips: int) -> Sample:
    """One record at a time: sent, acknowledged, taken; then the next."""
    producing = settings.at_once(settings.producer(at.site.connection, at.cell))
    value = at.payloads.values_column(1)
    with (
        ColumnProducer(producing) as producer,
        ColumnConsumer(settings.consumer(at.site.connection, group=at.topic)) as consumer,
    ):
        producer.look_around(timeout_s=METADATA_S)
        consumer.assign(at.partitions())
        warm_up = trips // 10 + 1
        spent_us = np.empty(trips + warm_up)
        for trip in range(trips + warm_up):
            if trip == warm_up:
                watch = Watch(at.site.broker_pid)
            begin_ns = time.perf_counter_ns()
            producer.send(at.topic, None, value)
            # `send` has looked for reports once: to wait for one that it has served would be to wait in vain.
            while producer.in_flight():
                producer.poll(STALL_S)
            take(consumer, at.cell, 1)
            spent_us[trip] = (time.perf_counter_ns() - begin_ns) / 1000
        require_delivered(producer, at.cell)
        busy = watch.close()
    return Sample(float(spent_us[warm_up:].mean()), trips, len(spent_us), busy, spent_us[warm_up:])
