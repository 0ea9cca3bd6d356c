"""The golden corpus: literal recordings of a few rows in text, one line a row, that are judged the same for ever.

`<name>/recording.jsonl` begins with run.json; every further line is `[file, row]`, or `[file, null]` for a file without
rows. Keys, values and headers of records are UTF-8 text. `<name>/verdicts.json` says what `check` must answer, with
the story of the recording.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from tests.verifiers.legal_history import Row
from tests.verifiers.run_folder import ACKS, ENDS, JOURNAL, LIVE, OFFSETS, OPERATIONS, PREFIX, TABLES, TOPIC, save

CORPUS = Path(__file__).parent
SCHEMAS = {
    "topics": TOPIC,
    "topics-live": LIVE,
    "journal": JOURNAL,
    "acks": ACKS,
    "operations": OPERATIONS,
    "offsets": OFFSETS,
    "ends": ENDS,
}


def names() -> list[str]:
    """The recordings of the corpus."""
    return sorted(path.parent.name for path in CORPUS.glob("*/recording.jsonl"))


def expected(name: str) -> dict[str, Any]:
    """What `check` must answer."""
    return dict(orjson.loads((CORPUS / name / "verdicts.json").read_bytes()))


def unpacked(name: str, folder: Path) -> Path:
    """The recording as a run folder."""
    run, *lines = (orjson.loads(line) for line in (CORPUS / name / "recording.jsonl").read_bytes().splitlines())
    rows: dict[str, list[Row]] = defaultdict(list)
    for file, row in lines:
        rows[file] += [] if row is None else [row]
    folder.mkdir()
    (folder / "run.json").write_bytes(orjson.dumps(run))
    (folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows.pop("events")))
    for file, content in rows.items():
        kind, _, part = file.partition("/")
        path = folder / kind / f"{PREFIX}{part}.parquet" if kind.startswith("topics") else folder / f"{file}.parquet"
        save(path, [as_bytes(row) if kind == "topics" else row for row in content], schema_of(kind, part))
    return folder


def schema_of(kind: str, part: str) -> pa.Schema:
    """The columns of a file."""
    return TABLES[part] if kind in ("tables", "initial") else SCHEMAS[kind]


def as_bytes(row: Row) -> Row:
    """A record with key, value and headers as they were on the wire."""
    headers = [{**head, "value": head["value"].encode()} for head in row.get("headers") or ()]
    return {**row, "key": row["key"].encode(), "value": row["value"].encode(), "headers": headers}
