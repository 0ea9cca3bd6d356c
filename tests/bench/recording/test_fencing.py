"""An open transaction of a dead producer is aborted before the audit, and its id is closed to every older producer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from confluent_kafka import KafkaException, Producer

from bench.recording.errors import RecordingFailed
from bench.recording.fencing import fence, transactional_ids
from bench.recording.observer import FileObserver
from bench.recording.positions import Client, log_ends
from bench.recording.topics import dump_ends, dump_topics
from bench.waiting import wait_until
from system.runtime.observer import Span, Times


def begun(client: Client, name: str, topic: str) -> Producer:
    """A producer with an open transaction of one record."""
    producer = Producer({**client, "transactional.id": name})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, key=b"k", value=b"hidden", partition=0)
    assert producer.flush(10) == 0
    return producer


def test_an_open_transaction_holds_the_log_until_its_id_is_fenced(
    client: Client, make_topic: Callable[..., str], send: Callable[..., None], tmp_path: Path, prefix: str
) -> None:
    topic = make_topic("data")
    hanging = begun(client, prefix + "pay-0", topic)
    send(topic, [("k", "behind it")])
    (before,) = log_ends(client, [topic])
    assert (before.stable, before.high) == (0, 2)
    fenced = fence([prefix + "pay-0", prefix + "never-used"], client, [topic])
    assert fenced.held == (before,)
    assert fenced.transactional_ids == (prefix + "never-used", prefix + "pay-0")
    dump_topics(client, [topic], tmp_path)
    dump_ends(client, [topic], tmp_path / "ends.parquet")
    assert [row["value"] for row in pq.read_table(tmp_path / f"{topic}.parquet").to_pylist()] == [b"behind it"]
    (row,) = pq.read_table(tmp_path / "ends.parquet").to_pylist()
    assert row == {"topic": topic, "partition": 0, "stable": 3, "high": 3}
    with pytest.raises(KafkaException, match=r"(?i)fenced"):
        hanging.commit_transaction(10)


def test_an_id_that_the_run_does_not_know_leaves_the_log_held_and_is_told(
    client: Client, make_topic: Callable[..., str], prefix: str
) -> None:
    topic = make_topic("data")
    hanging = begun(client, prefix + "stranger", topic)
    with pytest.raises(RecordingFailed, match=r"data\[0\] is stable to 0 of 1"):
        fence([prefix + "pay-0"], client, [topic], deadline_s=1.5)
    hanging.abort_transaction(10)
    wait_until(lambda: log_ends(client, [topic])[0].stable == 2, deadline_s=10, why="the abort to be written")


def test_the_ids_of_a_run_are_those_of_its_journals_its_reports_and_its_processes(tmp_path: Path) -> None:
    worker, runner = FileObserver(tmp_path, "pay-0"), FileObserver(tmp_path, "runner", events_only=True)
    worker.batch([Span("p-Pay-topic", 0, 0, 1, 2)], Times(1), generation=1, transaction="p-custom/7")
    worker.acknowledged("p-Pay-topic", np.array([0]), np.array([3]), None, "p-other/with/slash/12")
    worker.acknowledged("p-Pay-topic", np.array([0]), np.array([4]), None, None)
    runner.event("process-started", process="stock-1")
    runner.event("process-exited", process="order-0")
    assert transactional_ids(tmp_path, prefix="p-") == ["p-custom", "p-other/with/slash", "p-stock-1"]
    assert transactional_ids(tmp_path / "empty", prefix="p-") == []
