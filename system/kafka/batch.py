"""Records in columns: what a worker loop polls, hands to its handlers and sends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = Any
"""A decoded JSON value, or whatever a contract makes of a key."""


class Span(NamedTuple):
    """The part of a batch that came from one partition; offsets inclusive."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    records: int


@dataclass(frozen=True, slots=True)
class Raw:
    """Records of one topic as on the wire, in log order within each partition. Columns of one length."""

    topic: str
    partitions: Sequence[int]
    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.offsets)

    def spans(self) -> list[Span]:
        """One `Span` a partition, in the order in which the partitions first occur."""
        found: dict[int, list[int]] = {}
        for partition, offset in zip(self.partitions, self.offsets, strict=True):
            bounds = found.get(partition)
            if bounds is None:
                found[partition] = [offset, offset, 1]
            else:
                bounds[1] = offset
                bounds[2] += 1
        return [Span(self.topic, partition, *bounds) for partition, bounds in found.items()]


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded records of one topic, in log order within each partition. Columns of one length.

    `keys` are (order id, tr#) pairs or whatever the contract's decoder makes of a key; `values` are decoded values.
    `prior` is, for a compensation, the outcome of the step that it undoes (None: that step has not happened).
    Topic, partition and offset are provenance: to be read, never to decide by.
    """

    topic: str
    partitions: Sequence[int]
    offsets: Sequence[int]
    keys: Sequence[Json]
    values: Sequence[Json]
    prior: Sequence[str | None] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self) -> Iterator[tuple[Json, Json]]:
        """(key, value) pairs in order."""
        return zip(self.keys, self.values, strict=True)

    def take(self, rows: Sequence[int], *, prior: Sequence[str | None] = ()) -> "Batch":
        """The records at `rows`, in that order."""
        return Batch(
            self.topic,
            [self.partitions[row] for row in rows],
            [self.offsets[row] for row in rows],
            [self.keys[row] for row in rows],
            [self.values[row] for row in rows],
            prior,
        )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Records to be sent to one topic, in this order. `partition` -1: by the key (`murmur2_random`)."""

    topic: str
    keys: Sequence[str]
    values: Sequence[bytes]
