"""A crash is felt until every partition of its service has a new commit, whoever else dies meanwhile."""

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.matrix.recovered import recoveries

MS = 1_000_000


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    rows = [
        ("failpoint-reached", "pay-0", 100, "crash:pay@after-state#1"),
        ("failpoint-reached", "stock-0", 150, "crash:stock@after-state#1"),
        ("process-ready", "pay-0", 300, None),
        ("failpoint-reached", "pay-0", 400, "crash:pay@after-connect#1"),
        ("failpoint-reached", "driver", 450, "crash:checkout@after-produce#2"),
        ("process-ready", "pay-0", 600, None),
    ]
    lines = [
        {"event": event, "process": process, "monotonic_ns": at * MS, "wall_ms": at, "failpoint": point}
        for event, process, at, point in rows
    ]
    (tmp_path / "events.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    (tmp_path / "journal").mkdir()
    commits = {"pay-0": [(0, 90), (0, 700), (1, 900), (1, 950)], "pay-1": [(0, 650)], "stock-0": [(0, 80)]}
    for name, found in commits.items():
        columns = {
            "topic": ["t"] * len(found),
            "partition": [partition for partition, _ in found],
            "committed_ns": [at * MS for _, at in found],
        }
        pq.write_table(pa.table(columns), tmp_path / "journal" / f"{name}.parquet")
    pq.write_table(pa.table({"sent_ns": [10 * MS, 800 * MS, 0]}), tmp_path / "operations.parquet")
    return tmp_path


def test_the_window_of_a_crash_ends_with_the_next_death_of_the_same_process(run_folder: Path) -> None:
    first, stock, second, driver = recoveries(run_folder)
    assert (first["ready_ms"], first["recovery_ms"], first["partitions"]) == (200, None, 0)
    assert (second["ready_ms"], second["recovery_ms"], second["partitions"]) == (200, 500, 2)
    assert (stock["ready_ms"], stock["recovery_ms"]) == (None, None)
    assert driver["recovery_ms"] == 350


@pytest.mark.parametrize(
    ("partitions", "held"),
    [
        ({"pay-0": {"Pay-topic": [0, 1]}, "pay-1": {"Pay-topic": [2]}}, 3),
        ({"Pay-topic": [0, 2], "Stock-topic": [1]}, 3),
        ({}, 0),
    ],
)
def test_a_fault_is_timed_by_its_own_events_whether_it_struck_workers_or_brokers(
    partitions: dict[str, Any], held: int, tmp_path: Path
) -> None:
    hit = {"processes": ["a", "b"], "partitions": partitions}
    ends = [("fault-struck", 100), ("fault-healed", 300), ("fault-recovered", 450)]
    lines = [{"event": event, "fault": "f", "monotonic_ns": at * MS, "wall_ms": at, "hit": hit} for event, at in ends]
    (tmp_path / "events.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    assert recoveries(tmp_path) == [
        {"failpoint": "f", "process": "a, b", "ready_ms": 200, "recovery_ms": 350, "partitions": held}
    ]
