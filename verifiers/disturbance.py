"""Whether a run was quiet: no process died, no partition moved after the first assignment, no fault struck, and the
broker acknowledged in time all that was sent.

In a quiet run nothing is tolerated. Read from the events between the first load phase and the end of the drain alone:
before it the workers still share out their partitions, behind it everything is stopped on purpose.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from verifiers.recording import Recording

_NEVER: Final = 2**63 - 1


def load_window(recording: Recording) -> tuple[int, int]:
    """Begin and end in monotonic ns of the part of the run in which a disturbance counts."""
    begins, ends = [], []
    phases = recording.run.get("phases") or ()
    for phase in phases:
        name, begin, end = _phase(phase)
        if name in ("warm-up", "measure") and begin:
            begins.append(begin)
        if name in ("drain", "quiesce") and end:
            ends.append(end)
    if not begins:
        rows = recording.rows(
            """SELECT monotonic_ns FROM events
               WHERE event = 'phase-began' AND fields->>'$.phase' IN ('warm-up', 'measure')"""
        )
        begins = [at for (at,) in rows]
    return min(begins, default=0), max(ends, default=_NEVER)


def _phase(phase: object) -> tuple[str, int, int]:
    if isinstance(phase, Mapping):
        begin, end = (phase.get(name, phase.get(f"{name}_ns")) for name in ("begin", "end"))
        return str(phase.get("name")), int(begin or 0), int(end or 0)
    if not isinstance(phase, Sequence) or len(phase) != 3:
        return "", 0, 0
    name, begin, end = phase
    return str(name), int(begin or 0), int(end or 0)


def disturbances(recording: Recording) -> list[str]:
    """What disturbed the run, a line each; empty for a quiet run."""
    begin, end = load_window(recording)
    rows = recording.rows(
        """SELECT event, process, monotonic_ns, len(partitions), fields->>'$.failpoint', fields->>'$.exit_code'
           FROM events WHERE monotonic_ns <= ? AND event IN ('failpoint-reached', 'process-exited',
               'partitions-revoked', 'partitions-lost', 'redelivered', 'fault-struck', 'produce-failed',
               'requests-recovered') ORDER BY monotonic_ns""",
        (end,),
    )
    found = []
    for event, process, at_ns, partitions, failpoint, exit_code in rows:
        moved = event in ("partitions-revoked", "partitions-lost")
        if (moved and (at_ns < begin or not partitions)) or (event == "process-exited" and exit_code in ("0", None)):
            continue
        found.append(" ".join(part for part in (process, event, failpoint) if part))
    return found


def died(recording: Recording) -> frozenset[str]:
    """The processes that were started more than once or ended with an error before the end of the drain."""
    _, end = load_window(recording)
    rows = recording.rows(
        """SELECT process FROM events WHERE event = 'process-started' GROUP BY process HAVING count(*) > 1
           UNION SELECT process FROM events WHERE event = 'process-exited' AND monotonic_ns <= ?
               AND coalesce(fields->>'$.exit_code', '0') <> '0'""",
        (end,),
    )
    return frozenset(str(process) for (process,) in rows)
