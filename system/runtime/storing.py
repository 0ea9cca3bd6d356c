"""The steps of a worker that touch its database: a batch's effects in one transaction, and the rows of its outbox."""

import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg.errors import DeadlockDetected, SerializationFailure

from system.kafka.batch import Batch
from system.runtime.effects import apply_always, apply_once
from system.runtime.flight import Flight
from system.runtime.guarantees import Ended
from system.runtime.low_watermark import LowWatermark
from system.runtime.observer import Observer
from system.runtime.relay import Relay
from system.runtime.service import PendingHandler, Service
from system.runtime.worker_config import WorkerConfig
from system.store.database import Raced

DOUBTFUL_BATCHES = 20
"""For so many batches after an assignment or a race a repetition is looked for before it is done, and not only then."""


class Storing:
    """`db` is the worker's connection, another one after it broke. `note` journals the batch in hand, on both sides
    of a commit that no inbox will tell of. Raises psycopg.OperationalError where there is no server to begin with.
    """

    def __init__(
        self,
        service: Service,
        settings: WorkerConfig,
        observer: Observer,
        *,
        watermark: LowWatermark | None,
        relay: Relay | None,
        note: Callable[[], None],
    ) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer
        self._watermark = watermark
        self._relay = relay
        self._note = note
        self._doubtful = DOUBTFUL_BATCHES
        self.db = settings.connect(service)

    def store(self, flight: Flight) -> Ended:
        """State, inbox rows and outbox rows of a batch, or nothing of it."""
        flight.outgoing, flight.change = [], None
        try:
            with self.db.transaction():
                for batch in flight.batches:
                    self._handle(batch, flight)
                if self._relay is not None:
                    self._relay.keep(flight.outgoing, flight.raws, self.db)
                flight.times = flight.times._replace(handled_ns=time.monotonic_ns())
                self._tell()
        # SQLSTATE 40P01 and 40001: certainly rolled back.
        except (DeadlockDetected, SerializationFailure, Raced) as error:
            self._observer.event("batch-rolled-back", reason=type(error).__name__)
            self.doubt(flight)
            return Ended.ROLLED_BACK
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            self._lost(error)
            self.doubt(flight)
            return self._reconnected()
        flight.times = flight.times._replace(stored_ns=time.monotonic_ns())
        self._tell()
        return Ended.DONE

    def _tell(self) -> None:
        """Where no inbox will say that a batch was applied, a kill leaves nothing in doubt but a commit that it cuts
        short.
        """
        if not self._settings.guarantee.inbox:
            self._note()

    def doubt(self, flight: Flight) -> None:
        """What is done again, and the batches behind it, may have been done before."""
        self.expect_repetitions()
        if self._watermark is not None:
            self._watermark.doubt(flight.positions())

    def expect_repetitions(self) -> None:
        """Somebody else may have done what comes next."""
        self._doubtful = DOUBTFUL_BATCHES

    def batch_ended(self) -> None:
        """One doubtful batch less."""
        self._doubtful = max(0, self._doubtful - 1)

    def _handle(self, batch: Batch, flight: Flight) -> None:
        handler = self._service.handler
        if isinstance(handler, PendingHandler):
            assert self._watermark is not None
            replies = handler.handle(batch, self.db, self._watermark.partitions)
            flight.change = replies.change
        elif handler.apply is not None:
            replies = handler.apply(batch, self.db, handler)
        elif self._settings.guarantee.inbox:
            replies = apply_once(batch, self.db, handler, cautious=self._doubtful > 0)
        else:
            replies = apply_always(batch, self.db, handler)
        flight.outgoing += replies.outgoing

    def _reconnected(self) -> Ended:
        """The fate of the batch is unknown: the connection broke, perhaps during the commit. UNKNOWN, or FAILED
        without a server.
        """
        with suppress(psycopg.Error):  # It is broken already; what counts is the new one.
            self.db.close()
        if self._relay is not None:
            self._relay.doubt()
        try:
            self.db = self._settings.connect(self._service)
        except psycopg.OperationalError:
            return Ended.FAILED
        return Ended.UNKNOWN

    def pick(self, flight: Flight) -> Ended:
        """What the outbox has to say next."""

        def picked(relay: Relay) -> Ended:
            found = relay.pick(self.db, is_idle=not flight.raws)
            flight.outgoing = found or []
            return Ended.EMPTY if found is None else Ended.DONE

        return self._relayed(picked)

    def clear(self, flight: Flight) -> Ended:
        """Deletes what was published."""
        return self._relayed(
            lambda relay: Ended.DONE if relay.clear(self.db, is_idle=not flight.raws) else Ended.SKIPPED
        )

    def _relayed(self, act: Callable[[Relay], Ended]) -> Ended:
        """FAILED where the database is lost: the relay's rows are in the table, and the next life publishes them."""
        assert self._relay is not None
        try:
            return act(self._relay)
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            self._lost(error)
            return Ended.FAILED

    def _lost(self, error: psycopg.Error) -> None:
        self._observer.event("database-lost", reason=str(error).splitlines()[0])
