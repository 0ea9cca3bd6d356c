"""Liveness and recovery: what goes on, comes back and ends in a bounded time although something went wrong.

A system that hangs is found here (exit 5). The bounds follow from the run's knobs: `bound_ns` is the session timeout,
after which a dead member's partitions are given away, and `GRACE_S` for a process to be started again and to read back
what it needs, or for a transaction that nobody ends to time out; what must be over after healing has the run's
`drain_deadline_s`, or as long as that where it is shorter. Time in which a fault had left nobody (`verifiers.outages`)
is not counted.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from verifiers.checker import Anomaly, Finding, found, not_applicable
from verifiers.outages import Window, fault_windows, judged_window, longest, merged, without_quorum
from verifiers.ownership import Unowned, membership_changes, unowned
from verifiers.recording import Recording

GRACE_S: Final = 20.0
DRAIN_S: Final = 60.0
SESSION_TIMEOUT_MS: Final = 6_000
LAG_FLOOR_RECORDS: Final = 1_000
"""Up to so many records behind is no backlog, however few there were before the fault."""
REBALANCES_A_CHANGE: Final = 4
"""A cooperative hand-over takes two generations, and a member that was expelled comes back in two more."""
CHECKOUTS: Final = "kind = 'checkout' AND sent_ns > 0 AND error IS NULL"


def bound_ns(recording: Recording) -> int:
    """How long the run may go without progress, and a partition without an owner."""
    return int((_knob(recording, "session_timeout_ms", SESSION_TIMEOUT_MS) / 1e3 + GRACE_S) * 1e9)


def _deadline_ns(recording: Recording) -> int:
    """What must be over after healing has the drain's deadline. Where losses make that one short, since nobody waits
    for what never comes, it still has as long as a process has to come up again."""
    return max(int(_knob(recording, "drain_deadline_s", DRAIN_S) * 1e9), bound_ns(recording))


def _knob(recording: Recording, name: str, default: float) -> float:
    value = recording.knob(name)
    return float(value) if isinstance(value, int | float) else default


def _last_life_ns(recording: Recording) -> int:
    """When the last driver came up: what an earlier one had sent has nobody who waits for it."""
    return recording.number(
        "SELECT max(monotonic_ns) FROM events WHERE event = 'process-started' AND process = 'driver'"
    )


def progress_goes_on(recording: Recording) -> Finding:
    """While operations wait and a fault has not taken everybody, some operation ends within the session timeout + 20 s.

    The wait of a gap between two completions begins with it, or with the first operation sent in it.
    """
    recording.need("operations")
    begin_ns, end_ns = judged_window(recording)
    columns = recording.columns(
        f"""SELECT sent_ns, completed_ns FROM operations WHERE sent_ns > 0 AND (completed_ns > 0
                OR (error IS NULL AND kind = 'checkout' AND sent_ns >= {_last_life_ns(recording)}))"""
    )
    sent, completed = (np.asarray(columns[name], dtype=np.int64) for name in ("sent_ns", "completed_ns"))
    ended = np.sort(completed[completed > 0])
    away, bound = without_quorum(recording), bound_ns(recording)
    edges = np.unique(np.concatenate(([begin_ns], ended[ended > begin_ns], [end_ns])))
    anomalies = []
    for at in np.flatnonzero(np.diff(edges) > bound).tolist():
        low, high = int(edges[at]), int(edges[at + 1])
        waiting = sent[(sent < high) & ((completed == 0) | (completed >= high))]
        if not waiting.size:
            continue
        stalled = longest(max(low, int(waiting.min())), high, away)
        if stalled > bound:
            anomalies.append(_stall(begin_ns, low, stalled, waiting.size))
    return found({"completions": int(ended.size), "operations": int(sent.size)}, anomalies)


def _stall(begin_ns: int, at_ns: int, stalled_ns: int, waiting: int) -> Anomaly:
    second = f"+{(at_ns - begin_ns) / 1e9:.1f} s"
    line = f"{second}: the last completion before {stalled_ns / 1e9:.1f} s without one, {waiting} operations waiting"
    return Anomaly(
        "stalled", second, f"no operation ended for {stalled_ns / 1e9:.1f} s", subject="moment", evidence=(line,)
    )


def every_partition_has_an_owner(recording: Recording) -> Finding:
    """Every partition of every group has an owner again within the session timeout + 20 s of the last change.

    A change is a process of the group that starts or ends, a member that is expelled, or a fault that strikes or heals.
    Each begins the time anew.
    """
    begin_ns, end_ns = judged_window(recording)
    gaps, partitions = unowned(recording, begin_ns=begin_ns, end_ns=end_ns)
    if not partitions:
        return Finding({}, unknown="no partition was assigned to anybody")
    changes, away, bound = membership_changes(recording), without_quorum(recording), bound_ns(recording)
    anomalies = []
    for gap in gaps:
        cuts = [Window(at, at) for at, service in changes if service in (None, gap.service)]
        alone_ns = longest(gap.begin_ns, gap.end_ns, [*cuts, *away])
        if alone_ns > bound:
            anomalies.append(_abandoned(gap, begin_ns, alone_ns))
    return found({"partitions": partitions, "gaps": len(gaps)}, anomalies)


def _abandoned(gap: Unowned, begin_ns: int, alone_ns: int) -> Anomaly:
    line = f"+{(gap.begin_ns - begin_ns) / 1e9:.1f} s: {gap.process} gave {gap.place} up, and nobody took it"
    return Anomaly(
        "abandoned-partition", gap.place, f"no owner for {alone_ns / 1e9:.1f} s", subject="place", evidence=(line,)
    )


def lag_comes_back(recording: Recording) -> Finding:
    """After each fault every group is, within the deadline, no further behind than twice what it was before it.

    Up to 1,000 records behind count as level. Where the next fault strikes first, the time runs from its healing.
    """
    windows, deadline_ns = fault_windows(recording), _deadline_ns(recording)
    if not windows:
        return not_applicable("no fault struck")
    recording.need("offsets")
    rows = recording.rows(
        """SELECT "group", sampled_ns, sum(greatest("end" - greatest(committed, 0), 0))::BIGINT FROM offsets
           GROUP BY "group", sampled_ns ORDER BY sampled_ns"""
    )
    lags: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for group, at_ns, lag in rows:
        lags[str(group)].append((int(at_ns), int(lag)))
    judged = [
        (window, group, _is_level(samples, window, deadline_ns))
        for window in merged(windows, within_ns=deadline_ns)
        for group, samples in lags.items()
    ]
    anomalies = [
        Anomaly(
            "lag-remains",
            f"{group.removeprefix(recording.prefix)} after {window.fault}",
            f"not back within {deadline_ns / 1e9:g} s of healing",
            subject="group",
            evidence=(f"{window.fault} healed, and {group} stayed behind",),
        )
        for window, group, level in judged
        if level is False
    ]
    return found({"recoveries": sum(level is not None for *_, level in judged)}, anomalies)


def _is_level(samples: Sequence[tuple[int, int]], window: Window, deadline_ns: int) -> bool | None:
    """None where the samples end before the deadline does and have not shown it yet."""
    before = [lag for at, lag in samples if at <= window.begin_ns]
    level = max(LAG_FLOOR_RECORDS, 2 * max(before, default=0))
    due_ns = window.end_ns + deadline_ns
    if any(lag <= level for at, lag in samples if window.end_ns <= at <= due_ns):
        return True
    return False if any(at > due_ns for at, _ in samples) else None


def sagas_of_a_fault_end(recording: Recording) -> Finding:
    """Every saga that was under way while a fault lasted has ended within the deadline after the fault had
    healed: one that was begun in it, or before it and had not ended. Some faults last for a moment only.

    One that its own driver did not outlive has nobody to tell, and is not asked about.
    """
    windows, deadline_ns = fault_windows(recording), _deadline_ns(recording)
    if not windows:
        return not_applicable("no fault struck")
    recording.need("operations")
    alive_ns = _last_life_ns(recording)
    examined, anomalies = 0, []
    for window in merged(windows, within_ns=deadline_ns):
        met = f"{CHECKOUTS} AND sent_ns <= {window.end_ns} AND (completed_ns = 0 OR completed_ns >= {window.begin_ns})"
        examined += recording.number(f"SELECT count(*) FROM operations WHERE {met}")
        late = f"(completed_ns > {window.end_ns + deadline_ns} OR (completed_ns = 0 AND sent_ns >= {alive_ns}))"
        rows = recording.rows(f"SELECT operation, entity, completed_ns FROM operations WHERE {met} AND {late}")
        anomalies += list(_late(rows, window))
    if not examined:
        return Finding({"sagas": 0}, unknown="no saga was under way while a fault lasted")
    return found({"sagas": examined}, anomalies)


def _late(rows: Sequence[tuple[object, ...]], window: Window) -> Iterator[Anomaly]:
    for operation, entity, completed_ns in rows:
        after_s = (int(str(completed_ns)) - window.end_ns) / 1e9
        said = f"ended {after_s:.1f} s after {window.fault} had healed" if completed_ns else "never ended"
        kind = "late-saga" if completed_ns else "incomplete-saga"
        yield Anomaly(kind, str(operation), f"the checkout of {entity} {said}", subject="operation")


def rebalances_are_bounded(recording: Recording) -> Finding:
    """A group has at most four generations a change of its members, and four more: it does not rebalance for ever.

    Under KIP-848 the epochs of its members are counted, of which each change makes no more.
    """
    begin_ns, end_ns = judged_window(recording)
    rows = recording.rows(
        """SELECT fields->>'$.group', count(DISTINCT (fields->>'$.generation')) FILTER (WHERE NOT early), any_value(p)
           FROM (SELECT fields, regexp_replace(process, '-[0-9]+$', '') AS p, monotonic_ns < ? AS early FROM events
               WHERE event IN ('partitions-assigned', 'partitions-revoked') AND monotonic_ns <= ?)
           GROUP BY ALL ORDER BY 1""",
        (begin_ns, end_ns),
    )
    if not rows:
        return Finding({}, unknown="no partition was assigned to anybody")
    changes = [service for at, service in membership_changes(recording) if begin_ns <= at <= end_ns]
    anomalies = []
    for group, generations, service in rows:
        allowed = REBALANCES_A_CHANGE * (1 + sum(one in (None, service) for one in changes))
        if generations > allowed:
            said = f"{generations} generations for {allowed // REBALANCES_A_CHANGE - 1} changes of its members"
            name = str(group).removeprefix(recording.prefix)
            anomalies.append(Anomaly("rebalance-storm", name, said, subject="group", evidence=(f"{name}: {said}",)))
    return found({"groups": len(rows), "rebalances": sum(row[1] for row in rows)}, anomalies)
