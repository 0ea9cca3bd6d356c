"""The contract refuses what is not of its shape, with a reason, and takes what is."""

from typing import Any

import pytest

from system.checkout import contract
from system.checkout.contract import CHECKS, Malformed, split_key


@pytest.mark.parametrize(
    "key", ["", "1", "_1", "1_", "1_0", "1_-1", "1_x", "a b_1", "x" * 65 + "_1", "1_2147483648", "1_²"]
)
def test_a_key_that_is_not_order_and_tr_is_refused(key: str) -> None:
    with pytest.raises(Malformed):
        split_key(key)


def test_an_order_id_may_contain_the_separator() -> None:
    assert split_key("a_b_12") == ("a_b", 12)


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (contract.PAY, ["pay", 1, "u"]),
        (contract.PAY, ["can", 0, "u"]),
        (contract.STOCK, ["decrement", []]),
        (contract.STOCK, ["increment", [["a", 1], ["b", 2]]]),
        (contract.OUTCOMES, ["psuccess", 1]),
        (contract.OUTCOMES, ["incok", [["a", 1]]]),
        (contract.OUTCOME_CHECKOUT, "fail"),
    ],
)
def test_every_shape_of_the_source_is_taken(topic: str, value: Any) -> None:  # noqa: ANN401
    assert CHECKS[topic](value) is None


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (contract.PAY, ["pay", 1]),
        (contract.PAY, ["pay", -1, "u"]),
        (contract.PAY, ["pay", True, "u"]),
        (contract.PAY, ["pay", 1.5, "u"]),
        (contract.PAY, ["pay", 2**53 + 1, "u"]),
        (contract.PAY, {"pay": 1}),
        (contract.STOCK, ["decrement", [["a", 0]]]),
        (contract.STOCK, ["decrement", [["a", 1], ["a", 2]]]),
        (contract.STOCK, ["decrement", [["a"]]]),
        (contract.OUTCOMES, ["psuccess", [["a", 1]]]),
        (contract.OUTCOMES, ["other", 1]),
        (contract.OUTCOMES, [["psuccess"], 1]),
        (contract.OUTCOME_CHECKOUT, "maybe"),
        (contract.OUTCOME_CHECKOUT, ["success"]),
    ],
)
def test_every_other_shape_is_refused_with_a_reason(topic: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(Malformed, match=r"\w"):
        CHECKS[topic](value)
