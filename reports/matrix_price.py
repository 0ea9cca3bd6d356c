"""The price of correctness: throughput as bars with intervals, and what a saga costs under each guarantee."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.matrix.table import times
from reports.palette import role
from reports.rounding import short, size, time_text


@dataclass(frozen=True)
class Share:
    """A process's part of the processor time of a saga; `width` is in percent of the dearest guarantee."""

    process: str
    role: str
    cpu_us: str
    width: float


@dataclass(frozen=True)
class Price:
    """One guarantee, each figure as text; `width` of its throughput in percent of the fastest."""

    name: str
    rate: str
    interval: str
    rounds: int
    width: float
    ratio: str
    p50: str
    p99: str
    cpu: str
    wal: str
    broker: str
    fsyncs: str
    anomalies: int
    shares: tuple[Share, ...]


def price_sections(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a guarantee matrix."""
    found = document["prices"]
    fastest = max((one["sagas_per_s"]["median"] for one in found.values()), default=0) or 1
    dearest = max((one["cpu_us_total"] or 0 for one in found.values()), default=0) or 1
    steady = next((one["steady_per_s"] for one in found.values() if one["steady_per_s"]), None)
    processes = dict.fromkeys(name for one in found.values() for name in one["cpu_us"])
    return {
        "prices": [_price(name, one, fastest=fastest, dearest=dearest) for name, one in found.items()],
        "processes": [(name, role(name)) for name in processes],
        "steady": short(steady) if steady else None,
    }


def _price(name: str, one: Mapping[str, Any], *, fastest: float, dearest: float) -> Price:
    rate, latency = one["sagas_per_s"], one["response_latency_ms"] or {}
    return Price(
        name=name,
        rate=short(rate["median"]),
        interval=f"{short(rate['low'])} to {short(rate['high'])}",
        rounds=rate["count"],
        width=100 * rate["median"] / fastest,
        ratio=times(one["ratio"]),
        p50=_time(latency.get("p50")),
        p99=_time(latency.get("p99")),
        cpu=_known(one["cpu_us_total"], "µs"),
        wal=_bytes(one["wal_bytes"]),
        broker=_bytes(one["broker_bytes"]),
        fsyncs="—" if one["fsyncs"] is None else f"{one['fsyncs']:.3f}",
        anomalies=one["anomalies"],
        shares=tuple(_shares(one["cpu_us"], dearest=dearest)),
    )


def _shares(cpu_us: Mapping[str, float | None], *, dearest: float) -> Sequence[Share]:
    spent = [(process, us) for process, us in cpu_us.items() if us]
    return [Share(process, role(process), short(us), 100 * us / dearest) for process, us in spent]


def _known(value: float | None, unit: str) -> str:
    return "—" if value is None else f"{short(value)} {unit}"


def _time(milliseconds: float | None) -> str:
    return "—" if milliseconds is None else time_text(milliseconds)


def _bytes(count: float | None) -> str:
    return "—" if count is None else " ".join(size(count))
