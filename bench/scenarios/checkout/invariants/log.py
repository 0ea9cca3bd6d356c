"""L1 to L6 for the topics of `checkout`: the generic log checkers, told which topics and which records of them
count."""

from bench.scenarios.checkout.invariants.records import load_records
from system.checkout.contract import DATA_TOPICS, GROUPS
from verifiers import dead_letters, delivery, ordering
from verifiers.checker import Finding
from verifiers.recording import Recording


def acknowledged_records_are_there(recording: Recording) -> Finding:
    """L1, L6: every acknowledged record is in the log, and of an aborted transaction nothing is visible."""
    return delivery.acknowledged_records_are_there(recording)


def both_readers_saw_the_same(recording: Recording) -> Finding:
    """L3: one value per offset: the reader during the run and the reader after it agree."""
    return delivery.both_readers_saw_the_same(recording)


def keys_keep_their_partition(recording: Recording) -> Finding:
    """L5: every key stands in the partition that murmur2 gives it."""
    load_records(recording)
    return ordering.keys_keep_their_partition(recording, DATA_TOPICS)


def bad_records_have_dead_letters(recording: Recording) -> Finding:
    """Every record that fails its schema has its dead letter, a dead letter has its bad record, and neither took
    effect."""
    load_records(recording)
    read = sorted({topic for topics in GROUPS.values() for topic in topics})
    return dead_letters.bad_records_have_dead_letters(recording, read)
