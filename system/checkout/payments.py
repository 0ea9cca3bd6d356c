"""The payment API: credit, and its changes that are no part of a saga, a batch at a time inside the caller's
transaction.
"""

from collections.abc import Sequence

from system.store.balances import Balances
from system.store.postgres import Transaction

CREDIT = Balances("users", "user_id", "credit")


def add_funds(user_ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[int | None]:
    """The credit after each, in order; None for an unknown user."""
    return [after for _, after in CREDIT.change(user_ids, amounts, db)]


def pay(user_ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[tuple[bool, int | None]]:
    """(paid, credit after) of each direct payment, in order; refused ones change nothing."""
    return CREDIT.change(user_ids, [-amount for amount in amounts], db)
