"""What each guarantee tolerates: kinds of anomaly that leave a verdict VALID, counted and printed all the same.

Only in a run in which a process died, a partition moved or a fault struck; in a quiet run nothing is tolerated.
Detection knows nothing of this table. Source: the table in spec/README.md. `explained-difference` is a difference of
balances that the listed sagas of that entity explain exactly; a `balance-difference` is one that they do not.
"""

from collections.abc import Mapping
from typing import Final

TOLERATES: Final[Mapping[str, frozenset[str]]] = {
    "at-most-once": frozenset(
        {"missing-effect", "incomplete-saga", "missing-compensation", "pinned-watermark", "explained-difference"}
    ),
    "at-least-once": frozenset(
        {
            "duplicate",
            "double-effect",
            "double-compensation",
            "double-terminal",
            "conflicting-outcome",
            "phantom-effect",
            "explained-difference",
        }
    ),
    "idempotent": frozenset({"duplicate"}),
    "outbox": frozenset({"duplicate"}),
    "transactional": frozenset(),
}
"""Guarantee → tolerated kinds; a guarantee that is not listed tolerates nothing."""
