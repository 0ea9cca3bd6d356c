"""Poison is poison: each malformation is refused by the contract, on each topic."""

import pytest

from bench.scenarios.checkout.poison import TOPICS, poison
from system.checkout.contract import CHECKS, split_key
from system.kafka.batch import Raw
from system.runtime.decoding import decode


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("malformation", range(8))
def test_every_malformation_is_refused_with_a_reason(topic: str, malformation: int) -> None:
    record = poison(topic, malformation=malformation, operation=5)
    raw = Raw(topic, [0], [0], [record.key], [record.value])
    batch, letters = decode(raw, decode_key=split_key, check=CHECKS[topic])
    assert len(batch) == 0
    assert letters[0].reason
