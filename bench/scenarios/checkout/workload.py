"""What the clients of `checkout` do: the operations of a run in schedule order, and the population that they meet.

Each order is checked out once, in the order of its number. Some that had to fail are given exactly what they lacked and
are checked out again, which then succeeds; some that were paid are checked out again. A repeat stands far enough behind
that the first attempt has normally finished; where it has not, it joins the running saga, which is as legal. Between
them stand direct payments, changes of stock and undecodable records. Everything follows from knobs and seed.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.scenarios.checkout.knobs import Knobs
from bench.scenarios.checkout.population import NEITHER, NO_CREDIT, NO_STOCK, ORDINARY, Ints, Population, populate

CHECKOUT: Final = 0
FUNDS: Final = 1
PAYMENT: Final = 2
STOCK: Final = 3
POISON: Final = 4
KINDS: Final = ("checkout", "funds", "payment", "stock", "poison")

MORE_THAN_THERE_IS: Final = 2**40
PAYMENT_MAX: Final = 20
STOCK_CHANGE_MAX: Final = 100


@dataclass(frozen=True)
class Operations:
    """A row an operation, in schedule order.

    `entity` is the number of the order (checkout), user (funds, payment) or item (stock); of the topic for poison.
    `amount` is money or units, positive; a subtraction from stock is negative; for poison it is the number of the
    malformation.
    """

    kind: NDArray[np.uint8]
    entity: Ints
    amount: Ints

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True)
class Workload:
    """A population and what is done to it."""

    population: Population
    operations: Operations


@dataclass(frozen=True)
class _Placed:
    """Operations that are not in order yet; `position` is in orders."""

    position: NDArray[np.float64]
    kind: int
    entity: Ints
    amount: Ints


def generate(knobs: Knobs, *, operations: int, seed: int) -> Workload:
    """Exactly `operations` operations, on as many orders as fit. Raises `ValueError` where not even one does."""
    orders = orders_of(knobs, operations=operations)
    if orders < 1:
        raise ValueError(f"operations {operations} is not legal; legal: at least {operations_of(knobs, orders=1)}")
    population = populate(knobs, orders=orders, seed=seed)
    rng = np.random.default_rng((seed, 0x3A57))
    first = _Placed(np.arange(orders, dtype=np.float64), CHECKOUT, np.arange(orders), np.zeros(orders, np.int64))
    repeats = [*_topped_up(knobs, population, rng), _paid_again(knobs, population, rng)]
    changes = _stock_changes(knobs, orders, rng)
    poison = _poison(knobs, orders, rng)
    rest = operations - sum(len(placed.entity) for placed in (first, *repeats, changes, poison))
    payments = _payments(knobs, orders, rest, rng)
    population = _cover(population, payments, changes)
    return Workload(population, _in_order([first, *repeats, changes, poison, payments]))


def orders_of(knobs: Knobs, *, operations: int) -> int:
    """How many orders that many operations check out; the others are repeats, top-ups, payments and so on."""
    return int((operations - knobs.poison) / _operations_an_order(knobs))


def operations_of(knobs: Knobs, *, orders: int) -> int:
    """The least number of operations that checks out `orders` orders."""
    operations = int(orders * _operations_an_order(knobs)) + knobs.poison
    while orders_of(knobs, operations=operations) < orders:
        operations += 1
    return operations


def _operations_an_order(knobs: Knobs) -> float:
    topped_up = knobs.top_up * (2 * knobs.fail_credit + 2 * knobs.fail_stock + 3 * knobs.fail_both)
    return 1 + topped_up + knobs.repeat_paid + knobs.payments + knobs.stock_changes


def _gap(knobs: Knobs, orders: int) -> int:
    return min(knobs.repeat_after, orders // 8)


def _some(candidates: Ints, count: int, rng: np.random.Generator) -> Ints:
    """That many of them, or all, at random and in rising order."""
    return np.sort(rng.permutation(candidates)[:count])


def _topped_up(knobs: Knobs, population: Population, rng: np.random.Generator) -> list[_Placed]:
    """Fail, get what was lacking, check out again: each step at least a gap behind the one before."""
    gap, orders = _gap(knobs, population.orders), population.orders
    shares = {NO_CREDIT: knobs.fail_credit, NO_STOCK: knobs.fail_stock, NEITHER: knobs.fail_both}
    chosen = np.concatenate(
        [
            _some(np.flatnonzero(population.order_class[: orders - 3 * gap] == number), count, rng)
            for number, share in shares.items()
            for count in [int(knobs.top_up * int(share * orders))]
        ]
    )
    funded_at = chosen + gap * (1 + rng.random(len(chosen)))
    poor = population.order_class[chosen] != NO_STOCK
    short = population.order_class[chosen] != NO_CREDIT
    user = population.order_user[chosen[poor]]
    line = population.offsets[chosen[short]]
    item = population.line_item[line]
    return [
        _Placed(funded_at[poor], FUNDS, user, population.amount[chosen[poor]] - population.credit[user]),
        _Placed(funded_at[short], STOCK, item, population.line_quantity[line] - population.stock[item]),
        _Placed(funded_at + gap, CHECKOUT, chosen, np.zeros(len(chosen), np.int64)),
    ]


def _paid_again(knobs: Knobs, population: Population, rng: np.random.Generator) -> _Placed:
    gap, orders = _gap(knobs, population.orders), population.orders
    paid = np.flatnonzero(population.order_class[: orders - 2 * gap] == ORDINARY)
    chosen = _some(paid, int(knobs.repeat_paid * orders), rng)
    return _Placed(chosen + gap * (1 + rng.random(len(chosen))), CHECKOUT, chosen, np.zeros(len(chosen), np.int64))


def _stock_changes(knobs: Knobs, orders: int, rng: np.random.Generator) -> _Placed:
    """Half of them subtractions, of which the share `refused` cannot be met."""
    count = int(knobs.stock_changes * orders)
    amount = rng.integers(1, STOCK_CHANGE_MAX + 1, count)
    amount[rng.random(count) < knobs.refused] = MORE_THAN_THERE_IS
    subtracts = rng.random(count) < 0.5
    amount = np.where(subtracts, -amount, np.minimum(amount, STOCK_CHANGE_MAX))
    return _Placed(rng.random(count) * orders, STOCK, rng.integers(0, knobs.items, count), amount)


def _payments(knobs: Knobs, orders: int, count: int, rng: np.random.Generator) -> _Placed:
    amount = rng.integers(1, PAYMENT_MAX + 1, count)
    amount[rng.random(count) < knobs.refused] = MORE_THAN_THERE_IS
    return _Placed(rng.random(count) * orders, PAYMENT, rng.integers(0, knobs.users, count), amount)


def _poison(knobs: Knobs, orders: int, rng: np.random.Generator) -> _Placed:
    """Topics in turn, and a malformation each in turn."""
    number = np.arange(knobs.poison)
    return _Placed(rng.random(knobs.poison) * orders, POISON, number % 3, number // 3)


def _cover(population: Population, payments: _Placed, changes: _Placed) -> Population:
    """Ordinary users and items also have what direct payments and subtractions take; refused ones take nothing."""
    paid = np.where(payments.amount < MORE_THAN_THERE_IS, payments.amount, 0)
    taken = np.where((changes.amount < 0) & (changes.amount > -MORE_THAN_THERE_IS), -changes.amount, 0)
    credit = population.credit + np.bincount(payments.entity, paid, len(population.credit)).astype(np.int64)
    stock = population.stock + np.bincount(changes.entity, taken, len(population.stock)).astype(np.int64)
    return replace(population, credit=credit, stock=stock)


def _in_order(parts: list[_Placed]) -> Operations:
    order = np.argsort(np.concatenate([placed.position for placed in parts]), kind="stable")
    kind = np.concatenate([np.full(len(placed.entity), placed.kind, np.uint8) for placed in parts])
    entity = np.concatenate([placed.entity for placed in parts])
    amount = np.concatenate([placed.amount for placed in parts])
    return Operations(kind[order], entity[order], amount[order])
