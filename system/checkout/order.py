"""The order consumer: joins both outcomes of a transaction, decides it once, compensates, and answers the checkout.

`fail` goes out, and the order leaves `pending`, only after the compensation was acknowledged: a client that reads
credit or stock then sees them restored, and tr# + 1 of an order never overtakes the compensation of tr#.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from system.checkout.contract import OUTCOME_CHECKOUT, PAY, STOCK
from system.kafka.batch import Batch, Json, Outgoing, wire
from system.runtime.pending import Half, Pending, PendingChange
from system.runtime.service import Replies
from system.store.postgres import Transaction, int_array, text_array

Key = tuple[str, int]
Message = tuple[str, Any]
"""(topic, value) of a record under the transaction's key."""

SUCCESS_MESSAGE: Message = (OUTCOME_CHECKOUT, "success")
FAIL_MESSAGE: Message = (OUTCOME_CHECKOUT, "fail")

_HALVES = {"psuccess": "pay", "pfail": "pay", "ssuccess": "stock", "sfail": "stock"}

_COMPENSATED = frozenset({"canok", "incok"})

_DECISIONS = """
    SELECT v.n, d.decision, d.replies
    FROM unnest(%s::text[], %s::int[]) WITH ORDINALITY AS v(order_id, tr, n)
    JOIN decisions d ON d.order_id = v.order_id AND d.tr = v.tr"""

_DECIDE = """
    INSERT INTO decisions (order_id, tr, decision, replies)
    SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[])"""

_CLOSE = """
    UPDATE orders o SET status = v.status, paid = v.status = 'paid'
    FROM unnest(%s::text[], %s::int[], %s::text[]) AS v(order_id, tr, status)
    WHERE o.order_id = v.order_id AND o.tr = v.tr AND o.status = 'pending'"""

_USERS = "SELECT order_id, user_id FROM orders WHERE order_id = ANY(%s::text[])"


@dataclass(slots=True)
class Work:
    """What a batch leads to, collected record by record."""

    halves: dict[Key, Half] = field(default_factory=dict)
    decided: dict[Key, Half] = field(default_factory=dict)
    decisions: dict[Key, tuple[Half, Half]] = field(default_factory=dict)
    released: dict[Key, None] = field(default_factory=dict)
    resent: dict[Key, None] = field(default_factory=dict)
    change: PendingChange = field(default_factory=lambda: PendingChange([], [], []))


def half(value: Json) -> str | None:
    """`pay` or `stock` for an outcome; None for the acknowledgement of a compensation, which takes no part in the
    join.
    """
    return _HALVES.get(value[0])


def decided(keys: Sequence[Key], db: Transaction) -> set[Key]:
    """Those of `keys` whose decision is durable."""
    return set(_look_up(keys, db))


def order(outcomes: Batch, db: Transaction, pending: Pending) -> Replies:
    """Both outcomes of a key seen ⇒ one decision, with its order's state in the same transaction. Raises `Raced`.

    A second outcome of the same kind changes nothing; a record of a decided transaction never becomes pending, and the
    second of its two outcomes sends the stored decision's messages again (the inboxes absorb them): as the decision
    itself, which was made when both had been seen.

    Past its partition's horizon nothing speaks for a repetition, and an outcome is taken for new. A decision that is
    there all the same refuses the second (`Raced`: the batch is done again below a horizon), and a half whose other
    half was decided long ago is forgotten by the low watermark.
    """
    known = _look_up(doubtful(outcomes, pending), db)
    work = join(outcomes, known, pending)
    replies = _replies_of(work.decisions, db)
    _store(work, replies, db)
    messages = [(key, message) for key in work.resent for message in known[key][1]]
    messages += [(key, message) for key, own in replies.items() for message in own]
    messages += [(key, FAIL_MESSAGE) for key in work.released]
    return Replies(_outgoing(messages), work.change)


def doubtful(outcomes: Batch, pending: Pending) -> list[Key]:
    """The keys that may have been decided: those of compensations, and those that may have been read before."""
    horizon = {partition: state.horizon for partition, state in pending.items()}
    rows = zip(outcomes.partitions, outcomes.offsets, outcomes.keys, outcomes.values, strict=True)
    doubtful = [
        key for partition, offset, key, value in rows if offset < horizon[partition] or value[0] in _COMPENSATED
    ]
    return list(dict.fromkeys(doubtful))


def join(outcomes: Batch, known: dict[Key, tuple[str, list[Message]]], pending: Pending) -> Work:
    """What a batch leads to, where `known` are the decisions of its doubtful keys. Pure."""
    work = Work()
    for partition, offset, key, value in zip(
        outcomes.partitions, outcomes.offsets, outcomes.keys, outcomes.values, strict=True
    ):
        name = _HALVES.get(value[0])
        if name is None:
            if key in known and known[key][0] == "fail":
                work.released[key] = None
            continue
        mine = Half(offset, name, value)
        if key in known:
            # An aborted transaction is done again, perhaps in two batches: at the first outcome it is too early.
            if _other_was_seen(mine, (work.decided.setdefault(key, mine), *pending[partition].seen(key))):
                work.resent[key] = None
            work.change.closed.append((partition, key))
            work.change.skipped.append((partition, key, mine))
        if key in known or key in work.decisions:
            continue
        seen = work.halves.get(key) or pending[partition].halves.get(key)
        if seen is None:
            work.halves[key] = mine
            work.change.opened.append((partition, key, mine))
        elif seen.name != name:
            work.decisions[key] = (seen, mine) if name == "stock" else (mine, seen)
            work.change.closed.append((partition, key))
    return work


def _other_was_seen(mine: Half, seen: Sequence[Half]) -> bool:
    return any(half.name != mine.name for half in seen)


def _look_up(keys: Sequence[Key], db: Transaction) -> dict[Key, tuple[str, list[Message]]]:
    """Key → (decision, its messages), for those decided."""
    if not keys:
        return {}
    order_ids, trs = zip(*keys, strict=True)
    rows = db.rows(_DECISIONS, (text_array(order_ids), int_array(trs)))
    return {keys[n - 1]: (decision, [tuple(m) for m in orjson.loads(replies)]) for n, decision, replies in rows}


def _replies_of(decisions: dict[Key, tuple[Half, Half]], db: Transaction) -> dict[Key, list[Message]]:
    """Key → the messages of its decision: the answer, or first the compensation of the step that succeeded."""
    failed_stock = [key[0] for key, (p, s) in decisions.items() if (p.value[0], s.value[0]) == ("psuccess", "sfail")]
    users: dict[str, str] = {}
    if failed_stock:
        users.update(db.rows(_USERS, (text_array(failed_stock),)))
    replies: dict[Key, list[Message]] = {}
    for key, (paid, taken) in decisions.items():
        pay_went, stock_went = paid.value[0] == "psuccess", taken.value[0] == "ssuccess"
        if pay_went and stock_went:
            replies[key] = [SUCCESS_MESSAGE]
        elif pay_went:
            replies[key] = [(PAY, ["can", paid.value[1], users[key[0]]])]
        elif stock_went:
            replies[key] = [(STOCK, ["increment", taken.value[1]])]
        else:
            replies[key] = [FAIL_MESSAGE]
    return replies


def _store(work: Work, replies: dict[Key, list[Message]], db: Transaction) -> None:
    if replies:
        order_ids, trs = zip(*replies, strict=True)
        decisions = ["success" if own[0] is SUCCESS_MESSAGE else "fail" for own in replies.values()]
        stored = [
            _SUCCESS_JSON if own[0] is SUCCESS_MESSAGE else orjson.dumps(own).decode() for own in replies.values()
        ]
        columns = (text_array(order_ids), int_array(trs), text_array(decisions), text_array(stored))
        db.later(_DECIDE, columns)
    statuses = {key: "paid" for key, own in replies.items() if own[0] is SUCCESS_MESSAGE}
    statuses.update({key: "not_paid" for key, own in replies.items() if own[0] is FAIL_MESSAGE})
    statuses.update(dict.fromkeys(work.released, "not_paid"))
    if statuses:
        closed = sorted(statuses)
        order_ids, trs = zip(*closed, strict=True)
        named = text_array([statuses[key] for key in closed])
        db.later(_CLOSE, (text_array(order_ids), int_array(trs), named))


_SUCCESS_JSON = orjson.dumps([SUCCESS_MESSAGE]).decode()


def _outgoing(messages: Sequence[tuple[Key, Message]]) -> list[Outgoing]:
    """One `Outgoing` a topic, compensations first: the answer of a later transaction never waits for them."""
    outgoing = []
    for topic in (PAY, STOCK, OUTCOME_CHECKOUT):
        rows = [(f"{key[0]}_{key[1]}", value) for key, (to, value) in messages if to == topic]
        if rows:
            keys, values = zip(*rows, strict=True)
            outgoing.append(Outgoing(topic, keys, [wire(value) for value in values]))
    return outgoing
