"""How far a worker says it is: the offsets of its batches, committed when the guarantee wants them to be."""

import time

from system.kafka.consumer import CommitRefused, GroupConsumer
from system.runtime.flight import Flight
from system.runtime.guarantees import Ended, Step
from system.runtime.observer import Observer
from system.runtime.outbound import Outbound
from system.runtime.worker_config import WorkerConfig

COMMIT_PERIOD_S = 0.1
"""Offsets are committed at most so often where the guarantee lets them wait: a commit costs the broker as much as a
batch of records, and what is read again is harmless there.
"""


class Committing:
    """One worker's, outside Kafka's transactions."""

    def __init__(self, consumer: GroupConsumer, outbound: Outbound, settings: WorkerConfig, observer: Observer) -> None:
        self._consumer = consumer
        self._outbound = outbound
        self._guarantee = settings.guarantee
        self._observer = observer
        self._committed_s = 0.0

    def is_due(self) -> bool:
        """Whether the next commit is one, or waits for a later one."""
        waits = Step.COMMIT in self._guarantee.paced
        return not waits or time.monotonic() - self._committed_s >= COMMIT_PERIOD_S

    def commit(self, flight: Flight) -> Ended:
        """The offsets behind the batch in hand."""
        if flight.letters:
            # The offsets come first here, and a record that is skipped must not be skipped without a trace.
            self._outbound.send((), flight.taken_letters())
            if self._outbound.acknowledged() is not Ended.DONE:
                return Ended.FAILED
        if not self.is_due():
            self._consumer.owe(flight.spans())
            return Ended.SKIPPED
        self._committed_s = time.monotonic()
        try:
            self._consumer.commit(flight.spans())
        except CommitRefused as error:
            self._observer.event("commit-refused", reason=str(error))
            # Nothing was done yet where the offsets come first: what is still its own it polls again.
            return Ended.ABORTABLE if self._guarantee.loses else Ended.FAILED
        flight.times = flight.times._replace(committed_ns=time.monotonic_ns())
        return Ended.DONE

    def settle(self) -> None:
        """What an earlier batch, or a refusal in the middle of a rebalance, has left owed."""
        try:
            self._consumer.commit()
        except CommitRefused as error:
            self._observer.event("commit-refused", reason=str(error))
