"""The low watermark of half-finished transactions a partition (the Outc-offs protocol of document 002, as decided in
the spec).

`first(t)` is the offset of the first record of transaction t, `pos` the next offset to read, and L = min{first(t) : t
half-finished}, or pos if none. Everything below L belongs to finished transactions, so after a crash it is enough to
read [L, committed) to know again what is half-finished. Pure: reads no clock, no log and no table.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from system.kafka.batch import Json


class Half(NamedTuple):
    """The half of a transaction that was seen: where it stands and what it said."""

    offset: int
    name: str
    value: Json


@dataclass(slots=True)
class PartitionPending:
    """The half-finished transactions of one partition, oldest first, and what was last published of it."""

    pos: int = 0
    published: int | None = None
    halves: OrderedDict[Any, Half] = field(default_factory=OrderedDict)

    def low(self) -> int:
        """L, the offset from which a rebuild must read."""
        # An OrderedDict, as finding the first key of a dict that lost many of its oldest is linear.
        return next(iter(self.halves.values())).offset if self.halves else self.pos


Pending = Mapping[int, PartitionPending]
"""Partition → its half-finished transactions; a handler reads it."""


@dataclass(frozen=True, slots=True)
class PendingChange:
    """What a batch did: `opened` (partition, key, half), `closed` (partition, key); `skipped`: partitions in which a
    record of a decided transaction was passed over, which may leave a pinned L behind to be corrected.
    """

    opened: list[tuple[int, Any, Half]]
    closed: list[tuple[int, Any]]
    skipped: set[int]


def apply_change(pending: Pending, change: PendingChange, positions: Mapping[int, int]) -> list[int]:
    """Applies a batch after its database commit. The partitions whose L should be published if it moved, ascending.

    `positions` is the next offset to read of each partition in the batch. L is looked at when a transaction finished
    or a decided record was skipped; when one that is not the oldest finishes, L stays and nothing is published.
    """
    for partition, pos in positions.items():
        pending[partition].pos = pos
    for partition, key, half in change.opened:
        pending[partition].halves[key] = half
    for partition, key in change.closed:
        pending[partition].halves.pop(key, None)
    touched = {partition for partition, _ in change.closed} | change.skipped
    return sorted(partition for partition in touched if pending[partition].low() != pending[partition].published)


def rebuild(
    records: Iterable[tuple[int, Any, str | None, Any]],
    decided: set[Any],
    *,
    pos: int,
    published: int | None,
) -> PartitionPending:
    """The state of a partition from its records in [L, committed): (offset, key, half name, value) in log order.

    Nothing is acted upon. A record of a decided transaction does not enter: as the source words it, the second half of
    a transaction that finished before the crash would be taken for a new one and pin L for ever.
    """
    state = PartitionPending(pos, published)
    for offset, key, name, value in records:
        if name is None or key in decided:
            continue
        seen = state.halves.get(key)
        if seen is None:
            state.halves[key] = Half(offset, name, value)
    return state
