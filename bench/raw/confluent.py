"""confluent-kafka's own calls as contenders: the same librdkafka, a Python object a record.

Dicts and arguments are made inside the window, as an application has to make them, and every consumed value is looked
at. Nobody asks for delivery reports one by one, which would cost a Python call a record: `flush` says that all are in.
"""

from contextlib import closing
from functools import partial
from itertools import cycle, islice
from threading import Event
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

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
    require_flushed(cell, producer.flush(FLUSH_S))


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
    send, warm_up = _send_singly if singly else _send_batches, at.warm_up(records)
    producer = _producer(settings.producer(at.site.connection, at.cell))
    send(producer, at, warm_up)
    _flush(producer, at.cell)
    window = Window(at.site)
    send(producer, at, records)
    _flush(producer, at.cell)
    return window.sample(records, stored=warm_up + records)


def transactional(at: Stand, records: int) -> Sample:
    """`produce_batch` in transactions, to the last commit."""
    warm_up = at.warm_up(records)
    producer = _producer({**settings.producer(at.site.connection, at.cell), "transactional.id": at.topic})
    producer.init_transactions(METADATA_S)
    begin, commit = producer.begin_transaction, partial(producer.commit_transaction, FLUSH_S)
    send = partial(_send_batches, producer, at)
    in_transactions(warm_up, RECORDS_A_CALL, begin=begin, send=send, commit=commit)
    window = Window(at.site)
    in_transactions(records, RECORDS_A_CALL, begin=begin, send=send, commit=commit)
    return window.sample(records, stored=warm_up + records)


def consume(at: Stand, records: int) -> Sample:
    """`Consumer.consume(10_000)`, from the assignment to the last record."""
    with closing(_consumer(at)) as consumer:
        window = Window(at.site)
        consumer.assign(at.partitions())
        _take(consumer, at.cell, records)
        return window.sample(records)


def _take(consumer: Consumer, cell: Cell, records: int, stop: Event | None = None) -> None:
    taken = Taken(cell, records)
    while taken.left() and not (stop is not None and stop.is_set()):
        # It waits for the full count, so that more than what is left would cost the whole time-out.
        messages = consumer.consume(min(RECORDS_A_CALL, taken.left()), WAIT_S)
        payload_bytes = 0
        for message in messages:
            error, value = message.error(), message.value()
            if error is not None or value is None:
                raise failed(cell, error or "a record without a value")
            payload_bytes += len(value)
        taken.add(len(messages), payload_bytes)


def produce_and_consume(at: Stand, records: int) -> Sample:
    """`produce_batch` and `consume(10_000)` at once, a thread each."""
    producer, warm_up = _producer(settings.producer(at.site.connection, at.cell)), at.warm_up(records)
    with closing(_consumer(at)) as consumer:
        _send_batches(producer, at, warm_up)
        _flush(producer, at.cell)
        consumer.assign(at.partitions())
        _take(consumer, at.cell, warm_up)

        def produce_all() -> None:
            _send_batches(producer, at, records)
            _flush(producer, at.cell)

        take = partial(_take, consumer, at.cell, records)
        return together(at.site, records, produce=produce_all, take=take, stored=warm_up + records)


def round_trip(at: Stand, trips: int) -> Sample:
    """`produce`, `poll` until its report is there, `consume(1)`; then the next."""
    producer = _producer(settings.at_once(settings.producer(at.site.connection, at.cell)))
    reports: list[KafkaError | None] = []
    value = at.payloads.rows[0]
    with closing(_consumer(at)) as consumer:
        consumer.assign(at.partitions())

        def once() -> None:
            producer.produce(at.topic, value, on_delivery=lambda error, _message: reports.append(error))
            while not reports:
                producer.poll(STALL_S)
            refused = reports.pop()
            if refused is not None:
                raise failed(at.cell, refused)
            _take(consumer, at.cell, 1)

        return single_trips(at.site, trips, once)
