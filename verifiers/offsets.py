"""L7, L8: committed offsets follow what was processed and never go back; no open transaction holds the readers up."""

from typing import Final

from verifiers.checker import Finding, merged, not_applicable
from verifiers.disturbance import died
from verifiers.ordering import load_spans
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_PLACE: Final = "concat(name, '[', partition, ']')"
_COMMITS: Final = (
    Rule("commit-regress", "committed < before", "concat('committed went from ', before, ' back to ', committed)"),
    Rule("commit-ahead", 'committed > "end"', "concat('committed ', committed, ' is past the end ', \"end\")"),
)


def commits_follow_processing(recording: Recording) -> Finding:
    """L7: committed <= end, never past what was processed, never backwards within a generation."""
    recording.need("offsets")
    recording.once(
        "commits",
        f"""SELECT *, topic[{len(recording.prefix) + 1}:] AS name, lag(committed) OVER (
               PARTITION BY "group", topic, partition, coalesce(generation, -1) ORDER BY sampled_ns) AS before
            FROM offsets""",
    )
    samples = breaches(recording, Subject("commits", _PLACE, "partition"), _COMMITS)
    return merged((samples, _processed(recording)))


def _processed(recording: Recording) -> Finding:
    """Where no worker of a topic died, every committed visible record lies at or below the last one of its journal."""
    load_spans(recording)
    names = ", ".join(f"'{process}'" for process in sorted(died(recording))) or "''"
    topics = [
        name
        for (name,) in recording.rows(
            f"SELECT name FROM spans GROUP BY name HAVING count(*) FILTER (WHERE process IN ({names})) = 0"
        )
        if recording.has(f"topics/{name}")
    ]
    return merged(_committed_unprocessed(recording, name) for name in topics)


def _committed_unprocessed(recording: Recording, name: str) -> Finding:
    recording.once(
        f"unprocessed:{name}",
        f"""WITH committed AS (SELECT partition, max(committed) AS committed FROM commits
                WHERE name = '{name}' GROUP BY partition),
            done AS (SELECT partition, max(last_offset) AS done FROM spans WHERE name = '{name}' GROUP BY partition)
        SELECT '{name}' AS name, partition, any_value(committed) AS committed, count(*) AS n FROM "topics/{name}"
        JOIN committed USING (partition) LEFT JOIN done USING (partition)
        WHERE "offset" < committed AND "offset" > coalesce(done, -1) GROUP BY partition""",
    )
    rule = Rule(
        "commit-ahead", "true", "concat('committed ', committed, ', but ', n, ' records below were never processed')"
    )
    return breaches(recording, Subject(f"unprocessed:{name}", _PLACE, "partition"), (rule,), examined={})


def no_transaction_hangs(recording: Recording) -> Finding:
    """L8: at quiescence no open transaction hides acknowledged records from `read_committed` readers."""
    recording.need("offsets")
    if not recording.number("SELECT count(transaction) FROM acks"):
        return not_applicable("no transaction was used")
    recording.once(
        "hidden",
        f"""WITH ends AS (SELECT topic, partition, max("end") AS visible_end FROM offsets
                WHERE phase = 'quiescent' GROUP BY topic, partition)
        SELECT topic[{len(recording.prefix) + 1}:] AS name, partition, visible_end, count(*) AS n FROM acks
        JOIN ends USING (topic, partition) WHERE error IS NULL AND "offset" >= visible_end GROUP BY ALL""",
    )
    rule = Rule(
        "stuck-lso", "true", "concat(n, ' acknowledged records stand at or above the last stable offset ', visible_end)"
    )
    examined = recording.number("SELECT count(*) FROM acks WHERE transaction IS NOT NULL")
    return breaches(recording, Subject("hidden", _PLACE, "partition"), (rule,), examined={"acknowledged": examined})
