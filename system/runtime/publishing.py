"""When a worker may say how far it is: the low watermark behind what it sent, never instead of its successor."""

import time
from contextlib import suppress

import psycopg

from system.runtime.absence import Absence
from system.runtime.guarantees import Ended
from system.runtime.low_watermark import LowWatermark
from system.runtime.outbound import Outbound
from system.runtime.relay import Relay
from system.store.postgres import Transaction


class Publishing:
    """`watermark` is None for a service that joins nothing: it has nothing to say."""

    def __init__(
        self, watermark: LowWatermark | None, outbound: Outbound, *, relay: Relay | None, absence: Absence
    ) -> None:
        self._watermark = watermark
        self._outbound = outbound
        self._relay = relay
        self._absence = absence

    def if_due(self) -> None:
        """Beside the records of a batch, if the last one was long enough ago."""
        if self._watermark is not None and self._may():
            self._watermark.publish_if_due(self._outbound.producer)

    def when_idle(self) -> Ended:
        """What is not said yet, so that the last L is never left unsaid. EMPTY, or FAILED where the producer was
        fenced.
        """
        if self._watermark is None or not self._watermark.has_news() or not self._may():
            return Ended.EMPTY
        if self._outbound.transactions is not None:
            return self._in_a_transaction(self._watermark)
        self._watermark.publish(self._outbound.producer)
        return Ended.EMPTY

    @property
    def is_held_back(self) -> bool:
        """An L has moved that may not be published yet, after an absence: a worker stops when it has been."""
        return self._watermark is not None and self._watermark.has_news() and not self._is_doubtless()

    def forget_decided(self, db: Transaction) -> None:
        """Drops halves of transactions that were decided before; what a new owner has decided would pass for ours."""
        if self._watermark is not None and self._is_doubtless():
            # Where the connection broke, the next batch finds out and opens another.
            with suppress(psycopg.OperationalError, psycopg.InternalError):
                self._watermark.forget_decided(db)

    def _may(self) -> bool:
        """No reply waits in the outbox that an L could overtake, and no new owner of its partition is left unheard of
        whose L it could undo.
        """
        return (self._relay is None or self._relay.is_level) and self._is_doubtless()

    def _is_doubtless(self) -> bool:
        return self._absence.is_doubtless(time.monotonic())

    def _in_a_transaction(self, watermark: LowWatermark) -> Ended:
        """What was aborted is published at the next occasion."""
        transactions = self._outbound.transactions
        assert transactions is not None
        ended = transactions.begin()
        if ended is Ended.DONE:
            watermark.publish(self._outbound.producer)
            ended = self._outbound.acknowledged()
        if ended is Ended.DONE:
            ended = transactions.commit()
        watermark.settled(visible=ended is Ended.DONE)
        if ended is Ended.ABORTABLE:
            ended = transactions.abort()
        return Ended.EMPTY if ended is Ended.DONE else Ended.FAILED
