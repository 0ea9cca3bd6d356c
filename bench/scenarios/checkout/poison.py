"""Records that do not decode or fail their schema, one malformation a number; none of them may have an effect."""

from typing import Final, NamedTuple

from system.checkout.contract import OUTCOMES, PAY, STOCK

TOPICS: Final = (PAY, STOCK, OUTCOMES)
"""The data topics that a consumer group reads."""


class Poison(NamedTuple):
    """A record as it goes on the wire."""

    key: bytes | None
    value: bytes | None


_LEGAL: Final = {PAY: b'["pay",1,"0"]', STOCK: b'["decrement",[["0",1]]]', OUTCOMES: b'["psuccess",1]'}
_OUT_OF_RANGE: Final = {PAY: b'["pay",-1,"0"]', STOCK: b'["decrement",[["0",0]]]', OUTCOMES: b'["psuccess",true]'}
_MALFORMATIONS: Final = 8


def poison(topic: str, *, malformation: int, operation: int) -> Poison:
    """The record of a poison operation; the key names the operation where the malformation is not in the key itself."""
    key, legal = f"poison-{operation}_1".encode(), _LEGAL[topic]
    records = (
        Poison(key, b"\xff\xfe\x00 not text"),
        Poison(f"poison-{operation}".encode(), legal),
        Poison(key, legal[:-1]),
        Poison(key, b'{"order": 1}'),
        Poison(key, None),
        Poison(key, _OUT_OF_RANGE[topic]),
        Poison(f"poison-{operation}_0".encode(), legal),
        Poison(f"\xff-{operation}_1".encode("latin-1"), legal),
    )
    return records[malformation % _MALFORMATIONS]
