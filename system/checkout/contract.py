"""What the services of `checkout` say to each other: topics, record shapes, reply shapes. Shared with the judges; no
logic.

A record's key is "<order id>_<tr#>"; its value is a JSON array, or a JSON string on `OUTCOME_CHECKOUT`. The payer
travels as the third element of a `Pay-topic` value: `rd_kafka_produce_batch` carries no headers, and a single call a
record would cost half the throughput. Source: document 002 and spec/checkout.md.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

Json = Any
"""A decoded JSON value."""

PAY: Final = "Pay-topic"
STOCK: Final = "Stock-topic"
OUTCOMES: Final = "Outcomes-topic"
OUTCOME_CHECKOUT: Final = "Outcome-checkout-topic"
OUTC_OFFS: Final = "Outc-offs-topic"

DATA_TOPICS: Final = (PAY, STOCK, OUTCOMES, OUTCOME_CHECKOUT)
"""The four that share one partition count: both outcomes of a key must meet in one partition."""

TOPIC_CONFIG: Final[Mapping[str, Mapping[str, str]]] = {
    OUTC_OFFS: {"cleanup.policy": "compact", "min.compaction.lag.ms": str(7 * 24 * 3600 * 1000)},
}
"""Kafka's own topic settings where they differ from the default; compaction lags a run, so that an audit sees every
value.
"""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {"pay": (PAY,), "stock": (STOCK,), "order": (OUTCOMES,)}
"""Service (= consumer group, schema) → the topics that it reads."""

POS_HEADER: Final = "pos"
"""Header of an `Outc-offs-topic` record: the next offset to read when L was published, as decimal text."""

ID_LENGTH_MAX: Final = 64
MONEY_MAX: Final = 2**53


class Malformed(ValueError):
    """A record that does not decode or fails its schema; the message is the reason that its dead letter carries."""


def split_key(key: str) -> tuple[str, int]:
    """`"17_1"` → `("17", 1)`. Raises `Malformed`."""
    order_id, _, tr = key.rpartition("_")
    if not (tr.isascii() and tr.isdigit() and is_id(order_id)):
        raise Malformed(f"key {key[:80]!r} is not <order id>_<tr#>")
    number = int(tr)
    if not 1 <= number < 2**31:
        raise Malformed(f"tr# {tr} is not between 1 and 2^31 - 1")
    return order_id, number


def is_amount(value: object) -> bool:
    """An integer (no boolean) between 0 and 2^53."""
    return type(value) is int and 0 <= value <= MONEY_MAX


def is_id(value: object) -> bool:
    """Text of 1 to `ID_LENGTH_MAX` characters without blanks or control characters."""
    return type(value) is str and 0 < len(value) <= ID_LENGTH_MAX and value.isprintable() and " " not in value


_is_known_id = lru_cache(maxsize=1 << 14)(is_id)
"""For ids that come again and again, as items do: 50 ns for one that was seen."""


def are_lines(value: object) -> bool:
    """`[[item, quantity], …]`, each item at most once, quantities positive."""
    if type(value) is not list:
        return False
    items = set()
    for line in value:
        if type(line) is not list or len(line) != 2:
            return False
        item, quantity = line
        if type(item) is not str or type(quantity) is not int:
            return False
        if not 0 < quantity <= MONEY_MAX or not _is_known_id(item):
            return False
        items.add(item)
    return len(items) == len(value)


def check_pay(value: Json) -> None:
    """`["pay" | "can", amount, user]`."""
    if type(value) is not list or len(value) != 3 or value[0] not in ("pay", "can"):
        raise Malformed('not ["pay" | "can", amount, user]')
    if not is_amount(value[1]) or not is_id(value[2]):
        raise Malformed("amount or user out of range")


def check_stock(value: Json) -> None:
    """`["decrement" | "increment", [[item, quantity], …]]`."""
    if type(value) is not list or len(value) != 2 or value[0] not in ("decrement", "increment"):
        raise Malformed('not ["decrement" | "increment", [[item, quantity], …]]')
    if not are_lines(value[1]):
        raise Malformed("lines are not [[item, quantity], …] with distinct items")


def check_outcome(value: Json) -> None:
    """`["psuccess" | "pfail" | "canok", amount]` or `["ssuccess" | "sfail" | "incok", [[item, quantity], …]]`."""
    if type(value) is not list or len(value) != 2 or type(value[0]) is not str:
        raise Malformed("not [outcome, amount | lines]")
    if value[0] in _AMOUNT_OUTCOMES:
        if not is_amount(value[1]):
            raise Malformed("amount out of range")
    elif value[0] in _LINES_OUTCOMES:
        if not are_lines(value[1]):
            raise Malformed("lines are not [[item, quantity], …] with distinct items")
    else:
        raise Malformed(f"unknown outcome {value[0][:40]!r}")


_AMOUNT_OUTCOMES = frozenset({"psuccess", "pfail", "canok"})
_LINES_OUTCOMES = frozenset({"ssuccess", "sfail", "incok"})


def check_checkout(value: Json) -> None:
    """`"success" | "fail"`."""
    if value not in ("success", "fail"):
        raise Malformed('not "success" | "fail"')


CHECKS: Final = {PAY: check_pay, STOCK: check_stock, OUTCOMES: check_outcome, OUTCOME_CHECKOUT: check_checkout}
"""Topic → what its decoded value must satisfy."""
