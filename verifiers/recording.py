"""A run folder opened as columns: a DuckDB view a file, nothing loaded until a checker asks, nothing judged here.

Views are named after the files without the run's prefix: `"topics/Pay-topic"`, `"live/Pay-topic"`,
`"tables/pay.users"`, `"replayed/pay.users"`, `"initial/pay.users"`, `operations`, `offsets`, `ends`; `journal` and
`acks` join the files of all processes and add `process`; `events` has one row an event. `bare(topic)` is a full topic
name without the run's prefix.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from verifiers.folder import EVENT_SCHEMA, Content, content_of

MEMORY_LIMIT = "2600MB"
"""Of DuckDB; beyond it spills to disk, so that the check stage as a whole stays below 4 GiB."""
THREADS = 2

EMPTY_JOURNAL = """SELECT ''::VARCHAR AS process, 0::INT AS generation, ''::VARCHAR AS topic, 0::INT AS partition,
    0::BIGINT AS first_offset, 0::BIGINT AS last_offset, 0::INT AS records, 0::BIGINT AS polled_ns,
    0::BIGINT AS handled_ns, 0::BIGINT AS stored_ns, 0::BIGINT AS produced_ns, 0::BIGINT AS committed_ns,
    NULL::VARCHAR AS transaction WHERE false"""
EMPTY_ACKS = """SELECT ''::VARCHAR AS process, ''::VARCHAR AS topic, 0::INT AS partition, 0::BIGINT AS offset,
    NULL::VARCHAR AS error, NULL::VARCHAR AS transaction WHERE false"""


class Missing(LookupError):
    """An incomplete run left no such file, so the checker that asked for it cannot know."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An open run folder; `views` are the files that there are."""

    folder: Path
    run: Mapping[str, Any]
    db: duckdb.DuckDBPyConnection
    views: frozenset[str]
    files: Mapping[str, Path | pa.Table] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    """Tables that `once` has made."""

    @property
    def prefix(self) -> str:
        """What every topic, group and schema of the run begins with."""
        return str(self.run.get("prefix", ""))

    @property
    def incomplete(self) -> str | None:
        """Why the run could not be drained, as `run.json` or a `quiescence-missed` event has it; None where it was."""
        reason = self.run.get("incomplete")
        if reason:
            return str(reason)
        missed = self.rows("SELECT fields->>'$.reason' FROM events WHERE event = 'quiescence-missed' LIMIT 1")
        return f"quiescence was missed: {missed[0][0]}" if missed else None

    def knob(self, name: str) -> object:
        """The value of a knob of the run, or None."""
        entry = self.run.get("knobs", {}).get(name)
        return entry.get("value") if isinstance(entry, Mapping) else entry

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement; only for aggregates and examples, never for a row a record."""
        return self.db.execute(statement, list(parameters)).fetchall()

    def number(self, statement: str) -> int:
        """The first cell as an integer (0 for null)."""
        # Fetched to the end: DuckDB refuses the next statement on a connection with a result that was not.
        rows = self.db.execute(statement).fetchall()
        return int(rows[0][0] or 0) if rows else 0

    def columns(self, statement: str) -> dict[str, Any]:
        """The columns of a statement as numpy arrays (masked where null)."""
        return self.db.execute(statement).fetchnumpy()

    def has(self, view: str) -> bool:
        """Whether the run left this file."""
        return view in self.views

    def need(self, *views: str) -> None:
        """Raises `Missing` for the first file that an incomplete run did not leave."""
        for view in views:
            if view not in self.views:
                raise Missing(f"{view} was not recorded")

    def once(self, table: str, statement: str) -> None:
        """Materialise a statement under this name, at its first use."""
        # The engine would plan the whole statement again before it sees that the table is there.
        if table not in self.made:
            self.db.execute(f'CREATE TEMP TABLE "{table}" AS {statement}')
            self.made.add(table)

    def blocks(self, view: str, columns: Sequence[str], *, rows: int) -> Iterator[pa.RecordBatch]:
        """The columns of a file in blocks of at most so many rows, in the order of the file."""
        source = self.files[view]
        if isinstance(source, pa.Table):
            yield from source.select(list(columns)).to_batches(max_chunksize=rows)
            return
        with pq.ParquetFile(source) as file:
            yield from file.iter_batches(rows, columns=list(columns))

    def close(self) -> None:
        """Gives the memory back; nothing can be asked afterwards."""
        self.db.close()

    def topics(self) -> list[str]:
        """The names of all dumped topics without prefix, sorted."""
        return sorted(view.removeprefix("topics/") for view in self.views if view.startswith("topics/"))


def open_recording(folder: Path, *, required: Iterable[str] = ()) -> Recording:
    """Open a run folder; `required` are views that a complete run must have. Raises `BadRecording`."""
    return opened(content_of(folder, required=required))


def opened(content: Content) -> Recording:
    """The recording of a content, each of its files as a view."""
    db = connect()
    for view, source in content.files.items():
        if isinstance(source, pa.Table):
            db.register(view, source)
        else:
            db.execute(f'CREATE VIEW "{view}" AS SELECT * FROM read_parquet({quoted(str(source))})')
    journal, acks = joined(content, "journal") or EMPTY_JOURNAL, joined(content, "acks") or EMPTY_ACKS
    db.execute(f"CREATE VIEW journal AS {journal}; CREATE VIEW acks AS {acks}")
    db.register("events_columns", pa.Table.from_pylist(list(content.events), schema=EVENT_SCHEMA))
    db.execute("CREATE TEMP TABLE events AS SELECT row_number() OVER () AS line, * FROM events_columns")
    prefix = str(content.run.get("prefix", ""))
    bare = f"CASE WHEN starts_with(topic, {quoted(prefix)}) THEN topic[{len(prefix) + 1}:] ELSE topic END"
    db.execute(f"CREATE MACRO bare(topic) AS {bare}")
    views = frozenset(content.files) | {"journal", "acks", "events"}
    return Recording(content.folder, content.run, db, views, content.files)


def connect() -> duckdb.DuckDBPyConnection:
    """An engine of our own in memory, within the budget of the check stage, that fetches no extension."""
    db = duckdb.connect(":memory:")
    db.execute(f"SET memory_limit='{MEMORY_LIMIT}'; SET threads={THREADS}; SET preserve_insertion_order=false")
    db.execute("SET enable_progress_bar=false; SET autoinstall_known_extensions=false")
    return db


def quoted(text: str) -> str:
    """An SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def joined(content: Content, kind: str) -> str | None:
    """A statement over the files of all processes with their name as `process`, or None without any."""
    views = [view for view in content.files if view.startswith(f"{kind}/")]
    parts = [f'SELECT {quoted(view.removeprefix(f"{kind}/"))} AS process, * FROM "{view}"' for view in views]
    return " UNION ALL BY NAME ".join(parts) if parts else None
