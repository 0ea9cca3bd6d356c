"""Raw records → decoded batches; what does not decode or fails its schema becomes a dead letter, and those behind it
go on.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from system.kafka.batch import Batch, Json, Raw

DEAD_LETTER_SUFFIX = ".dead-letter"


class DeadLetter(NamedTuple):
    """A record that was refused, with where it stood and why; sent to `<topic>.dead-letter` as it came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str

    def headers(self) -> list[tuple[str, bytes]]:
        """Source position and reason, as text."""
        return [
            ("source_topic", self.topic.encode()),
            ("source_partition", str(self.partition).encode()),
            ("source_offset", str(self.offset).encode()),
            ("reason", self.reason.encode()),
        ]


def decode(
    raw: Raw, *, decode_key: Callable[[str], Json], check: Callable[[Json], None]
) -> tuple[Batch, list[DeadLetter]]:
    """The batch without the records that were refused, and those. `check` and `decode_key` raise ValueError with the
    reason.
    """
    try:
        keys, values = _decode_all(raw, decode_key, check)
    except (ValueError, AttributeError):
        return _decode_each(raw, decode_key, check)
    return Batch(raw.topic, raw.partitions, raw.offsets, keys, values), []


def _decode_all(
    raw: Raw, decode_key: Callable[[str], Json], check: Callable[[Json], None]
) -> tuple[list[Any], list[Any]]:
    keys = [decode_key(key.decode()) for key in raw.keys]  # type: ignore[union-attr]
    values = [orjson.loads(value) for value in raw.values]  # type: ignore[arg-type]
    for value in values:
        check(value)
    return keys, values


def _decode_each(
    raw: Raw, decode_key: Callable[[str], Json], check: Callable[[Json], None]
) -> tuple[Batch, list[DeadLetter]]:
    rows: list[int] = []
    keys: list[Any] = []
    values: list[Any] = []
    refused: list[DeadLetter] = []
    for row, (key, value) in enumerate(zip(raw.keys, raw.values, strict=True)):
        try:
            decoded_key, decoded = _decode_one(key, value, decode_key)
            check(decoded)
        except ValueError as error:
            letter = DeadLetter(raw.topic, raw.partitions[row], raw.offsets[row], key, value, str(error)[:200])
            refused.append(letter)
            continue
        rows.append(row)
        keys.append(decoded_key)
        values.append(decoded)
    partitions = [raw.partitions[row] for row in rows]
    return Batch(raw.topic, partitions, [raw.offsets[row] for row in rows], keys, values), refused


def _decode_one(key: bytes | None, value: bytes | None, decode_key: Callable[[str], Json]) -> tuple[Any, Any]:
    if key is None:
        raise ValueError("no key")
    if value is None:
        raise ValueError("no value")
    return decode_key(key.decode()), orjson.loads(value)
