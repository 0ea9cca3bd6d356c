"""The rebalance matrix as a table: protocol, shape and kind of change by what each hand-over cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.rounding import time_text, whole


@dataclass(frozen=True)
class Row:
    """One protocol, shape and kind of change, in words."""

    protocol: str
    shape: str
    kind: str
    changes: str
    handovers: str
    median: str
    p90: str
    overlap: str
    lost: str
    latency: str
    link: str


def rebalance_sections(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a rebalance matrix."""
    return {"rebalances": [_row(one) for one in document["rebalances"]]}


def _row(one: Mapping[str, Any]) -> Row:
    return Row(
        protocol=one["protocol"],
        shape=one["shape"],
        kind=one["kind"],
        changes=whole(one["changes"]),
        handovers=whole(one["handovers"]),
        median=_ms(one["first_record_ms"], "median"),
        p90=_ms(one["first_record_ms"], "p90"),
        overlap=_ms(one["ownership_overlap_ms"], "max"),
        lost=whole(None if one["goodput_lost_operations"] is None else one["goodput_lost_operations"]["median"]),
        latency=_ms(one["latency_back_ms"], "median"),
        link=f"{one['run']}/report.html",
    )


def _ms(figures: Mapping[str, Any] | None, name: str) -> str:
    return "—" if figures is None else time_text(figures[name])
