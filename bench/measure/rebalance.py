"""The rebalance as a figure: what each change of members cost, and the median and p90 over all changes of one kind.

Every hand-over belongs to the last change of its group before it. Source: measurement.md, Recovery.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.measure.files import integers, table
from bench.measure.handovers import (
    KINDS,
    Change,
    CreatedNs,
    Event,
    Handover,
    changes,
    handovers,
)
from bench.measure.history import History
from bench.measure.hops import Journal
from bench.measure.quantiles import Integers

BEFORE_NS: Final = 3_000_000_000
"""What a change is compared with: so long before it."""
BIN_NS: Final = 100_000_000
LEVEL_FACTOR: Final = 2.0
"""The latency level is twice the p99 of what was intended before the change, or the largest where few were."""


def moved_partitions(
    events: Sequence[Event], journals: Sequence[Journal], *, history: History, created_ns: CreatedNs
) -> list[Handover]:
    """Every hand-over while load was offered."""
    intended = history.intended_ns[history.measured]
    if not intended.size:
        return []
    begin_ns, end_ns = int(intended.min()), int(intended.max())
    return handovers(events, journals, created_ns=created_ns, begin_ns=begin_ns, end_ns=end_ns)


def rebalance(events: Sequence[Event], *, history: History, moved: Sequence[Handover]) -> dict[str, Any]:
    """`changes`, a row each, and `by_kind` over them; empty in a run in which nobody came or went."""
    intended = history.intended_ns[history.measured]
    if not intended.size:
        return {"changes": [], "by_kind": {}}
    begin_ns, end_ns = int(intended.min()), int(intended.max())
    happened = changes(events, begin_ns=begin_ns, end_ns=end_ns)
    rows = []
    for change, mine in zip(happened, attributed(happened, moved), strict=True):
        until_ns = min((one.at_ns for one in happened if one.at_ns > change.at_ns), default=end_ns)
        rows.append(_row(change, mine, begin_ns=begin_ns, history=history, until_ns=until_ns))
    return {"changes": rows, "by_kind": by_kind(rows, happened, moved)}


def attributed(happened: Sequence[Change], moved: Sequence[Handover]) -> list[list[Handover]]:
    """The hand-overs of each change."""
    found: list[list[Handover]] = [[] for _ in happened]
    for one in moved:
        causes = [at for at, change in enumerate(happened) if change.service == one.service]
        earlier = [at for at in causes if happened[at].at_ns <= one.begin_ns]
        if earlier:
            found[earlier[-1]].append(one)
    return found


def _row(change: Change, mine: Sequence[Handover], *, begin_ns: int, history: History, until_ns: int) -> dict[str, Any]:
    first_ms = [one.first_record_ms for one in mine if one.first_record_ms is not None]
    return {
        "kind": change.kind,
        "service": change.service,
        "process": change.process,
        "at_s": round((change.at_ns - begin_ns) / 1e9, 3),
        "partitions": len(mine),
        "first_record_ms": spread(first_ms),
        "ownership_overlap_ms": max((one.overlap_ns / 1e6 for one in mine), default=0.0),
        "goodput_lost_operations": goodput_lost(history, at_ns=change.at_ns, until_ns=until_ns),
        "latency_back_ms": latency_back_ms(history, at_ns=change.at_ns, until_ns=until_ns),
    }


def by_kind(
    rows: Sequence[Mapping[str, Any]], happened: Sequence[Change], moved: Sequence[Handover]
) -> dict[str, dict[str, Any]]:
    """Kind → how many changes, and the spread of each figure over them (`first_record_ms` over all partitions)."""
    found = {}
    grouped = attributed(happened, moved)
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        if not mine:
            continue
        first_ms = [
            one.first_record_ms
            for change, group in zip(happened, grouped, strict=True)
            for one in group
            if change.kind == kind and one.first_record_ms is not None
        ]
        names = ("goodput_lost_operations", "latency_back_ms", "ownership_overlap_ms")
        figures = {name: spread([row[name] for row in mine if row[name] is not None]) for name in names}
        moves = sum(row["partitions"] for row in mine)
        found[kind] = {"changes": len(mine), "handovers": moves, "first_record_ms": spread(first_ms), **figures}
    return found


def spread(values: Sequence[float]) -> dict[str, float | int] | None:
    """`count`, `median`, `p90` (the value that nine of ten do not exceed) and `max`; None of nothing."""
    if not values:
        return None
    p90 = float(np.quantile(values, 0.9, method="inverted_cdf"))
    return {"count": len(values), "median": float(np.median(values)), "p90": p90, "max": float(max(values))}


def goodput_lost(history: History, *, at_ns: int, until_ns: int) -> float | None:
    """The most operations by which completions fell behind the rate before; None where nothing had ended before.

    The rate is that of completions, or of what was intended where a backlog was just being worked off.
    """
    completed = np.sort(history.completed_ns[history.measured & (history.completed_ns > 0)])
    intended = np.sort(history.intended_ns[history.measured])
    before = min(_between(times, at_ns - BEFORE_NS, at_ns) for times in (completed, intended))
    if not before or until_ns <= at_ns:
        return None
    edges = np.arange(at_ns, until_ns + BIN_NS, BIN_NS)
    ended = np.searchsorted(completed, edges) - np.searchsorted(completed, at_ns)
    expected = (edges - at_ns) * (before / BEFORE_NS)
    return float(max(0.0, (expected - ended).max()))


def _between(times: Integers, begin_ns: int, end_ns: int) -> int:
    return int(np.searchsorted(times, end_ns) - np.searchsorted(times, begin_ns))


def latency_back_ms(history: History, *, at_ns: int, until_ns: int) -> float | None:
    """From the change to the end of the last operation that was slower than the level before; 0 where none was.

    None where nothing was intended in the seconds before. What never ended counts to the end of the drain.
    """
    rows = history.measured & ~history.errors
    intended, completed = history.intended_ns[rows], history.completed_ns[rows]
    ended = np.where(completed > 0, completed, history.drained_ns)
    earlier = (intended >= at_ns - BEFORE_NS) & (ended < at_ns)
    if not earlier.any():
        return None
    level_ns = LEVEL_FACTOR * float(np.quantile((ended - intended)[earlier], 0.99))
    slow = (intended < until_ns) & (ended >= at_ns) & (ended - intended > level_ns)
    return float((ended[slow].max() - at_ns) / 1e6) if slow.any() else 0.0


def creation_times(run_folder: Path, *, wall_offset_ms: float) -> CreatedNs:
    """CreateTime of records on CLOCK_MONOTONIC, from the dumps of the topics; each is read when it is asked for."""
    known: dict[str, Mapping[int, tuple[Integers, Integers]]] = {}

    def created_ns(topic: str, partition: int, offset: int) -> int:
        if topic not in known:
            known[topic] = _stamps(run_folder / "topics" / f"{topic}.parquet")
        offsets, stamps_ms = known[topic].get(partition, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
        at = int(np.searchsorted(offsets, offset))
        return int((int(stamps_ms[at]) - wall_offset_ms) * 1e6) if at < offsets.size else 0

    return created_ns


def _stamps(path: Path) -> dict[int, tuple[Integers, Integers]]:
    source = table(path, columns=("partition", "offset", "timestamp_ms"))
    if source is None:
        return {}
    partition, offset, stamp = (integers(source, name) for name in ("partition", "offset", "timestamp_ms"))
    order = np.lexsort((offset, partition))
    numbers, firsts = np.unique(partition[order], return_index=True)
    pieces = np.split(order, firsts[1:])
    return {int(number): (offset[at], stamp[at]) for number, at in zip(numbers, pieces, strict=True)}
