"""What each fault cost: detection, restart, the gap in completions, time to the first new commit, rebuild, backlog.

A fault is one of the plan that struck, a failpoint that was reached, or a service process that ended with an error. Its
window closes with the next fault or the end of the drain. Source: measurement.md, Recovery; spec/checkout.md, C10.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from bench.measure.handovers import ASKED_TO_END, Handover
from bench.measure.history import History
from bench.measure.hops import Journal
from bench.measure.quantiles import Mask
from bench.measure.rebalance import goodput_lost, latency_back_ms
from bench.measure.samples import Samples

STRUCK: Final = ("failpoint-reached", "fault-struck")
SAME_DEATH_NS: Final = 2_000_000_000
LEVEL_RECORDS: Final = 1_000
"""Up to so many records behind is no backlog."""


def recovery(
    events: Sequence[Mapping[str, Any]],
    *,
    history: History,
    journals: Sequence[Journal],
    samples: Samples,
    moved: Sequence[Handover] = (),
) -> list[dict[str, Any]]:
    """A figure set a fault, in time order; empty where nothing struck."""
    struck = faults(events)
    ends = [int(row["monotonic_ns"]) for row in struck[1:]] + [history.drained_ns]
    return [
        {
            "fault": _name(row),
            "process": struck_process(row),
            "monotonic_ns": int(row["monotonic_ns"]),
            **_healing(row, events=events),
            **_rebalance(row, moved=moved, end_ns=end),
            **_process(row, events=events, end_ns=end),
            **_service(row, history=history, end_ns=end),
            **_progress(row, journals=journals, end_ns=end),
            "goodput_lost_operations": goodput_lost(history, at_ns=int(row["monotonic_ns"]), until_ns=end),
            "latency_back_ms": latency_back_ms(history, at_ns=int(row["monotonic_ns"]), until_ns=end),
            "drain_ms": _drain_ms(samples, begin_ns=int(row["monotonic_ns"]), end_ns=end),
            "peak_backlog_records": _peak_lag(samples, begin_ns=int(row["monotonic_ns"]), end_ns=end),
        }
        for row, end in zip(struck, ends, strict=False)
    ]


def faults(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The moments at which something went wrong; the exit that a failpoint causes is the same fault as it."""
    struck: list[Mapping[str, Any]] = []
    for row in events:
        died = row["event"] == "process-exited" and row.get("exit_code") not in ASKED_TO_END
        if row["event"] in STRUCK or (died and not _is_known(row, struck)):
            struck.append(row)
    return struck


def _is_known(row: Mapping[str, Any], struck: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        row.get("process") in (one.get("process"), *processes_hit(one))
        and 0 <= int(row["monotonic_ns"]) - int(one["monotonic_ns"]) < SAME_DEATH_NS
        for one in struck
    )


def processes_hit(row: Mapping[str, Any]) -> list[str]:
    """The processes that a fault of the plan struck."""
    hit = row.get("hit")
    return [str(name) for name in hit.get("processes") or ()] if isinstance(hit, Mapping) else []


def struck_process(row: Mapping[str, Any]) -> str | None:
    """The process that a fault struck, the first of several."""
    hit = processes_hit(row)
    process = hit[0] if hit else row.get("process")
    return None if process is None else str(process)


def _healing(row: Mapping[str, Any], *, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`healed_ms` and `recovered_ms` of a fault of the plan, null for others and where it never came to it."""
    named = row["event"] == "fault-struck"
    mine = [one for one in events if named and one.get("fault") == row.get("fault")]
    begin = int(row["monotonic_ns"])
    return {f"{word}_ms": _first_ms(mine, event=f"fault-{word}", begin_ns=begin) for word in ("healed", "recovered")}


def outside_faults(events: Sequence[Mapping[str, Any]], history: History, *, moved: Sequence[Handover] = ()) -> Mask:
    """The measured operations of which no moment lies in the window of a fault of the plan.

    A window ends when the fault has recovered and the partitions that it moved have new records processed. Fault
    windows never mix with the steady state (measurement.md, 6). A crash at a failpoint has no window of its own.
    """
    rows: Mask = history.measured
    ended_ns = np.where(history.completed_ns > 0, history.completed_ns, history.drained_ns)
    for row in events:
        if row["event"] != "fault-struck":
            continue
        begin, healing = int(row["monotonic_ns"]), _healing(row, events=events)
        lasted_ms = healing["recovered_ms"] or healing["healed_ms"]
        end = history.drained_ns if lasted_ms is None else begin + int(lasted_ms * 1e6)
        end = max([end, *(one.processed_ns for one in moved if begin <= one.begin_ns <= end)])
        rows = rows & ~((ended_ns >= begin) & (history.intended_ns <= end))
    return rows


def _rebalance(row: Mapping[str, Any], *, moved: Sequence[Handover], end_ns: int) -> dict[str, Any]:
    """`rebalance_ms`: from the first partition given up to the last one of these with a new record processed."""
    begin = int(row["monotonic_ns"])
    mine = [one for one in moved if begin <= one.begin_ns <= end_ns]
    ended = [one.processed_ns for one in mine if one.processed_ns]
    return {
        "rebalance_ms": (max(ended) - min(one.begin_ns for one in mine)) / 1e6 if ended else None,
        "ownership_overlap_ms": max((one.overlap_ns / 1e6 for one in mine), default=0.0),
    }


def _drain_ms(samples: Samples, *, begin_ns: int, end_ns: int) -> float | None:
    """From the peak of the backlog to the first sample at which it was as small as before the fault, or hardly larger.

    To the second, as lag is sampled once a second; null where it was never back or never sampled before.
    """
    longest = None
    for name, one in samples.series.items():
        known = ~np.isnan(one.columns["lag_records"])
        times, lag = one.monotonic_ns[known], one.columns["lag_records"][known]
        before, inside = lag[times <= begin_ns], np.flatnonzero((times >= begin_ns) & (times <= end_ns))
        if not name.startswith("lag:") or not before.size or not inside.size:
            continue
        peak = inside[int(np.argmax(lag[inside]))]
        back = inside[(inside >= peak) & (lag[inside] <= max(before.max(), LEVEL_RECORDS))]
        if not back.size:
            return None
        longest = max(longest or 0.0, float(times[back[0]] - times[peak]) / 1e6)
    return longest


def _name(row: Mapping[str, Any]) -> str:
    if row["event"] == "fault-struck":
        return str(row.get("fault"))
    point = row.get("failpoint") or row.get("fault")
    return f"{row.get('process')}: {point}" if point else f"{row.get('process')} exited {row.get('exit_code')}"


def _process(row: Mapping[str, Any], *, events: Sequence[Mapping[str, Any]], end_ns: int) -> dict[str, Any]:
    """`detection_ms`, `restart_ms`, `ready_ms` of the process that was struck, and its `rebuild_records`."""
    begin = int(row["monotonic_ns"])
    later = [
        one
        for one in events
        if begin <= int(one["monotonic_ns"]) <= end_ns and one.get("process") in (struck_process(row), "runner", None)
    ]
    rebuilt = [one for one in later if one["event"] == "rebuild-finished"]
    wanted = {"detection_ms": "process-exited", "restart_ms": "process-started", "ready_ms": "process-ready"}
    times = {name: _first_ms(later, event=event, begin_ns=begin) for name, event in wanted.items()}
    return {**times, "rebuild_records": sum(int(one.get("records", 0)) for one in rebuilt) if rebuilt else None}


def _first_ms(rows: Sequence[Mapping[str, Any]], *, event: str, begin_ns: int) -> float | None:
    found = (int(row["monotonic_ns"]) for row in rows if row["event"] == event)
    first = next(found, None)
    return None if first is None else (first - begin_ns) / 1e6


def _service(row: Mapping[str, Any], *, history: History, end_ns: int) -> dict[str, Any]:
    """`unavailability_ms`: the longest gap between two completions; `unknown_operations`: left without an answer."""
    begin = int(row["monotonic_ns"])
    completed = np.sort(history.completed_ns[(history.completed_ns >= begin) & (history.completed_ns <= end_ns)])
    gaps = np.diff(completed, prepend=begin)
    sent_before = (history.intended_ns > 0) & (history.intended_ns <= end_ns)
    unknown = sent_before & (history.intended_ns >= begin) & history.outcome.mask("info")
    return {
        "unavailability_ms": float(gaps.max() / 1e6) if gaps.size else None,
        "unknown_operations": int(np.count_nonzero(unknown)),
    }


def _progress(row: Mapping[str, Any], *, journals: Sequence[Journal], end_ns: int) -> dict[str, Any]:
    """`first_commit_ms` by partition of the struck service: from the fault to the first new commit there."""
    begin, process = int(row["monotonic_ns"]), str(struck_process(row))
    service = process.rpartition("-")[0] or process
    first: dict[str, float] = {}
    for journal in journals:
        if journal.service != service:
            continue
        committed, partition = journal.columns["committed_ns"], journal.columns["partition"]
        later = (committed > begin) & (committed <= end_ns)
        for number in np.unique(partition[later]):
            found = (int(committed[later & (partition == number)].min()) - begin) / 1e6
            first[str(number)] = min(found, first.get(str(number), found))
    return {"first_commit_ms": first, "redelivered_records": _redelivered(journals, service, begin, end_ns)}


def _redelivered(journals: Sequence[Journal], service: str, begin_ns: int, end_ns: int) -> int:
    """Records polled after the fault that lie at or below an offset that was polled before it."""
    highest: dict[tuple[str, int], int] = {}
    again = 0
    for late in (False, True):
        for journal in (one for one in journals if one.service == service):
            columns, names = journal.columns, journal.topic.names
            polled = columns["polled_ns"]
            rows = np.flatnonzero((polled > begin_ns) & (polled <= end_ns) if late else polled <= begin_ns)
            for code, partition in {(int(journal.topic.codes[i]), int(columns["partition"][i])) for i in rows}:
                key = (names[code], partition)
                at = rows[(journal.topic.codes[rows] == code) & (columns["partition"][rows] == partition)]
                if late and key in highest:
                    first, last = columns["first_offset"][at], np.minimum(columns["last_offset"][at], highest[key])
                    again += int(np.maximum(last - first + 1, 0).sum())
                elif not late:
                    highest[key] = max(int(columns["last_offset"][at].max()), highest.get(key, -1))
    return again


def _peak_lag(samples: Samples, *, begin_ns: int, end_ns: int) -> int | None:
    peaks = []
    for name, one in samples.series.items():
        inside = (one.monotonic_ns >= begin_ns) & (one.monotonic_ns <= end_ns)
        values = one.columns["lag_records"][inside]
        if name.startswith("lag:") and np.any(~np.isnan(values)):
            peaks.append(int(np.nanmax(values)))
    return max(peaks, default=None)
