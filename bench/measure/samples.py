"""Processor, memory and lag of every process, once a second, from `samples.parquet` and `counters.json`.

CPU is cumulative in the file, so a window's cost is a difference of two interpolated points and survives a lost sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.measure.files import Labels, floats, integers, table
from bench.measure.quantiles import Floats, Integers

COLUMNS: Final = (
    "monotonic_ns",
    "process",
    "cpu_s",
    "rss_bytes",
    "lag_records",
    "steal_s",
    "pressure_cpu_some_us",
)
LAG: Final = "lag:"
MACHINE: Final = "machine"
MIB: Final = 1024 * 1024
SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class Series:
    """One process's samples in time order; a column is NaN where it was not sampled."""

    monotonic_ns: Integers
    columns: Mapping[str, Floats]

    def difference(self, name: str, *, begin_ns: int, end_ns: int) -> float | None:
        """How much a cumulative column grew between two moments, or None where it was not sampled twice."""
        values = self.columns[name]
        known = ~np.isnan(values)
        if known.sum() < 2:
            return None
        at = np.interp([begin_ns, end_ns], self.monotonic_ns[known].astype(np.float64), values[known])
        return max(0.0, float(at[1] - at[0]))

    def gauge(self, name: str, *, edges_ns: Integers) -> list[float | None]:
        """The last value at or before the end of each second; None before the first and long after the last sample."""
        values = self.columns[name]
        known = ~np.isnan(values)
        times, values = self.monotonic_ns[known], values[known]
        at = np.searchsorted(times, edges_ns[1:], side="right") - 1
        fresh = [i >= 0 and edge - times[i] <= 3 * SECOND_NS for i, edge in zip(at, edges_ns[1:], strict=True)]
        return [float(values[i]) if ok else None for i, ok in zip(at, fresh, strict=True)]


@dataclass(frozen=True)
class Samples:
    """Every sampled process by name, `machine` and `lag:<service>` among them."""

    series: Mapping[str, Series]

    @property
    def begin_ns(self) -> int:
        return min((int(one.monotonic_ns[0]) for one in self.series.values()), default=0)

    @property
    def end_ns(self) -> int:
        return max((int(one.monotonic_ns[-1]) for one in self.series.values()), default=0)

    @property
    def processes(self) -> list[str]:
        """The names that stand for operating-system processes."""
        return [name for name in self.series if name != MACHINE and not name.startswith(LAG)]

    def cpu_s(self, *, begin_ns: int, end_ns: int) -> dict[str, float]:
        """Processor seconds of each process between two moments."""
        used = {
            name: self.series[name].difference("cpu_s", begin_ns=begin_ns, end_ns=end_ns) for name in self.processes
        }
        return {name: spent for name, spent in used.items() if spent is not None}

    def per_second(self, *, begin_ns: int, seconds: int) -> dict[str, Any]:
        """`lag_records` by service, `cpu_cores` and `rss_mib` by process: a list with a value a second each."""
        edges = begin_ns + np.arange(seconds + 1, dtype=np.int64) * SECOND_NS
        lags = {name.removeprefix(LAG): one for name, one in self.series.items() if name.startswith(LAG)}
        return {
            "lag_records": {name: one.gauge("lag_records", edges_ns=edges) for name, one in lags.items()},
            "cpu_cores": {name: _cores(self.series[name], edges) for name in self.processes},
            "rss_mib": {name: _mib(self.series[name].gauge("rss_bytes", edges_ns=edges)) for name in self.processes},
        }

    def harness_memory_mib_peak(self) -> float | None:
        """The largest sum of resident memory of the project's own processes (broker and database left out)."""
        own = [self.series[name] for name in self.processes if not name.startswith(("broker", "postgres"))]
        if not own:
            return None
        span = np.arange(self.begin_ns, self.end_ns + 2 * SECOND_NS, SECOND_NS, dtype=np.int64)
        gauges = [[value or 0.0 for value in one.gauge("rss_bytes", edges_ns=span)] for one in own]
        return float(np.sum(gauges, axis=0).max()) / MIB

    def machine(self, *, begin_ns: int, end_ns: int, cores: int | None) -> dict[str, float | None]:
        """Shares of the window: processor time that the host stole, and time in which some task waited for a core."""
        if MACHINE not in self.series or end_ns <= begin_ns:
            return {"steal_share": None, "pressure_cpu_some_share": None}
        one, window_s = self.series[MACHINE], (end_ns - begin_ns) / 1e9
        steal_s = one.difference("steal_s", begin_ns=begin_ns, end_ns=end_ns)
        pressure_us = one.difference("pressure_cpu_some_us", begin_ns=begin_ns, end_ns=end_ns)
        return {
            "steal_share": None if steal_s is None else steal_s / (window_s * (cores or 1)),
            "pressure_cpu_some_share": None if pressure_us is None else pressure_us / 1e6 / window_s,
        }


def read_samples(run_folder: Path) -> Samples:
    """`samples.parquet` by process; without the file no processes."""
    source = table(run_folder / "samples.parquet", columns=COLUMNS)
    if source is None or not source.num_rows:
        return Samples(series={})
    process, times = Labels(source, "process"), integers(source, "monotonic_ns")
    columns = {name: floats(source, name) for name in COLUMNS[2:]}
    series = {}
    for name in process.names:
        rows = np.flatnonzero(process.mask(name))
        rows = rows[np.argsort(times[rows], kind="stable")]
        series[name] = Series(monotonic_ns=times[rows], columns={key: col[rows] for key, col in columns.items()})
    return Samples(series={name: one for name, one in series.items() if one.monotonic_ns.size})


def _cores(one: Series, edges: Integers) -> list[float | None]:
    values = one.columns["cpu_s"]
    known = ~np.isnan(values)
    if known.sum() < 2:
        return [None] * (edges.size - 1)
    times = one.monotonic_ns[known].astype(np.float64)
    spent = np.diff(np.interp(edges, times, values[known]))
    seen = (edges[1:] > times[0]) & (edges[:-1] < times[-1])
    return [round(float(core), 4) if ok else None for core, ok in zip(spent, seen, strict=True)]


def _mib(values: list[float | None]) -> list[float | None]:
    return [None if value is None else round(value / MIB, 2) for value in values]
