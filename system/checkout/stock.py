"""The stock consumer: takes all items of an order or none, and puts them back when the order failed elsewhere."""

from collections.abc import Sequence
from typing import Any

import orjson

from system.checkout.stocks import STOCK
from system.kafka.batch import Batch
from system.runtime.service import Outcomes
from system.store.postgres import Transaction


def stock(commands: Batch, db: Transaction) -> Outcomes:
    """`["decrement", lines]` → `ssuccess` or `sfail`; `["increment", lines]` → `incok`. Balances are the lines' stocks
    as JSON.

    A decrement is all or nothing over its lines; an unknown item fails it. An increment puts back only what a
    successful decrement took. Sums are not enough here: an order that fails for its second item must leave the first
    to the next.
    """
    prior = commands.prior or [None] * len(commands)
    stocks, stored = STOCK.settle(*_sums(commands, prior), db)
    taken_here: set[Any] = set()
    outcomes: list[str] = []
    balances: list[str] = []
    for key, (kind, lines), earlier in zip(commands.keys, commands.values, prior, strict=True):
        if kind == "increment":
            outcome = "incok"
            if earlier == "ssuccess" or key in taken_here:
                _put_back(stocks, lines)
        elif _take(stocks, lines):
            outcome = "ssuccess"
            taken_here.add(key)
        else:
            outcome = "sfail"
        outcomes.append(outcome)
        balances.append(orjson.dumps([stocks.get(item) for item, _ in lines]).decode())
    STOCK.put({item: left for item, left in stocks.items() if left != stored[item]}, db)
    return Outcomes(outcomes, balances)


def _sums(commands: Batch, prior: Sequence[str | None]) -> tuple[dict[str, int], dict[str, int]]:
    """Item → what all decrements together want of it, and what the increments put back."""
    wanted: dict[str, int] = {}
    returned: dict[str, int] = {}
    for (kind, lines), earlier in zip(commands.values, prior, strict=True):
        sums = wanted if kind == "decrement" else returned
        counts = kind == "decrement" or earlier == "ssuccess"
        for item, quantity in lines:
            sums[item] = sums.get(item, 0) + (quantity if counts else 0)
    return wanted, returned


def _take(stocks: dict[str, int], lines: list[tuple[str, int]]) -> bool:
    """All lines, or none where one of them is not there in full."""
    for item, quantity in lines:
        if stocks.get(item, -1) < quantity:
            return False
    for item, quantity in lines:
        stocks[item] -= quantity
    return True


def _put_back(stocks: dict[str, int], lines: list[tuple[str, int]]) -> None:
    """An item that is not there can be given back to nobody."""
    for item, quantity in lines:
        if item in stocks:
            stocks[item] += quantity
