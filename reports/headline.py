"""The headline figures of a run, each with its unit, its sample count and the verdict that it may be quoted under."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reports.rounding import duration, short, size, whole

SEVERITY: Final = ("VALID", "UNKNOWN", "INVALID")
NEEDED: Final = {"p50": 200, "p90": 1_000, "p99": 10_000, "p99_9": 100_000, "p99_99": 1_000_000}
"""Samples that carry a quantile: 100 of them must lie above it."""


@dataclass(frozen=True)
class Tile:
    """One figure: what it is, number, unit, what it rests on, and the verdict beside it."""

    label: str
    value: str
    unit: str
    note: str
    verdict: str


def worst(*verdicts: str | None) -> str:
    """The most severe of some verdicts; one that is missing or unheard of counts as UNKNOWN."""
    return max((word if word in SEVERITY else "UNKNOWN" for word in verdicts), key=SEVERITY.index, default="UNKNOWN")


def tiles(measured: Mapping[str, Any], verdicts: Mapping[str, Any]) -> list[Tile]:
    """The headline figures in reading order: throughput, latency, what was left over, cost."""
    safety = worst(verdicts.get("safety"))
    timed = worst(verdicts.get("safety"), verdicts.get("measurement"))
    latency = "CLOSED LOOP" if measured.get("closed_loop") and timed == "VALID" else timed
    return [
        *_throughput(measured, verdict=safety),
        *_latencies(measured, verdict=latency),
        _unfinished(measured, verdict=worst(verdicts.get("liveness"))),
        *_costs(measured, verdict=safety),
    ]


def _throughput(measured: Mapping[str, Any], *, verdict: str) -> list[Tile]:
    sagas = measured.get("sagas") or {}
    records = measured.get("produce_batch_records_per_saga")
    ceiling = (measured.get("calibration") or {}).get("produce_batch_per_s")
    ended = f"{whole(sagas.get('completed'))} sagas in {short(measured.get('window_s'))} s"
    ratio = f"1/{short(records)}" if records else short(None)
    beside = f"of produce_batch alone: {short(ceiling)} records/s here" if ceiling else "no calibration in this run"
    return [
        Tile("Sagas completed", short(sagas.get("sagas_per_s")), "/s", ended, verdict),
        Tile("Share of raw broker", ratio, "", beside, verdict),
    ]


def _latencies(measured: Mapping[str, Any], *, verdict: str) -> list[Tile]:
    wanted = (
        ("Response p50", "response_latency_ms", "p50"),
        ("Response p99", "response_latency_ms", "p99"),
        ("Response p99.9", "response_latency_ms", "p99_9"),
        ("End to end p99", "end_to_end_latency_ms", "p99"),
    )
    return [
        _latency(label, measured.get(name) or {}, quantile=quantile, verdict=verdict)
        for label, name, quantile in wanted
    ]


def _latency(label: str, figures: Mapping[str, Any], *, quantile: str, verdict: str) -> Tile:
    count, value = figures.get("count") or 0, figures.get(quantile)
    number, unit = duration(value)
    if value is None:
        return Tile(label, number, unit, f"{whole(count)} samples; {whole(NEEDED[quantile])} carry it", verdict)
    bound = "at least this; " if quantile in (figures.get("lower_bounds") or []) else ""
    return Tile(label, number, unit, f"{bound}{whole(count)} samples", verdict)


def _unfinished(measured: Mapping[str, Any], *, verdict: str) -> Tile:
    left, offered = measured.get("unfinished"), measured.get("offered")
    return Tile("Unfinished", whole(left), "", f"of {whole(offered)} offered", verdict)


def _costs(measured: Mapping[str, Any], *, verdict: str) -> list[Tile]:
    cost = measured.get("cost_per_saga") or {}
    cpu, unit = duration(None if cost.get("cpu_us_total") is None else cost["cpu_us_total"] / 1000)
    wal, wal_unit = size(cost.get("wal_bytes"))
    broker = " ".join(size(cost.get("broker_bytes")))
    syncs = f"{short(cost.get('fsyncs'))} fsyncs" if cost.get("fsyncs") is not None else "fsyncs not counted"
    return [
        Tile("Processor a saga", cpu, unit, "all processes, broker and database too", verdict),
        Tile("Write-ahead log a saga", wal, wal_unit, f"{broker.strip()} broker log, {syncs}", verdict),
    ]
