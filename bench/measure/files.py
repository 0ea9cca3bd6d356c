"""Tolerant reading of a run folder: a file that is missing or torn is an absence that the figures show, never a crash.

A run that was killed still gets its page, so every reader here answers with "nothing recorded" and the reason is kept
in the list that `missing` returns.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure.quantiles import Floats, Integers, Mask

EXPECTED = ("run.json", "operations.parquet", "samples.parquet", "events.jsonl", "journal", "topics")


def missing(run_folder: Path) -> list[str]:
    """The files among those that measurements rest on which are not there or cannot be read."""
    return [name for name in EXPECTED if not _is_readable(run_folder / name)]


def _is_readable(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    if path.suffix == ".parquet":
        return parquet(path) is not None
    return path.is_file() and path.stat().st_size > 0


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where the file is missing, torn or holds something else."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def events(run_folder: Path) -> list[dict[str, Any]]:
    """The events of `events.jsonl` in time order, torn lines left out."""
    path = run_folder / "events.jsonl"
    rows = list(_json_lines(path)) if path.is_file() else []
    return sorted(rows, key=lambda row: int(row.get("monotonic_ns", 0)))


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # A process that was killed while it wrote leaves half a line; the rest of the file stands.
        if isinstance(row, dict) and "event" in row and isinstance(row.get("monotonic_ns"), int):
            yield row


def parquet(path: Path) -> pq.ParquetFile | None:
    """An opened Parquet file, or None where it is missing, empty or truncated."""
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid):
        return None


def table(path: Path, *, columns: tuple[str, ...]) -> pa.Table | None:
    """Those of the columns that the file has, or None where there is no readable file."""
    opened = parquet(path)
    if opened is None:
        return None
    present = [name for name in columns if name in opened.schema_arrow.names]
    try:
        return opened.read(columns=present)
    except (OSError, pa.ArrowInvalid):
        return None


def batches(path: Path, *, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """The rows of a file in bounded pieces. Raises `Unreadable` where it is missing, damaged or lacks a column."""
    try:
        yield from pq.ParquetFile(path).iter_batches(batch_size=262_144, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(f"{path.name}: {error}") from error


class Unreadable(Exception):
    """A file of the run that cannot be read to its end; figures that rest on it are null."""


def integers(source: pa.Table, name: str) -> Integers:
    """A column as int64, null and a missing column as 0."""
    if name not in source.column_names:
        return np.zeros(source.num_rows, dtype=np.int64)
    column: Integers = source[name].cast(pa.int64()).fill_null(0).to_numpy().astype(np.int64, copy=False)
    return column


def floats(source: pa.Table, name: str) -> Floats:
    """A column as float64, null and a missing column as NaN."""
    if name not in source.column_names:
        return np.full(source.num_rows, np.nan)
    column: Floats = source[name].cast(pa.float64()).to_numpy().astype(np.float64, copy=False)
    return column


class Labels:
    """A column of words as small integers: `mask("ok", "fail")` says where they stand without a string a row."""

    def __init__(self, source: pa.Table, name: str) -> None:
        if name in source.column_names:
            coded = source[name].cast(pa.string()) if pa.types.is_null(source[name].type) else source[name]
            coded = coded if pa.types.is_dictionary(coded.type) else coded.dictionary_encode()
            whole = coded.unify_dictionaries().combine_chunks()
            whole = whole if isinstance(whole, pa.DictionaryArray) else whole.chunk(0)
            self.names = [str(word) for word in whole.dictionary.to_pylist()]
            self.codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        else:
            self.names, self.codes = [], np.full(source.num_rows, -1, dtype=np.int32)

    def mask(self, *words: str) -> Mask:
        """Where the column holds one of the words."""
        wanted = [code for code, name in enumerate(self.names) if name in words]
        found: Mask = np.isin(self.codes, wanted)
        return found

    def present(self) -> Mask:
        """Where the column is not null."""
        known: Mask = self.codes >= 0
        return known
