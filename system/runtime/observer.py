"""What a worker tells whoever watches it: batches with their times, delivery reports, events. Watching changes
nothing.

The system does not know that it is measured: it calls an observer that is `NullObserver` unless one is injected. All
times are CLOCK_MONOTONIC nanoseconds (`time.monotonic_ns()`), 0 = this step did not happen.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from system.kafka.batch import Span
from system.kafka.columns import Numbers

__all__ = ["NullObserver", "Observer", "Span", "Times"]


class Times(NamedTuple):
    """When each step of a batch had ended: polled, handled, state stored, replies acknowledged, offsets committed."""

    polled_ns: int = 0
    handled_ns: int = 0
    stored_ns: int = 0
    produced_ns: int = 0
    committed_ns: int = 0


class Observer(Protocol):
    """Called from the worker's own thread, or from several threads of one process; must not block."""

    def batch(self, spans: Sequence[Span], times: Times, *, generation: int, transaction: str | None) -> None:
        """One batch has ended. `generation` is the group's; `transaction` names the Kafka transaction, None without
        one.
        """

    def acknowledged(
        self,
        topic: str,
        partitions: Numbers,
        offsets: Numbers,
        errors: Sequence[str | None] | None,
        transaction: str | None,
    ) -> None:
        """Delivery reports as columns, once a topic and flush; `errors` is None when nothing failed; offset -1 =
        unknown.
        """

    def event(self, event: str, **fields: object) -> None:
        """Something happened once, such as `process-ready` or `partitions-assigned`; fields are JSON values."""


class NullObserver:
    """Watches nothing; the default."""

    def batch(self, spans: Sequence[Span], times: Times, *, generation: int, transaction: str | None) -> None:
        """Nothing."""

    def acknowledged(
        self,
        topic: str,
        partitions: Numbers,
        offsets: Numbers,
        errors: Sequence[str | None] | None,
        transaction: str | None,
    ) -> None:
        """Nothing."""

    def event(self, event: str, **fields: object) -> None:
        """Nothing."""
