"""Raw files of a run → `journal/`, `acks/` and `events.jsonl` of interface.md. Pure in its inputs: it may be run
again.

A torn last frame or line (its writer was killed inside the write) is left out and counted; everything before it is
kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from bench.recording.frames import JOURNAL, Frame, read_frames
from bench.recording.observer import SEPARATOR
from bench.recording.parquet import ROWS_A_GROUP, TEXT, parquet_writer, repeated_text

JOURNAL_SCHEMA: Final = pa.schema(
    [
        ("generation", pa.int32()),
        ("topic", TEXT),
        ("partition", pa.int32()),
        ("first_offset", pa.int64()),
        ("last_offset", pa.int64()),
        ("records", pa.int32()),
        ("polled_ns", pa.int64()),
        ("handled_ns", pa.int64()),
        ("stored_ns", pa.int64()),
        ("produced_ns", pa.int64()),
        ("committed_ns", pa.int64()),
        ("transaction", TEXT),
    ]
)
ACKS_SCHEMA: Final = pa.schema(
    [("topic", TEXT), ("partition", pa.int32()), ("offset", pa.int64()), ("error", TEXT), ("transaction", TEXT)]
)
_ACK_BYTES: Final = 12


class Converted(NamedTuple):
    """Rows written by file name, and how many torn ends were left out."""

    rows: Mapping[str, int]
    torn: int


def convert(folder: Path) -> Converted:
    """Convert what the observers of a run folder wrote. Raises `OSError`."""
    rows: dict[str, int] = {}
    torn = 0
    for kind, schema, table in (("journal", JOURNAL_SCHEMA, journal_table), ("acks", ACKS_SCHEMA, acks_table)):
        for process, paths in _by_process(folder / "raw" / kind, "*.bin").items():
            read = [read_frames(path) for path in paths]
            torn += sum(frames.torn for frames in read)
            columns = table([frame for frames in read for frame in frames.whole])
            with parquet_writer(folder / kind / f"{process}.parquet", schema, plain=("offset",)) as writer:
                writer.write_table(columns, row_group_size=ROWS_A_GROUP)
            rows[f"{kind}/{process}.parquet"] = columns.num_rows
    events, torn_lines = read_events(folder)
    path = folder / "events.jsonl"
    partial = path.with_name(".events.jsonl.partial")
    partial.write_bytes(b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events))
    partial.replace(path)
    rows["events.jsonl"] = len(events)
    return Converted(rows, torn + torn_lines)


def journal_table(frames: Iterable[Frame]) -> pa.Table:
    """The journal rows of one process in the order of writing. Of a batch that was told of again as it went on, what
    was told last."""
    blocks: list[np.ndarray] = []
    topics: list[str | None] = []
    transactions: list[str | None] = []
    for names, block in _latest((names, np.frombuffer(content, JOURNAL)) for names, content in frames):
        blocks.append(block)
        topics.extend(names[number] for number in block["topic"].tolist())
        transactions.append(names[0])
    rows = np.concatenate(blocks) if blocks else np.empty(0, JOURNAL)
    columns = {name: rows[name] for name in JOURNAL_SCHEMA.names if name not in ("topic", "transaction")}
    columns["topic"] = repeated_text(topics, [1] * len(topics))
    columns["transaction"] = repeated_text(transactions, [len(block) for block in blocks])
    return pa.table({name: columns[name] for name in JOURNAL_SCHEMA.names}, schema=JOURNAL_SCHEMA)


def _latest(blocks: Iterable[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
    """Without those that are followed by another one of the same batch."""
    for (names, block), (_, following) in pairwise(chain(blocks, [(None, np.empty(0, JOURNAL))])):
        if _batch(block) is None or _batch(block) != _batch(following):
            yield names, block


def _batch(block: np.ndarray) -> tuple[int, ...] | None:
    """What tells a batch of a process from its others: when its first records were polled, and which they are."""
    return tuple(int(block[name][0]) for name in ("polled_ns", "partition", "first_offset")) if len(block) else None


def acks_table(frames: Iterable[Frame]) -> pa.Table:
    """The delivery reports of one process in the order of writing."""
    kept = list(frames)
    counts = [len(frame.rows) // _ACK_BYTES for frame in kept]
    partitions = [np.frombuffer(frame.rows, "<i4", count) for frame, count in zip(kept, counts, strict=True)]
    offsets = [
        np.frombuffer(frame.rows, "<i8", count, offset=4 * count) for frame, count in zip(kept, counts, strict=True)
    ]
    return pa.table(
        {
            "topic": repeated_text([frame.names[0] for frame in kept], counts),
            "partition": np.concatenate(partitions) if kept else np.empty(0, "<i4"),
            "offset": np.concatenate(offsets) if kept else np.empty(0, "<i8"),
            "error": _error_column([frame.names[2] for frame in kept], counts),
            "transaction": repeated_text([frame.names[1] for frame in kept], counts),
        },
        schema=ACKS_SCHEMA,
    )


def _error_column(failures: list[Mapping[str, str]], counts: list[int]) -> pa.DictionaryArray:
    texts: list[str] = []
    code: dict[str, int] = {}
    codes = np.full(sum(counts), -1, np.int32)
    begin = 0
    for failed, count in zip(failures, counts, strict=True):
        for row, text in failed.items():
            if text not in code:
                code[text] = len(texts)
                texts.append(text)
            codes[begin + int(row)] = code[text]
        begin += count
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(texts, pa.string()))


def read_events(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """All events so far in the order of CLOCK_MONOTONIC, and the number of torn lines; works while the run goes on."""
    events: list[dict[str, Any]] = []
    torn = 0
    for path in sorted((folder / "raw" / "events").glob("*.jsonl")):
        *lines, last = path.read_bytes().split(b"\n")
        torn += bool(last)
        events.extend(orjson.loads(line) for line in lines)
    events.sort(key=lambda event: int(event["monotonic_ns"]))
    return events, torn


def _by_process(folder: Path, pattern: str) -> Mapping[str, list[Path]]:
    """Process → its files, the oldest incarnation first (the name sorts by start)."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob(pattern)):
        files[path.name.rpartition(SEPARATOR)[0]].append(path)
    return files
