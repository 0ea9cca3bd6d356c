import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.servers import cluster as started
from bench.recording.errors import RecordingFailed
from bench.recording.live import convert_live, read_along
from bench.recording.positions import Client, admin_client
from bench.recording.quiescence import await_quiescence
from bench.recording.reader import open_consumer, read_partition
from bench.recording.samples import Sampler, convert_samples
from bench.recording.topics import dump_topics
from bench.waiting import wait_until

TOPIC = "x-Pay-topic"
RECORDS = 50_000


@pytest.fixture
def doomed(dsn: str, tmp_path: Path) -> Iterator[Endpoints]:
    """A broker of this test's own, with one topic of `RECORDS` records, that may be killed."""
    with started(Wanted(dsn=dsn), logs=tmp_path / "logs") as endpoints:
        client: Client = {"bootstrap.servers": endpoints.bootstrap, **endpoints.client}
        admin = admin_client(client)
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result()
        producer = Producer({**client, "queue.buffering.max.messages": 2 * RECORDS, "log_level": 0})
        producer.produce_batch(TOPIC, [{"key": str(n), "value": "x" * 100} for n in range(RECORDS)])
        assert producer.flush(30) == 0
        yield endpoints


def test_a_broker_that_dies_ends_every_part_of_the_recording_with_a_reason(doomed: Endpoints, tmp_path: Path) -> None:
    client: Client = {"bootstrap.servers": doomed.bootstrap, **doomed.client}
    groups = {"x-pay": [TOPIC]}
    reading = read_partition(
        open_consumer(client, {"queued.min.messages": 1, "fetch.message.max.bytes": 10_000}),
        TOPIC,
        0,
        end=RECORDS,
        stall_s=1.0,
    )
    first = next(reading)
    assert first.offsets[0] == 0

    def killed() -> bool:
        if not doomed.dead():
            os.kill(doomed.pids["broker-1"], signal.SIGKILL)
        return True

    with Sampler(client, tmp_path, processes=lambda: doomed.pids, groups=groups, prefix="x-") as sampler:
        wait_until(lambda: sampler.lag() == {"pay": RECORDS}, deadline_s=20, why="the lag while the broker lives")
        # The live reader dies with the broker: its ends cannot be asked for any more; what it had read is kept.
        with pytest.raises(RecordingFailed, match="could not list offsets"):
            read_along(client, [TOPIC], tmp_path, killed, stall_s=1.0)
        wait_until(doomed.dead, deadline_s=10, why="the broker to be gone")
        with pytest.raises(RecordingFailed, match=rf"{TOPIC}\[0\] stalled at offset \d+ of {RECORDS}"):
            list(reading)
        with pytest.raises(RecordingFailed, match="could not list topics"):
            dump_topics(client, [TOPIC], tmp_path / "topics", stall_s=1.0)
        with pytest.raises(RecordingFailed, match="could not"):
            await_quiescence(client, groups, deadline_s=2)
        wait_until(lambda: sampler.failures, deadline_s=20, why="the sampler to say so")
    convert_samples(tmp_path)
    offsets = pq.read_table(tmp_path / "offsets.parquet").to_pylist()
    assert {(row["committed"], row["end"]) for row in offsets} == {(-1, RECORDS)}
    assert convert_live(tmp_path, [TOPIC])[TOPIC] <= RECORDS
    assert not (tmp_path / "topics").exists() or list((tmp_path / "topics").iterdir()) == []
