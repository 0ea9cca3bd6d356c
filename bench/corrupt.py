"""Corrupt recordings: a copy of a run folder with one thing wrong, for the checker that exists to notice it.

A checker that nobody has seen fail is no checker. Each corruption damages a folder in place and says which entity must
be named; what it cannot find in a run to damage raises `Unfit`. `choreobench matrix kill` runs them all.
"""

import importlib
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]


class Unfit(LookupError):
    """The run has nothing that this corruption could damage, such as a compensated saga; one line."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a run folder that is about to be damaged. Files are named as the views of `verifiers.recording`, with
    the names of topics in full length only inside."""

    folder: Path

    @property
    def prefix(self) -> str:
        """What the topics of the run begin with."""
        return str(self.run()["prefix"])

    def run(self) -> Row:
        """The content of `run.json`."""
        return dict(orjson.loads((self.folder / "run.json").read_bytes()))

    def path(self, view: str) -> Path:
        """The file of a view."""
        kind, _, name = view.partition("/")
        if kind in ("topics", "topics-live"):
            name = self.prefix + name
        return self.folder / f"{kind}/{name}.parquet" if name else self.folder / f"{kind}.parquet"

    def find(self, view: str, where: str = "true", order: str = "row") -> Row:
        """The first row of a file, in this order, for which the SQL condition holds; `row` is its number. Raises
        `Unfit`."""
        rows = self.rows(view, where, order, limit=1)
        if not rows:
            raise Unfit(f"{self.folder.name}: no row of {view} where {where}")
        return rows[0]

    def rows(self, view: str, where: str = "true", order: str = "row", *, limit: int = 10_000) -> list[Row]:
        """Rows of a file as `find` gives them."""
        source = "SELECT file_row_number AS row, * EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number=true)"
        with duckdb.connect(":memory:") as db:
            found = db.execute(
                f"SELECT * FROM ({source}) WHERE {where} ORDER BY {order} LIMIT {limit}", [str(self.path(view))]
            )
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def change(self, view: str, row: Row, **cells: object) -> None:
        """Overwrite cells of a row that was found."""
        table = pq.read_table(self.path(view))
        for name, value in cells.items():
            column = table[name].to_pylist()
            column[row["row"]] = value
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), pa.array(column, table.schema.field(place).type))
        pq.write_table(table, self.path(view))

    def drop(self, view: str, row: Row) -> None:
        """Delete a row that was found."""
        table = pq.read_table(self.path(view))
        pq.write_table(pa.concat_tables([table.slice(0, row["row"]), table.slice(row["row"] + 1)]), self.path(view))

    def add(self, view: str, row: Row, **cells: object) -> None:
        """Append a row like one that was found, with some cells changed; the columns of the file decide."""
        table = pq.read_table(self.path(view))
        added = {name: [{**row, **cells}.get(name)] for name in table.schema.names}
        whole = pa.concat_tables([table, pa.table(added, table.schema)])
        keys = [(name, "ascending") for name in ("partition", "offset")] if view.startswith("topics/") else []
        pq.write_table(whole.sort_by(keys) if keys else whole, self.path(view))

    def event(self, event: str, *, at_ns: int, **fields: object) -> None:
        """Append an event at this time of CLOCK_MONOTONIC, on the wall clock of the others."""
        lines = [orjson.loads(line) for line in (self.folder / "events.jsonl").read_bytes().splitlines()]
        offset_ms = lines[0]["wall_ms"] - lines[0]["monotonic_ns"] // 1_000_000
        line = {"event": event, "monotonic_ns": at_ns, "wall_ms": offset_ms + at_ns // 1_000_000, **fields}
        lines.append(line)
        lines.sort(key=lambda one: one["monotonic_ns"])
        (self.folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in lines))

    def processes(self, kind: str = "journal") -> list[str]:
        """The views of what the processes left: `journal/pay-0`, …"""
        return sorted(f"{kind}/{path.stem}" for path in (self.folder / kind).glob("*.parquet"))

    def bare(self, topic: str) -> str:
        """A full topic name without the run's prefix."""
        return topic.removeprefix(self.prefix)

    def write_record(self, topic: str, record: Row, *, partition: int | None = None) -> Row:
        """Append a copy of a record to the log as if it had been sent again, to one partition's end: dump, live dump,
        delivery report and end. The copy's place."""
        partition = record["partition"] if partition is None else partition
        end = self.find("ends", f"topic = '{self.prefix}{topic}' AND partition = {partition}")
        place = {"partition": partition, "offset": end["high"]}
        self.add(f"topics/{topic}", {**record, **place})
        self.add(f"topics-live/{topic}", {**place, "hash": hash_of(record), "read_ns": 1})
        self.add(self.processes("acks")[0], {"topic": self.prefix + topic, **place, "error": None, "transaction": None})
        self.change("ends", end, stable=end["high"] + 1, high=end["high"] + 1)
        return place

    def remove_record(self, topic: str, record: Row) -> None:
        """Take a record out of the log as if it had never been sent."""
        where = f'partition = {record["partition"]} AND "offset" = {record["offset"]}'
        self.drop(f"topics/{topic}", record)
        for row in self.rows(f"topics-live/{topic}", where):
            self.drop(f"topics-live/{topic}", row)
        for view in self.processes("acks"):
            for row in self.rows(view, f"{where} AND topic = '{self.prefix}{topic}'"):
                self.drop(view, row)

    def rewrite_record(self, topic: str, record: Row, value: bytes) -> None:
        """Give a record another value, as both readers would have seen it."""
        where = f'partition = {record["partition"]} AND "offset" = {record["offset"]}'
        self.change(f"topics/{topic}", record, value=value)
        live = self.find(f"topics-live/{topic}", where)
        self.change(f"topics-live/{topic}", live, hash=hash_of({**record, "value": value}))


def hash_of(record: Row) -> int:
    """What the reader during the run keeps of a record: crc32(key) << 32 | crc32(value)."""
    return zlib.crc32(record["key"] or b"") << 32 | zlib.crc32(record["value"] or b"")


@dataclass(frozen=True, slots=True)
class Corruption:
    """`damage` spoils a copy and gives the entity that `checker` must then name under `kind`. `also`: the checkers that
    may notice it too, as the damage contradicts what they compare; no other one may."""

    name: str
    story: str
    kind: str
    checker: str
    damage: Callable[[Copy], str]
    also: frozenset[str] = frozenset()


def caught_by(checker: str, *noticed: tuple[str, str, str, Callable[[Copy], str], frozenset[str]]) -> list[Corruption]:
    """The corruptions (name, kind, story, damage, also) that one checker exists to notice."""
    return [Corruption(name, story, kind, checker, damage, also) for name, kind, story, damage, also in noticed]


def corruptions(scenario: str) -> Sequence[Corruption]:
    """Those of every log, then those of the scenario's own choreography."""
    places = ("bench.corrupt_log", "bench.corrupt_liveness", f"bench.scenarios.{scenario}.corrupt")
    return tuple(one for place in places for one in importlib.import_module(place).CORRUPTIONS)


def corrupted(corruption: Corruption, run_folder: Path, target: Path) -> str:
    """Copy a run folder to `target` without its raw files and logs, and damage the copy; the entity. Raises `Unfit`."""
    skipped = shutil.ignore_patterns("raw", "logs", "verdicts.json", "report.html", "measurements.json")
    shutil.copytree(run_folder, target, ignore=skipped)
    return corruption.damage(Copy(target))
