"""Where the time of a record goes, hop by hop and service by service, from the journals and the topics.

Topic wait is from the record's CreateTime (stamped by the client library when it took the record, so the producer's
queue is in it) to the poll that returned it, at the 1 ms resolution of Kafka's timestamps. The steps of a worker are
measured from the step before, whatever order the guarantee puts them in: handler, database commit, produce, offset
commit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from bench.measure.files import Labels, Unreadable, batches, integers, table
from bench.measure.history import Window
from bench.measure.quantiles import Floats, Integers, distribution, weighted_distribution

STEPS: Final = {
    "handler_ms": "handled_ns",
    "database_commit_ms": "stored_ns",
    "produce_ms": "produced_ns",
    "offset_commit_ms": "committed_ns",
}
NUMBERS: Final = ("partition", "first_offset", "last_offset", "records", "polled_ns", *STEPS.values())


@dataclass(frozen=True)
class Journal:
    """What one process did: a row a batch and partition, columns by name."""

    process: str
    topic: Labels
    columns: Mapping[str, Integers]

    @property
    def service(self) -> str:
        """`pay` of the process `pay-0`."""
        name, _, slot = self.process.rpartition("-")
        return name if name and slot.isdigit() else self.process

    def rows_in(self, window: Window) -> Integers:
        polled = self.columns["polled_ns"]
        return np.flatnonzero((polled >= window.begin_ns) & (polled <= window.end_ns))


@dataclass(frozen=True)
class Spans:
    """The batches of one topic partition by first offset, with the wall clock of the poll in ms."""

    first: Integers
    last: Integers
    polled_wall_ms: Floats


def read_journals(run_folder: Path) -> list[Journal]:
    """`journal/*.parquet`, unreadable files left out."""
    found = []
    for path in sorted((run_folder / "journal").glob("*.parquet")):
        source = table(path, columns=("topic", *NUMBERS))
        if source is not None and source.num_rows:
            columns = {name: integers(source, name) for name in NUMBERS}
            found.append(Journal(process=path.stem, topic=Labels(source, "topic"), columns=columns))
    return found


def hops(run_folder: Path, *, journals: list[Journal], window: Window, wall_offset_ms: float | None) -> dict[str, Any]:
    """Service → `{"topic_wait_ms", "handler_ms", …, "batch_records", "busy_share"}`, polled within the window."""
    by_service: dict[str, list[Journal]] = defaultdict(list)
    for journal in journals:
        by_service[journal.service].append(journal)
    figures = {name: _steps(group, window=window) for name, group in sorted(by_service.items())}
    if wall_offset_ms is not None:
        for name, group in by_service.items():
            waits = _topic_waits(run_folder, group, window=window, wall_offset_ms=wall_offset_ms)
            figures[name] = {"topic_wait_ms": distribution(waits), **figures[name]}
    return figures


def wall_offset_ms(events: Iterable[Mapping[str, Any]]) -> float | None:
    """Wall clock minus monotonic clock in ms: the median over all events, which carry both."""
    offsets = [row["wall_ms"] - row["monotonic_ns"] / 1e6 for row in events if "wall_ms" in row]
    return float(np.median(offsets)) if offsets else None


def _steps(group: list[Journal], *, window: Window) -> dict[str, Any]:
    columns = {
        name: np.concatenate([journal.columns[name][journal.rows_in(window)] for journal in group]) for name in NUMBERS
    }
    records = columns["records"]
    durations = _durations_ms(columns)
    figures: dict[str, Any] = {}
    for name, values in durations.items():
        known = ~np.isnan(values)
        figures[name] = weighted_distribution(values[known], records[known])
    sizes = np.concatenate([_batch_records(journal, window=window) for journal in group])
    return {**figures, "batch_records": distribution(sizes), "busy_share": _busy_shares(group, window=window)}


def _durations_ms(columns: Mapping[str, Integers]) -> dict[str, Floats]:
    """Each step's time since the step before it in the row's own order; NaN where the step never happened."""
    names = ("polled_ns", *STEPS.values())
    times = np.stack([columns[name] for name in names]).astype(np.float64)
    times[times == 0] = np.nan
    order = np.argsort(times, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(times, order, axis=0), axis=0, prepend=np.nan) / 1e6
    placed = np.empty_like(gaps)
    np.put_along_axis(placed, order, gaps, axis=0)
    return {step: placed[names.index(column)] for step, column in STEPS.items()}


def _batch_records(journal: Journal, *, window: Window) -> Floats:
    """Records a poll; the rows of one poll share its time."""
    rows = journal.rows_in(window)
    _, batch = np.unique(journal.columns["polled_ns"][rows], return_inverse=True)
    sizes: Floats = np.bincount(batch, weights=journal.columns["records"][rows].astype(np.float64)).astype(np.float64)
    return sizes


def _busy_shares(group: list[Journal], *, window: Window) -> dict[str, float]:
    """Process → the share of the window between a poll that returned records and the end of that batch."""
    shares = {}
    for journal in group:
        rows = journal.rows_in(window)
        polled, first = np.unique(journal.columns["polled_ns"][rows], return_index=True)
        ends = np.max([journal.columns[name][rows][first] for name in STEPS.values()], axis=0) if first.size else polled
        spent = np.maximum(ends - polled, 0).sum() / 1e9
        shares[journal.process] = float(spent / window.duration_s) if window.duration_s else 0.0
    return shares


def _topic_waits(run_folder: Path, group: list[Journal], *, window: Window, wall_offset_ms: float) -> Floats:
    topics = sorted({name for journal in group for name in journal.topic.names})
    waits = [np.empty(0)]
    for topic in topics:
        spans = _spans(group, topic=topic, window=window, wall_offset_ms=wall_offset_ms)
        rows = batches(run_folder / "topics" / f"{topic}.parquet", columns=("partition", "offset", "timestamp_ms"))
        with suppress(Unreadable):  # A topic that was not dumped adds no samples; the count beside the figure says so.
            waits.extend(_waits(batch, spans) for batch in rows)
    return np.concatenate(waits)


def _spans(group: list[Journal], *, topic: str, window: Window, wall_offset_ms: float) -> dict[int, Spans]:
    rows = [np.intersect1d(np.flatnonzero(journal.topic.mask(topic)), journal.rows_in(window)) for journal in group]
    pairs = list(zip(group, rows, strict=True))
    columns = {name: np.concatenate([one.columns[name][at] for one, at in pairs]) for name in NUMBERS[:5]}
    found = {}
    for partition in np.unique(columns["partition"]):
        at = np.flatnonzero(columns["partition"] == partition)
        at = at[np.argsort(columns["first_offset"][at], kind="stable")]
        polled = columns["polled_ns"][at] / 1e6 + wall_offset_ms
        first, last = columns["first_offset"][at], columns["last_offset"][at]
        found[int(partition)] = Spans(first=first, last=last, polled_wall_ms=polled)
    return found


def _waits(batch: pa.RecordBatch, spans: Mapping[int, Spans]) -> Floats:
    """CreateTime to poll of the records that a journalled batch covers; a redelivered one counts once."""
    partition, offset, stamped = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
    waits = [np.empty(0)]
    for number in np.unique(partition):
        if int(number) not in spans:
            continue
        one, rows = spans[int(number)], partition == number
        offsets = offset[rows]
        at = np.searchsorted(one.first, offsets, side="right") - 1
        covered = (at >= 0) & (offsets <= one.last[at])
        waits.append(one.polled_wall_ms[at[covered]] - stamped[rows][covered])
    return np.concatenate(waits)
