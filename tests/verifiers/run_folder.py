"""A history written as a whole run folder, and the ways in which tests corrupt one afterwards."""

import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tests.verifiers.legal_history import WALL_MS, History, Row, tables

PREFIX = "r1a2b3c-"
DATA = ("Pay-topic", "Stock-topic", "Outcomes-topic", "Outcome-checkout-topic")
GROUPS = {"Pay-topic": "pay", "Stock-topic": "stock", "Outcomes-topic": "order"}
BATCH = 7
HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
TOPIC = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", HEADERS),
    ]
)
LIVE = pa.schema([("partition", pa.int32()), ("offset", pa.int64()), ("hash", pa.uint64()), ("read_ns", pa.int64())])
TIMES = ("polled_ns", "handled_ns", "stored_ns", "produced_ns", "committed_ns")
JOURNAL = pa.schema(
    [
        ("generation", pa.int32()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("first_offset", pa.int64()),
        ("last_offset", pa.int64()),
        ("records", pa.int32()),
        *((name, pa.int64()) for name in TIMES),
        ("transaction", pa.string()),
    ]
)
ACKS = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("error", pa.string()),
        ("transaction", pa.string()),
    ]
)
OFFSETS = pa.schema(
    [
        ("group", pa.string()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("committed", pa.int64()),
        ("end", pa.int64()),
        ("sampled_ns", pa.int64()),
        ("generation", pa.int32()),
        ("phase", pa.string()),
    ]
)
ENDS = pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("stable", pa.int64()), ("high", pa.int64())])
OPERATIONS = pa.schema(
    [("operation", pa.int64()), ("kind", pa.string()), ("entity", pa.string())]
    + [(f"{name}_ns", pa.int64()) for name in ("intended", "sent", "acknowledged", "completed")]
    + [(name, pa.string()) for name in ("outcome", "phase", "error", "request", "response")]
)
TABLES = {
    "order.orders": pa.schema(
        [
            ("order_id", pa.string()),
            ("user_id", pa.string()),
            ("paid", pa.bool_()),
            ("status", pa.string()),
            ("items", pa.string()),
            ("amount", pa.int64()),
            ("tr", pa.int32()),
        ]
    ),
    "order.decisions": pa.schema(
        [("order_id", pa.string()), ("tr", pa.int32()), ("decision", pa.string()), ("replies", pa.string())]
    ),
    "pay.users": pa.schema([("user_id", pa.string()), ("credit", pa.int64())]),
    "pay.inbox": pa.schema(
        [
            ("order_id", pa.string()),
            ("tr", pa.int32()),
            ("was_rollback", pa.bool_()),
            ("outcome", pa.string()),
            ("balance_after", pa.int64()),
        ]
    ),
    "stock.items": pa.schema([("item_id", pa.string()), ("stock", pa.int64()), ("price", pa.int64())]),
    "stock.inbox": pa.schema(
        [
            ("order_id", pa.string()),
            ("tr", pa.int32()),
            ("was_rollback", pa.bool_()),
            ("outcome", pa.string()),
            ("balance_after", pa.string()),
        ]
    ),
}
"""Table → columns as the recorder dumps them."""


def write(history: History, folder: Path, *, poison: tuple[tuple[str, bytes], ...] = (), **changed: object) -> Path:
    """The run folder of a history; `poison`: bad records (topic, value) at topics' ends; `changed`: in run.json."""
    for rows in history.topics.values():
        number_offsets(rows, history.partitions)
    history.topics["Outc-offs-topic"] = watermarks(history)
    for topic, value in poison:
        put_poison(history, topic, value)
    for name in (*DATA, "Outc-offs-topic", *(f"{topic}.dead-letter" for topic in GROUPS)):
        rows = history.topics[name]
        save(folder / "topics" / f"{PREFIX}{name}.parquet", rows, TOPIC)
        save(folder / "topics-live" / f"{PREFIX}{name}.parquet", [live_row(row) for row in rows], LIVE)
    for part, content in (("initial", history.initial), ("tables", tables(history))):
        for name, rows in content.items():
            save(folder / part / f"{name}.parquet", sorted(rows, key=lambda row: tuple(row.values())[:3]), TABLES[name])
    save(folder / "operations.parquet", history.operations, OPERATIONS)
    acknowledged = [
        {"topic": PREFIX + name, "partition": row["partition"], "offset": row["offset"]}
        for name, rows in history.topics.items()
        for row in rows
    ]
    save(folder / "acks" / "driver.parquet", acknowledged, ACKS)
    write_journals(history, folder)
    write_offsets(history, folder)
    write_ends(history, folder)
    write_events(history, folder)
    run = {"schema_version": 1, "run_id": "r1a2b3c", "scenario": "checkout", "guarantee": "idempotent", "fault": "none"}
    run |= {"broken": None, "seed": 1, "prefix": PREFIX, "condition": "none"}
    run["knobs"] = {"partitions": {"value": history.partitions, "unit": "partitions"}}
    last = max((row["completed_ns"] for row in history.operations), default=0)
    run["phases"] = [
        {"name": "measure", "begin": 900_000_000, "end": last},
        {"name": "drain", "begin": last, "end": last + 10**9},
    ]
    (folder / "run.json").write_bytes(orjson.dumps(run | changed))
    return folder


def number_offsets(rows: list[Row], partitions: int) -> None:
    """Offsets in the order of appending, rows sorted by partition and offset."""
    following = [0] * partitions
    for row in rows:
        if "offset" not in row:
            row["offset"] = following[row["partition"]]
            following[row["partition"]] += 1
    rows.sort(key=lambda row: (row["partition"], row["offset"]))


def watermarks(history: History) -> list[Row]:
    """L of each partition whenever the oldest pending transaction finished, a record or less a batch."""
    published: list[Row] = []
    for partition in range(history.partitions):
        pending: dict[bytes, int] = {}
        seen: dict[bytes, set[str]] = defaultdict(set)
        last = None
        rows = [row for row in history.topics["Outcomes-topic"] if row["partition"] == partition]
        for count, row in enumerate(rows, 1):
            half = orjson.loads(row["value"])[0][0] if row["value"][2:3] in b"ps" else ""
            if half:
                seen[row["key"]].add(half)
                if len(seen[row["key"]]) == 2:
                    pending.pop(row["key"], None)
                else:
                    pending.setdefault(row["key"], row["offset"])
            pos = row["offset"] + 1
            low = min(pending.values(), default=pos) if len(pending) < 2 else next(iter(pending.values()))
            if (count % BATCH == 0 or count == len(rows)) and low != last:
                head = [{"key": "pos", "value": str(pos).encode()}]
                place = {"partition": partition, "timestamp_ms": row["timestamp_ms"], "key": str(partition).encode()}
                published.append({**place, "value": str(low).encode(), "headers": head})
                last = low
    number_offsets(published, history.partitions)
    return published


def live_row(row: Row) -> Row:
    """What the second reader keeps of a record."""
    digest = zlib.crc32(row["key"] or b"") << 32 | zlib.crc32(row["value"] or b"")
    return {"partition": row["partition"], "offset": row["offset"], "hash": digest, "read_ns": 1}


def write_journals(history: History, folder: Path) -> None:
    """A row a batch of each worker."""
    for topic, group in GROUPS.items():
        rows: list[Row] = []
        for partition in range(history.partitions):
            offsets = [row["offset"] for row in history.topics[topic] if row["partition"] == partition]
            for begin in range(0, len(offsets), BATCH):
                batch = offsets[begin : begin + BATCH]
                span = {"generation": 1, "topic": PREFIX + topic, "partition": partition, "records": len(batch)}
                times = {name: 1_000_000_000 + 1000 * begin + at for at, name in enumerate(TIMES)}
                rows.append({**span, "first_offset": batch[0], "last_offset": batch[-1], **times, "transaction": None})
        save(folder / "journal" / f"{group}-0.parquet", rows, JOURNAL)


def write_offsets(history: History, folder: Path) -> None:
    """Committed offsets, half way and at quiescence."""
    rows = []
    for topic, group in GROUPS.items():
        for partition in range(history.partitions):
            end = 1 + max((row["offset"] for row in history.topics[topic] if row["partition"] == partition), default=-1)
            for at, phase in ((end // 2, "running"), (end, "quiescent")):
                place = {"group": PREFIX + group, "topic": PREFIX + topic, "partition": partition, "committed": at}
                rows.append({**place, "end": end, "sampled_ns": 10**9 + at, "generation": 1, "phase": phase})
    save(folder / "offsets.parquet", rows, OFFSETS)


def write_ends(history: History, folder: Path) -> None:
    """Where each partition of each topic ends."""
    rows = []
    for topic, records in history.topics.items():
        for partition in range(history.partitions):
            end = 1 + max((row["offset"] for row in records if row["partition"] == partition), default=-1)
            rows.append({"topic": PREFIX + topic, "partition": partition, "stable": end, "high": end})
    save(folder / "ends.parquet", rows, ENDS)


def write_events(history: History, folder: Path) -> None:
    """Each worker starts once and is given every partition."""
    lines: list[Row] = []
    for topic, group in GROUPS.items():
        common = {"process": f"{group}-0"}
        lines.append({"event": "process-started", **common, "monotonic_ns": 800_000_000})
        owned = {"group": PREFIX + group, "topic": PREFIX + topic, "partitions": list(range(history.partitions))}
        lines.append({"event": "partitions-assigned", **common, **owned, "generation": 1, "monotonic_ns": 850_000_000})
    for line in lines:
        line["wall_ms"] = WALL_MS + line["monotonic_ns"] // 1_000_000
    (folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def save(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    """A Parquet file, missing columns as null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    pq.write_table(pa.table(columns, schema=schema), path)


def put_poison(history: History, topic: str, value: bytes) -> None:
    """A bad record at the end of partition 0, with its dead letter."""
    rows = history.topics[topic]
    offset = 1 + max((row["offset"] for row in rows if row["partition"] == 0), default=-1)
    place = {"partition": 0, "timestamp_ms": WALL_MS + 10**6, "key": b"poison-1_1", "value": value}
    rows.append({**place, "offset": offset, "headers": None})
    rows.sort(key=lambda row: (row["partition"], row["offset"]))
    source = {"source_topic": PREFIX + topic, "source_partition": "0", "source_offset": str(offset), "reason": "bad"}
    headers = [{"key": name, "value": text.encode()} for name, text in source.items()]
    letters = history.topics[f"{topic}.dead-letter"]
    letters.append({**place, "offset": len(letters), "headers": headers})


def drop_row(path: Path, row: int) -> Row:
    """Delete one row of a Parquet file; the row."""
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(0, row), table.slice(row + 1)]), path)
    return dict(table.slice(row, 1).to_pylist()[0])


def change(path: Path, where: Callable[[Row], bool], **values: object) -> Row:
    """Overwrite cells of the first row that fits; the row as it was."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    found = next(row for row in rows if where(row))
    before = dict(found)
    found.update(values)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return before


def add_row(path: Path, row: Row) -> None:
    """Append one row to a Parquet file."""
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist([row], schema=table.schema)]), path)


def add_event(folder: Path, **event: object) -> None:
    """Append one event."""
    with (folder / "events.jsonl").open("ab") as file:
        wall_ms = WALL_MS + int(str(event.get("monotonic_ns", 0))) // 1_000_000
        file.write(orjson.dumps({"process": "pay-0", "wall_ms": wall_ms, **event}) + b"\n")


def topic_file(folder: Path, topic: str) -> Path:
    """The dump of a topic."""
    return folder / "topics" / f"{PREFIX}{topic}.parquet"
