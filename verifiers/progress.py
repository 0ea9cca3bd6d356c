"""Liveness: the system came to rest with nothing left to process, and every operation that was sent has ended."""

from typing import Final

from verifiers.checker import Finding, merged
from verifiers.disturbance import disturbances
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_LEFT: Final = Rule(
    "unprocessed", "n > 0", "concat(n, ' visible records stand at or above the committed offset ', committed)"
)


def quiescence_was_reached(recording: Recording) -> Finding:
    """L7: at quiescence no group has a visible record at or above its committed offset."""
    recording.need("offsets")
    places = recording.number("SELECT count(*) FROM offsets WHERE phase = 'quiescent'")
    if recording.run.get("incomplete"):
        return Finding({}, unknown=f"the run is incomplete: {recording.incomplete}")
    if not places:
        return Finding({}, unknown="no offsets were recorded at quiescence")
    places = recording.number("SELECT count(DISTINCT (topic, partition)) FROM offsets WHERE phase = 'quiescent'")
    read = recording.number("SELECT count(DISTINCT topic) FROM offsets")
    if places < read * int(str(recording.knob("partitions") or 0)):
        return Finding({}, unknown=f"offsets at quiescence were recorded of {places} partitions only")
    names = recording.rows("SELECT DISTINCT bare(topic) FROM offsets WHERE phase = 'quiescent' ORDER BY 1")
    topics = [name for (name,) in names if recording.has(f"topics/{name}")]
    return merged((Finding({"partitions": places}), *(_left(recording, name) for name in topics)))


def _left(recording: Recording, name: str) -> Finding:
    table = f"left:{name}"
    recording.once(
        table,
        f"""SELECT '{name}' AS name, partition, committed, (SELECT count(*) FROM "topics/{name}" t
                WHERE t.partition = o.partition AND t."offset" >= o.committed) AS n
            FROM (SELECT partition, arg_max(committed, sampled_ns) AS committed FROM offsets
                  WHERE phase = 'quiescent' AND topic = '{recording.prefix}{name}' GROUP BY partition) o""",
    )
    return breaches(recording, Subject(table, "concat(name, '[', partition, ']')", "partition"), (_LEFT,), examined={})


def every_operation_ended(recording: Recording) -> Finding:
    """Every operation that was sent has ended, in a run that nothing disturbed; else those without an end are only
    counted."""
    recording.need("operations")
    if recording.incomplete:
        return Finding({}, unknown=f"the run is incomplete: {recording.incomplete}")
    open_ended = "outcome = 'info' AND sent_ns > 0 AND completed_ns = 0"
    count, unfinished = recording.rows(f"SELECT count(*), count(*) FILTER (WHERE {open_ended}) FROM operations")[0]
    examined = {"operations": count, "indefinite": unfinished}
    if not unfinished or disturbances(recording):
        return Finding(examined)
    rule = Rule("unfinished-operation", open_ended, "concat(kind, ' of ', entity, ' was sent and never answered')")
    return breaches(recording, Subject("operations", "operation", "operation"), (rule,), examined=examined)
