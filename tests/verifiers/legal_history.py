"""A legal history of `checkout`, written as a whole run folder: what the checkers must call VALID and tests then corrupt.

A small discrete-event model of the choreography: operations arrive at times, services answer after random delays, every
table and topic follows. It shares no code with the system or with the checkers but the names of the topics.
"""

import heapq
import random
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

PREFIX = "r1a2b3c-"
DATA = ("Pay-topic", "Stock-topic", "Outcomes-topic", "Outcome-checkout-topic")
GROUPS = {"Pay-topic": "pay", "Stock-topic": "stock", "Outcomes-topic": "order"}
WRITERS = {"Pay-topic": "driver", "Stock-topic": "driver", "Outcomes-topic": "pay-0"}
PRICE = 10
BATCH = 7
WALL_MS = 1_700_000_000_000
HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
TOPIC = pa.schema(
    [("partition", pa.int32()), ("offset", pa.int64()), ("timestamp_ms", pa.int64())]
    + [("key", pa.binary()), ("value", pa.binary()), ("headers", HEADERS)]
)
LIVE = pa.schema([("partition", pa.int32()), ("offset", pa.int64()), ("hash", pa.uint64()), ("read_ns", pa.int64())])
TIMES = ("polled_ns", "handled_ns", "stored_ns", "produced_ns", "committed_ns")
JOURNAL = pa.schema(
    [("generation", pa.int32()), ("topic", pa.string()), ("partition", pa.int32()), ("first_offset", pa.int64())]
    + [("last_offset", pa.int64()), ("records", pa.int32()), *((name, pa.int64()) for name in TIMES)]
    + [("transaction", pa.string())]
)
ACKS = pa.schema(
    [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64())]
    + [("error", pa.string()), ("transaction", pa.string())]
)
OFFSETS = pa.schema(
    [("group", pa.string()), ("topic", pa.string()), ("partition", pa.int32()), ("committed", pa.int64())]
    + [("end", pa.int64()), ("sampled_ns", pa.int64()), ("generation", pa.int32()), ("phase", pa.string())]
)
OPERATIONS = pa.schema(
    [("operation", pa.int64()), ("kind", pa.string()), ("entity", pa.string())]
    + [(f"{name}_ns", pa.int64()) for name in ("intended", "sent", "acknowledged", "completed")]
    + [(name, pa.string()) for name in ("outcome", "phase", "error", "request", "response")]
)
TABLES = {
    "order.orders": pa.schema(
        [("order_id", pa.string()), ("user_id", pa.string()), ("paid", pa.bool_()), ("status", pa.string())]
        + [("items", pa.string()), ("amount", pa.int64()), ("tr", pa.int32())]
    ),
    "order.decisions": pa.schema(
        [("order_id", pa.string()), ("tr", pa.int32()), ("decision", pa.string()), ("replies", pa.string())]
    ),
    "pay.users": pa.schema([("user_id", pa.string()), ("credit", pa.int64())]),
    "pay.inbox": pa.schema(
        [("order_id", pa.string()), ("tr", pa.int32()), ("was_rollback", pa.bool_()), ("outcome", pa.string())]
        + [("balance_after", pa.int64())]
    ),
    "stock.items": pa.schema([("item_id", pa.string()), ("stock", pa.int64()), ("price", pa.int64())]),
    "stock.inbox": pa.schema(
        [("order_id", pa.string()), ("tr", pa.int32()), ("was_rollback", pa.bool_()), ("outcome", pa.string())]
        + [("balance_after", pa.string())]
    ),
}
"""Table → columns as the recorder dumps them."""

Row = dict[str, Any]


@dataclass
class History:
    """A history in the making: the state of every service, and what it left in each file."""

    partitions: int
    random: random.Random
    orders: dict[str, Row] = field(default_factory=dict)
    credit: dict[str, int] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    initial: dict[str, list[Row]] = field(default_factory=dict)
    topics: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    pay_inbox: dict[tuple[str, int, bool], Row] = field(default_factory=dict)
    stock_inbox: dict[tuple[str, int, bool], Row] = field(default_factory=dict)
    decisions: dict[tuple[str, int], Row] = field(default_factory=dict)
    operations: list[Row] = field(default_factory=list)
    waiting: dict[tuple[str, int], list[Row]] = field(default_factory=lambda: defaultdict(list))
    halves: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    queue: list[tuple[int, int, Callable[[int], None]]] = field(default_factory=list)
    scheduled: int = 0
    duplicates: float = 0.0
    placed: dict[str, int] = field(default_factory=dict)

    def later(self, at_ns: int, action: Callable[[int], None]) -> None:
        """Do something at a time."""
        self.scheduled += 1
        heapq.heappush(self.queue, (at_ns, self.scheduled, action))

    def delay(self) -> int:
        """What a service takes to answer."""
        return self.random.randint(200_000, 3_000_000)

    def run(self) -> None:
        """Until nothing is left to do."""
        while self.queue:
            at_ns, _, action = heapq.heappop(self.queue)
            action(at_ns)

    def send(self, now: int, topic: str, key: str, value: Any) -> None:
        """Append a record, now and then twice, and let its reader know."""
        copies = 2 if self.random.random() < self.duplicates else 1
        partition = self.placed.get(key)
        if partition is None:
            partition = self.placed[key] = (murmur2(key.encode()) & 0x7FFFFFFF) % self.partitions
        for _ in range(copies):
            row = {"partition": partition, "timestamp_ms": WALL_MS + now // 1_000_000}
            self.topics[topic].append({**row, "key": key.encode(), "value": orjson.dumps(value), "headers": None})
        readers = {"Pay-topic": self.pay, "Stock-topic": self.take, "Outcomes-topic": self.join}
        reader = readers.get(topic, self.answer)
        self.later(now + self.delay(), lambda at: reader(at, key, value))

    def checkout(self, now: int, order_id: str) -> None:
        """A client checks an order out."""
        order = self.orders[order_id]
        request = f"POST /orders/checkout/{order_id}"
        operation = self.operate(now, "checkout", order_id, request)
        if order["status"] == "not_paid":
            order.update(tr=order["tr"] + 1, status="pending")
            key = f"{order_id}_{order['tr']}"
            self.waiting[order_id, order["tr"]].append(operation)
            self.send(now, "Pay-topic", key, ["pay", order["amount"], order["user_id"]])
            self.send(now, "Stock-topic", key, ["decrement", orjson.loads(order["items"])])
        elif order["status"] == "pending":
            self.waiting[order_id, order["tr"]].append(operation)
        else:
            complete(operation, now, "ok", {"tr": order["tr"]})

    def operate(self, now: int, kind: str, entity: str, request: str) -> Row:
        """A row of the clients' history."""
        row = {"operation": len(self.operations), "kind": kind, "entity": entity, "intended_ns": now, "sent_ns": now}
        row |= {"acknowledged_ns": now + 1000, "completed_ns": 0, "outcome": "info", "phase": "measure", "error": None}
        self.operations.append({**row, "request": request, "response": None})
        return self.operations[-1]

    def direct(self, now: int, kind: str, entity: str, amount: int) -> None:
        """Funds, a direct payment, or a change of a stock (a negative amount subtracts)."""
        table, noun = (self.stock, "stock") if kind == "stock" else (self.credit, "credit")
        verb = {"funds": "payment/add_funds", "payment": "payment/pay"}.get(kind, "stock/add")
        verb = "stock/subtract" if kind == "stock" and amount < 0 else verb
        operation = self.operate(now, kind, entity, f"POST /{verb}/{entity}/{abs(amount)}")
        change = -amount if kind == "payment" else amount
        if table[entity] + change < 0:
            complete(operation, now, "fail", {noun: table[entity]})
            return
        table[entity] += change
        complete(operation, now, "ok", {noun: table[entity]})

    def pay(self, now: int, key: str, value: Any) -> None:
        """The pay consumer."""
        order_id, tr = key.split("_")[0], int(key.split("_")[1])
        command, amount, user = value
        known = self.pay_inbox.get((order_id, tr, command == "can"))
        if known:
            self.send(now, "Outcomes-topic", key, [known["outcome"], amount])
            return
        if command == "can":
            self.credit[user] += amount
            outcome = "canok"
        else:
            outcome = "psuccess" if self.credit[user] >= amount else "pfail"
            self.credit[user] -= amount if outcome == "psuccess" else 0
        row = inbox_row(order_id, tr, command == "can", outcome)
        self.pay_inbox[order_id, tr, command == "can"] = {**row, "balance_after": self.credit[user]}
        self.send(now, "Outcomes-topic", key, [outcome, amount])

    def take(self, now: int, key: str, value: Any) -> None:
        """The stock consumer."""
        order_id, tr = key.split("_")[0], int(key.split("_")[1])
        command, lines = value
        back = command == "increment"
        known = self.stock_inbox.get((order_id, tr, back))
        if known:
            self.send(now, "Outcomes-topic", key, [known["outcome"], lines])
            return
        enough = back or all(self.stock[item] >= quantity for item, quantity in lines)
        for item, quantity in lines if enough else ():
            self.stock[item] += quantity if back else -quantity
        outcome = "incok" if back else "ssuccess" if enough else "sfail"
        after = orjson.dumps([self.stock[item] for item, _ in lines]).decode()
        self.stock_inbox[order_id, tr, back] = {**inbox_row(order_id, tr, back, outcome), "balance_after": after}
        self.send(now, "Outcomes-topic", key, [outcome, lines])

    def join(self, now: int, key: str, value: Any) -> None:
        """The order consumer."""
        order_id, tr = key.split("_")[0], int(key.split("_")[1])
        seen = self.halves[key]
        if value[0] in seen:
            return
        seen.add(value[0])
        order = self.orders[order_id]
        if value[0] in ("canok", "incok"):
            order["status"] = "not_paid"
            self.send(now, "Outcome-checkout-topic", key, "fail")
            return
        if not seen & {"psuccess", "pfail"} or not seen & {"ssuccess", "sfail"}:
            return
        success = {"psuccess", "ssuccess"} <= seen
        compensation = None
        if seen == {"psuccess", "sfail"}:
            compensation = ["Pay-topic", ["can", order["amount"], order["user_id"]]]
        elif seen == {"pfail", "ssuccess"}:
            compensation = ["Stock-topic", ["increment", orjson.loads(order["items"])]]
        reply = compensation or ["Outcome-checkout-topic", "success" if success else "fail"]
        row = {"order_id": order_id, "tr": tr, "decision": "success" if success else "fail"}
        self.decisions[order_id, tr] = {**row, "replies": orjson.dumps([reply]).decode()}
        if compensation is None:
            order.update(status="paid" if success else "not_paid", paid=success)
        self.send(now, str(reply[0]), key, reply[1])

    def answer(self, now: int, key: str, value: Any) -> None:
        """The client reads the terminal outcome."""
        order_id, tr = key.split("_")[0], int(key.split("_")[1])
        for operation in self.waiting.pop((order_id, tr), ()):
            complete(operation, now, "ok" if value == "success" else "fail", {"tr": tr})


def complete(operation: Row, now: int, outcome: str, response: Row) -> None:
    """The client's outcome."""
    operation |= {"completed_ns": now + 1, "outcome": outcome, "response": orjson.dumps(response).decode()}


def inbox_row(order_id: str, tr: int, was_rollback: bool, outcome: str) -> Row:
    """A row of an inbox without its balance."""
    return {"order_id": order_id, "tr": tr, "was_rollback": was_rollback, "outcome": outcome}


def murmur2(data: bytes) -> int:
    """Kafka's murmur2, as its Java client words it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def legal_history(orders: int, *, seed: int = 1, partitions: int = 4, duplicates: float = 0.0) -> History:
    """A history of some orders with every way to fail, repeated checkouts, funds, payments and stock changes."""
    chance = random.Random(seed)
    history = History(partitions, chance, duplicates=duplicates)
    users, items = max(orders // 5, 3), max(orders // 20, 4)
    for user in range(users):
        history.credit[str(user)] = 0 if user % 9 == 8 else 1_000_000
    for item in range(items):
        history.stock[str(item)] = 0 if item % 12 == 3 else 1_000_000
    for number in range(orders):
        lines = [[str(item), chance.randint(1, 3)] for item in chance.sample(range(items), chance.randint(1, 3))]
        row = {"order_id": str(number), "user_id": str(chance.randrange(users)), "paid": False, "status": "not_paid"}
        amount = PRICE * sum(int(line[1]) for line in lines)
        history.orders[str(number)] = {**row, "items": orjson.dumps(lines).decode(), "amount": amount, "tr": 0}
    history.initial = tables(history)
    for number in range(orders):
        at = 1_000_000_000 + number * 50_000
        history.later(at, lambda now, name=str(number): history.checkout(now, name))  # type: ignore[misc]
        if number % 10 == 5:
            again = at + 40_000_000
            user = history.orders[str(number)]["user_id"]
            history.later(again - 1, lambda now, name=user: history.direct(now, "funds", name, 500))  # type: ignore[misc]
            history.later(again, lambda now, name=str(number): history.checkout(now, name))  # type: ignore[misc]
        if number % 50 == 7:
            history.later(at, lambda now, name=str(number % users): history.direct(now, "payment", name, 30))  # type: ignore[misc]
            history.later(at, lambda now, name=str(number % items): history.direct(now, "stock", name, -2))  # type: ignore[misc]
            history.later(at, lambda now, name=str(number % items): history.direct(now, "stock", name, 5))  # type: ignore[misc]
    history.run()
    return history


def tables(history: History) -> dict[str, list[Row]]:
    """Every table as it stands."""
    return {
        "order.orders": [dict(row) for row in history.orders.values()],
        "order.decisions": list(history.decisions.values()),
        "pay.users": [{"user_id": user, "credit": credit} for user, credit in history.credit.items()],
        "pay.inbox": list(history.pay_inbox.values()),
        "stock.items": [{"item_id": item, "stock": n, "price": PRICE} for item, n in history.stock.items()],
        "stock.inbox": list(history.stock_inbox.values()),
    }


def write(history: History, folder: Path, *, condition: str = "none", guarantee: str = "idempotent") -> Path:
    """The run folder of a history."""
    for rows in history.topics.values():
        number_offsets(rows, history.partitions)
    history.topics["Outc-offs-topic"] = watermarks(history)
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
    write_events(history, folder)
    run = {"schema_version": 1, "run_id": "r1a2b3c", "scenario": "checkout", "guarantee": guarantee, "fault": "none"}
    run |= {"broken": None, "seed": 1, "prefix": PREFIX, "condition": condition}
    run["knobs"] = {"partitions": {"value": history.partitions, "unit": "partitions"}}
    last = max((row["completed_ns"] for row in history.operations), default=0)
    run["phases"] = [
        {"name": "measure", "begin": 900_000_000, "end": last},
        {"name": "drain", "begin": last, "end": last + 10**9},
    ]
    (folder / "run.json").write_bytes(orjson.dumps(run))
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


def save(path: Path, rows: list[Row], schema: Any) -> None:
    """A Parquet file, missing columns as null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    pq.write_table(pa.table(columns, schema=schema), path)
