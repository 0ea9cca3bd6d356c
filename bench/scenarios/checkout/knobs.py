"""The knobs of the workload of `checkout`. By default 10 % of the orders fail, and half of these come again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from loadgen.knobs import declared, knob, parse


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """One value a knob. Shares are of the orders, unless the sentence says otherwise."""

    users: int = knob(10_000, "users", 1, 10_000_000, "Users with plenty of credit.")
    items: int = knob(1_000, "items", 5, 10_000_000, "Items with plenty of stock.")
    item_skew: float = knob(0.99, "exponent", 0.0, 3.0, "Zipf exponent of the items' popularity; 0 is uniform.")
    lines_max: int = knob(5, "lines", 1, 5, "An order has 1 to this many lines, evenly.")
    quantity_max: int = knob(3, "units", 1, 100, "A line has 1 to this many units, evenly.")
    fail_credit: float = knob(0.04, "share", 0.0, 1.0, "Orders whose user lacks credit.")
    fail_stock: float = knob(0.04, "share", 0.0, 1.0, "Orders of which one item lacks stock.")
    fail_both: float = knob(0.02, "share", 0.0, 1.0, "Orders that lack both.")
    contention: float = knob(0.01, "share", 0.0, 1.0, "Orders that compete for half of what they need together.")
    hot: int = knob(16, "entities", 1, 10_000, "Users, and items, that the competing orders compete for.")
    top_up: float = knob(0.5, "share", 0.0, 1.0, "Of the failing orders: given what they lack and checked out again.")
    repeat_paid: float = knob(0.02, "share", 0.0, 1.0, "Orders checked out again after they were paid.")
    payments: float = knob(0.01, "share", 0.0, 1.0, "Direct payments, one an order.")
    stock_changes: float = knob(0.01, "share", 0.0, 1.0, "Additions to and subtractions from stock, one an order.")
    refused: float = knob(
        0.1, "share", 0.0, 1.0, "Of the direct payments and subtractions: ask for more than there is."
    )
    poison: int = knob(12, "records", 0, 100_000, "Undecodable records put on the data topics.")
    inbox_rows: int = knob(0, "rows", 0, 100_000_000, "Rows of earlier sagas that stand in the inboxes, half in each.")
    repeat_after: int = knob(20_000, "orders", 0, 10_000_000, "Least distance of a repeat; an eighth of all at most.")


KNOBS: Final = tuple(declared(Knobs).values())


def parse_knobs(settings: Mapping[str, str]) -> Knobs:
    """`{"fail_credit": "0.1"}` → `Knobs`. Raises `ValueError`: one line, what is wrong and what is legal."""
    values: dict[str, int | float] = parse(declared(Knobs), settings)
    knobs = Knobs(**values)  # type: ignore[arg-type]
    shares = knobs.fail_credit + knobs.fail_stock + knobs.fail_both + knobs.contention
    if shares > 1:
        raise ValueError(f"fail_credit + fail_stock + fail_both + contention is {shares:g}; legal: at most 1")
    return knobs
