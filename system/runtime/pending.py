"""The low watermark of half-finished transactions a partition (the Outc-offs protocol of document 002, as decided in
the spec).

`first(t)` is the offset of the first record of transaction t, `pos` the next offset to read, and L = min{first(t) : t
half-finished}, or pos if none. Everything below L belongs to finished transactions, so after a crash it is enough to
read [L, committed) to know again what is half-finished. Pure: reads no clock, no log and no table.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any, NamedTuple

from system.kafka.batch import Json

LONG_WAITING_MAX = 256


class Half(NamedTuple):
    """The half of a transaction that was seen: where it stands and what it said."""

    offset: int
    name: str
    value: Json


@dataclass(slots=True)
class PartitionPending:
    """The half-finished transactions of one partition, oldest first, and what was last published of it.

    `shadows` are halves of transactions that an earlier life has decided and whose other half has not been read again.
    Their other half may stand between here and `horizon`, the end of the log at the assignment; until it was read, the
    transaction is not finished below `pos`, and L must not pass it. Past the horizon there are none: what was not met
    by then stands below the L from which was rebuilt.

    Below the horizon a record may have been read before; past it only a sender that repeats itself can surprise.
    `seen_before` is where `pos` stood at the last look for halves that such a sender has sent again.
    """

    pos: int = 0
    published: int | None = None
    halves: OrderedDict[Any, Half] = field(default_factory=OrderedDict)
    horizon: int = 0
    shadows: OrderedDict[Any, Half] = field(default_factory=OrderedDict)
    seen_before: int = 0

    def long_waiting(self) -> list[Any]:
        """Keys of the oldest halves that were waiting at the last look already, and begins the next one.

        None below the horizon: there a decision may be that of a batch whose transaction was aborted. When it is done
        again the half is missed, and nobody answers.
        """
        if self.pos < self.horizon:
            return []
        old = takewhile(lambda item: item[1].offset < self.seen_before, self.halves.items())
        keys = [key for key, _ in islice(old, LONG_WAITING_MAX)]
        self.seen_before = self.pos
        return keys

    def low(self) -> int:
        """L, the offset from which a rebuild must read. It never falls: where an earlier life published an L past what
        it committed, the records between the two are read again, but their transactions are finished.
        """
        # OrderedDicts, as finding the first key of a dict that lost many of its oldest is linear.
        oldest = [next(iter(halves.values())).offset for halves in (self.halves, self.shadows) if halves]
        return max(min(oldest, default=self.pos), self.published or 0)

    def seen(self, key: Any) -> list[Half]:  # noqa: ANN401 - a key is whatever the contract makes of it
        """What was read of a transaction and is kept: a half that waits, or the shadow of a decided one."""
        return [halves[key] for halves in (self.halves, self.shadows) if key in halves]

    def meet_decided(self, key: Any, half: Half) -> None:  # noqa: ANN401 - a key is whatever the contract makes of it
        """A record of a transaction that was decided before it was read (again)."""
        seen = self.shadows.get(key)
        if seen is None:
            self.shadows[key] = half
        elif seen.name != half.name:
            del self.shadows[key]

    def pass_to(self, pos: int) -> bool:
        """Moves on to `pos`. Whether that ended the watch for shadows."""
        self.pos = pos
        if pos < self.horizon or not self.shadows:
            return False
        self.shadows.clear()
        return True


Pending = Mapping[int, PartitionPending]
"""Partition → its half-finished transactions; a handler reads it."""


@dataclass(frozen=True, slots=True)
class PendingChange:
    """What a batch did: `opened` (partition, key, half), `closed` (partition, key); `skipped`: records of transactions
    that had been decided before (partition, key, half), which may leave a pinned L behind to be corrected.
    """

    opened: list[tuple[int, Any, Half]]
    closed: list[tuple[int, Any]]
    skipped: list[tuple[int, Any, Half]]


def apply_change(pending: Pending, change: PendingChange, positions: Mapping[int, int]) -> list[int]:
    """Applies a batch after its database commit. The partitions whose L should be published if it moved, ascending.

    `positions` is the next offset to read of each partition in the batch. L is looked at when a transaction finished
    or a decided record was skipped; when one that is not the oldest finishes, L stays and nothing is published.
    """
    for partition, key, half in change.opened:
        pending[partition].halves[key] = half
    for partition, key in change.closed:
        pending[partition].halves.pop(key, None)
    for partition, key, half in change.skipped:
        pending[partition].meet_decided(key, half)
    touched = {partition for partition, _ in change.closed} | {partition for partition, _, _ in change.skipped}
    touched.update([partition for partition, pos in positions.items() if pending[partition].pass_to(pos)])
    return sorted(partition for partition in touched if pending[partition].low() != pending[partition].published)


def rebuild(
    records: Iterable[tuple[int, Any, str | None, Any]],
    decided: set[Any],
    *,
    pos: int,
    published: int | None,
    horizon: int,
) -> PartitionPending:
    """The state of a partition from its records in [L, committed): (offset, key, half name, value) in log order.

    Nothing is acted upon. A record of a decided transaction does not enter: as the source words it, the second half of
    a transaction that finished before the crash would be taken for a new one and pin L for ever.
    """
    state = PartitionPending(published=published, horizon=horizon)
    for offset, key, name, value in records:
        if name is None:
            continue
        half = Half(offset, name, value)
        if key in decided:
            state.meet_decided(key, half)
        else:
            state.halves.setdefault(key, half)
    state.pass_to(pos)
    return state
