"""Whether the figures may be quoted: the generator kept its schedule, had a core to spare, delivered what it offered.

Only an open loop claims latency, so only there can the measurement be invalid; a closed loop says so in its reason.
`departures` are what `honesty` found in the generator's own stamps, on which all of it rests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.measure.history import History, Window

SLIP_MS_MAX: Final = 5.0
SLIP_SHARE_MAX: Final = 0.05
GENERATOR_CORES_MAX: Final = 0.85
DELIVERED_SHARE_MIN: Final = 0.995
STEAL_SHARE_MAX: Final = 0.05
GENERATOR: Final = "driver"
JUDGED_BY: Final = (("p99", "p99"), ("p90", "p90"), ("p50", "median"))
"""The rule speaks of p99; a run too small to carry one is judged by the next quantile that it carries."""


@dataclass(frozen=True)
class Conditions:
    """What the judgement rests on; `cores` is processor seconds a second by process, over the window."""

    closed_loop: bool
    wait_ms: Mapping[str, Any]
    response_ms: Mapping[str, Any]
    cores: Mapping[str, float]
    delivered_share: float | None
    saturated: bool
    steal_share: float | None
    faults: int = 0
    departures: Sequence[str] = ()


def is_closed_loop(run: Mapping[str, Any]) -> bool:
    """Whether the run asked for `--rate max`, where an operation waits for a free place and is intended only then."""
    knobs = run.get("knobs") or {}
    rates = [knobs.get(name) for name in ("arrival", "rate", "rate_per_s")]
    return any((knob.get("value") if isinstance(knob, dict) else knob) == "max" for knob in rates)


def delivered_share(history: History, *, window: Window) -> float | None:
    """The share of the measured operations that had been handed over when the schedule ended (5 ms of grace)."""
    sent = history.sent_ns[history.measured]
    if not sent.size:
        return None
    return float(np.mean((sent > 0) & (sent <= window.offered_end_ns + int(SLIP_MS_MAX * 1e6))))


def validity(conditions: Conditions) -> dict[str, Any]:
    """`{"verdict": "VALID" | "INVALID", "reasons": […], "notes": […]}`; notes do not change the verdict."""
    notes = _notes(conditions)
    if conditions.closed_loop:
        return {"verdict": "VALID", "reasons": ["closed loop: no claim about latency"], "notes": notes}
    reasons = [*conditions.departures, *_slip(conditions), *_generator(conditions), *_delivery(conditions)]
    return {"verdict": "INVALID" if reasons else "VALID", "reasons": reasons, "notes": notes}


def _slip(conditions: Conditions) -> list[str]:
    for name, spoken in JUDGED_BY:
        slip, response = conditions.wait_ms.get(name), conditions.response_ms.get(name)
        if slip is None:
            continue
        allowed = max(SLIP_MS_MAX, SLIP_SHARE_MAX * (response or 0.0))
        return [f"schedule slip {spoken} {slip:.1f} ms exceeds {allowed:.1f} ms"] if slip > allowed else []
    return ["too few operations to judge the schedule slip (200 are needed)"]


def _generator(conditions: Conditions) -> list[str]:
    cores = conditions.cores.get(GENERATOR, 0.0)
    return [f"the generator used {cores:.0%} of a core (at most 85 %)"] if cores > GENERATOR_CORES_MAX else []


def _delivery(conditions: Conditions) -> list[str]:
    share = conditions.delivered_share
    if share is None or conditions.saturated or share >= DELIVERED_SHARE_MIN:
        return []
    return [f"only {share:.2%} of the offered operations were delivered while the system was not saturated"]


def _notes(conditions: Conditions) -> list[str]:
    notes = []
    if conditions.saturated and not conditions.closed_loop:
        notes.append("saturated: the backlog grew while load was offered, so the latencies say how long the run was")
    if conditions.steal_share is not None and conditions.steal_share > STEAL_SHARE_MAX:
        notes.append(f"the host took {conditions.steal_share:.1%} of the processor time away (steal)")
    if conditions.faults:
        notes.append("a fault struck: throughput and cost include it, latency leaves the windows of timed faults out")
    return notes
