"""Where the time goes: the hops of each service as bars and numbers, and a saga's processor time by process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reports.palette import role
from reports.rounding import percent, short, time_text, whole

HOPS: Final = (
    ("topic_wait_ms", "topic wait", "h1", "CreateTime of the record → poll that returned it"),
    ("handler_ms", "handler", "h2", "poll → business done in the open transaction"),
    ("database_commit_ms", "database commit", "h3", "handled → last writes and commit in PostgreSQL"),
    ("produce_ms", "produce", "h4", "stored → replies acknowledged by the broker"),
    ("offset_commit_ms", "offset commit", "h5", "produced → offsets committed"),
)


@dataclass(frozen=True)
class Hop:
    """One hop's quantiles as text and its share of the service's median time, per cent."""

    name: str
    role: str
    meaning: str
    p50: str
    p99: str
    longest: str
    width: float


@dataclass(frozen=True)
class Stage:
    """A service: its hops in order, and how it batches."""

    service: str
    role: str
    hops: tuple[Hop, ...]
    width: float
    total: str
    batches: str


@dataclass(frozen=True)
class Share:
    """A process's part of the processor time of a saga."""

    process: str
    role: str
    amount: str
    width: float


def stages(hops: Mapping[str, Any]) -> list[Stage]:
    """A stage a service; bars are medians over records, on one scale for all services."""
    medians = {service: _medians(figures) for service, figures in hops.items()}
    longest = max((sum(found.values()) for found in medians.values()), default=0.0) or 1.0
    order = sorted(hops, key=role)
    return [_stage(service, hops[service], medians=medians[service], longest=longest) for service in order]


def _medians(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: max(0.0, (figures.get(name) or {}).get("p50") or 0.0) for name, *_ in HOPS}


def _stage(service: str, figures: Mapping[str, Any], *, medians: Mapping[str, float], longest: float) -> Stage:
    total = sum(medians.values())
    shown = [_hop(entry, figures[entry[0]], medians, total) for entry in HOPS if figures.get(entry[0])]
    sizes, busy = figures.get("batch_records") or {}, figures.get("busy_share") or {}
    median = f"median {short(sizes['p50'])}, " if sizes.get("p50") else ""
    batches = f"{whole(sizes.get('count'))} batches, {median}at most {whole(sizes.get('max'))} records"
    shares = ", ".join(f"{name} busy {percent(share)}" for name, share in busy.items())
    return Stage(
        service=service,
        role=role(service),
        hops=tuple(shown),
        width=100 * total / longest,
        total=time_text(total),
        batches=f"{batches}; {shares}" if shares else batches,
    )


def _hop(
    entry: tuple[str, str, str, str], figures: Mapping[str, Any], medians: Mapping[str, float], total: float
) -> Hop:
    name, spoken, hop_role, meaning = entry
    return Hop(
        name=spoken,
        role=hop_role,
        meaning=meaning,
        p50=time_text(figures.get("p50")),
        p99=time_text(figures.get("p99")),
        longest=time_text(figures.get("max")),
        width=100 * medians[name] / total if total else 0.0,
    )


def shares(cost: Mapping[str, Any]) -> list[Share]:
    """Processor µs a saga by process, in the page's order of processes."""
    found: Mapping[str, float] = cost.get("cpu_us") or {}
    total = sum(found.values()) or 1.0
    return [
        Share(process=name, role=role(name), amount=time_text(found[name] / 1000), width=100 * found[name] / total)
        for name in sorted(found, key=lambda name: (role(name), name))
    ]
