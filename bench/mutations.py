"""Random changes of a recording in memory, one at a time: a cell takes another value, a row is gone or stands twice.

Seeded by the file, the column and the number of the change, so that each can be made again alone.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from verifiers.folder import Content, event_row

EVENTS: Final = "events"
RUN: Final = "run.json"
DROPPED: Final = "(row dropped)"
REPEATED: Final = "(row repeated)"


@dataclass(frozen=True, slots=True)
class Mutation:
    """The `number`-th change of a column (or of a row, `DROPPED`, `REPEATED`) of a view."""

    view: str
    column: str
    number: int
    seed: int

    def random(self) -> random.Random:
        """Its own source of chance."""
        return random.Random(f"{self.seed} {self.view} {self.column} {self.number}")


def held(content: Content) -> Content:
    """The same content with every file in memory."""
    tables = {
        view: source if isinstance(source, pa.Table) else pq.ParquetFile(source).read()
        for view, source in content.files.items()
    }
    return replace(content, files=tables)


def mutations(content: Content, *, each: int, seed: int) -> Iterator[Mutation]:
    """So many changes of every column of every file that has rows, and of its rows."""
    tables = {view: table for view, table in content.files.items() if isinstance(table, pa.Table) and table.num_rows}
    columns: dict[str, list[str]] = {view: [*table.schema.names, DROPPED, REPEATED] for view, table in tables.items()}
    events = [orjson.loads(row["fields"]) for row in content.events]
    columns[EVENTS] = [*sorted({name for event in events for name in event}), DROPPED, REPEATED]
    columns[RUN] = sorted(content.run)
    for view, names in columns.items():
        for name in names:
            yield from (Mutation(view, name, number, seed) for number in range(each))


def mutated(content: Content, mutation: Mutation) -> tuple[Content, str]:
    """The content with this change, and what was changed in words. Nothing else is copied."""
    chance = mutation.random()
    if mutation.view == RUN:
        value = other(content.run[mutation.column], [], chance)
        told = f"{content.run[mutation.column]!r:.60} → {value!r:.60}"
        return replace(content, run={**content.run, mutation.column: value}), told
    if mutation.view == EVENTS:
        events, told = _events(content, mutation.column, chance)
        return replace(content, events=events), told
    table, told = _table(content.files[mutation.view], mutation.column, chance)
    return replace(content, files={**content.files, mutation.view: table}), told


def _table(table: pa.Table, column: str, chance: random.Random) -> tuple[pa.Table, str]:
    row = chance.randrange(table.num_rows)
    before, after, this = table.slice(0, row), table.slice(row + 1), table.slice(row, 1)
    if column == DROPPED:
        return pa.concat_tables([before, after]), f"row {row}"
    if column == REPEATED:
        return pa.concat_tables([before, this, this, after]), f"row {row}"
    old = this[column][0].as_py()
    place = table.schema.get_field_index(column)
    elsewhere = [table[column][chance.randrange(table.num_rows)].as_py() for _ in range(4)]
    value = other(old, elsewhere, chance)
    if value is None:
        value = _FIRST.get(str(table.schema.field(place).type), "x")
    changed = this.set_column(place, table.schema.field(place), pa.array([value], table.schema.field(place).type))
    return pa.concat_tables([before, changed, after]), f"row {row}: {old!r:.60} → {value!r:.60}"


def _events(content: Content, column: str, chance: random.Random) -> tuple[list[Mapping[str, Any]], str]:
    rows = list(content.events)
    places = [n for n, row in enumerate(rows) if column in (DROPPED, REPEATED) or column in orjson.loads(row["fields"])]
    at = chance.choice(places)
    event = orjson.loads(rows[at]["fields"])
    if column == DROPPED:
        return rows[:at] + rows[at + 1 :], f"line {at}: {event['event']}"
    if column == REPEATED:
        return [*rows[: at + 1], *rows[at:]], f"line {at}: {event['event']}"
    elsewhere = [orjson.loads(rows[chance.choice(places)]["fields"])[column] for _ in range(4)]
    value = other(event[column], elsewhere, chance)
    rows[at] = event_row({**event, column: value})
    return rows, f"line {at}: {event['event']}, {event[column]!r:.40} → {value!r:.40}"


def other(value: object, elsewhere: list[Any], chance: random.Random) -> object:
    """Another value of the same type: one that stands elsewhere in the column, or one that is near."""
    legal = [near for near in elsewhere if near != value and near is not None]
    if legal and chance.random() < 0.5:
        return chance.choice(legal)
    for kind, change in _NEAR.items():
        if isinstance(value, kind):
            return change(value, chance)
    return legal[0] if legal else None


def _letter(text: str, chance: random.Random) -> str:
    if not text:
        return "x"
    at = chance.randrange(len(text))
    return text[:at] + chance.choice([letter for letter in "0123456789abcxyz" if letter != text[at]]) + text[at + 1 :]


def _byte(text: bytes, chance: random.Random) -> bytes:
    if not text:
        return b"x"
    at = chance.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << chance.randrange(7))]) + text[at + 1 :]


def _item(values: list[Any], chance: random.Random) -> list[Any]:
    return values[:-1] if values else [{"key": "x", "value": b"x"}]


def _entry(values: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    if not values:
        return values
    name = chance.choice(sorted(values))
    return {**values, name: other(values[name], [], chance)}


_FIRST: Final[Mapping[str, object]] = {
    "bool": True,
    "int32": 1,
    "int64": 1,
    "binary": b"x",
    "list<element: struct<key: string, value: binary>>": [{"key": "x", "value": b"x"}],
}
"""What takes the place of a null in a column of nulls, by Arrow type; text elsewhere."""
_NEAR: Final[Mapping[type, Callable[[Any, random.Random], object]]] = {
    bool: lambda value, chance: not value,
    int: lambda value, chance: value + chance.choice((-1, 1)) * chance.choice((1, 1, 10**6)),
    float: lambda value, chance: value + 1.0,
    str: _letter,
    bytes: _byte,
    list: _item,
    dict: _entry,
}
