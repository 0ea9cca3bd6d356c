"""The pay consumer: takes an order's amount from its user's credit, and gives it back when the order failed
elsewhere.
"""

from typing import Any

from system.checkout.payments import CREDIT
from system.kafka.batch import Batch
from system.runtime.service import Outcomes
from system.store.postgres import Transaction, int_array, text_array

# One statement settles every user whose credit covers all of the batch's debits, in whatever order they stand. The
# input is sorted: rows are locked in the order of the ids, so that two workers wait for each other instead of
# deadlocking.
_SETTLE = """
    UPDATE users u SET credit = u.credit - v.debit + v.refund
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS v(user_id, debit, refund)
    WHERE u.user_id = v.user_id AND u.credit >= v.debit
    RETURNING u.user_id, u.credit"""


def pay(commands: Batch, db: Transaction) -> Outcomes:
    """`["pay", amount, user]` → `psuccess` or `pfail`; `["can", amount, user]` → `canok`. Balances are the user's
    credit.

    A payment is refused when the credit does not cover it or the user does not exist; credit never falls below zero. A
    cancellation gives back only what a successful payment took.
    """
    prior = commands.prior or [None] * len(commands)
    rows = [
        (key, user, amount, kind == "can", kind == "can" and before == "psuccess")
        for key, (kind, amount, user), before in zip(commands.keys, commands.values, prior, strict=True)
    ]
    debits: dict[str, int] = {}
    refunds: dict[str, int] = {}
    for _, user, amount, is_cancel, refunded in rows:
        if not is_cancel:
            debits[user] = debits.get(user, 0) + amount
        else:
            refunds[user] = refunds.get(user, 0) + (amount if refunded else 0)
    contested = _cancelled_in_the_same_batch(commands)
    credits_after = _settle(debits, refunds, contested, db)
    # Credits before the batch, from which each record's own balance follows in order.
    credit = {user: after + debits.get(user, 0) - refunds.get(user, 0) for user, after in credits_after.items()}
    left = CREDIT.lock({row[1] for row in rows}.difference(credit), db)
    credit.update(left)
    outcomes, balances = _one_by_one(rows, credit)
    CREDIT.put({user: credit[user] for user in left}, db)
    return Outcomes(outcomes, balances)


def _cancelled_in_the_same_batch(commands: Batch) -> set[str]:
    """Users of an order whose payment and cancellation are both new here: only row by row does the second see the
    first.
    """
    cancelled = {key for key, value in commands.rows() if value[0] == "can"}
    if not cancelled:
        return set()
    return {value[2] for key, value in commands.rows() if key in cancelled and value[0] == "pay"}


def _settle(debits: dict[str, int], refunds: dict[str, int], contested: set[str], db: Transaction) -> dict[str, int]:
    users = sorted((debits.keys() | refunds.keys()) - contested)
    if not users:
        return {}
    columns = (
        text_array(users),
        int_array([debits.get(user, 0) for user in users]),
        int_array([refunds.get(user, 0) for user in users]),
    )
    return dict(db.execute(_SETTLE, columns, prepare=True).fetchall())


def _one_by_one(
    rows: list[tuple[Any, str, int, bool, bool]], credit: dict[str, int]
) -> tuple[list[str], list[int | None]]:
    """Outcome and balance of each record, in order; moves `credit` (user → credit) along."""
    outcomes: list[str] = []
    balances: list[int | None] = []
    paid_here: set[Any] = set()
    for key, user, amount, is_cancel, refunded in rows:
        balance = credit.get(user)
        if is_cancel:
            outcome = "canok"
            if balance is not None and (refunded or key in paid_here):
                balance += amount
        elif balance is None or balance < amount:
            outcome = "pfail"
        else:
            outcome = "psuccess"
            balance -= amount
            paid_here.add(key)
        if balance is not None:
            credit[user] = balance
        outcomes.append(outcome)
        balances.append(balance)
    return outcomes, balances
