"""The pay consumer: takes an order's amount from its user's credit, and gives it back when the order failed
elsewhere.
"""

from typing import Any

from system.checkout.payments import CREDIT
from system.kafka.batch import Batch
from system.runtime.service import Outcomes
from system.store.postgres import Transaction


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
    # Credits before the batch, from which each record's own balance follows in order.
    credit, stored = CREDIT.settle(debits, refunds, db)
    outcomes, balances = _one_by_one(rows, credit)
    CREDIT.put({user: left for user, left in credit.items() if left != stored[user]}, db)
    return Outcomes(outcomes, balances)


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
