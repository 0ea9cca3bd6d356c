"""Whether the generator tells the truth about itself: a stall that its own stamps hide would flatter every figure.

Two witnesses that it does not write. The schedule follows from the seed in run.json, so each intended time is known but
for the moment of the start. And the runner notes twice a second how many operations have been sent so far, so an
operation cannot have been sent before a moment at which the runner still saw it unsent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from bench.measure.history import History
from bench.measure.quantiles import Integers
from loadgen.arrival import schedule

WATCHED: Final = "load-watched"
GRACE_NS: Final = 250_000_000
"""The generator reads the clock and then stamps, on a machine that is busy with what it measures."""


def departures(history: History, *, run: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why the generator's stamps cannot be believed, a sentence each; nothing to say about a closed loop."""
    intended_ns = _seeded(run, operations=len(history.intended_ns))
    reasons = [] if intended_ns is None else _rescheduled(history.intended_ns, intended_ns)
    return [*reasons, *_backdated(history.sent_ns, events)]


def _seeded(run: Mapping[str, Any], *, operations: int) -> Integers | None:
    """The schedule that run.json asks for, or None where it does not say or the loop is closed."""
    knobs = {name: (run.get("knobs") or {}).get(name) for name in ("arrival", "rate_per_s", "operations")}
    kind, rate, asked = (knob.get("value") if isinstance(knob, dict) else None for knob in knobs.values())
    seed = run.get("seed")
    if not isinstance(rate, int | float) or not isinstance(seed, int) or asked != operations or not operations:
        return None
    return schedule(str(kind), rate_per_s=float(rate), operations=operations, seed=seed)


def _rescheduled(intended_ns: Integers, seeded_ns: Integers) -> list[str]:
    """Intended times that are not the seeded ones, counted from the first; rows that were never reached have none."""
    reached = intended_ns > 0
    if not reached.any():
        return []
    off_ns = np.abs((intended_ns - seeded_ns) - (intended_ns[0] - seeded_ns[0]))[reached]
    wrong = int(np.count_nonzero(off_ns))
    if not wrong:
        return []
    return [f"{wrong} operations stand up to {off_ns.max() / 1e6:.1f} ms away from the seeded schedule"]


def _backdated(sent_ns: Integers, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Operations that bear an earlier time than one at which the runner had seen fewer of them sent."""
    watched = [event for event in events if event.get("event") == WATCHED]
    sent = np.sort(sent_ns[sent_ns > 0])
    ahead = [
        int(np.searchsorted(sent, event["counted_ns"] - GRACE_NS, side="right")) - int(event["sent"])
        for event in watched
    ]
    most = max(ahead, default=0)
    if most <= 0:
        return []
    return [f"{most} operations are said to have been sent when the runner saw that the generator had not sent them"]
