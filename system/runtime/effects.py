"""A batch behind an inbox: only what is new reaches the handler; what was done before is answered from the stored
outcome.
"""

from system.kafka.batch import Batch, Outgoing
from system.runtime.service import InboxHandler, Replies
from system.store import inbox
from system.store.inbox import Claim
from system.store.postgres import Transaction


def apply_once(batch: Batch, db: Transaction, handler: InboxHandler) -> Replies:
    """State, inbox rows and replies of `batch`, inside the open transaction `db`. Raises `Raced`.

    The same message twice in one batch is handled once. A reply stands for every record, new or old, in the order of
    the batch: a crash between the database commit and the produce must not lose it for ever.
    """
    claims = handler.claims(batch)
    undone = {claim: step for claim in claims if (step := handler.undone(claim)) is not None}
    known = inbox.look_up([*dict.fromkeys([*claims, *undone.values()])], db)
    new: dict[Claim, int] = {}
    for row, claim in enumerate(claims):
        if claim not in known:
            new.setdefault(claim, row)
    fresh = batch
    if len(new) < len(batch) or undone:
        prior = [known.get(undone[claim]) if claim in undone else None for claim in new]
        fresh = batch.take(list(new.values()), prior=prior)
    if new:
        decided = handler.handle(fresh, db)
        inbox.store(list(new), decided.outcomes, decided.balances_after, db=db, balance_type=handler.balance_type)
        known.update(zip(new, decided.outcomes, strict=True))
    return replies(batch, [known[claim] for claim in claims], handler)


def apply_always(batch: Batch, db: Transaction, handler: InboxHandler) -> Replies:
    """The same without an inbox: every record is handled, and a compensation takes its step for having succeeded."""
    claims = handler.claims(batch)
    prior = [handler.success if handler.undone(claim) is not None else None for claim in claims]
    decided = handler.handle(batch.take(range(len(batch)), prior=prior), db)
    return replies(batch, list(decided.outcomes), handler)


def replies(batch: Batch, outcomes: list[str], handler: InboxHandler) -> Replies:
    """One reply a record, under the record's own key."""
    keys = [f"{order_id}_{tr}" for order_id, tr in batch.keys]
    values = [handler.reply(value, outcome) for value, outcome in zip(batch.values, outcomes, strict=True)]
    return Replies([Outgoing(handler.reply_topic, keys, values)])
