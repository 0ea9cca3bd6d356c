"""Parquet files that appear whole or not at all: written beside their name, renamed when complete."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TEXT: Final = pa.dictionary(pa.int32(), pa.string())
"""The type of a text column whose values repeat."""

ROWS_A_GROUP: Final = 256 * 1024
"""Large enough for columnar scans, small enough that a group of records of a few hundred bytes stays below 100 MiB."""


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, *, plain: tuple[str, ...] = ()) -> Iterator[pq.ParquetWriter]:
    """A `pyarrow.parquet.ParquetWriter`; columns in `plain` have no dictionary (their values hardly repeat)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    dictionary = [field.name for field in schema if field.name not in plain]
    try:
        with pq.ParquetWriter(partial, schema, compression="lz4", use_dictionary=dictionary) as writer:
            yield writer
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def repeated_text(values: list[str | None], counts: Sequence[int]) -> pa.DictionaryArray:
    """A dictionary column in which value i stands counts[i] times."""
    names = list(dict.fromkeys(value for value in values if value is not None))
    code = {name: number for number, name in enumerate(names)}
    codes = pa.array([None if value is None else code[value] for value in values], pa.int32())
    rows = np.repeat(np.arange(len(values), dtype=np.int64), np.asarray(counts, np.int64))
    return pa.DictionaryArray.from_arrays(codes.take(pa.array(rows)), pa.array(names, pa.string()))
