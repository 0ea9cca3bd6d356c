"""Wrong systems that hang: nothing is done wrong, but something is never done, and only liveness notices."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bench.scenario import Broken
from bench.scenarios.checkout.broken.pieces import in_workers
from system.kafka.batch import Raw
from system.kafka.consumer import GroupConsumer

POLLS_WITH_RECORDS: Final = 2


class _Deaf(GroupConsumer):
    """Polls so many batches and then never again; librdkafka's heartbeats keep it in the group."""

    polled = 0

    def poll(self, *, records_max: int, timeout_s: float) -> list[Raw]:
        if self.polled >= POLLS_WITH_RECORDS:
            threading.Event().wait(timeout_s)
            return []
        found = super().poll(records_max=records_max, timeout_s=timeout_s)
        self.polled += bool(found)
        return found


HANGING: Mapping[str, Broken] = MappingProxyType(
    {
        "stops-polling": Broken(
            story="pay stops polling while its heartbeats go on: nobody takes its partitions over",
            caught_by=("unprocessed",),
            exit_code=5,
            worker=in_workers("pay", open_consumer=_Deaf),
            drain_deadline_s=3.0,
        ),
    }
)
"""Name → wrong system."""
