"""The messages of a run as typed columns: every record of the data topics is either sound or bad, and none is passed
over.

Records in the compact spelling that producers use are told apart by a regular expression inside the engine; the few
others are decoded one by one and checked against the contract, so that an unusual but legal spelling is no false alarm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pyarrow as pa

from system.checkout import contract
from verifiers.recording import Recording, quoted

_KEY: Final = r"[!-~]{1,64}_[1-9][0-9]{0,8}"
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,14})"
_ID: Final = r'"[!#-\[\]-~]{1,64}"'
_LINE: Final = rf"\[{_ID},[1-9][0-9]{{0,14}}\]"
_LINES: Final = rf"\[(?:{_LINE}(?:,{_LINE})*)?\]"


@dataclass(frozen=True, slots=True)
class Shape:
    """How the records of one topic become columns: `sound` is the quick test, `what` the canonical content as text."""

    topic: str
    table: str
    sound: str
    kind: str
    what: str
    user: str = "NULL::VARCHAR"


def items_of(lines: str) -> str:
    """SQL: the items of compact lines as a list of text (one empty text where there is no line)."""
    return f"""[split_part(line, '",', 1) FOR line IN string_split({lines}[4:-3], '],["')]"""


def quantities_of(lines: str) -> str:
    """SQL: the quantities of compact lines, as long as the list of their items."""
    return f"""[try_cast(split_part(line, '",', 2) AS BIGINT) FOR line IN string_split({lines}[4:-3], '],["')]"""


def _lines_distinct(lines: str) -> str:
    items = items_of(lines)
    return f"(strpos({lines}, '],[') = 0 OR len(list_distinct({items})) = len({items}))"


SHAPES: Final = (
    Shape(
        contract.PAY,
        "pay_records",
        sound=f"""regexp_full_match(v, '\\["(?:pay|can)",{_NUMBER},{_ID}\\]')""",
        kind="v[3:5]",
        what="split_part(v, ',', 2)",
        user="v[length(split_part(v, ',', 2)) + 10 : length(v) - 2]",
    ),
    Shape(
        contract.STOCK,
        "stock_records",
        sound=f"""regexp_full_match(v, '\\["(?:decrement|increment)",{_LINES}\\]')
                  AND {_lines_distinct("v[14 : length(v) - 1]")}""",
        kind="v[3:11]",
        what="v[14 : length(v) - 1]",
    ),
    Shape(
        contract.OUTCOMES,
        "outcome_records",
        sound=f"""regexp_full_match(
            v, '\\["(?:(?:psuccess|pfail|canok)",{_NUMBER}|(?:ssuccess|sfail|incok)",{_LINES})\\]')""",
        kind="split_part(v, '\"', 2)",
        what="v[length(split_part(v, '\"', 2)) + 5 : length(v) - 1]",
    ),
    Shape(
        contract.OUTCOME_CHECKOUT,
        "checkout_records",
        sound="v IN ('\"success\"', '\"fail\"')",
        kind="v[2 : length(v) - 1]",
        what="''",
    ),
)
"""Columns of each table: key, kind, what (amount or lines as canonical JSON text), user_id, partition, offset, ts
(ms)."""

_SLOW: Final = pa.schema(
    [
        ("key", pa.string()),
        ("kind", pa.string()),
        ("what", pa.string()),
        ("user_id", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("ts", pa.int64()),
    ]
)
_BAD: Final = pa.schema(
    [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("reason", pa.string())]
)


def load_records(recording: Recording) -> None:
    """Creates the tables of `SHAPES` and `bad_records(topic, partition, offset, reason)`, once."""
    if "bad_records" in recording.made:
        return
    recording.need(*(f"topics/{shape.topic}" for shape in SHAPES))
    bad: list[dict[str, Any]] = []
    for shape in SHAPES:
        bad += load_topic(recording, shape)
    recording.db.register("bad_columns", pa.Table.from_pylist(bad, schema=_BAD))
    recording.once("bad_records", "SELECT * FROM bad_columns")


def load_topic(recording: Recording, shape: Shape) -> list[dict[str, Any]]:
    """Creates the table of one topic. The records that break the contract, with the reason."""
    raw = f"""SELECT try(decode(key)) AS k, try(decode(value)) AS v, partition, "offset", timestamp_ms
              FROM "topics/{shape.topic}" """
    sound = f"coalesce(regexp_full_match(k, {quoted(_KEY)}) AND {shape.sound}, false)"
    recording.once(
        shape.table,
        f"""SELECT k AS key, {shape.kind} AS kind, {shape.what} AS what, {shape.user} AS user_id,
                   partition, "offset", timestamp_ms AS ts FROM ({raw}) WHERE {sound}""",
    )
    if (
        recording.number(f'SELECT (SELECT count(*) FROM "topics/{shape.topic}") - (SELECT count(*) FROM {shape.table})')
        == 0
    ):
        return []
    slow, bad = [], []
    rows = recording.rows(
        f"""SELECT key, value, partition, "offset", timestamp_ms FROM (SELECT *, try(decode(key)) AS k,
            try(decode(value)) AS v FROM "topics/{shape.topic}") WHERE NOT {sound}"""
    )
    for key, value, partition, offset, ts in rows:
        place = {"partition": partition, "offset": offset}
        try:
            slow.append({**decoded(shape.topic, key, value), **place, "ts": ts})
        except (ValueError, UnicodeDecodeError) as error:
            bad.append({"topic": shape.topic, **place, "reason": str(error)[:200]})
    recording.db.register("slow_columns", pa.Table.from_pylist(slow, schema=_SLOW))
    recording.db.execute(f"INSERT INTO {shape.table} SELECT * FROM slow_columns")
    recording.db.unregister("slow_columns")
    return bad


def decoded(topic: str, key: bytes | None, value: bytes | None) -> Mapping[str, Any]:
    """One record by the contract. Raises `ValueError` where it does not decode or breaks its schema."""
    if key is None or value is None:
        raise contract.Malformed("no key" if key is None else "no value")
    text = key.decode()
    order_id, tr = contract.split_key(text)
    content = orjson.loads(value)
    contract.CHECKS[topic](content)
    listed = content if isinstance(content, list) else [content, None]
    what = "" if listed[1] is None else orjson.dumps(listed[1]).decode()
    user = listed[2] if topic == contract.PAY else None
    return {"key": f"{order_id}_{tr}", "kind": listed[0], "what": what, "user_id": user}
