"""How a recorded `checkout` is damaged: one thing, consistently, in every file that both readers would have seen it in.

Each function spoils a copy of a run folder and gives the name of the entity that it is about. Raises `Unfit`.
"""

import shutil
from collections.abc import Callable
from typing import Any, Final

import orjson

from bench.corrupt import Copy, Row, Unfit
from system.checkout.contract import OUTC_OFFS, OUTCOME_CHECKOUT, OUTCOMES, PAY

_KIND: Final = "try(decode(value)) LIKE '[\"{}\"%'"
_DEAD: Final = ".dead-letter"


def key_of(row: Row) -> str:
    return str(row["key"].decode())


def saga_of(row: Row) -> str:
    return f"{row['order_id']}_{row['tr']}"


def change_cell(view: str, where: str, name: Callable[[Row], str], **cells: Any) -> Callable[[Copy], str]:  # noqa: ANN401
    """Overwrites cells of the first row that fits; a function is given the row."""

    def damage(copy: Copy) -> str:
        row = copy.find(view, where)
        copy.change(view, row, **{column: value(row) if callable(value) else value for column, value in cells.items()})
        return name(row)

    return damage


def drop_row(view: str, where: str, name: Callable[[Row], str]) -> Callable[[Copy], str]:
    """Drops the first row that fits."""

    def damage(copy: Copy) -> str:
        row = copy.find(view, where)
        copy.drop(view, row)
        return name(row)

    return damage


def decide_twice(copy: Copy) -> str:
    row = copy.find("tables/order.decisions")
    copy.add("tables/order.decisions", row)
    return saga_of(row)


def take_twice(copy: Copy) -> str:
    row = copy.find("tables/pay.inbox", "outcome = 'pfail'")
    copy.add("tables/pay.inbox", row)
    return saga_of(row)


def replay_otherwise(copy: Copy) -> str:
    shutil.copytree(copy.folder / "tables", copy.folder / "tables-replayed", dirs_exist_ok=True)
    row = copy.find("tables-replayed/pay.users")
    copy.change("tables-replayed/pay.users", row, credit=row["credit"] - 1)
    return f"pay.users {row['user_id']}"


def say_again(times: int) -> Callable[[Copy], str]:
    def damage(copy: Copy) -> str:
        record = copy.find(f"topics/{OUTCOME_CHECKOUT}")
        for _ in range(times):
            copy.write_record(OUTCOME_CHECKOUT, record)
        return key_of(record)

    return damage


def silence(copy: Copy) -> str:
    record = copy.find(f"topics/{OUTCOME_CHECKOUT}", "value = '\"fail\"'::BLOB")
    copy.remove_record(OUTCOME_CHECKOUT, record)
    return key_of(record)


def change_balance(copy: Copy) -> str:
    """The credit after a payment is one more than what follows says; the user."""
    row = copy.find("tables/pay.inbox", "outcome = 'psuccess'", "balance_after DESC, row")
    copy.change("tables/pay.inbox", row, balance_after=row["balance_after"] + 1)
    record = copy.find(f"topics/{PAY}", f"key = '{saga_of(row)}'::BLOB")
    return str(orjson.loads(record["value"])[2])


def charge_another(copy: Copy) -> str:
    """The order of a failed transaction belongs to somebody else than whom the request names."""
    for row in copy.rows("tables/order.decisions", "decision = 'fail'"):
        for order in copy.rows("tables/order.orders", f"order_id = '{row['order_id']}' AND status = 'not_paid'"):
            copy.change("tables/order.orders", order, user_id="nobody")
            return saga_of(row)
    raise Unfit(f"{copy.folder.name}: no order is left unpaid")


def move_key(copy: Copy) -> str:
    record = copy.find(f"topics/{OUTCOME_CHECKOUT}")
    other = copy.find("ends", f"topic LIKE '%{OUTCOME_CHECKOUT}' AND partition <> {record['partition']}")
    copy.remove_record(OUTCOME_CHECKOUT, record)
    copy.write_record(OUTCOME_CHECKOUT, record, partition=other["partition"])
    return key_of(record)


def _halves(copy: Copy, first: str, second: str) -> tuple[Row, Row]:
    """The two outcome records of one saga. Raises `Unfit`."""
    for record in copy.rows(f"topics/{OUTCOMES}", _KIND.format(second)):
        same = f"key = '{key_of(record)}'::BLOB AND {_KIND.format(first)}"
        found = copy.rows(f"topics/{OUTCOMES}", same, limit=1)
        if found:
            return found[0], record
    raise Unfit(f"{copy.folder.name}: no saga with {first} and {second}")


def overtake(copy: Copy) -> str:
    done, undone = _halves(copy, "psuccess", "canok")
    copy.rewrite_record(OUTCOMES, done, undone["value"])
    copy.rewrite_record(OUTCOMES, undone, done["value"])
    return key_of(done)


def forget_compensation(copy: Copy) -> str:
    record = copy.find(f"topics/{PAY}", _KIND.format("can"))
    copy.remove_record(PAY, record)
    return key_of(record)


def compensate_success(copy: Copy) -> str:
    record, _ = _halves(copy, "sfail", "canok")
    copy.rewrite_record(OUTCOMES, record, record["value"].replace(b"sfail", b"ssuccess"))
    return key_of(record)


def compensate_twice(row: Row) -> str:
    reply = orjson.loads(row["replies"])
    return orjson.dumps([*reply, *reply]).decode()


def answer_more(copy: Copy) -> str:
    record = copy.find(f"topics/{OUTCOMES}", _KIND.format("psuccess"))
    value = orjson.loads(record["value"])
    copy.rewrite_record(OUTCOMES, record, orjson.dumps([value[0], value[1] + 1]))
    return key_of(record)


def answer_late(copy: Copy) -> str:
    record = copy.find(f"topics/{OUTCOMES}", _KIND.format("canok"))
    copy.change(f"topics/{OUTCOMES}", record, timestamp_ms=record["timestamp_ms"] + 3_600_000)
    return key_of(record)


def _letter(copy: Copy) -> tuple[str, Row]:
    for view in (f"topics/{PAY}", f"topics/{OUTCOMES}", "topics/Stock-topic"):
        rows = copy.rows(view + _DEAD, limit=1)
        if rows:
            return view.removeprefix("topics/") + _DEAD, rows[0]
    raise Unfit(f"{copy.folder.name}: no dead letter")


def _header(row: Row, name: str) -> str:
    return str(next(head["value"] for head in row["headers"] if head["key"] == name).decode())


def lose_letter(copy: Copy) -> str:
    topic, row = _letter(copy)
    copy.remove_record(topic, row)
    return f"{topic.removesuffix(_DEAD)}[{_header(row, 'source_partition')}]@{_header(row, 'source_offset')}"


def blame_another(copy: Copy) -> str:
    topic, row = _letter(copy)
    sound = copy.find(f"topics/{topic.removesuffix(_DEAD)}", f"partition = {_header(row, 'source_partition')}")
    place = str(sound["offset"]).encode()
    heads = [{**head, "value": place} if head["key"] == "source_offset" else head for head in row["headers"]]
    copy.change(f"topics/{topic}", row, headers=heads)
    return f"{topic}[{row['partition']}]@{row['offset']}"


def strip_letter(copy: Copy) -> str:
    topic, row = _letter(copy)
    copy.change(f"topics/{topic}", row, headers=[head for head in row["headers"] if head["key"] != "reason"])
    return f"{topic}[{row['partition']}]@{row['offset']}"


def repeat_letter(copy: Copy) -> str:
    topic, row = _letter(copy)
    place = copy.write_record(topic, row)
    return f"{topic}[{place['partition']}]@{place['offset']}"


def _watermark(row: Row) -> str:
    return f"{OUTC_OFFS}[{row['partition']}]@{row['offset']}"


def lower_watermark(copy: Copy) -> str:
    row = copy.find(f"topics/{OUTC_OFFS}", "decode(value)::BIGINT > 0", '"offset" DESC, row')
    copy.rewrite_record(OUTC_OFFS, row, b"0")
    return _watermark(row)


def raise_watermark(copy: Copy) -> str:
    row = copy.find(f"topics/{OUTC_OFFS}", order='"offset" DESC, row')
    copy.rewrite_record(OUTC_OFFS, row, str(int(_header(row, "pos")) + 1).encode())
    return _watermark(row)


def strip_watermark(copy: Copy) -> str:
    row = copy.find(f"topics/{OUTC_OFFS}", order='"offset" DESC, row')
    copy.change(f"topics/{OUTC_OFFS}", row, headers=[])
    return _watermark(row)


def pin_watermark(copy: Copy) -> str:
    """Every L of one partition past the outcome that finished its last transaction."""
    halves: dict[tuple[int, str], dict[bytes, int]] = {}
    for row in copy.rows(f"topics/{OUTCOMES}", "NOT try(decode(value)) LIKE '%ok\"%'", '"offset"'):
        halves.setdefault((row["partition"], key_of(row)), {}).setdefault(row["value"][2:3], row["offset"])
    partition = copy.find(f"topics/{OUTC_OFFS}", order='"offset" DESC, row')["partition"]
    finishes = {key: max(found.values()) for (at, key), found in halves.items() if at == partition and len(found) == 2}
    last = max(finishes, key=lambda key: finishes[key])
    past = f"partition = {partition} AND decode(value)::BIGINT > {finishes[last]}"
    while copy.rows(f"topics/{OUTC_OFFS}", past, limit=1):
        copy.remove_record(OUTC_OFFS, copy.find(f"topics/{OUTC_OFFS}", past))
    return last


def rebuild_high(copy: Copy) -> str:
    for record in copy.rows(f"topics/{OUTCOMES}", f"{_KIND.format('psuccess')} OR {_KIND.format('ssuccess')}"):
        first = copy.find(f"topics/{OUTCOMES}", f"key = '{key_of(record)}'::BLOB", '"offset"')
        if first["offset"] == record["offset"]:
            above = record["offset"] + 1
            place = {"partition": record["partition"], "from": above, "to": above, "records": 0}
            copy.event("rebuild-finished", at_ns=1, process="order-0", **place)
            return key_of(record)
    raise Unfit(f"{copy.folder.name}: no saga with a successful half")
