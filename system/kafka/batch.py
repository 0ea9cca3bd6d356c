"""Records in columns: what a worker loop polls, hands to its handlers and sends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

Json = Any
"""A decoded JSON value, or whatever a contract makes of a key."""


def wire(value: Json) -> bytes:
    """JSON as it goes on the wire, in no more memory than it needs.

    What orjson gives is a kilobyte cut short. A list of four hundred of them makes the allocator look for a new
    kilobyte each time: 1.9 µs a value, and 0.2 where each is copied and its kilobyte used again.
    """
    return orjson.dumps(value).decode().encode()


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
    _spans: list[Span] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.offsets)

    def spans(self) -> list[Span]:
        """One `Span` a partition, in the order in which the partitions first occur. Found once."""
        if not self._spans:
            self._spans.extend(spans_of(self.topic, np.asarray(self.partitions), np.asarray(self.offsets)))
        return list(self._spans)


def spans_of(topic: str, partitions: NDArray[np.integer], offsets: NDArray[np.integer]) -> list[Span]:
    """The spans of records of one topic: a stable sort by partition keeps each one's log order. 20 ns a record."""
    if not len(partitions):
        return []
    order = np.argsort(partitions, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(partitions[order])) + 1, len(order))
    begins = np.concatenate([[0], ends[:-1]])
    firsts, lasts = order[begins], order[ends - 1]
    rows = zip(
        firsts.tolist(),
        partitions[firsts].tolist(),
        offsets[firsts].tolist(),
        offsets[lasts].tolist(),
        (ends - begins).tolist(),
        strict=True,
    )
    return [Span(topic, *row) for _, *row in sorted(rows)]


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
