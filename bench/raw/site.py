"""Where contenders meet: the cluster, a topic of a cell's round, and what each of them answers with."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from numpy.typing import NDArray

from bench.cluster.endpoints import Endpoints
from bench.cluster.shield import shield
from bench.cluster.topics import make_topics, remove_topics
from bench.raw.payloads import Payloads
from bench.raw.plan import Cell
from bench.raw.threads import Busy
from bench.recording.errors import RecordingFailed
from bench.recording.positions import Asker, admin_client, ends_of, partitions_of
from bench.waiting import DeadlineExceeded, wait_until
from system.kafka.config import Value

REQUEST_S: Final = 30.0
ALL_STORED_S: Final = 10.0
WARM_UP_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: `figure` is records a second, or the mean round trip in µs.

    `records` (or trips) were in the window; `stored` are all that the topic has got, 0 for one who only read. `busy` is
    None for a contender in a process of its own; `trips_us` are the single round trips where they are known.
    """

    figure: float
    records: int
    stored: int = 0
    busy: Busy | None = None
    trips_us: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Site:
    """The cluster under test; `folder` keeps what Java tools read and write; `broker_pid` is None for a foreign one."""

    connection: dict[str, Value]
    folder: Path
    broker_pid: int | None
    prefix: str


@dataclass(frozen=True)
class Stand:
    """Where one contender is measured: a cell, a topic and the values."""

    site: Site
    cell: Cell
    topic: str
    payloads: Payloads

    def partitions(self) -> list[TopicPartition]:
        """Each partition of the topic, from its beginning."""
        return [TopicPartition(self.topic, number, 0) for number in range(self.cell.partitions)]

    def warm_up(self, records: int) -> int:
        """Records that go before the window, so that connections, producer id and leaders are there."""
        return max(1_000, int(records * WARM_UP_SHARE))

    def require_stored(self, records: int) -> None:
        """Raises `RecordingFailed` unless the brokers have `records` (more only where retries may repeat some)."""
        asker = Asker(self.site.connection)
        partitions = partitions_of(asker, [self.topic])

        def stored() -> int:
            found = sum(ends_of(asker, partitions).values())
            return found if found >= records else 0

        try:
            found = wait_until(stored, deadline_s=ALL_STORED_S, why=f"{records} records of {self.cell.name}")
        except DeadlineExceeded as error:
            raise RecordingFailed(f"could not measure {self.cell.name}: {error}") from error
        exact = self.cell.idempotence and self.cell.workload != "transactional"
        if exact and found != records:
            raise RecordingFailed(f"could not measure {self.cell.name}: the brokers have {found} of {records} records")


def site_of(endpoints: Endpoints, folder: Path) -> Site:
    """The site on a cluster; one of our own is told to remove deleted topics at once."""
    connection: dict[str, Value] = {**endpoints.client, "bootstrap.servers": endpoints.bootstrap}
    pid = next((pid for name, pid in endpoints.pids.items() if name.startswith("broker")), None)
    site = Site(connection, folder, pid, f"raw{secrets.token_hex(4)}-")
    if pid is not None:
        _delete_at_once(site)
    return site


def _delete_at_once(site: Site) -> None:
    """The default keeps a deleted topic's files for a minute: gigabytes that the disk would write in later cells."""
    entry = ConfigEntry("log.segment.delete.delay.ms", "0", incremental_operation=AlterConfigOpType.SET)
    admin = admin_client(site.connection)
    brokers = admin.list_topics(timeout=REQUEST_S).brokers
    wanted = [ConfigResource(ResourceType.BROKER, str(number), incremental_configs=[entry]) for number in brokers]
    for done in admin.incremental_alter_configs(wanted).values():
        done.result(REQUEST_S)


@contextmanager
def stand(site: Site, cell: Cell, payloads: Payloads) -> Iterator[Stand]:
    """A fresh topic, deleted in the end. Raises `KafkaException` where the cluster makes none."""
    topic = f"{site.prefix}{secrets.token_hex(4)}"
    admin = admin_client(site.connection)
    try:
        # An interruption waits for the answer: a topic that is still being made cannot be deleted.
        with shield():
            make_topics(admin, [NewTopic(topic, cell.partitions)], deadline_s=REQUEST_S)
        yield Stand(site, cell, topic, payloads)
    finally:
        # What was not made cannot be deleted, and a broker that is gone keeps nothing of ours.
        with shield(), suppress(KafkaException, DeadlineExceeded):
            remove_topics(admin, [topic], deadline_s=REQUEST_S)
