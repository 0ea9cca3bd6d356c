"""The payment API: credit, and its changes that are no part of a saga, a batch at a time inside the caller's
transaction.
"""

from collections.abc import Sequence

from system.store.balances import Balances
from system.store.postgres import Transaction

CREDIT = Balances("users", "user_id", "credit")


def change(user_ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[tuple[bool, int | None]]:
    """Funds added (amount above 0) and direct payments (below), in order: (applied, credit after) of each.

    A payment that the credit does not cover changes nothing; an unknown user is (False, None). All rows are locked at
    once, in the order of their ids, as the services do: nobody deadlocks.
    """
    return CREDIT.change(user_ids, amounts, db)
