"""No member acts on a partition that has gone to another one: `zombie-effect`, and commits that come too late.

Told from the journals' times against the assignments of all members, on one machine's CLOCK_MONOTONIC. The newest owner
of a partition is the process that was assigned it last. A step counts as late only if the step before it was: the time
of a step is taken after it, and a process that was stopped in between did nothing wrong.
"""

from typing import Final

from verifiers.checker import Finding, not_applicable
from verifiers.ordering import SPAN, load_spans
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

INBOX: Final = ("idempotent", "outbox", "transactional")
"""Guarantees under which the inbox decides which of two members applies a message: the other one's store looks it up
and changes nothing. What a zombie does under `transactional` takes effect when its Kafka transaction is committed.
"""


def load_late_spans(recording: Recording) -> None:
    """Creates `late_spans`: batches with the process that owned their partition when they were stored, and when they
    were committed, where that is another one than the worker itself."""
    load_spans(recording)
    recording.once(
        "assignments",
        """SELECT process AS owner, fields->>'$.topic' AS topic, unnest(partitions)::INT AS partition,
                  monotonic_ns AS since_ns FROM events WHERE event = 'partitions-assigned'""",
    )
    recording.once(
        "late_spans",
        """WITH stored AS (SELECT s.*, greatest(polled_ns, handled_ns, stored_ns, produced_ns) AS closing_ns,
                a.owner AS store_owner, a.since_ns AS store_at
                FROM spans s ASOF LEFT JOIN assignments a ON s.topic = a.topic AND s.partition = a.partition
                    AND s.handled_ns >= a.since_ns)
        SELECT s.*, a.owner AS commit_owner FROM stored s ASOF LEFT JOIN assignments a
            ON s.topic = a.topic AND s.partition = a.partition AND s.closing_ns >= a.since_ns
        WHERE s.store_owner <> s.process OR a.owner <> s.process""",
    )


def handovers(recording: Recording) -> int:
    """How often a partition went from one process to another."""
    return recording.number(
        """SELECT count(*) FROM (SELECT owner, lag(owner) OVER (
               PARTITION BY topic, partition ORDER BY since_ns) AS before FROM assignments) WHERE owner <> before"""
    )


_COMMITTED: Final = Rule(
    "unowned-consume",
    "committed_ns > closing_ns AND commit_owner <> process AND transaction IS NULL",
    "concat('committed to ', last_offset, ' after the partition had gone to ', commit_owner)",
)
_FENCED: Final = Rule(
    "zombie-effect",
    "committed_ns > 0 AND commit_owner <> process AND transaction IS NOT NULL",
    "concat('transaction ', transaction, ' was committed after the partition had gone to ', commit_owner)",
)
_TWICE: Final = Rule(
    "zombie-effect",
    "twice",
    "concat('stored to ', last_offset, ' after the partition had gone to ', store_owner, ', which stored it too')",
)


def no_zombie_takes_effect(recording: Recording) -> Finding:
    """No effect of a member stands that came after its partition had gone to another one, which applied it too."""
    load_late_spans(recording)
    moved = handovers(recording)
    if not moved:
        return not_applicable("no partition went from one process to another")
    recording.once(
        "zombie_spans",
        """SELECT l.*, coalesce(l.stored_ns > 0 AND l.store_owner <> l.process AND EXISTS (
               SELECT 1 FROM spans s WHERE s.process = l.store_owner AND s.topic = l.topic
               AND s.partition = l.partition AND s.stored_ns > 0 AND s.polled_ns >= l.store_at
               AND s.first_offset <= l.last_offset AND s.last_offset >= l.first_offset), false) AS twice
           FROM late_spans l""",
    )
    examined = {
        "handovers": moved,
        "spans": recording.number("SELECT count(*) FROM spans"),
        "late spans": recording.number("SELECT count(*) FROM late_spans"),
    }
    twice = () if recording.run.get("guarantee") in INBOX else (_TWICE,)
    subject = Subject("zombie_spans", SPAN.entity, SPAN.noun)
    return breaches(recording, subject, (_COMMITTED, _FENCED, *twice), examined=examined)
