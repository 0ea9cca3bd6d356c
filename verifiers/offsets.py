"""L7: committed offsets follow what was processed and never go back."""

from typing import Final

from verifiers.checker import Finding, merged
from verifiers.disturbance import died
from verifiers.ordering import SPAN, load_spans
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
        """SELECT *, bare(topic) AS name, lag(committed) OVER (
               PARTITION BY "group", topic, partition, coalesce(generation, -1) ORDER BY sampled_ns) AS before
            FROM offsets""",
    )
    samples = breaches(recording, Subject("commits", _PLACE, "partition"), _COMMITS)
    return merged((samples, _after_its_effects(recording), _processed(recording)))


_UNSTORED: Final = Rule(
    "commit-ahead",
    "committed_ns > 0 AND (stored_ns = 0 OR stored_ns > committed_ns)",
    "concat('committed to ', last_offset, ' before its effects were stored')",
)
_UNPRODUCED: Final = Rule(
    "commit-ahead",
    "committed_ns > 0 AND produced_ns > committed_ns",
    "concat('committed to ', last_offset, ' before its replies were acknowledged')",
)


def _after_its_effects(recording: Recording) -> Finding:
    """Under every guarantee but `at-most-once` a batch is committed when its effects stand, and under those that
    produce before they commit, when its replies stand too."""
    guarantee = recording.run.get("guarantee")
    load_spans(recording)
    examined = {"commits": recording.number("SELECT count(*) FROM spans WHERE committed_ns > 0")}
    if guarantee == "at-most-once":
        return Finding(examined)
    rules = (_UNSTORED,) if guarantee == "outbox" else (_UNSTORED, _UNPRODUCED)
    return breaches(recording, SPAN, rules, examined=examined)


def _processed(recording: Recording) -> Finding:
    """Where no worker of a topic died, every committed visible record stands in a span of a journal."""
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
    """`reach`: how far the spans that begin up to here go; redelivered ones overlap, and the longest one counts."""
    recording.once(
        f"unprocessed:{name}",
        f"""WITH committed AS (SELECT partition, max(committed) AS committed FROM commits
                WHERE name = '{name}' GROUP BY partition),
            cover AS (SELECT partition, first_offset, max(max(last_offset)) OVER (PARTITION BY partition
                ORDER BY first_offset) AS reach FROM spans WHERE name = '{name}' GROUP BY partition, first_offset)
        SELECT '{name}' AS name, t.partition, any_value(committed) AS committed, count(*) AS n,
               min("offset") AS first_missed
        FROM "topics/{name}" t JOIN committed c ON c.partition = t.partition
        ASOF LEFT JOIN cover s ON s.partition = t.partition AND t."offset" >= s.first_offset
        WHERE "offset" < committed AND "offset" > coalesce(reach, -1) GROUP BY t.partition""",
    )
    # Where the offsets come first, whoever is interrupted behind them loses the batch.
    rule = Rule(
        "missing-effect" if recording.run.get("guarantee") == "at-most-once" else "commit-ahead",
        "true",
        "concat('committed ', committed, ', but ', n, ' below, from ', first_missed, ' on, were never processed')",
    )
    return breaches(recording, Subject(f"unprocessed:{name}", _PLACE, "partition"), (rule,), examined={})
