"""The outbox: what a batch has to say is stored with its effects, in order, until the broker has acknowledged it.

A row is a block of records, not a record: what one batch has for one topic out of one input partition. `source` names
that partition (`Pay-topic/3`); whoever owns it publishes its rows, in the order of `sequence`, so that the order of a
key survives a change of owners.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString, NamedTuple

from system.kafka.batch import Outgoing
from system.store.postgres import Transaction, int_array, text_array

_INSERT: LiteralString = "INSERT INTO outbox (source, topic, record_keys, record_values) VALUES "
_ROW: LiteralString = "(%s, %s, %s, %b)"

_READ: LiteralString = """
    SELECT sequence, topic, record_keys, record_values FROM outbox WHERE source = ANY(%s::text[])
    ORDER BY sequence LIMIT %s"""

_DELETE: LiteralString = "DELETE FROM outbox WHERE sequence = ANY(%s::bigint[])"


class Row(NamedTuple):
    """A block of records, and its place in the order of its source."""

    sequence: int
    outgoing: Outgoing


def put(blocks: Sequence[tuple[str, Outgoing]], db: Transaction) -> list[Row]:
    """Stores (source, records) blocks inside the caller's transaction; the rows in the order given.

    Keys and values are kept a line each: raises ValueError for one that has a line break, which JSON text never has.
    """
    if not blocks:
        return []
    parameters: list[str | bytes] = []
    for source, outgoing in blocks:
        keys, values = "\n".join(outgoing.keys), b"\n".join(outgoing.values)
        if keys.count("\n") + values.count(b"\n") != 2 * (len(outgoing.keys) - 1):
            raise ValueError(f"a record for {outgoing.topic} has a line break in its key or value")
        parameters += [source, outgoing.topic, keys, values]
    # As many placeholders as there are blocks: a few texts a process, each prepared once.
    statement = _INSERT + ", ".join([_ROW] * len(blocks)) + " RETURNING sequence"
    stored = db.execute(statement, parameters, prepare=True).fetchall()
    return [Row(sequence, outgoing) for (sequence,), (_, outgoing) in zip(stored, blocks, strict=True)]


def read(sources: Iterable[str], db: Transaction, *, rows_max: int) -> list[Row]:
    """The oldest rows of these sources, in their order."""
    found = db.execute(_READ, (text_array(sorted(sources)), rows_max), prepare=True, binary=True).fetchall()
    return [
        Row(sequence, Outgoing(topic, keys.split("\n"), values.split(b"\n"))) for sequence, topic, keys, values in found
    ]


def delete(sequences: Sequence[int], db: Transaction) -> None:
    """Forgets rows; those that somebody else has deleted are no matter."""
    db.later(_DELETE, (int_array(sequences),))


def by_source(
    outgoing: Sequence[Outgoing], source_of: Mapping[str, str], *, otherwise: str
) -> list[tuple[str, Outgoing]]:
    """Records split by the source of their key, order kept; a key that no input had goes `otherwise`."""
    blocks: list[tuple[str, Outgoing]] = []
    for one in outgoing:
        rows: dict[str, tuple[list[str], list[bytes]]] = {}
        for key, value in zip(one.keys, one.values, strict=True):
            keys, values = rows.setdefault(source_of.get(key, otherwise), ([], []))
            keys.append(key)
            values.append(value)
        blocks += [(source, Outgoing(one.topic, keys, values)) for source, (keys, values) in rows.items()]
    return blocks
