import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition

from bench.recording.observer import FileObserver
from bench.recording.positions import Client
from bench.recording.samples import OFFSETS_SCHEMA, SAMPLES_SCHEMA, Sampler, convert_samples, with_generation
from bench.waiting import wait_until

MakeTopic = Callable[..., str]
Send = Callable[..., None]


def committed(client: Client, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({**client, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_lag_and_usage_are_sampled_while_it_runs(
    client: Client, prefix: str, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    topic, group = make_topic("Pay-topic", partitions=2), f"{prefix}pay"
    send(topic, [(str(n), "v") for n in range(10)])
    processes = {"driver": os.getpid(), "gone": 2**22 - 1}
    with Sampler(client, tmp_path, processes=lambda: processes, groups={group: [topic]}, prefix=prefix) as sampler:
        wait_until(lambda: sampler.lag() == {"pay": 10}, deadline_s=20, why="a lag of 10")
        committed(client, group, topic, 4)
        wait_until(lambda: sampler.lag() == {"pay": 6}, deadline_s=20, why="a lag of 6")
        assert sampler.cpu_s()["driver"] > 0
        positions = sampler.sample_offsets("quiescent")
        assert [(one.partition, one.committed, one.end) for one in positions] == [(0, 4, 10), (1, -1, 0)]
    convert_samples(tmp_path)
    samples, offsets = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("samples", "offsets"))
    assert samples.schema.equals(SAMPLES_SCHEMA)
    assert offsets.schema.equals(OFFSETS_SCHEMA)
    rows = samples.to_pylist()
    assert {row["process"] for row in rows} == {"driver", "machine", "lag:pay"}
    assert {row["lag_records"] for row in rows if row["group"] == group} >= {10, 6}
    assert all(row["rss_bytes"] > 0 and row["fds"] > 0 for row in rows if row["process"] == "driver")
    assert all(row["steal_s"] is not None for row in rows if row["process"] == "machine")
    assert {row["phase"] for row in offsets.to_pylist()} == {"running", "quiescent"}
    assert sampler.failures == []


def test_a_dead_broker_costs_the_offsets_but_not_the_usage(tmp_path: Path) -> None:
    nowhere: Client = {"bootstrap.servers": "127.0.0.1:1"}
    with Sampler(
        nowhere, tmp_path, processes=lambda: {"driver": os.getpid()}, groups={"x-pay": ["x-Pay-topic"]}, prefix="x-"
    ) as sampler:
        wait_until(lambda: sampler.failures, deadline_s=20, why="the first outage to be told")
        raw = tmp_path / "raw" / "samples.jsonl"
        size = raw.stat().st_size
        wait_until(lambda: raw.stat().st_size > size, deadline_s=20, why="usage to be sampled still")
    convert_samples(tmp_path)
    assert len(sampler.failures) == 1
    assert "could not list topics" in sampler.failures[0]
    assert pq.read_table(tmp_path / "samples.parquet").num_rows >= 4
    assert pq.read_table(tmp_path / "offsets.parquet").num_rows == 0


def test_a_crashed_runner_leaves_rows_that_convert_without_a_torn_one(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "samples.jsonl").write_bytes(b'{"monotonic_ns":1,"process":"pay-0","cpu_s":0.5}\n{"monoto')
    convert_samples(tmp_path)
    (row,) = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert (row["process"], row["cpu_s"], row["lag_records"]) == ("pay-0", 0.5, None)
    assert pq.read_table(tmp_path / "offsets.parquet").num_rows == 0


def test_the_generation_of_a_sample_is_the_newest_one_told_before_it(tmp_path: Path) -> None:
    observer = FileObserver(tmp_path, "pay-0")
    observer.event("partitions-assigned", group="g", topic="t", partitions=[0], generation=3)
    observer.close()
    rows = [{"group": "g", "sampled_ns": sampled_ns} for sampled_ns in (0, 5, 9)] + [{"group": "h", "sampled_ns": 9}]
    events = [
        {"event": "partitions-assigned", "group": "g", "generation": generation, "monotonic_ns": at}
        for generation, at in ((1, 4), (2, 5), (3, 10))
    ]
    with_generation(rows, [*events[:2], {"event": "process-ready", "monotonic_ns": 6}, events[2]])
    assert [row["generation"] for row in rows] == [-1, 2, 2, -1]
