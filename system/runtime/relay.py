"""The relay: publishes the outbox rows of the partitions that its worker owns, in order, and deletes them afterwards.

A part of the worker's own loop: what a batch has just stored is published from memory, without reading it back. The
table is read after a change of partitions, after a commit of unknown fate, and now and then while there is nothing
else to do: an earlier life or a zombie may have left rows behind. A row is deleted only after its acknowledgement, so
a crash in between publishes it again.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from system.kafka.batch import Outgoing, Raw
from system.store import outbox
from system.store.outbox import Row
from system.store.postgres import Transaction

ROWS_MAX = 200
"""Rows that are read and published together."""
LOOK_PERIOD_S = 0.25
CLEAR_PERIOD_S = 0.1
"""Deleting each batch's rows by themselves would double the database's commits."""


class Relay:
    """One worker's. `source` names a partition as the outbox does."""

    def __init__(self, prefix: str, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._clock_s = clock_s
        self._sources: set[str] = set()
        self._stored: list[Row] = []
        self._sent: list[int] = []
        self._is_behind = True
        self._looked_s = self._cleared_s = clock_s()

    def source(self, topic: str, partition: int) -> str:
        """`Pay-topic/3` for partition 3 of the run's `Pay-topic`."""
        return f"{topic.removeprefix(self._prefix)}/{partition}"

    def assigned(self, sources: Iterable[str]) -> None:
        """These are ours now; their last owner may have left rows behind."""
        self._sources.update(sources)
        self._is_behind = True

    def dropped(self, sources: Iterable[str]) -> None:
        """These are somebody else's now."""
        self._sources.difference_update(sources)

    def doubt(self) -> None:
        """The fate of a commit is unknown: there may be rows that we have not seen."""
        self._is_behind = True

    @property
    def is_level(self) -> bool:
        """What was published last was all that there was."""
        return not self._is_behind

    def keep(self, outgoing: Sequence[Outgoing], raws: Sequence[Raw], db: Transaction) -> None:
        """Stores what a batch has to say, inside the transaction of its effects."""
        sources = [self.source(raw.topic, span.partition) for raw in raws for span in raw.spans()]
        source_of: dict[str, str] = {}
        if len(sources) > 1:
            for raw in raws:
                names = {span.partition: self.source(raw.topic, span.partition) for span in raw.spans()}
                for key, partition in zip(raw.keys, raw.partitions, strict=True):
                    if key is not None:
                        source_of[key.decode(errors="replace")] = names[partition]
        self._stored = outbox.put(outbox.by_source(outgoing, source_of, otherwise=sources[0]), db)

    def pick(self, db: Transaction, *, is_idle: bool) -> list[Outgoing] | None:
        """What to publish now; None when there is nothing to publish nor to delete."""
        if self._is_behind or (is_idle and self._clock_s() - self._looked_s >= LOOK_PERIOD_S):
            self._read(db)
        if is_idle and not self._stored and not self._sent:
            return None
        return [row.outgoing for row in self._stored]

    def _read(self, db: Transaction) -> None:
        self._clear(db)
        with db.transaction():
            self._stored = outbox.read(self._sources, db, rows_max=ROWS_MAX)
        self._is_behind = len(self._stored) == ROWS_MAX
        self._looked_s = self._clock_s()

    def acknowledged(self) -> None:
        """The broker has everything that was picked."""
        self._sent += [row.sequence for row in self._stored]
        self._stored = []

    def clear(self, db: Transaction, *, is_idle: bool) -> bool:
        """Deletes what was acknowledged, once there is time or `CLEAR_PERIOD_S` has passed. Whether it did."""
        if not is_idle and self._clock_s() - self._cleared_s < CLEAR_PERIOD_S:
            return False
        self._clear(db)
        return True

    def _clear(self, db: Transaction) -> None:
        if self._sent:
            with db.transaction():
                outbox.delete(self._sent, db)
        self._sent = []
        self._cleared_s = self._clock_s()
