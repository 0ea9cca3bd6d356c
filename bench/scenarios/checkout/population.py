"""Users, items and orders before the first operation, in columns, and which orders must fail and why.

Users and items are numbered in three ranges: the ordinary ones, with more than all their orders ask for; then *scarce*
ones, one for each order that must fail, which lack something; then the *hot* ones, that have half of what is asked of
them, so that only the interleaving decides who gets it. Everything follows from the seed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.scenarios.checkout.knobs import Knobs

ORDINARY: Final = 0
NO_CREDIT: Final = 1
NO_STOCK: Final = 2
NEITHER: Final = 3
CONTENDED: Final = 4

PRICE_MAX: Final = 100
HEADROOM: Final = 1_000
"""What an ordinary user or item keeps when everything that asks for it has got it."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Amounts are integers. Order o has the lines `offsets[o]:offsets[o + 1]` of `line_item` and `line_quantity`."""

    credit: Ints
    stock: Ints
    price: Ints
    order_user: Ints
    order_class: NDArray[np.uint8]
    offsets: Ints
    line_item: Ints
    line_quantity: Ints
    amount: Ints

    @property
    def orders(self) -> int:
        """How many orders there are."""
        return len(self.order_user)


def populate(knobs: Knobs, *, orders: int, seed: int) -> Population:
    """The population of `orders` orders; the first line of an order is the one that lacks stock, where one does."""
    rng = np.random.default_rng((seed, 0x9090))
    order_class = _classes(knobs, orders, rng)
    poor, short = np.isin(order_class, (NO_CREDIT, NEITHER)), np.isin(order_class, (NO_STOCK, NEITHER))
    # A third of the competing orders competes for credit, a third for stock, a third for both.
    contention = np.where(order_class == CONTENDED, rng.integers(1, 4, orders), 0)
    for_credit, for_stock = (contention & 1) != 0, (contention & 2) != 0
    user = rng.integers(0, knobs.users, orders)
    user[poor] = knobs.users + np.arange(poor.sum())
    user[for_credit] = knobs.users + poor.sum() + rng.integers(0, knobs.hot, for_credit.sum())
    first_item = np.full(orders, -1, np.int64)
    first_item[short] = knobs.items + np.arange(short.sum())
    first_item[for_stock] = knobs.items + short.sum() + rng.integers(0, knobs.hot, for_stock.sum())
    offsets, line_item, line_quantity = _lines(knobs, first_item, rng)
    price = rng.integers(1, PRICE_MAX + 1, knobs.items + int(short.sum()) + knobs.hot)
    amount = np.add.reduceat(price[line_item] * line_quantity, offsets[:-1])
    asked_credit = np.bincount(user, weights=amount, minlength=knobs.users + int(poor.sum()) + knobs.hot)
    asked_stock = np.bincount(line_item, weights=line_quantity, minlength=len(price))
    return Population(
        credit=_balances(asked_credit.astype(np.int64), ordinary=knobs.users, hot=knobs.hot, rng=rng),
        stock=_balances(asked_stock.astype(np.int64), ordinary=knobs.items, hot=knobs.hot, rng=rng),
        price=price,
        order_user=user,
        order_class=order_class,
        offsets=offsets,
        line_item=line_item,
        line_quantity=line_quantity,
        amount=amount,
    )


def _classes(knobs: Knobs, orders: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exact counts (rounded down) at random places."""
    order_class = np.zeros(orders, np.uint8)
    shares = {
        NO_CREDIT: knobs.fail_credit,
        NO_STOCK: knobs.fail_stock,
        NEITHER: knobs.fail_both,
        CONTENDED: knobs.contention,
    }
    first = 0
    for number, share in shares.items():
        order_class[first : first + int(share * orders)] = number
        first += int(share * orders)
    rng.shuffle(order_class)
    return order_class


def _lines(knobs: Knobs, first_item: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Distinct items an order: one drawn twice is drawn again, evenly; one that is still there twice is left out."""
    orders, width = len(first_item), knobs.lines_max
    item = _draw_items(knobs, (orders, width), rng)
    item[:, 0] = np.where(first_item >= 0, first_item, item[:, 0])
    again = _repeats(item)
    item[again] = rng.integers(0, knobs.items, int(again.sum()), dtype=np.int32)
    count = rng.integers(1, width + 1, orders, dtype=np.int8)
    kept = (np.arange(width) < count[:, None]) & ~_repeats(item)
    offsets = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
    line_item = item[kept].astype(np.int64)
    return offsets, line_item, rng.integers(1, knobs.quantity_max + 1, len(line_item))


def _repeats(item: NDArray[np.int32]) -> NDArray[np.bool_]:
    """True where an order has the item in an earlier line already."""
    repeated = np.zeros(item.shape, np.bool_)
    for line in range(1, item.shape[1]):
        for earlier in range(line):
            repeated[:, line] |= item[:, line] == item[:, earlier]
    return repeated


def _draw_items(knobs: Knobs, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int32]:
    """Ordinary items by Zipf's law; the popular ones stand at random numbers."""
    weights = np.arange(1, knobs.items + 1, dtype=np.float64) ** -knobs.item_skew
    cumulated = np.cumsum(weights / weights.sum())
    rank = np.searchsorted(cumulated, rng.random(shape)).clip(max=knobs.items - 1)
    drawn: NDArray[np.int32] = rng.permutation(knobs.items).astype(np.int32)[rank]
    return drawn


def _balances(asked: Ints, *, ordinary: int, hot: int, rng: np.random.Generator) -> Ints:
    """Plenty for the ordinary, less than is asked (0 included) for the scarce, half for the hot."""
    balances = asked + HEADROOM
    scarce = slice(ordinary, len(asked) - hot)
    balances[scarce] = rng.integers(0, asked[scarce])
    balances[len(asked) - hot :] = asked[len(asked) - hot :] // 2
    return balances
