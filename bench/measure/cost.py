"""What a saga costs: processor time by process, write-ahead log, broker bytes, synchronous writes.

Every cost is divided by the sagas that ended in the very window that the cost was taken over.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from bench.measure.history import History, Window
from bench.measure.samples import Samples

COUNTERS: Final = {
    "wal_bytes": "postgres_wal_bytes",
    "broker_bytes": "broker_log_bytes",
    "fsyncs": "postgres_fsyncs",
}


def sagas_between(history: History, *, begin_ns: int, end_ns: int) -> int:
    """Checkouts that began a saga of their own and ended between two moments."""
    ended = history.completed_ns[history.leads & ~history.errors]
    return int(np.count_nonzero((ended >= begin_ns) & (ended <= end_ns) & (ended > 0)))


def cost_per_saga(history: History, *, window: Window, samples: Samples, counters: Mapping[str, Any]) -> dict[str, Any]:
    """`{"count", "cpu_us": {process: …}, "cpu_us_total", "wal_bytes", "broker_bytes", "fsyncs", "counted_sagas"}`."""
    sagas = sagas_between(history, begin_ns=window.begin_ns, end_ns=window.end_ns)
    cpu_s = samples.cpu_s(begin_ns=window.begin_ns, end_ns=window.end_ns)
    figures: dict[str, Any] = {"count": sagas}
    if not cpu_s:
        cpu_s, sagas = _counted_cpu_s(counters), _counted_sagas(history, counters)
    known = bool(sagas and cpu_s)
    figures["cpu_us"] = {name: spent * 1e6 / sagas for name, spent in sorted(cpu_s.items())} if known else {}
    figures["cpu_us_total"] = sum(figures["cpu_us"].values()) if known else None
    return {**figures, **_counted(history, counters)}


def _counted(history: History, counters: Mapping[str, Any]) -> dict[str, Any]:
    """Costs from the cumulative counters, over the sagas that ended between their two readings."""
    sagas = _counted_sagas(history, counters)
    begin, end = counters.get("begin") or {}, counters.get("end") or {}
    figures: dict[str, Any] = {"counted_sagas": sagas}
    for name, counter in COUNTERS.items():
        known = sagas and begin.get(counter) is not None and end.get(counter) is not None
        figures[name] = (end[counter] - begin[counter]) / sagas if known else None
    return figures


def _counted_sagas(history: History, counters: Mapping[str, Any]) -> int:
    begin, end = counters.get("begin") or {}, counters.get("end") or {}
    if not begin.get("monotonic_ns") or not end.get("monotonic_ns"):
        return 0
    return sagas_between(history, begin_ns=int(begin["monotonic_ns"]), end_ns=int(end["monotonic_ns"]))


def _counted_cpu_s(counters: Mapping[str, Any]) -> dict[str, float]:
    begin = (counters.get("begin") or {}).get("cpu_s") or {}
    end = (counters.get("end") or {}).get("cpu_s") or {}
    return {name: max(0.0, float(spent) - float(begin.get(name, 0.0))) for name, spent in end.items()}
