"""L6, L8: Kafka transactions. Of a committed one everything is visible, of an aborted one nothing, and the input that
it consumed counts as consumed exactly with it: `aborted-read`, `torn-transaction`, `lost-write`, `stuck-lso`.

What became of a transaction is what its worker said (`transaction-committed`, `transaction-aborted`); of one whose
worker died before it could say, all or nothing must be visible. A record that an open transaction hides, at or
above the last stable offset, is not missing: it is unseen, and the open transaction is what is wrong.
"""

from typing import Final

from verifiers.checker import Finding, merged, not_applicable
from verifiers.coverage import cover, covered
from verifiers.ordering import load_spans
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_TRANSACTION: Final = Subject("transactions", "transaction", "transaction")
_RULES: Final = (
    Rule(
        "aborted-read",
        "state = 'aborted' AND visible + seen > 0",
        "concat('was aborted, but ', greatest(visible, seen), ' of its ', acked, ' records were read')",
    ),
    Rule(
        "torn-transaction",
        "state <> 'aborted' AND visible > 0 AND missing > 0",
        "concat(visible, ' of its ', acked, ' acknowledged records are visible, ', missing, ' are not')",
    ),
    Rule(
        "lost-write",
        "state = 'committed' AND visible = 0 AND missing > 0",
        "concat('was committed, but none of its ', acked, ' acknowledged records is visible')",
    ),
)


def uses_transactions(recording: Recording) -> bool:
    """Whether any record or batch of the run belongs to a transaction."""
    return bool(
        recording.number("SELECT (SELECT count(transaction) FROM acks) + (SELECT count(transaction) FROM journal)")
    )


def load_ends(recording: Recording) -> None:
    """Creates `log_ends(topic, partition, stable, high)` with full topic names: the last stable offset and the high
    watermark when the topics were dumped.

    A recording without `ends` knows only the stable ends of what groups read, and high is null: then only a transaction
    can hide anything.
    """
    statement = 'SELECT topic, partition, stable, high FROM "ends"'
    if not recording.has("ends"):
        recording.need("offsets")
        statement = f"""SELECT topic, partition, max("end") AS stable, NULL::BIGINT AS high FROM offsets
            WHERE phase = 'quiescent' AND {uses_transactions(recording)} GROUP BY topic, partition"""
    recording.once("log_ends", statement)


def load_transactions(recording: Recording) -> None:
    """Creates `transactions`: a row each with its state and how many of its acknowledged records are visible to the
    reader after the run, missing, or were seen by the reader during it."""
    load_ends(recording)
    nothing = "SELECT '' AS transaction, false AS visible, false AS seen, false AS hidden WHERE false"
    fates = " UNION ALL ".join([nothing, *(_fates(recording, topic) for topic in recording.topics())])
    recording.once(
        "transactions",
        f"""WITH told AS (SELECT fields->>'$.transaction' AS transaction,
                bool_or(event = 'transaction-committed') AS committed, bool_or(event = 'transaction-aborted') AS aborted
                FROM events WHERE event IN ('transaction-committed', 'transaction-aborted') GROUP BY 1),
            named AS (SELECT transaction FROM acks UNION SELECT transaction FROM journal
                      UNION SELECT transaction FROM told),
            fates AS ({fates})
        SELECT n.transaction, CASE WHEN committed AND NOT aborted THEN 'committed'
                   WHEN aborted AND NOT committed THEN 'aborted' ELSE 'untold' END AS state,
               count(f.visible) AS acked, count(*) FILTER (WHERE f.visible) AS visible,
               count(*) FILTER (WHERE f.seen) AS seen, count(*) FILTER (WHERE NOT f.visible AND NOT f.hidden) AS missing
        FROM named n LEFT JOIN told USING (transaction) LEFT JOIN fates f USING (transaction)
        WHERE n.transaction IS NOT NULL GROUP BY n.transaction, committed, aborted""",
    )


def _fates(recording: Recording, topic: str) -> str:
    """A statement: what became of each acknowledged record of a transaction in this topic."""
    live = f'SELECT DISTINCT partition, "offset" FROM "live/{topic}"' if recording.has(f"live/{topic}") else ""
    nothing = 'SELECT 0 AS partition, 0 AS "offset" WHERE false'
    return f"""SELECT a.transaction, t."offset" IS NOT NULL AS visible, l."offset" IS NOT NULL AS seen,
               coalesce(a."offset" >= e.stable AND (e.high IS NULL OR a."offset" < e.high), false) AS hidden
        FROM acks a LEFT JOIN (SELECT DISTINCT partition, "offset" FROM "topics/{topic}") t USING (partition, "offset")
        LEFT JOIN ({live or nothing}) l USING (partition, "offset")
        LEFT JOIN log_ends e ON e.topic = a.topic AND e.partition = a.partition
        WHERE a.topic = '{recording.prefix}{topic}' AND a.transaction IS NOT NULL AND a.error IS NULL
            AND a."offset" >= 0"""


def transactions_are_whole(recording: Recording) -> Finding:
    """L6: of a committed transaction all records and offsets are visible, of an aborted one none, of any other all or
    none."""
    if not uses_transactions(recording):
        return not_applicable("no transaction was used")
    load_transactions(recording)
    examined = dict(
        recording.rows(
            """SELECT state || ' transactions', count(*) FROM transactions GROUP BY 1
               UNION ALL SELECT 'records of transactions', sum(acked) FROM transactions ORDER BY 1"""
        )
    )
    found = breaches(recording, _TRANSACTION, _RULES, examined=examined)
    return merged((found, _consumed_with_an_abort(recording)))


def _consumed_with_an_abort(recording: Recording) -> Finding:
    """Input whose only batches were aborted, yet which the group has committed past: the offsets outlived the
    transaction."""
    load_spans(recording)
    recording.once(
        "undone_spans",
        """SELECT s.*, coalesce(t.state = 'aborted' OR (t.state = 'untold' AND t.acked > 0 AND t.visible = 0), false)
               AS undone FROM spans s LEFT JOIN transactions t USING (transaction)""",
    )
    cover(recording, "done_cover", "SELECT * FROM undone_spans WHERE NOT undone")
    cover(recording, "undone_cover", "SELECT * FROM undone_spans WHERE undone")
    names = recording.rows("SELECT DISTINCT name FROM undone_spans WHERE undone ORDER BY 1")
    return merged(_outlived(recording, name) for (name,) in names if recording.has(f"topics/{name}"))


def _outlived(recording: Recording, name: str) -> Finding:
    table = f"outlived:{name}"
    done = covered(f'"topics/{name}"', name, "done_cover", "done_n")
    recording.once(
        table,
        f"""SELECT '{name}' AS name, partition, "offset", committed
            FROM ({covered(f"({done})", name, "undone_cover", "undone_n")})
            JOIN (SELECT partition, max(committed) AS committed FROM offsets
                  WHERE topic = '{recording.prefix}{name}' GROUP BY partition) USING (partition)
            WHERE done_n = 0 AND undone_n > 0 AND "offset" < committed""",
    )
    rule = Rule(
        "torn-transaction",
        "true",
        "concat('every transaction that consumed it was undone, but the group has committed ', committed)",
    )
    entity = "concat(name, '[', partition, ']@', \"offset\")"
    return breaches(recording, Subject(table, entity, "record"), (rule,), examined={})


_STUCK: Final = (
    Rule("stuck-lso", "stable < high", "concat('the last stable offset is ', stable, ', the log ends at ', high)"),
    Rule("inconsistent-offsets", "stable > high", "concat('stable to ', stable, ', but the log ends at ', high)"),
)


def no_transaction_hangs(recording: Recording) -> Finding:
    """L8: after the run no open transaction holds the last stable offset below the end of a log."""
    if not recording.has("ends") and not uses_transactions(recording):
        return not_applicable("no transaction was used")
    load_ends(recording)
    recording.once("named_ends", "SELECT *, bare(topic) AS name FROM log_ends")
    place = "concat(name, '[', partition, ']')"
    found = breaches(recording, Subject("named_ends", place, "partition"), _STUCK)
    if not recording.has("ends"):
        return merged((found, _hidden(recording)))
    partial = _partial_ends(recording)
    unknown = f"the ends of {', '.join(partial)} were not recorded, each once" if partial else None
    return Finding(found.examined, found.counts, found.anomalies, unknown=unknown)


def _partial_ends(recording: Recording) -> list[str]:
    """The topics of which not every partition has exactly one end."""
    rows = recording.rows(
        "SELECT name, count(DISTINCT partition), count(*), max(partition) FROM named_ends GROUP BY name"
    )
    ends = {name: last + 1 if distinct == count == last + 1 else 0 for name, distinct, count, last in rows}
    topics = recording.topics()
    used = {topic: recording.number(f'SELECT max(partition) + 1 FROM "topics/{topic}"') for topic in topics}
    return sorted({*ends, *topics} - {topic for topic in topics if ends.get(topic, 0) >= max(used[topic], 1)})


def _hidden(recording: Recording) -> Finding:
    """The same for a recording that does not know the high watermarks: acknowledged records above the stable end."""
    recording.once(
        "hidden",
        """SELECT e.name, partition, stable, count(*) AS n FROM acks JOIN named_ends e USING (topic, partition)
           WHERE error IS NULL AND "offset" >= stable GROUP BY ALL""",
    )
    rule = Rule("stuck-lso", "true", "concat(n, ' acknowledged records stand at or above the stable offset ', stable)")
    subject = Subject("hidden", "concat(name, '[', partition, ']')", "partition")
    return breaches(recording, subject, (rule,), examined={})
