"""Without a quorum of brokers nothing is acknowledged: what a broker promises then, it could not keep.

The events say when a broker was gone (`server-down` to `server-up`, by whoever ended or stopped it). With three copies
and two in sync a broker that is left alone can neither have a record copied nor have the others declared out of sync.
"""

from typing import Final, NamedTuple

from verifiers.checker import Finding, merged, not_applicable
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

GRACE_NS: Final = 1_000_000_000
"""What was acknowledged just before may be noted down so much later."""


class Window(NamedTuple):
    """From when to when fewer than a majority of the brokers ran, in monotonic ns; 0 = to the end of the recording."""

    begin_ns: int
    end_ns: int


def without_a_quorum(recording: Recording) -> list[Window]:
    """The windows that are longer than the grace, which is left out of them."""
    brokers = int(str(recording.knob("brokers") or 1))
    rows = recording.rows(
        """SELECT event, fields->>'$.server', monotonic_ns FROM events WHERE event IN ('server-down', 'server-up')
           AND starts_with(fields->>'$.server', 'broker-') ORDER BY monotonic_ns"""
    )
    gone: set[str] = set()
    windows: list[Window] = []
    began_ns = 0
    for event, server, at_ns in rows:
        was_lost = 2 * len(gone) >= brokers
        (gone.add if event == "server-down" else gone.discard)(str(server))
        is_lost = 2 * len(gone) >= brokers
        if is_lost and not was_lost:
            began_ns = int(at_ns) + GRACE_NS
        if was_lost and not is_lost:
            windows.append(Window(began_ns, int(at_ns)))
    if 2 * len(gone) >= brokers:
        windows.append(Window(began_ns, 0))
    return [window for window in windows if not window.end_ns or window.end_ns > window.begin_ns]


_COMMITTED: Final = Rule(
    "acknowledged-without-quorum", "NOT answered", "'offsets were committed while most brokers were gone'"
)
_ANSWERED: Final = Rule("acknowledged-without-quorum", "answered", "'a saga was answered while most brokers were gone'")


def nothing_is_acknowledged_without_a_quorum(recording: Recording) -> Finding:
    """While most of the brokers are gone no offset is committed and no saga is answered, and both go on after.

    What the database alone answers is no promise of the brokers: a direct change, or another checkout of a paid order.
    """
    windows = without_a_quorum(recording)
    if not windows:
        return not_applicable("a quorum of brokers was there all the time")
    recording.need("operations")
    findings = [_between(recording, number, window) for number, window in enumerate(windows)]
    last_ns = windows[-1].end_ns
    after = recording.number(
        f"SELECT count(*) FROM operations WHERE outcome = 'ok' AND completed_ns > {last_ns} AND {last_ns} > 0"
    )
    examined = Finding(
        {"windows": len(windows), "answered after": after},
        unknown=None
        if after
        else "nothing was answered after the brokers had come back: the load was over, or never went on",
    )
    return merged((examined, *findings))


def _between(recording: Recording, number: int, window: Window) -> Finding:
    """What was acknowledged within one window."""
    table = f"unbacked_{number}"
    inside = f"BETWEEN {window.begin_ns} AND {window.end_ns or 2**62}"
    recording.once(
        table,
        f"""SELECT DISTINCT false AS answered, concat(process, ' on ', topic, '[', partition, ']') AS entity
                FROM journal WHERE committed_ns {inside}
            UNION ALL SELECT true, entity FROM (
                SELECT CAST(entity AS VARCHAR) AS entity, min(completed_ns) AS decided_ns FROM operations
                WHERE kind = 'checkout' AND outcome = 'ok' GROUP BY entity) WHERE decided_ns {inside}""",
    )
    return breaches(recording, Subject(table, "entity", "promise"), (_COMMITTED, _ANSWERED), examined={})
