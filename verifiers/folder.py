"""What stands in a run folder: its files, each checked to be whole before anything is read from it.

A folder that cannot be read raises `BadRecording` with one line that names the file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION = 1
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "operations": (
        "operation",
        "kind",
        "entity",
        "intended_ns",
        "sent_ns",
        "acknowledged_ns",
        "completed_ns",
        "outcome",
        "phase",
        "error",
        "request",
        "response",
    ),
    "topics": ("partition", "offset", "timestamp_ms", "key", "value", "headers"),
    "topics-live": ("partition", "offset", "hash"),
    "journal": (
        "generation",
        "topic",
        "partition",
        "first_offset",
        "last_offset",
        "records",
        "polled_ns",
        "handled_ns",
        "stored_ns",
        "produced_ns",
        "committed_ns",
        "transaction",
    ),
    "acks": ("topic", "partition", "offset", "error", "transaction"),
    "offsets": ("group", "topic", "partition", "committed", "end", "sampled_ns", "phase"),
    "ends": ("topic", "partition", "stable", "high"),
}
"""What the files of each folder must have at least; tables are checked by the statements that read them."""

EVENT_SCHEMA = pa.schema(
    [
        ("event", pa.string()),
        ("process", pa.string()),
        ("monotonic_ns", pa.int64()),
        ("wall_ms", pa.int64()),
        ("partitions", pa.list_(pa.int64())),
        ("fields", pa.string()),
    ]
)


class BadRecording(ValueError):
    """The folder is no whole run folder that this version can read; the message is one line and names the file."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a run folder. `files`: view → Parquet file, or the table itself where it is held in memory;
    `journal/<process>` and `acks/<process>` among them. `events`: rows of `EVENT_SCHEMA`."""

    folder: Path
    run: Mapping[str, Any]
    files: Mapping[str, Path | pa.Table]
    events: Sequence[Mapping[str, Any]]


def content_of(folder: Path, *, required: Iterable[str] = ()) -> Content:
    """What stands in a run folder, each file checked to be whole. Raises `BadRecording`."""
    run = read_run(folder)
    files = parquet_files(folder, str(run.get("prefix", "")))
    whole = not run.get("incomplete")
    events = read_events(folder) if whole or (folder / "events.jsonl").exists() else []
    for view in ("operations", "offsets", *required) if whole else ():
        if view not in files:
            raise BadRecording(f"{folder}: {view.replace('live/', 'topics-live/')}: the file is missing")
    return Content(folder, run, files, events)


def read_run(folder: Path) -> Mapping[str, Any]:
    """`run.json`. Raises `BadRecording` where it is missing, no JSON object, or of a newer schema."""
    path = folder / "run.json"
    try:
        run = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BadRecording(f"{path}: {error.strerror or error}: this is no run folder") from error
    except orjson.JSONDecodeError as error:
        raise BadRecording(f"{path}: not JSON ({error})") from error
    version = run.get("schema_version") if isinstance(run, dict) else None
    if not isinstance(version, int):
        raise BadRecording(f"{path}: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise BadRecording(
            f"{path}: schema_version {version} is newer than {SCHEMA_VERSION}, the newest that can be read"
        )
    return dict(run)


def parquet_files(folder: Path, prefix: str) -> dict[str, Path]:
    """View name → file, each checked to be whole. Raises `BadRecording`."""
    files = {name: folder / f"{name}.parquet" for name in ("operations", "offsets", "ends")}
    found = {view: path for view, path in files.items() if path.exists()}
    for kind in ("topics", "topics-live", "tables", "tables-replayed", "initial"):
        for path in sorted((folder / kind).glob("*.parquet")):
            found[f"{kind.removeprefix('topics-').removeprefix('tables-')}/{path.stem.removeprefix(prefix)}"] = path
    for kind in ("journal", "acks"):
        found.update({f"{kind}/{path.stem}": path for path in sorted((folder / kind).glob("*.parquet"))})
    for view, path in found.items():
        check_parquet(path, COLUMNS.get("topics-live" if view.startswith("live/") else view.partition("/")[0], ()))
    return found


def check_parquet(path: Path, columns: Iterable[str]) -> None:
    """Raises `BadRecording` where the file is empty, truncated, no Parquet, or lacks a column."""
    try:
        names = set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        state = "empty" if path.stat().st_size == 0 else "truncated or no Parquet file"
        raise BadRecording(f"{path}: the file is {state}") from error
    for column in columns:
        if column not in names:
            raise BadRecording(f"{path}: column {column} is missing")


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The rows of `events.jsonl` as `EVENT_SCHEMA` wants them; `fields` is the whole event. Raises `BadRecording`."""
    path = folder / "events.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadRecording(f"{path}: {error.strerror or error}") from error
    events = []
    for number, line in enumerate(lines, 1):
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadRecording(f"{path}: line {number} is not JSON") from error
        if not isinstance(event, dict) or "event" not in event:
            raise BadRecording(f"{path}: line {number} is no event")
        events.append(event_row(event))
    return events


def event_row(event: Mapping[str, Any]) -> dict[str, Any]:
    """One event as `EVENT_SCHEMA` wants it."""
    partitions = event.get("partitions")
    kept = [p for p in partitions if isinstance(p, int)] if isinstance(partitions, list) else None
    known = {name: event.get(name) for name in ("event", "process", "monotonic_ns", "wall_ms")}
    return {**known, "partitions": kept, "fields": orjson.dumps(event).decode()}
