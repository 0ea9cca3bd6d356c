"""A batch behind an inbox: only what is new reaches the handler; what was done before is answered from the stored
outcome.
"""

from collections.abc import Sequence

from system.kafka.batch import Batch, Outgoing
from system.runtime.service import InboxHandler, Replies
from system.store import inbox
from system.store.inbox import Claim
from system.store.postgres import Transaction


def apply_once(batch: Batch, db: Transaction, handler: InboxHandler, *, cautious: bool = True) -> Replies:
    """State, inbox rows and replies of `batch`, inside the open transaction `db`. Raises `Raced`.

    The same message twice in one batch is handled once. A reply stands for every record, new or old, in the order of
    the batch: a crash between the database commit and the produce must not lose it for ever.

    Where nothing speaks for a repetition (`cautious` false) every message is taken for new. The inbox itself refuses
    what is not: `Raced`, and the caller does the batch again, cautiously.
    """
    claims = handler.claims(batch)
    undone = handler.undone(claims)
    distinct = dict.fromkeys(claims)
    asked = [*dict.fromkeys([*distinct, *undone.values()])] if cautious else list(undone.values())
    known = inbox.look_up(asked, db)
    if not undone and not known and len(distinct) == len(claims):
        return replies(batch, _decide(batch, claims, db, handler), handler)
    new: dict[Claim, int] = {}
    for row, claim in enumerate(claims):
        if claim not in known:
            new.setdefault(claim, row)
    if new:
        prior = [known.get(undone[claim]) if claim in undone else None for claim in new]
        fresh = batch.take(list(new.values()), prior=prior)
        known.update(zip(new, _decide(fresh, list(new), db, handler), strict=True))
    return replies(batch, [known[claim] for claim in claims], handler)


def _decide(fresh: Batch, claims: list[Claim], db: Transaction, handler: InboxHandler) -> Sequence[str]:
    decided = handler.handle(fresh, db)
    inbox.store(claims, decided.outcomes, decided.balances_after, db=db, balance_type=handler.balance_type)
    return decided.outcomes


def apply_always(batch: Batch, db: Transaction, handler: InboxHandler) -> Replies:
    """The same without an inbox: every record is handled, and a compensation takes its step for having succeeded."""
    claims = handler.claims(batch)
    undone = handler.undone(claims)
    prior = [handler.success if claim in undone else None for claim in claims]
    decided = handler.handle(batch.take(range(len(batch)), prior=prior), db)
    return replies(batch, decided.outcomes, handler)


def replies(batch: Batch, outcomes: Sequence[str], handler: InboxHandler) -> Replies:
    """One reply a record, under the record's own key."""
    keys = [f"{order_id}_{tr}" for order_id, tr in batch.keys]
    values = [handler.reply(value, outcome) for value, outcome in zip(batch.values, outcomes, strict=True)]
    return Replies([Outgoing(handler.reply_topic, keys, values)])
