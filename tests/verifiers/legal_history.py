"""A legal history of `checkout` in memory: what the checkers must call VALID once `run_folder` has written it.

A small discrete-event model of the choreography: operations arrive at times, services answer after random delays, every
table and topic follows. It shares no code with the system or with the checkers but the names of the topics.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

PRICE = 10
WALL_MS = 1_700_000_000_000
Row = dict[str, Any]
Value = Any


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

    def send(self, now: int, topic: str, key: str, value: Value) -> None:
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

    def pay(self, now: int, key: str, value: Value) -> None:
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

    def take(self, now: int, key: str, value: Value) -> None:
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

    def join(self, now: int, key: str, value: Value) -> None:
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

    def answer(self, now: int, key: str, value: Value) -> None:
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
        chosen = chance.sample(range(items), chance.randint(1, 3))
        lines: list[tuple[str, int]] = [(str(item), chance.randint(1, 3)) for item in chosen]
        row = {"order_id": str(number), "user_id": str(chance.randrange(users)), "paid": False, "status": "not_paid"}
        amount = PRICE * sum(quantity for _, quantity in lines)
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
