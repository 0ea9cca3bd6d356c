from contextlib import suppress

import pytest

from bench.cluster.endpoints import Endpoints
from bench.recording.calibration import produce_batch_per_s
from bench.recording.errors import RecordingFailed
from bench.recording.positions import Client, topics_of
from bench.waiting import DeadlineExceeded, wait_until


def test_the_calibration_gives_a_rate_and_leaves_no_topic(client: Client, prefix: str) -> None:
    rate_per_s = produce_batch_per_s(client, prefix=prefix, records=50_000, rounds=3)
    assert 10_000 < rate_per_s < 50_000_000
    wait_until(lambda: topics_of(client, prefix) == [], deadline_s=10, why="the topic to be gone")


def test_its_records_leave_the_brokers_disk_before_a_load_begins(
    cluster: Endpoints, client: Client, prefix: str
) -> None:
    (data,) = (folder for name, folder in cluster.folders.items() if name.startswith("broker"))
    produce_batch_per_s(client, prefix=prefix, records=50_000, rounds=1)
    with suppress(DeadlineExceeded):
        wait_until(lambda: not list(data.glob(f"{prefix}*")), deadline_s=10, why="its segments to be deleted")
    assert list(data.glob(f"{prefix}*")) == []


def test_a_broker_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RecordingFailed, match="could not calibrate"):
        produce_batch_per_s({"bootstrap.servers": "127.0.0.1:1"}, prefix="x-", deadline_s=1.0)
