"""What happened in each second of a run, in columns; second 0 begins with the first intended operation.

An operation's latency belongs to the second it was *intended* in, so that a stall shows where it struck. A second alone
rarely carries a p99: each quantile is taken over a trailing window just long enough for its samples (`windows_s` says
how long), and is null where even that window carries too few.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

from bench.measure.history import History, Window, phases
from bench.measure.quantiles import QUANTILES, Floats, Integers, quantile, samples_needed
from bench.measure.samples import Samples

SHOWN: Final = ("p50", "p99", "p99_9")
SECOND_NS: Final = 1_000_000_000
SPREAD: Final = 1.05
"""Arrivals a second vary; without this margin every other window would miss its samples by a handful."""
SECONDS_MAX: Final = 24 * 3600


def timeline(history: History, *, samples: Samples, run: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of one length (`second`, `offered`, `sent`, …) and, by service or process, of lag, cores and memory."""
    offered = history.intended_ns[~history.kind.mask("poison") & (history.intended_ns > 0)]
    begin_ns = int(offered.min()) if offered.size else samples.begin_ns
    end_ns = max(history.drained_ns, samples.end_ns, begin_ns)
    if begin_ns == 0 or (end_ns - begin_ns) // SECOND_NS > SECONDS_MAX:
        return {"begin_ns": begin_ns, "second": [], "phases": []}
    seconds = int((end_ns - begin_ns) // SECOND_NS) + 1
    finished = history.completed_ns[history.completed_ns > 0]
    sent = _per_second(history.sent_ns, begin_ns=begin_ns, seconds=seconds)
    completed = _per_second(finished, begin_ns=begin_ns, seconds=seconds)
    failed = history.completed_ns[history.outcome.mask("fail") & (history.completed_ns > 0)]
    errors = history.completed_ns[history.errors]
    return {
        "begin_ns": begin_ns,
        "second": list(range(seconds)),
        "phases": _relative_phases(run, begin_ns=begin_ns),
        "offered": _per_second(offered, begin_ns=begin_ns, seconds=seconds),
        "sent": sent,
        "completed": completed,
        "failed": _per_second(failed, begin_ns=begin_ns, seconds=seconds),
        "errors": _per_second(errors, begin_ns=begin_ns, seconds=seconds),
        "in_flight": [int(n) for n in np.cumsum(sent) - np.cumsum(completed)],
        **_response(history, begin_ns=begin_ns, seconds=seconds),
        **samples.per_second(begin_ns=begin_ns, seconds=seconds),
    }


def _per_second(times: Integers, *, begin_ns: int, seconds: int) -> list[int]:
    at = (times[times > 0] - begin_ns) // SECOND_NS
    inside = at[(at >= 0) & (at < seconds)]
    return [int(n) for n in np.bincount(inside, minlength=seconds)]


def _relative_phases(run: Mapping[str, Any], *, begin_ns: int) -> list[dict[str, Any]]:
    return [
        {"name": row["name"], "begin_s": (row["begin"] - begin_ns) / 1e9, "end_s": (row["end"] - begin_ns) / 1e9}
        for row in phases(run)
    ]


def _response(history: History, *, begin_ns: int, seconds: int) -> dict[str, Any]:
    """`response_ms_p50`, `…_p99`, `…_p99_9`, `…_max` and the window of each; unfinished operations as "at least"."""
    rows = (history.intended_ns > 0) & ~history.errors & ~history.kind.mask("poison")
    intended, completed = history.intended_ns[rows], history.completed_ns[rows]
    order = np.argsort(intended, kind="stable")
    intended, completed = intended[order], completed[order]
    latency_ms = np.where(completed > 0, completed - intended, history.drained_ns - intended) / 1e6
    edges = np.searchsorted(intended, begin_ns + np.arange(seconds + 1) * SECOND_NS)
    counts = np.diff(edges)
    columns: dict[str, Any] = {"windows_s": {}}
    for name in SHOWN:
        window_s = _window_s(counts, needed=samples_needed(QUANTILES[name]))
        columns["windows_s"][name] = window_s
        columns[f"response_ms_{name}"] = _trailing(latency_ms, edges=edges, part=QUANTILES[name], window_s=window_s)
    columns["response_ms_max"] = [
        float(latency_ms[low:high].max()) if high > low else None for low, high in pairwise(edges)
    ]
    return columns


def _window_s(counts: Integers, *, needed: int) -> int:
    """Seconds that usually hold `needed` operations, at most a third of the run (then the quantile stays unstated)."""
    busy = counts[counts > 0]
    if not busy.size:
        return 1
    wanted = int(np.ceil(needed * SPREAD / np.median(busy)))
    return wanted if wanted <= max(1, busy.size // 3) else 1


def _trailing(latency_ms: Floats, *, edges: Integers, part: int, window_s: int) -> list[float | None]:
    ends = edges[1:]
    begins = edges[np.maximum(np.arange(ends.size) + 1 - window_s, 0)]
    idle = np.diff(edges) == 0
    return [
        None if empty else quantile(latency_ms[low:high], part)
        for low, high, empty in zip(begins, ends, idle, strict=True)
    ]


def backlog_grows(history: History, *, window: Window) -> bool:
    """Whether the system fell behind while load was offered: more open at the end than after a quarter of the schedule.

    The growth must exceed 5 % of what arrived between. In an open loop this is what saturation looks like; a latency
    taken there says how long the run was, not how fast the system is.
    """
    quarter = window.begin_ns + (window.offered_end_ns - window.begin_ns) // 4
    intended, completed = history.intended_ns[history.measured], history.completed_ns[history.measured]
    arrived = int((intended <= window.offered_end_ns).sum()) - int((intended <= quarter).sum())
    growth = _open_at(intended, completed, window.offered_end_ns) - _open_at(intended, completed, quarter)
    return arrived > 0 and growth > 0.05 * arrived


def _open_at(intended: Integers, completed: Integers, at_ns: int) -> int:
    return int(((intended <= at_ns) & ((completed == 0) | (completed > at_ns))).sum())
