"""confluent-kafka's own calls as contenders: the same librdkafka, a Python object a record.

Dicts and arguments are made inside the window, as an application has to make them, and every consumed value is looked
at. Nobody asks for delivery reports one by one, which would cost a Python call a record: `flush` says that all are in.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, islice
from threading import Event
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from bench.raw import settings
from bench.raw.ours import FLUSH_S, METADATA_S, STALL_S
from bench.raw.plan import Cell
from bench.raw.site import Sample, Stand
from bench.raw.threads import Watch
from bench.recording.errors import RecordingFailed
from system.kafka.config import Properties

RECORDS_A_CALL: Final = 10_000
QUEUE_FULL_WAIT_S: Final = 0.01


def _producer(properties: Properties) -> Producer:
    producer = Producer({**properties, "error_cb": lambda _error: None})
    producer.list_topics(timeout=METADATA_S)
    return producer


def _consumer(at: Stand) -> Consumer:
    properties = settings.consumer(at.site.connection, group=at.topic)
    consumer = Consumer({**properties, "error_cb": lambda _error: None})
    consumer.list_topics(timeout=METADATA_S)
    return consumer


def _flush(producer: Producer, cell: Cell) -> None:
    left = producer.flush(FLUSH_S)
    if left:
        raise RecordingFailed(f"could not measure {cell.name}: {left} records not acknowledged in {FLUSH_S:g} s")


def _send_batches(producer: Producer, at: Stand, records: int) -> None:
    rows = cycle(at.payloads.rows)
    while records:
        size = min(RECORDS_A_CALL, records)
        send_batch(producer, at.topic, [{"value": value} for value in islice(rows, size)])
        records -= size


def send_batch(producer: Producer, topic: str, batch: list[dict[str, Any]]) -> None:
    """One list; what the full queue refused is sent again until it has been taken."""
    while batch:
        if producer.produce_batch(topic, batch) == len(batch):
            return
        batch = [record for record in batch if "_error" in record]
        errors = [record.pop("_error") for record in batch]
        fatal = next((error for error in errors if error.code() != KafkaError._QUEUE_FULL), None)
        if fatal is not None:
            raise KafkaException(fatal)
        producer.poll(QUEUE_FULL_WAIT_S)


def _send_singly(producer: Producer, at: Stand, records: int) -> None:
    produce, topic = producer.produce, at.topic
    for value in islice(cycle(at.payloads.rows), records):
        while True:
            try:
                produce(topic, value)
                break
            except BufferError:
                producer.poll(QUEUE_FULL_WAIT_S)


def produce_batch(at: Stand, records: int) -> Sample:
    """`Producer.produce_batch` with lists of 10,000 dicts, from the first call to the end of `flush`."""
    return _produced(at, records, singly=False)


def produce_loop(at: Stand, records: int) -> Sample:
    """`Producer.produce` a record."""
    return _produced(at, records, singly=True)


def _produced(at: Stand, records: int, *, singly: bool) -> Sample:
    send = _send_singly if singly else _send_batches
    producer = _producer(settings.producer(at.site.connection, at.cell))
    send(producer, at, at.warm_up(records))
    _flush(producer, at.cell)
    watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
    send(producer, at, records)
    _flush(producer, at.cell)
    window_s = time.perf_counter() - begin_s
    return Sample(records / window_s, records, at.warm_up(records) + records, watch.close())


def transactional(at: Stand, records: int) -> Sample:
    """`produce_batch` in transactions that are committed a tenth of a second after they began."""
    properties = settings.producer(at.site.connection, at.cell)
    producer = _producer({**properties, "transactional.id": at.topic})
    producer.init_transactions(METADATA_S)
    producer.begin_transaction()
    _send_batches(producer, at, at.warm_up(records))
    producer.commit_transaction(FLUSH_S)
    watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
    sent = 0
    while sent < records:
        producer.begin_transaction()
        commit_s = time.perf_counter() + settings.TRANSACTION_S
        while sent < records and time.perf_counter() < commit_s:
            size = min(RECORDS_A_CALL, records - sent)
            _send_batches(producer, at, size)
            sent += size
        producer.commit_transaction(FLUSH_S)
    window_s = time.perf_counter() - begin_s
    return Sample(records / window_s, records, at.warm_up(records) + records, watch.close())


def consume(at: Stand, records: int) -> Sample:
    """`Consumer.consume(10_000)`, from the assignment to the last record."""
    with closing(_consumer(at)) as consumer:
        watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
        consumer.assign(at.partitions())
        _take(consumer, at.cell, records)
        window_s = time.perf_counter() - begin_s
        return Sample(records / window_s, records, busy=watch.close())


def _take(consumer: Consumer, cell: Cell, records: int, *, stop: Event | None = None) -> None:
    taken, payload_bytes, moved_s = 0, 0, time.perf_counter()
    while taken < records and not (stop is not None and stop.is_set()):
        # It waits for the full count, so that more than what is left would cost the whole time-out.
        messages = consumer.consume(min(RECORDS_A_CALL, records - taken), 0.2)
        for message in messages:
            error, value = message.error(), message.value()
            if error is not None or value is None:
                raise RecordingFailed(f"could not measure {cell.name}: {error or 'a record without a value'}")
            payload_bytes += len(value)
        taken += len(messages)
        moved_s = time.perf_counter() if messages else moved_s
        if time.perf_counter() - moved_s > STALL_S:
            raise RecordingFailed(f"could not measure {cell.name}: {taken} of {records} records came")
    if taken == records and payload_bytes != records * cell.payload_bytes:
        raise RecordingFailed(f"could not measure {cell.name}: {payload_bytes} bytes came in {records} records")


def produce_and_consume(at: Stand, records: int) -> Sample:
    """`produce_batch` and `consume(10_000)` at once, a thread each."""
    producer, warm_up, stop = _producer(settings.producer(at.site.connection, at.cell)), at.warm_up(records), Event()
    with closing(_consumer(at)) as consumer, ThreadPoolExecutor(1) as pool:
        _send_batches(producer, at, warm_up)
        _flush(producer, at.cell)
        consumer.assign(at.partitions())
        _take(consumer, at.cell, warm_up)
        watch, begin_s = Watch(at.site.broker_pid), time.perf_counter()
        taking = pool.submit(_take, consumer, at.cell, records, stop=stop)
        try:
            _send_batches(producer, at, records)
            _flush(producer, at.cell)
            taking.result()
        finally:
            stop.set()
        window_s = time.perf_counter() - begin_s
        return Sample(records / window_s, records, warm_up + records, watch.close())


def round_trip(at: Stand, trips: int) -> Sample:
    """`produce`, `poll` until its report is there, `consume(1)`; then the next."""
    producer = _producer(settings.at_once(settings.producer(at.site.connection, at.cell)))
    acknowledged: list[KafkaError | None] = []
    value = at.payloads.rows[0]
    with closing(_consumer(at)) as consumer:
        consumer.assign(at.partitions())
        warm_up = trips // 10 + 1
        spent_us = np.empty(trips + warm_up)
        for trip in range(trips + warm_up):
            if trip == warm_up:
                watch = Watch(at.site.broker_pid)
            begin_ns = time.perf_counter_ns()
            producer.produce(at.topic, value, on_delivery=lambda error, _message: acknowledged.append(error))
            while len(acknowledged) <= trip:
                producer.poll(STALL_S)
            _take(consumer, at.cell, 1)
            spent_us[trip] = (time.perf_counter_ns() - begin_ns) / 1000
        busy = watch.close()
    if any(acknowledged):
        raise RecordingFailed(f"could not measure {at.cell.name}: {next(filter(None, acknowledged))}")
    return Sample(float(spent_us[warm_up:].mean()), trips, len(spent_us), busy, spent_us[warm_up:])
