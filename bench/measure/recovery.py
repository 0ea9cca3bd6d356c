"""What each fault cost: detection, restart, the gap in completions, time to the first new commit, rebuild, backlog.

A fault is a failpoint that was reached or a service process that ended with an error. Its window closes with the next
fault or the end of the drain. Source: measurement.md, Recovery; spec/checkout.md, C10.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from bench.measure.history import History
from bench.measure.hops import Journal
from bench.measure.samples import Samples

STRUCK: Final = ("failpoint-reached", "fault-injected")
ASKED_TO_END: Final = (0, None, -15, 143)
"""Exit codes of a process that ended by itself or on SIGTERM: a stop, no fault."""
SAME_DEATH_NS: Final = 2_000_000_000


def recovery(
    events: Sequence[Mapping[str, Any]], *, history: History, journals: Sequence[Journal], samples: Samples
) -> list[dict[str, Any]]:
    """A figure set a fault, in time order; empty where nothing struck."""
    struck = faults(events)
    ends = [int(row["monotonic_ns"]) for row in struck[1:]] + [history.drained_ns]
    return [
        {
            "fault": _name(row),
            "process": row.get("process"),
            "monotonic_ns": int(row["monotonic_ns"]),
            **_process(row, events=events, end_ns=end),
            **_service(row, history=history, end_ns=end),
            **_progress(row, journals=journals, end_ns=end),
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
        one.get("process") == row.get("process")
        and 0 <= int(row["monotonic_ns"]) - int(one["monotonic_ns"]) < SAME_DEATH_NS
        for one in struck
    )


def _name(row: Mapping[str, Any]) -> str:
    point = row.get("failpoint") or row.get("fault")
    count = f"#{row['count']}" if row.get("count") else ""
    return f"{row.get('process')}@{point}{count}" if point else f"{row.get('process')} exited {row.get('exit_code')}"


def _process(row: Mapping[str, Any], *, events: Sequence[Mapping[str, Any]], end_ns: int) -> dict[str, Any]:
    """`detection_ms`, `restart_ms`, `ready_ms` of the process that was struck, and its `rebuild_records`."""
    begin = int(row["monotonic_ns"])
    later = [
        one
        for one in events
        if begin <= int(one["monotonic_ns"]) <= end_ns and one.get("process") in (row.get("process"), "runner", None)
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
    begin, process = int(row["monotonic_ns"]), str(row.get("process"))
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
