"""A row a second and process, and where every group stands, while a run goes on → `samples.parquet`,
`offsets.parquet`.

Rows are appended to raw JSON lines at once, so a crash of the runner loses one second; a broker that is gone costs
the rows of its offsets and is told once an outage, never the thread.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson
import pyarrow as pa

from bench.recording.convert import read_events
from bench.recording.errors import RecordingFailed
from bench.recording.frames import write_all
from bench.recording.parquet import TEXT, parquet_writer
from bench.recording.positions import Asker, Client, Position, positions_of
from bench.recording.processes import CpuLedger, family_usage_of, machine, usage_of

SAMPLES_SCHEMA: Final = pa.schema(
    [
        ("monotonic_ns", pa.int64()),
        ("wall_ms", pa.int64()),
        ("process", TEXT),
        ("cpu_s", pa.float64()),
        ("rss_bytes", pa.int64()),
        ("threads", pa.int32()),
        ("fds", pa.int32()),
        ("group", TEXT),
        ("lag_records", pa.int64()),
        ("steal_s", pa.float64()),
        ("pressure_cpu_some_us", pa.int64()),
    ]
)
OFFSETS_SCHEMA: Final = pa.schema(
    [
        ("group", TEXT),
        ("topic", TEXT),
        ("partition", pa.int32()),
        ("committed", pa.int64()),
        ("end", pa.int64()),
        ("sampled_ns", pa.int64()),
        ("generation", pa.int32()),
        ("phase", TEXT),
    ]
)
PERIOD_S: Final = 1.0
REQUEST_S: Final = 3.0
FAMILIES: Final = frozenset({"postgres"})
"""Processes whose children are part of them."""


class Sampler:
    """Samples from two threads of the runner between `with` and its end; `groups` is full group name → full topic
    names.
    """

    def __init__(
        self,
        client: Client,
        run_folder: Path,
        *,
        processes: Callable[[], Mapping[str, int]],
        groups: Mapping[str, Sequence[str]],
        prefix: str,
    ) -> None:
        """`processes()` gives name → pid of what lives now; a name may come back with another pid."""
        self._asker = Asker(client)
        self._processes = processes
        self._groups = groups
        self._prefix = prefix
        self._ledger = CpuLedger()
        self._reading = threading.Lock()
        self._lag: dict[str, int] = {}
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(self._sample_processes,), name="sample-processes", daemon=True),
            threading.Thread(
                target=self._repeat, args=(self._sample_offsets_running,), name="sample-offsets", daemon=True
            ),
        ]
        (run_folder / "raw").mkdir(parents=True, exist_ok=True)
        self._samples = _append_to(run_folder / "raw" / "samples.jsonl")
        self._offsets = _append_to(run_folder / "raw" / "offsets.jsonl")
        self.failures: list[str] = []
        """What could not be sampled and why, a line an outage."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._sample_processes()
        os.close(self._samples)
        os.close(self._offsets)

    def lag(self) -> dict[str, int]:
        """Service → records not yet committed, as of the newest sample."""
        return dict(self._lag)

    def cpu_s(self) -> dict[str, float]:
        """Process name → cumulative CPU seconds, read now."""
        self._sample_processes()
        with self._reading:
            return self._ledger.totals()

    def sample_offsets(self, phase: str = "quiescent", *, deadline_s: float = 10.0) -> list[Position]:
        """Where every group stands now, recorded with this phase. Raises `RecordingFailed`."""
        positions = positions_of(self._asker, self._groups, deadline_s=deadline_s)
        # Stamped after the reading, so that no commit seems to precede its cause.
        sampled_ns, wall_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        _write(self._offsets, [one._asdict() | {"sampled_ns": sampled_ns, "phase": phase} for one in positions])
        lag = dict.fromkeys(self._groups, 0)
        for one in positions:
            lag[one.group] += one.lag_records
        self._lag = {group.removeprefix(self._prefix): records for group, records in lag.items()}
        row: dict[str, Any] = {"monotonic_ns": sampled_ns, "wall_ms": wall_ms}
        rows = [
            row | {"process": f"lag:{group.removeprefix(self._prefix)}", "group": group, "lag_records": records}
            for group, records in lag.items()
        ]
        _write(self._samples, rows)
        return positions

    def _sample_offsets_running(self) -> None:
        self.sample_offsets("running", deadline_s=REQUEST_S)

    def _sample_processes(self) -> None:
        with self._reading:
            row: dict[str, Any] = {"monotonic_ns": time.monotonic_ns(), "wall_ms": time.time_ns() // 1_000_000}
            rows = [row | {"process": "machine"} | machine()._asdict()]
            for name, pid in self._processes().items():
                usage = family_usage_of(pid) if name in FAMILIES else usage_of(pid)
                if usage is not None:
                    charged = usage._asdict() | {"cpu_s": self._ledger.charge(name, usage)}
                    rows.append(row | {"process": name} | charged)
            _write(self._samples, rows)

    def _repeat(self, sample: Callable[[], None]) -> None:
        """Once a second until stopped, on the beat of the clock and not a second after the last one ended."""
        failing = False
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            try:
                sample()
                failing = False
            except (RecordingFailed, OSError) as error:
                if not failing:
                    self.failures.append(str(error))
                failing = True
            due = max(due + PERIOD_S, time.monotonic())


def convert_samples(run_folder: Path) -> None:
    """Raw lines → `samples.parquet` and `offsets.parquet`; the generation of an offset row is the newest one that a
    member of its group had reported by then (-1 = none yet), as no broker tells it. May be run again; a torn last
    line is left out.
    """
    samples = _lines(run_folder / "raw" / "samples.jsonl")
    offsets = _lines(run_folder / "raw" / "offsets.jsonl")
    events, _torn = read_events(run_folder)
    with_generation(offsets, events)
    with parquet_writer(run_folder / "samples.parquet", SAMPLES_SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(samples, SAMPLES_SCHEMA))
    with parquet_writer(run_folder / "offsets.parquet", OFFSETS_SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(offsets, OFFSETS_SCHEMA))


def with_generation(offsets: list[dict[str, Any]], events: Sequence[Mapping[str, Any]]) -> None:
    """Enter `generation` into offset rows that stand in the order of `sampled_ns`; `events` in the order of
    `monotonic_ns`.
    """
    assignments = [event for event in events if event["event"] == "partitions-assigned" and "generation" in event]
    newest: dict[str, int] = {}
    known = 0
    for row in offsets:
        while known < len(assignments) and assignments[known]["monotonic_ns"] <= row["sampled_ns"]:
            event = assignments[known]
            newest[event["group"]] = max(newest.get(event["group"], -1), event["generation"])
            known += 1
        row["generation"] = newest.get(row["group"], -1)


def _append_to(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _write(descriptor: int, rows: Sequence[Mapping[str, Any]]) -> None:
    write_all(descriptor, b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [orjson.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
