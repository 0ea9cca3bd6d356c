"""L5 and dead letters for the topics of `checkout`: the generic log checkers, told which topics and which records
count."""

from bench.scenarios.checkout.invariants.records import load_records
from system.checkout.contract import DATA_TOPICS, GROUPS
from verifiers import dead_letters, ordering
from verifiers.checker import Finding
from verifiers.recording import Recording


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
