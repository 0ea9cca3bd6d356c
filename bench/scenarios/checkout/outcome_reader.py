"""The reader of `Outcome-checkout-topic`: the half of order/checkout that learns how its sagas ended.

It is assigned all partitions from their ends, without a group: every process that begins sagas reads every outcome and
keeps those that it waits for. What does not decode goes to the dead-letter topic, as with any consumer.
"""

import numpy as np
from confluent_kafka import KafkaException, TopicPartition

from bench.waiting import wait_until
from loadgen.target import FateUnknown, Outcomes, no_outcomes
from system.checkout.contract import OUTCOME_CHECKOUT, check_checkout, split_key
from system.kafka import config
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.consumer import raws
from system.kafka.producer import BatchProducer, Unacknowledged
from system.kafka.records import Records
from system.runtime.decoding import DEAD_LETTER_SUFFIX, DeadLetter, decode
from system.runtime.observer import Observer

_RECORDS_MAX = 10_000
_DEADLINE_S = 30.0
_VERDICTS = {b'"success"': True, b'"fail"': False}


class OutcomeReader:
    """Reads from where the topic ended when this was made, so it is made before the first saga begins. One thread's."""

    def __init__(self, connection: config.Properties, *, prefix: str, partitions: int, observer: Observer) -> None:
        self._topic = prefix + OUTCOME_CHECKOUT
        self._observer = observer
        self._letters = BatchProducer(config.producer(connection, client_id=prefix + "outcome-letters"))
        reader = config.reader(connection, client_id=prefix + "outcome-reader", partitions=partitions)
        self._consumer = ColumnConsumer(reader)
        self._ends: list[TopicPartition] = []
        wait_until(
            lambda: self._found_ends(partitions), deadline_s=_DEADLINE_S, why=f"the ends of {self._topic} to be known"
        )
        self._consumer.assign(self._ends)

    def _found_ends(self, partitions: int) -> bool:
        """A topic that was just made may not have its leaders yet."""
        try:
            for number in range(len(self._ends), partitions):
                _, high = self._consumer.watermarks(self._topic, number, timeout_s=_DEADLINE_S)
                self._ends.append(TopicPartition(self._topic, number, high))
        except KafkaException:
            return False
        return True

    def outcomes(self, timeout_s: float) -> Outcomes:
        """Waits for the first record, then takes what is there. Raises `FateUnknown` where the cluster refuses."""
        try:
            return self._decoded(self._consumer.take(records_max=_RECORDS_MAX, timeout_s=timeout_s))
        except KafkaException as error:
            raise FateUnknown(f"outcome reader: {error.args[0].name()}") from error
        except Unacknowledged as error:
            raise FateUnknown("outcome reader: dead letter unacknowledged") from error

    def _decoded(self, records: Records) -> Outcomes:
        """The fast way is for what our own services write: a number as order id, no error, one of two values."""
        if records.errors.any():
            return self._decoded_each(records)
        try:
            keys = [key.rpartition(b"_") for key in records.keys.to_list()]  # type: ignore[union-attr]
            entity = np.array([int(key[0]) for key in keys], np.int64)
            tr = np.array([int(key[2]) for key in keys], np.int32)
            success = np.array([_VERDICTS[value] for value in records.values.to_list()], np.bool_)  # type: ignore[index]
        except (ValueError, KeyError, AttributeError, OverflowError):
            return self._decoded_each(records)
        return Outcomes(entity, tr, success)

    def _decoded_each(self, records: Records) -> Outcomes:
        """With every check; outcomes of orders that are not numbers are somebody else's."""
        rows: list[tuple[int, int, bool]] = []
        for raw in raws(records):
            batch, letters = decode(raw, decode_key=split_key, check=check_checkout)
            self._refuse(letters)
            rows += [
                (int(order_id), tr, value == "success")
                for (order_id, tr), value in batch.rows()
                if order_id.isascii() and order_id.isdigit() and len(order_id) < 19
            ]
        if not rows:
            return no_outcomes()
        entity, tr_column, success = zip(*rows, strict=True)
        return Outcomes(np.array(entity, np.int64), np.array(tr_column, np.int32), np.array(success, np.bool_))

    def _refuse(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            topic = letter.topic + DEAD_LETTER_SUFFIX
            self._letters.send_one(topic, key=letter.key, value=letter.value, headers=letter.headers())
        for report in self._letters.flush() if letters else ():
            self._observer.acknowledged(report.topic, report.partitions, report.offsets, None, None)

    def close(self) -> None:
        """Gives the connections up."""
        self._consumer.close()
        self._letters.close()
