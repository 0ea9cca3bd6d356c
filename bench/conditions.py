"""Vacuity: a fault that did not strike and a wrong system that never met its condition prove nothing, so the run is
UNKNOWN.

run.json names both: `fault` (the plan) and `condition` (what the wrong system needs: `none`, `redelivery`, `rebalance`,
`restart`, `schedule`, or one that the scenario knows). These checkers stand beside those of every scenario; they find
no anomalies.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from verifiers.checker import Checker, Finding, not_applicable
from verifiers.recording import Recording


def redelivered(recording: Recording) -> int:
    """Spans of one group's partition that overlap in offsets with an earlier one, or that a worker reported."""
    spans = recording.number(
        """SELECT count(*) FROM (SELECT first_offset, max(last_offset) OVER (PARTITION BY topic, partition
               ORDER BY polled_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached FROM journal)
           WHERE first_offset <= reached"""
    )
    return spans + recording.number("SELECT count(*) FROM events WHERE event = 'redelivered'")


def restarted(recording: Recording) -> int:
    """Processes that were started more than once."""
    return recording.number(
        """SELECT count(*) FROM (SELECT process FROM events WHERE event = 'process-started'
           GROUP BY process HAVING count(*) > 1)"""
    )


def rebalanced(recording: Recording) -> int:
    """Spans polled again in a later generation of their group than before: by whoever a rebalance gave them to."""
    return recording.number(
        """SELECT count(*) FROM journal again WHERE EXISTS (SELECT 1 FROM journal was
               WHERE was.topic = again.topic AND was.partition = again.partition AND was.generation < again.generation
               AND was.polled_ns < again.polled_ns AND was.last_offset >= again.first_offset
               AND was.first_offset <= again.last_offset)"""
    )


def scheduled(recording: Recording) -> int:
    """Operations that had a schedule to keep; a closed loop has none."""
    return 0 if recording.knob("rate_per_s") is None else recording.number("SELECT count(*) FROM operations")


Conditions = Mapping[str, Callable[[Recording], int]]
"""Condition → how often it occurred in a recording."""

GENERIC: Final[Conditions] = {
    "redelivery": redelivered,
    "rebalance": rebalanced,
    "restart": restarted,
    "schedule": scheduled,
}


def condition_occurred(recording: Recording, conditions: Conditions) -> Finding:
    """A wrong system met the condition in which it is wrong."""
    condition = recording.run.get("condition") or "none"
    if condition == "none":
        return not_applicable("the run needs no condition")
    if condition not in conditions:
        return Finding({}, unknown=f"condition {condition!r} is unknown; known are none, {', '.join(conditions)}")
    count = conditions[condition](recording)
    if not count:
        return Finding({condition: 0}, unknown=f"the condition did not occur: {condition}")
    return Finding({condition: count})


def the_fault_struck(recording: Recording) -> Finding:
    """Every fault of the plan, and each that a mix of it stands for, hit something; those that did not are named. A
    crash that nobody died of is none.
    """
    fault = str(recording.run.get("fault") or "none")
    if fault == "none":
        return not_applicable("no fault was planned")
    struck = recording.rows(
        """SELECT coalesce(fields->>'$.failpoint', fields->>'$.fault') FROM events one
           WHERE event = 'fault-struck' OR event = 'failpoint-reached' AND EXISTS (SELECT 1 FROM events other
               WHERE other.event = 'process-exited' AND other.process = one.process
               AND other.monotonic_ns >= one.monotonic_ns AND other.fields->>'$.exit_code' NOT IN ('0', ''))"""
    )
    mixes = recording.rows("SELECT fields->>'$.fault', fields->'$.faults' FROM events WHERE event = 'plan-expanded'")
    drawn = {str(word): [str(one) for one in orjson.loads(faults)] for word, faults in mixes}
    planned = [one for word in fault.split("+") for one in drawn.get(word) or [word]]
    left = Counter(planned) - Counter(str(name) for (name,) in struck)
    missed = "+".join(left.elements())
    return Finding({"strikes": len(struck)}, unknown=f"the fault did not strike: {missed}" if missed else None)


def vacuity_checkers(conditions: Conditions) -> tuple[Checker, ...]:
    """The checkers of a scenario that knows these conditions beside the generic ones."""

    def the_condition_occurred(recording: Recording) -> Finding:
        """A wrong system met the condition in which it is wrong."""
        return condition_occurred(recording, {**GENERIC, **conditions})

    return (
        Checker("the_fault_struck", "safety", the_fault_struck, at_quiescence=False),
        Checker("the_condition_occurred", "safety", the_condition_occurred, at_quiescence=False),
    )
