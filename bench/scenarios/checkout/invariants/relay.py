"""The order of the relay: under `outbox` the replies of a partition stand in the order of its requests.

The owner of an input partition publishes its outbox rows in the order in which they were stored, and a reply goes to
the partition of its request, as both have the same key and their topics as many partitions. So the first copies of the
replies rise with those of the requests, whatever crashes. Source: spec/README.md, the guarantee `outbox`.
"""

from typing import Final

from bench.scenarios.checkout.invariants.records import load_records
from verifiers.checker import Finding
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_STEP: Final = """CASE kind WHEN 'psuccess' THEN 'pay' WHEN 'pfail' THEN 'pay' WHEN 'canok' THEN 'can'
    WHEN 'ssuccess' THEN 'decrement' WHEN 'sfail' THEN 'decrement' WHEN 'incok' THEN 'increment' END"""
_OVERTAKEN: Final = Rule(
    "relay-reorder",
    "reply < reached",
    "concat('its reply to ', step, ' stands at ', reply, ', before that to an earlier request at ', reached)",
)


def replies_follow_requests(recording: Recording) -> Finding:
    """Under `outbox` the replies of a partition stand in the order of its requests."""
    if recording.run.get("guarantee") != "outbox":
        return Finding({})
    load_records(recording)
    first = 'key, partition, min("offset")'
    recording.once(
        "relayed",
        f"""WITH requests AS (SELECT 'pay' AS service, kind AS step, {first} AS request FROM pay_records GROUP BY ALL
                UNION ALL SELECT 'stock', kind, {first} FROM stock_records GROUP BY ALL),
            answers AS (SELECT {_STEP} AS step, {first} AS reply FROM outcome_records GROUP BY ALL)
        SELECT key, step, reply, max(reply) OVER (PARTITION BY service, partition ORDER BY request
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
        FROM requests JOIN answers USING (key, step, partition)""",
    )
    replies = {"relayed replies": recording.number("SELECT count(*) FROM relayed")}
    return breaches(recording, Subject("relayed", "key", "saga"), (_OVERTAKEN,), examined=replies)
