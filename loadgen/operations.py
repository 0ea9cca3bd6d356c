"""`operations.parquet`: the history in its lasting form, one row an operation, as tools outside the project read it.

The driver knows an operation as a number; what it was called on the wire is the scenario's to say, by `describe`.
Written in row groups, so that memory stays flat, and renamed into place, so that no half file is ever found.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loadgen.history import History, settled_outcomes
from loadgen.target import OUTCOMES

ROWS_A_GROUP: Final = 131_072


class Answers(NamedTuple):
    """What came back, a row an operation: tr 0 and balance -1 where there is none."""

    outcome: NDArray[np.uint8]
    tr: NDArray[np.int32]
    balance: NDArray[np.int64]


class Description(NamedTuple):
    """String columns, a row an operation: kind, entity, request (`METHOD path` or JSON), response (JSON or null)."""

    kind: pa.Array
    entity: pa.Array
    request: pa.Array
    response: pa.Array


Describe = Callable[[NDArray[np.int64], Answers], Description]

_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        ("operation", pa.int64()),
        ("kind", _TEXT),
        ("entity", pa.string()),
        ("intended_ns", pa.int64()),
        ("sent_ns", pa.int64()),
        ("acknowledged_ns", pa.int64()),
        ("completed_ns", pa.int64()),
        ("outcome", _TEXT),
        ("phase", _TEXT),
        ("error", pa.string()),
        ("request", pa.string()),
        ("response", pa.string()),
    ]
)


def write_parquet(history: History, path: Path, *, describe: Describe) -> int:
    """Writes every row, sent or not, and returns their number. Rows keep the schedule's order."""
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for first in range(0, len(history), ROWS_A_GROUP):
            rows = slice(first, min(first + ROWS_A_GROUP, len(history)))
            writer.write_table(_table(history, rows, describe))
    partial.replace(path)
    return len(history)


def _table(history: History, rows: slice, describe: Describe) -> pa.Table:
    numbers = np.arange(rows.start, rows.stop, dtype=np.int64)
    outcome, errors = settled_outcomes(history, rows)
    answers = Answers(outcome, np.asarray(history.tr[rows]), np.asarray(history.balance[rows]))
    described = describe(numbers, answers)
    columns = {
        "operation": pa.array(numbers),
        "kind": described.kind,
        "entity": described.entity,
        "intended_ns": pa.array(np.asarray(history.intended_ns[rows])),
        "sent_ns": pa.array(np.asarray(history.sent_ns[rows])),
        "acknowledged_ns": pa.array(np.asarray(history.acknowledged_ns[rows])),
        "completed_ns": pa.array(np.asarray(history.completed_ns[rows])),
        "outcome": coded(OUTCOMES, outcome),
        "phase": coded(("warm-up", "measure"), (numbers >= history.warm_up).astype(np.int32)),
        "error": pa.array(errors, pa.string()),
        "request": described.request,
        "response": described.response,
    }
    return pa.table({name: columns[name].cast(SCHEMA.field(name).type) for name in SCHEMA.names}, schema=SCHEMA)


def coded(words: tuple[str, ...], codes: NDArray[np.generic]) -> pa.DictionaryArray:
    """A column of few words, from their numbers."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words, pa.string()))
