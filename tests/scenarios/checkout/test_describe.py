"""Requests and responses as they stand in operations.parquet."""

import numpy as np
import orjson

from bench.scenarios.checkout.describe import describer
from bench.scenarios.checkout.workload import CHECKOUT, FUNDS, PAYMENT, POISON, STOCK, Operations
from loadgen.operations import Answers
from loadgen.target import FAIL, INFO, OK

OPERATIONS = Operations(
    kind=np.array([CHECKOUT, FUNDS, PAYMENT, STOCK, STOCK, POISON, CHECKOUT, PAYMENT], np.uint8),
    entity=np.array([17, 3, 3, 7, 7, 1, 18, 4]),
    amount=np.array([0, 500, 20, 100, -5, 2, 0, 9]),
)
ANSWERS = Answers(
    outcome=np.array([OK, OK, OK, OK, OK, OK, INFO, FAIL], np.uint8),
    tr=np.array([1, 0, 0, 0, 0, 2, 0, 0], np.int32),
    balance=np.array([-1, 700, 680, 150, 145, 41, -1, 3]),
)


def test_each_kind_has_its_request_and_the_response_that_its_invariants_need() -> None:
    described = describer(OPERATIONS, prefix="r1-")(np.arange(8), ANSWERS)
    assert described.kind.to_pylist() == [
        "checkout", "funds", "payment", "stock", "stock", "poison", "checkout", "payment",
    ]  # fmt: skip
    assert described.entity.to_pylist() == ["17", "3", "3", "7", "7", "r1-Stock-topic", "18", "4"]
    assert described.request.to_pylist()[:5] == [
        "POST /orders/checkout/17",
        "POST /payment/add_funds/3/500",
        "POST /payment/pay/3/20",
        "POST /stock/add/7/100",
        "POST /stock/subtract/7/5",
    ]
    responses = described.response.to_pylist()
    assert [orjson.loads(text) for text in responses[:6]] == [
        {"tr": 1},
        {"credit": 700},
        {"credit": 680},
        {"stock": 150},
        {"stock": 145},
        {"topic": "r1-Stock-topic", "partition": 2, "offset": 41},
    ]


def test_what_was_never_answered_or_refused_has_no_response() -> None:
    described = describer(OPERATIONS, prefix="r1-")(np.arange(8), ANSWERS)
    assert described.response.to_pylist()[6:] == [None, None]


def test_a_chunk_is_described_by_its_own_rows() -> None:
    described = describer(OPERATIONS, prefix="r1-")(
        np.array([1, 6]), Answers(ANSWERS.outcome[[1, 6]], ANSWERS.tr[[1, 6]], ANSWERS.balance[[1, 6]])
    )
    assert described.request.to_pylist() == ["POST /payment/add_funds/3/500", "POST /orders/checkout/18"]
    assert described.response.to_pylist() == ['{"credit": 700}', None]
