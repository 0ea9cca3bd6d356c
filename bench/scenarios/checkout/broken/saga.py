"""Wrong systems of the saga: a handler, its inbox or its rebuild is wrong, in a way that public implementations of this
saga got it wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bench.scenario import Broken, Services
from bench.scenarios.checkout.broken.pieces import in_handler
from system.checkout.contract import OUTCOME_CHECKOUT, PAY, STOCK
from system.checkout.order import order
from system.checkout.pay import pay
from system.checkout.services import claims, reply
from system.checkout.stock import stock
from system.checkout.stocks import STOCK as STOCKS
from system.kafka.batch import Batch, Json, Outgoing
from system.runtime.effects import apply_always, apply_once
from system.runtime.pending import Pending, PendingChange
from system.runtime.service import InboxHandler, Outcomes, Replies
from system.store import inbox
from system.store.inbox import Claim
from system.store.postgres import Transaction, int_array, text_array

_CLOSE_UNPAID = """
    UPDATE orders o SET status = 'not_paid' FROM unnest(%s::text[], %s::int[]) AS v(order_id, tr)
    WHERE o.order_id = v.order_id AND o.tr = v.tr AND o.status = 'pending'"""


def _claims_by_offset(batch: Batch) -> list[Claim]:
    """Takes the place in the log for the identity of the message: the same message at another offset is new."""
    return [
        claim._replace(order_id=f"{claim.order_id}@{partition}.{offset}")
        for claim, partition, offset in zip(claims(batch), batch.partitions, batch.offsets, strict=True)
    ]


def _apply_silently(batch: Batch, db: Transaction, handler: InboxHandler) -> Replies:
    """Recognises what it did before, and does not answer it again: the reply of a batch that died after its commit is
    lost.
    """
    known = inbox.look_up(list(dict.fromkeys(handler.claims(batch))), db)
    fresh = batch.take([row for row, claim in enumerate(handler.claims(batch)) if claim not in known])
    if not len(fresh):
        return Replies([])
    return apply_once(fresh, db, handler)


def _keys_of(sent: Replies, topics: Sequence[str]) -> list[str]:
    return [key for outgoing in sent.outgoing if outgoing.topic in topics for key in outgoing.keys]


def _answer(keys: Sequence[str]) -> list[Outgoing]:
    return [Outgoing(OUTCOME_CHECKOUT, keys, [b'"fail"'] * len(keys))] if keys else []


def _close_unpaid(keys: Sequence[str], db: Transaction) -> None:
    pairs = [key.rpartition("_") for key in keys]
    columns = (text_array([pair[0] for pair in pairs]), int_array(int(pair[2]) for pair in pairs))
    db.execute(_CLOSE_UNPAID, columns)


def _reply_before_compensation(outcomes: Batch, db: Transaction, pending: Pending) -> Replies:
    """Answers `fail` together with the compensation instead of after its acknowledgement."""
    right = order(outcomes, db, pending)
    compensated = _keys_of(right, (PAY, STOCK))
    _close_unpaid(compensated, db)
    acknowledged = {f"{key[0]}_{key[1]}" for key, value in outcomes.rows() if value[0] in ("canok", "incok")}
    answers = [
        Outgoing(one.topic, *zip(*kept, strict=True)) if one.topic == OUTCOME_CHECKOUT else one
        for one in right.outgoing
        if one.topic != OUTCOME_CHECKOUT
        or (kept := [row for row in zip(one.keys, one.values, strict=True) if row[0] not in acknowledged])
    ]
    return replace(right, outgoing=_answer(compensated) + answers)


def _compensation_twice(outcomes: Batch, db: Transaction, pending: Pending) -> Replies:
    """Sends each compensation two times."""
    right = order(outcomes, db, pending)
    again = [outgoing for outgoing in right.outgoing if outgoing.topic in (PAY, STOCK)]
    return replace(right, outgoing=[*right.outgoing, *again])


def _compensation_never(outcomes: Batch, db: Transaction, pending: Pending) -> Replies:
    """Answers `fail` and leaves the step that succeeded as it is."""
    right = order(outcomes, db, pending)
    compensated = _keys_of(right, (PAY, STOCK))
    _close_unpaid(compensated, db)
    kept = [outgoing for outgoing in right.outgoing if outgoing.topic == OUTCOME_CHECKOUT]
    return replace(right, outgoing=kept + _answer(compensated))


def _watermark_never_moves(outcomes: Batch, db: Transaction, pending: Pending) -> Replies:
    """Keeps every finished transaction for half-finished, and takes none for decided: L stays where it was."""
    right = order(outcomes, db, pending)
    assert right.change is not None
    return replace(right, change=PendingChange(right.change.opened, [], []))


def _nothing_decided(_keys: Sequence[Any], _db: Transaction) -> set[Any]:
    """The source's own wording: what stands in [L, committed) is rebuilt without asking what was decided."""
    return set()


def _rebuild_decides(keys: Sequence[Any], db: Transaction) -> set[Any]:
    """Acts on what it only should read: a half-finished transaction found in the rebuild is decided, as failed."""
    order_ids, trs = zip(*keys, strict=True)
    columns = (text_array(order_ids), int_array(trs))
    db.execute(
        """INSERT INTO decisions (order_id, tr, decision, replies)
        SELECT v.*, 'fail', '[["Outcome-checkout-topic","fail"]]' FROM unnest(%s::text[], %s::int[]) AS v
        ON CONFLICT DO NOTHING""",
        columns,
    )
    db.execute(_CLOSE_UNPAID, columns)
    return set(keys)


def _wrong_user(commands: Batch, db: Transaction) -> Outcomes:
    """Charges the user of the neighbouring payment, now and then: every sum stays right."""
    values = [list(value) for value in commands.values]
    payments = [row for row, value in enumerate(values) if value[0] == "pay"]
    for left, right in zip(payments[0::40], payments[1::40], strict=False):
        values[left][2], values[right][2] = values[right][2], values[left][2]
    return pay(replace(commands, values=values), db)


def _unchecked_credit(commands: Batch, db: Transaction) -> Outcomes:
    """Takes what is there and calls it paid."""
    right = pay(commands, db)
    return Outcomes(["psuccess" if outcome == "pfail" else outcome for outcome in right.outcomes], right.balances_after)


def _partial_decrement(commands: Batch, db: Transaction) -> Outcomes:
    """Takes the items of a refused order that are there, and refuses it all the same."""
    right = stock(commands, db)
    lines = [
        line
        for (_, wanted), outcome in zip(commands.values, right.outcomes, strict=True)
        if outcome == "sfail"
        for line in wanted
    ]
    STOCKS.change([item for item, _ in lines], [-quantity for _, quantity in lines], db)
    return right


def _altered_amount(value: Json, outcome: str) -> bytes:
    """Answers with an amount that was not asked for, when the payment is a multiple of seven."""
    amount = value[1] + 1 if value[1] % 7 == 0 else value[1]
    return reply([value[0], amount], outcome)


def _other_partitioner(services: Services) -> Services:
    return {**services, "pay": replace(services["pay"], producer={"partitioner": "fnv1a_random"})}


SAGA: Mapping[str, Broken] = MappingProxyType(
    {
        "no-inbox": Broken(
            story="pay keeps no inbox: a batch that comes again charges again",
            caught_by=("double-effect", "balance-difference"),
            condition="redelivery",
            fault="crash:pay@after-state#8",
            services=in_handler("pay", apply=apply_always),
        ),
        "inbox-by-offset": Broken(
            story="stock recognises a message by its offset: the same message sent again is done again",
            caught_by=("double-effect", "phantom-effect", "missing-effect"),
            condition="restart",
            fault="crash:checkout@after-produce#6",
            services=in_handler("stock", claims=_claims_by_offset),
        ),
        "silent-inbox": Broken(
            story="pay does not answer again what it did before: a batch that died after its commit loses its replies",
            caught_by=("incomplete-saga",),
            drain_deadline_s=6.0,
            condition="redelivery",
            fault="crash:pay@after-state#8",
            services=in_handler("pay", apply=_apply_silently),
        ),
        "reply-before-compensation": Broken(
            story="order answers fail before the compensation was acknowledged",
            caught_by=("causal-violation", "compensation-race"),
            condition="compensation",
            services=in_handler("order", handle=_reply_before_compensation),
        ),
        "compensation-twice": Broken(
            story="order sends each compensation twice",
            caught_by=("double-compensation", "duplicate"),
            condition="compensation",
            services=in_handler("order", handle=_compensation_twice),
        ),
        "compensation-never": Broken(
            story="order answers fail and compensates nothing",
            caught_by=("missing-compensation",),
            condition="compensation",
            services=in_handler("order", handle=_compensation_never),
        ),
        "wrong-user": Broken(
            story="pay charges the user of another payment now and then, with every sum preserved",
            caught_by=("phantom-effect", "balance-difference"),
            services=in_handler("pay", handle=_wrong_user),
        ),
        "unchecked-credit": Broken(
            story="pay calls a payment successful that the credit did not cover",
            caught_by=("phantom-effect", "balance-difference"),
            condition="contention",
            services=in_handler("pay", handle=_unchecked_credit),
        ),
        "partial-decrement": Broken(
            story="stock takes those items of a refused order that are there",
            caught_by=("phantom-effect", "balance-difference"),
            condition="contention",
            services=in_handler("stock", handle=_partial_decrement),
        ),
        "altered-amount": Broken(
            story="pay answers with another amount than it was asked for",
            caught_by=("response-state-mismatch",),
            services=in_handler("pay", reply=_altered_amount),
        ),
        "rebuild-leaks": Broken(
            story="order rebuilds by the source's wording, without asking what was decided: L stays pinned",
            caught_by=("pinned-watermark",),
            condition="rebuild-of-finished",
            # Whether L has just been published is luck, so it is tried three times.
            fault="crash:order@after-commit#8+crash:order@after-commit#5+crash:order@after-commit#6",
            operations=5_600,
            rate="700",
            services=in_handler("order", decided=_nothing_decided),
        ),
        "rebuild-acts": Broken(
            story="order decides half-finished transactions while it only should read them back",
            caught_by=("conflicting-terminal", "missing-compensation", "response-state-mismatch"),
            condition="rebuild",
            # While pay is away, every order is half-finished.
            fault="crash:pay@after-poll#3+crash:order@after-commit#20",
            operations=3_000,
            services=in_handler("order", decided=_rebuild_decides),
        ),
        "watermark-never-moves": Broken(
            story="order never takes a finished transaction out of its half-finished ones",
            caught_by=("pinned-watermark",),
            services=in_handler("order", handle=_watermark_never_moves, decided=_nothing_decided),
        ),
        "other-partitioner": Broken(
            story="pay's producer spreads keys by another hash: the two outcomes of an order never meet",
            caught_by=("wrong-partition",),
            drain_deadline_s=3.0,
            services=_other_partitioner,
        ),
    }
)
"""Name → wrong system."""
