"""The stock API: stock, and its changes that are no part of a saga, a batch at a time inside the caller's
transaction.
"""

from collections.abc import Sequence

from system.store.balances import Balances
from system.store.postgres import Transaction

STOCK = Balances("items", "item_id", "stock")


def change(item_ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[tuple[bool, int | None]]:
    """Stock added (amount above 0) and taken (below), in order: (applied, stock after) of each.

    What is not there cannot be taken and changes nothing; an unknown item is (False, None). All rows are locked at
    once, in the order of their ids, as the services do: nobody deadlocks.
    """
    return STOCK.change(item_ids, amounts, db)
