"""What an operation of `checkout` was called on the wire: kind, entity, request and response, in string columns."""

from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.scenarios.checkout.poison import TOPICS
from bench.scenarios.checkout.workload import CHECKOUT, FUNDS, KINDS, PAYMENT, POISON, STOCK, Operations
from loadgen.operations import Answers, Describe, Description, coded
from loadgen.target import OK

_SUBTRACT: Final = len(KINDS)
_PATHS: Final = {
    CHECKOUT: "POST /orders/checkout/",
    FUNDS: "POST /payment/add_funds/",
    PAYMENT: "POST /payment/pay/",
    STOCK: "POST /stock/add/",
    POISON: "",
    _SUBTRACT: "POST /stock/subtract/",
}
_FIELDS: Final = {CHECKOUT: '{"tr": ', FUNDS: '{"credit": ', PAYMENT: '{"credit": ', STOCK: '{"stock": ', POISON: ""}


def describer(operations: Operations, *, prefix: str) -> Describe:
    """The callable that `loadgen.operations.write_parquet` asks; `prefix` is the run's, of poisoned topics."""

    def describe(numbers: NDArray[np.int64], answers: Answers) -> Description:
        kind, entity, amount = operations.kind[numbers], operations.entity[numbers], operations.amount[numbers]
        names = pc.cast(pa.array(entity), pa.string())
        path = np.where((kind == STOCK) & (amount < 0), _SUBTRACT, kind)
        request = pc.binary_join_element_wise(_words(_PATHS, path), names, _amounts(kind, amount), "")
        response = _responses(kind, answers)
        poisoned = np.flatnonzero(kind == POISON).tolist()
        if not poisoned:
            return Description(coded(KINDS, kind), names, request, response)
        topics = {row: prefix + TOPICS[int(entity[row])] for row in poisoned}
        malformation = {row: int(amount[row]) for row in poisoned}
        requests = {row: {"topic": topics[row], "malformation": malformation[row]} for row in poisoned}
        produced = {row: _produced(topics[row], answers, row) for row in poisoned}
        return Description(
            coded(KINDS, kind),
            _replaced(names, topics),
            _replaced(request, {row: orjson.dumps(value).decode() for row, value in requests.items()}),
            _replaced(response, produced),
        )

    return describe


def _words(words: dict[int, str], codes: NDArray[np.generic]) -> pa.Array:
    """A string a row, by its code."""
    return pa.array([words[code] for code in sorted(words)], pa.string()).take(pa.array(codes.astype(np.int32)))


def _amounts(kind: NDArray[np.uint8], amount: NDArray[np.int64]) -> pa.Array:
    """`/500`, or nothing for a checkout."""
    texts = pc.binary_join_element_wise("/", pc.cast(pa.array(np.abs(amount)), pa.string()), "")
    return pc.if_else(pa.array(kind == CHECKOUT), "", texts)


def _responses(kind: NDArray[np.uint8], answers: Answers) -> pa.Array:
    """`{"tr": 1}` of every checkout whose tr# is known, the balance after of a change that was applied; else null."""
    checkout = kind == CHECKOUT
    value = np.where(checkout, answers.tr, answers.balance)
    known = np.where(checkout, answers.tr > 0, (answers.outcome == OK) & (answers.balance >= 0))
    texts = pc.binary_join_element_wise(_words(_FIELDS, kind), pc.cast(pa.array(value), pa.string()), "}", "")
    return pc.if_else(pa.array(known), texts, None)


def _produced(topic: str, answers: Answers, row: int) -> str | None:
    """Where a poisoned record stands: the history keeps its partition as `tr` and its offset as `balance`."""
    if answers.outcome[row] != OK:
        return None
    position = {"topic": topic, "partition": int(answers.tr[row]), "offset": int(answers.balance[row])}
    return orjson.dumps(position).decode()


def _replaced(column: pa.Array, rows: dict[int, str] | dict[int, str | None]) -> pa.Array:
    mask = np.zeros(len(column), np.bool_)
    mask[list(rows)] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array([rows[row] for row in sorted(rows)], pa.string()))
