"""How long each crash of a run was felt: from the death until every partition of the service had a new commit.

The report of a run closes the window of a fault with the next one, whoever it strikes. Here several services die in one
run on purpose, so that the window of a crash is open until the same process dies again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from bench.measure.files import events

Crash = dict[str, Any]
"""`failpoint`, `process`, `ready_ms` (its next life was ready), `recovery_ms` (None: no new commit), `partitions` (that
had one)."""


def recoveries(run_folder: Path) -> list[Crash]:
    """Every failpoint that was reached, and every fault that struck, in time order."""
    happened = events(run_folder)
    struck = [row for row in happened if row["event"] == "failpoint-reached"]
    faults = [_fault(row, happened) for row in happened if row["event"] == "fault-struck"]
    return [*(_crash(run_folder, row, happened, struck) for row in struck), *faults]


def _fault(row: Crash, happened: Sequence[Crash]) -> Crash:
    """The same of a fault of the nemesis, by its own events: healed, and the groups' lag as before it."""
    ends = {one["event"]: int(one["monotonic_ns"]) for one in happened if one.get("fault") == row["fault"]}
    since = {event: (at - int(row["monotonic_ns"])) / 1e6 for event, at in ends.items()}
    return {
        "failpoint": row["fault"],
        "process": ", ".join(row["hit"].get("processes", ())),
        "ready_ms": since.get("fault-healed"),
        "recovery_ms": since.get("fault-recovered"),
        "partitions": _held(row["hit"].get("partitions", {})),
    }


def _held(partitions: Mapping[str, Any] | Sequence[int]) -> int:
    """How many partitions: of a broker they stand by topic, of workers by process and topic."""
    return sum(map(_held, partitions.values())) if isinstance(partitions, Mapping) else len(partitions)


def _crash(run_folder: Path, row: Crash, happened: Sequence[Crash], struck: Sequence[Crash]) -> Crash:
    began, process = int(row["monotonic_ns"]), str(row["process"])
    again = [int(one["monotonic_ns"]) for one in struck if one["process"] == process]
    until = min((at for at in again if at > began), default=2**62)
    ready = [
        int(one["monotonic_ns"]) - began
        for one in happened
        if one["event"] == "process-ready" and one["process"] == process and began < int(one["monotonic_ns"]) < until
    ]
    firsts = sorted(_firsts(run_folder, process, began, until))
    return {
        "failpoint": row["failpoint"],
        "process": process,
        "ready_ms": ready[0] / 1e6 if ready else None,
        "recovery_ms": (firsts[-1] - began) / 1e6 if firsts else None,
        "partitions": len(firsts),
    }


def _firsts(run_folder: Path, process: str, began: int, until: int) -> Iterator[int]:
    """When each partition of the service had its first new commit; of the driver, when it first sent again."""
    service = process.rpartition("-")[0]
    journals = sorted(str(path) for path in (run_folder / "journal").glob(f"{service}-*.parquet")) if service else []
    if journals:
        query = """SELECT min(committed_ns) FROM read_parquet(?)
                   WHERE committed_ns > ? AND committed_ns < ? GROUP BY topic, partition"""
        source: object = journals
    else:
        query = "SELECT min(sent_ns) FROM read_parquet(?) WHERE sent_ns > ? AND sent_ns < ?"
        source = str(run_folder / "operations.parquet")
    with duckdb.connect(":memory:") as db:
        rows = db.execute(query, [source, began, until]).fetchall()
    return (int(at) for (at,) in rows if at is not None)
