"""What the calls of a transaction raise, by what the caller has to do next (KIP-98, KIP-447).

librdkafka marks each error of its transactional calls as retriable, as wanting an abort, or as fatal (rdkafka.h,
`rd_kafka_error_is_retriable` …). Each mark is an exception here; an error without one (a call in the wrong state, a
bad argument) is a mistake of the caller and stays a plain `KafkaException`. The `KafkaError` is `args[0]` of each.
"""

from confluent_kafka import KafkaException

from system.kafka.librdkafka import told_by


class RetryCall(KafkaException):
    """The same call, made again, goes on where this one stopped; what became of the step is not known before."""


class AbortNeeded(KafkaException):
    """This transaction cannot be committed any more; the next one can, after `abort_transaction`."""


class ProducerFatal(KafkaException):
    """This producer is of no more use: fenced by a newer one of its id, or its order is lost. The broker aborts its
    transaction.
    """


def checked_step(error: int | None) -> None:
    """Raises for what a transactional call answered (`rd_kafka_error_t *`, which is freed), nothing for 0."""
    if not error:
        return
    told = told_by(error)
    if told.fatal():
        raise ProducerFatal(told)
    if told.txn_requires_abort():
        raise AbortNeeded(told)
    raise (RetryCall if told.retriable() else KafkaException)(told)
