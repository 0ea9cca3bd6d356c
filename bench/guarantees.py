"""What each guarantee tolerates: kinds of anomaly that leave a verdict VALID, counted and printed all the same.

Only in a run in which a process died, a partition moved or a fault struck; in a quiet run nothing is tolerated.
Detection knows nothing of this table. Source: the table in spec/README.md. `explained-difference` is a difference of
balances that the listed sagas of that entity explain exactly; a `balance-difference` is one that they do not.

A `repeated-dead-letter` is tolerated wherever records may be read again: accepted = applied + dead-lettered + in flight
holds always, so a dead letter is sent before the offset that skips its record, under `at-most-once` as well.
"""

from collections.abc import Mapping
from typing import Final

TOLERATES: Final[Mapping[str, frozenset[str]]] = {
    "at-most-once": frozenset(
        {
            "missing-effect",
            "incomplete-saga",
            "missing-compensation",
            "pinned-watermark",
            "explained-difference",
            "repeated-dead-letter",
        }
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
            "repeated-dead-letter",
        }
    ),
    "idempotent": frozenset({"duplicate", "repeated-dead-letter"}),
    "outbox": frozenset({"duplicate", "repeated-dead-letter"}),
    "transactional": frozenset(),
}
"""Guarantee → tolerated kinds; a guarantee that is not listed tolerates nothing."""
