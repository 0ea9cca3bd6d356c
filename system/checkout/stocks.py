"""The stock API: stock, and its changes that are no part of a saga, a batch at a time inside the caller's
transaction.
"""

from collections.abc import Sequence

from system.store.balances import Balances
from system.store.postgres import Transaction

STOCK = Balances("items", "item_id", "stock")


def add(item_ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[int | None]:
    """The stock after each, in order; None for an unknown item."""
    return [after for _, after in STOCK.change(item_ids, amounts, db)]


def subtract(item_ids: Sequence[str], amounts: Sequence[int], db: Transaction) -> list[tuple[bool, int | None]]:
    """(taken, stock after) of each, in order; refused ones change nothing."""
    return STOCK.change(item_ids, [-amount for amount in amounts], db)
