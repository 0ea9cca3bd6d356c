"""The values that every contender sends: one pool of distinct payloads, made from the seed.

They look like what choreographies send, names that repeat and numbers that do not, so that compression has something
to do; one line of text each, as `ProducerPerformance` reads its payloads from a file of lines.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from system.kafka.columns import BytesColumn

POOL_BYTES_MAX: Final = 32 * 2**20
POOL_MAX: Final = 20_000
DIGITS: Final = 9
KEY_DIGITS: Final = 10
_FIELDS: Final = (b'"order":', b'"user":', b'"item":', b'"amount":')


@dataclass(frozen=True)
class Payloads:
    """A pool of payloads of exactly `payload_bytes`. Equal seeds give equal pools."""

    payload_bytes: int
    seed: int

    @cached_property
    def rows(self) -> list[bytes]:
        """The pool as bytes objects."""
        count = max(1, min(POOL_MAX, POOL_BYTES_MAX // self.payload_bytes))
        block = sum(map(len, _FIELDS)) + len(_FIELDS) * (DIGITS + 1)
        blocks = -(-self.payload_bytes // block)
        numbers = np.random.default_rng(self.seed).integers(0, 10**DIGITS, (count, blocks * len(_FIELDS)))
        return [_text(row.tolist())[: self.payload_bytes] for row in numbers]

    @cached_property
    def keys(self) -> list[bytes]:
        """As many keys, decimal numbers."""
        numbers = np.random.default_rng(self.seed + 1).integers(0, 10**KEY_DIGITS, len(self.rows))
        return [b"%0*d" % (KEY_DIGITS, number) for number in numbers.tolist()]

    def values_column(self, records: int) -> BytesColumn:
        """`records` values as a column, the pool over and over."""
        return _column(self.rows, records)

    def keys_column(self, records: int) -> BytesColumn:
        """The same of the keys."""
        return _column(self.keys, records)

    def write(self, path: Path) -> Path:
        """The pool as a file of lines."""
        path.write_bytes(b"\n".join(self.rows))
        return path


def _text(numbers: list[int]) -> bytes:
    return b"".join(b"%s%0*d," % (_FIELDS[at % len(_FIELDS)], DIGITS, number) for at, number in enumerate(numbers))


def _column(rows: list[bytes], records: int) -> BytesColumn:
    pool = np.array(rows, dtype=f"S{len(rows[0])}")
    return BytesColumn.fixed_width(np.resize(pool, records))
