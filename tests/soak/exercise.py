"""Everything that the columnar clients do with memory, round after round: sent, refused, fetched, thrown away.

A round keeps nothing, so whatever grows over rounds is a leak. `flat_memory` watches that, `sanitizer` runs rounds
under AddressSanitizer: `python -m tests.soak.exercise --bootstrap HOST:PORT --kernel FILE --rounds N`.
"""

import argparse
import gc
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.waiting import wait_until
from system.kafka import config
from system.kafka.abi import LIBRARY
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.column_producer import Carried, ColumnProducer
from system.kafka.columns import BytesColumn, Header, HeadersColumn
from system.kafka.kernel import KERNEL, Kernel
from system.kafka.native_kernel import NativeKernel

RECORDS = 4_000
PARTITIONS = 2
DEADLINE_S = 60.0
LIMITS = {"message.max.bytes": 2_000, "queue.buffering.max.messages": 3_000}


def column(*rows: bytes | None) -> BytesColumn:
    return BytesColumn.from_list(rows)


class Exercise:
    """Clients that live through all rounds, and the rounds."""

    def __init__(self, bootstrap: str, kernel: Kernel) -> None:
        self._connection: dict[str, config.Value] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._kernel = kernel
        self._topic = f"soak-{uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        admin.create_topics([NewTopic(self._topic, PARTITIONS, 1)])[self._topic].result()
        self._producer = self._made(**LIMITS)
        transactional: dict[str, config.Value] = {"transactional.id": self._topic, "delivery.timeout.ms": 20_000}
        self._transactional = self._made(**transactional)
        self._transactional.init_transactions(timeout_s=DEADLINE_S)
        self._partitions = [TopicPartition(self._topic, number, 0) for number in range(PARTITIONS)]
        self._consumer = self._reader(self._partitions)
        self.records = 0

    def _made(self, **more: config.Value) -> ColumnProducer:
        return ColumnProducer({**config.producer(self._connection, client_id="soak"), **more}, kernel=self._kernel)

    def _reader(self, offsets: list[TopicPartition]) -> ColumnConsumer:
        properties = {**config.reader(self._connection, client_id="soak"), "fetch.min.bytes": 1}
        consumer = ColumnConsumer(properties, kernel=self._kernel)
        consumer.assign(offsets)
        return consumer

    def round(self) -> None:
        """One of each."""
        self._sums()
        visible = self._all_kinds_of_records() + self._a_transaction(commit=True)
        self._a_transaction(commit=False)
        self._read(visible)
        self._clients_that_go_with_records_in_hand()
        self.records += visible

    def close(self) -> None:
        for client in (self._producer, self._transactional, self._consumer):
            client.close()

    def _sums(self) -> None:
        rows = column(None, b"", *(b"x" * size for size in range(30)))
        assert len(self._kernel.murmur2(rows)) == len(self._kernel.crc32(rows)) == 32

    def _all_kinds_of_records(self) -> int:
        keys = column(*(None if row % 5 == 0 else b"%d" % row for row in range(RECORDS)))
        values = column(*(None if row % 7 == 0 else b"v" * (row % 60) for row in range(RECORDS)))
        self._producer.send(self._topic, keys, values)
        lists: list[list[Header]] = [[("h", None), ("ä", b"1")], [("h", b"")], []] * 100
        carried = Carried(10**12 + np.arange(300), HeadersColumn.from_lists(lists))
        self._producer.send(self._topic, None, values.slice(0, 300), carried=carried)
        adverse = column(b"fits", b"x" * 3_000, b"nowhere")
        where = np.array([0, 1, 99], np.int32)
        for how in (Carried(), Carried(np.arange(3), HeadersColumn.from_lists([[("h", b"1")]] * 3))):
            self._producer.send(self._topic, adverse, adverse, partitions=where, carried=how)
        assert self._producer.flush(DEADLINE_S) == 0
        errors = np.concatenate([report.errors for report in self._producer.delivered()])
        assert (len(errors), int(np.count_nonzero(errors))) == (RECORDS + 306, 4)
        return RECORDS + 302

    def _a_transaction(self, *, commit: bool) -> int:
        self._transactional.begin_transaction()
        self._transactional.send(self._topic, None, column(*[b"t"] * 100))
        end = self._transactional.commit_transaction if commit else self._transactional.abort_transaction
        end(timeout_s=DEADLINE_S)
        assert sum(len(report) for report in self._transactional.delivered()) == 100
        return 100 if commit else 0

    def _read(self, records: int) -> None:
        seen = 0

        def all_seen() -> bool:
            nonlocal seen
            batch = self._consumer.take(records_max=1_000, timeout_s=0.2, timestamps=True, headers=True)
            seen += sum(len(run.keys.to_arrow()) for run in batch.without_events())
            return seen >= records

        wait_until(all_seen, deadline_s=DEADLINE_S, why=f"{records} records", poll_s=0)
        assert seen == records

    def _clients_that_go_with_records_in_hand(self) -> None:
        values = column(*[b"lost"] * 500)
        nowhere: dict[str, config.Value] = {"bootstrap.servers": "127.0.0.1:1", "linger.ms": 10_000}
        closed, dropped, dead = self._made(**nowhere), self._made(**nowhere), self._made(**nowhere)
        for producer in (closed, dropped, dead):
            producer.send("nowhere", values, values)
        assert LIBRARY.rd_kafka_test_fatal_error(dead._client, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"soak") == 0
        dead.send("nowhere", values, values)
        assert dead.flush(DEADLINE_S) == 0
        dead.close()
        closed.close()
        del closed, dropped, dead
        # From the last round only: what is fetched ahead must not grow with the topic.
        ends = self._consumer.position(self._partitions)
        reader = self._reader([TopicPartition(one.topic, one.partition, max(0, one.offset - 1_000)) for one in ends])
        wait_until(partial(_taken, reader), deadline_s=DEADLINE_S, why="the first records", poll_s=0)
        reader.close()
        gc.collect()


def _taken(reader: ColumnConsumer) -> int:
    return len(reader.take(records_max=10, timeout_s=0.2))


def main() -> None:
    """Rounds with a kernel of one's own, for `sanitizer`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--kernel", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    exercise = Exercise(asked.bootstrap, NativeKernel(asked.kernel) if asked.kernel else KERNEL)
    for _ in range(asked.rounds):
        exercise.round()
    exercise.close()
    print(f"{asked.rounds} rounds, {exercise.records} records")


if __name__ == "__main__":
    main()
