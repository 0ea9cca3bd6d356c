"""Without an inbox nothing but the journals says how often a request took effect: each stored batch that covers its
record applied it once more. What repeats and losses did to a balance is reckoned here, saga by saga.

A worker journals a batch on both sides of its database commit, so a SIGKILL leaves nothing in doubt but a commit that
it cuts short: what such a batch was to apply may have been applied or not. A `can` or an `increment` is done
unconditionally each time; a `pay` or a `decrement` as its outcome says, and one that nobody answered may have been
either.
"""

from typing import Final

from bench.scenarios.checkout.invariants.facts import keeps_inbox, load_lines, load_sagas
from system.checkout.contract import PAY, STOCK
from verifiers.checker import Finding, not_applicable
from verifiers.coverage import cover, covered
from verifiers.ordering import load_spans
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_RULES: Final = (
    Rule("missing-effect", "applied = 0", "concat(kind, ' was never applied')"),
    Rule(
        "double-effect",
        "kind IN ('pay', 'decrement') AND applied > 1",
        "concat(kind, ' was applied ', applied, ' times')",
    ),
    Rule(
        "double-compensation",
        "kind IN ('can', 'increment') AND applied > 1",
        "concat(kind, ' was applied ', applied, ' times')",
    ),
)


def load_applications(recording: Recording) -> None:
    """Creates `applications(key, kind, requests, applied, unclear)`: how often each kind of request of a saga was
    applied, and how often it may have been besides."""
    load_sagas(recording)
    load_spans(recording)
    cover(recording, "stored_cover", "SELECT * FROM spans WHERE stored_ns > 0")
    cover(recording, "unclear_cover", "SELECT * FROM spans WHERE handled_ns > 0 AND stored_ns = 0")
    parts = [_applied("pay_records", PAY), _applied("stock_records", STOCK)]
    recording.once(
        "applications",
        f"""SELECT key, kind, count(*) AS requests, sum(n)::BIGINT AS applied, sum(m)::BIGINT AS unclear
            FROM ({" UNION ALL ".join(parts)}) GROUP BY key, kind""",
    )


def _applied(records: str, topic: str) -> str:
    """A statement: by how many stored batches, and by how many of which nobody knows, each record is covered."""
    stored = covered(records, topic, "stored_cover", "n")
    return f"SELECT key, kind, n, m FROM ({covered(f'({stored})', topic, 'unclear_cover', 'm')})"


def requests_are_applied_once(recording: Recording) -> Finding:
    """C4 without an inbox: every request of a saga is applied, once, as the journals of its service have it."""
    if keeps_inbox(recording):
        return not_applicable("the inbox says what was applied")
    load_applications(recording)
    return breaches(
        recording,
        Subject("applications", "key", "saga"),
        _RULES,
        examined={"requests": recording.number("SELECT sum(requests) FROM applications")},
    )


def _adrift(entity: str, what: str, lines: str, do: tuple[str, str, str], undo: tuple[str, str]) -> str:
    """A statement: what the anomalous sagas of each entity did to its balance beside what `change` has.

    `do`: the request, its success and its refusal; `undo`: the compensation and its acknowledgement.
    """
    request, success, refusal = do
    back, acknowledged = undo
    return f"""WITH applied AS (SELECT key,
              {_of("applied", request)} AS done, {_of("unclear", request)} AS done_perhaps,
              {_of("applied", back)} AS undone, {_of("unclear", back)} AS undone_perhaps
              FROM applications GROUP BY key),
        sagas_moved AS (SELECT {entity} AS entity, {what} AS what, (greatest(undone, {acknowledged}_n) - {success}_n
                  + CASE WHEN o.paid AND o.tr = s.tr THEN 1 ELSE 0 END)::BIGINT AS times,
              (greatest(done - {success}_n - {refusal}_n, 0) + done_perhaps)::BIGINT AS unanswered, undone_perhaps
            FROM {lines} JOIN applied USING (key) LEFT JOIN "tables/order.orders" o ON o.order_id = s.order_id)
        SELECT entity, sum(times * what)::BIGINT AS moved,
            flatten(list([-what FOR i IN range(unanswered)] || [what FOR i IN range(undone_perhaps)])) AS options
        FROM sagas_moved WHERE times <> 0 OR unanswered > 0 OR undone_perhaps > 0 GROUP BY entity"""


def _of(column: str, kind: str) -> str:
    return f"coalesce(sum({column}) FILTER (WHERE kind = '{kind}'), 0)::BIGINT"


def load_credit_adrift(recording: Recording) -> str:
    """Creates and names `credit_adrift` (see `verifiers.conservation.Account`)."""
    load_applications(recording)
    steps = (("pay", "ps", "pf"), ("can", "co"))
    recording.once("credit_adrift", _adrift("s.user_id", "s.amount", "sagas s", *steps))
    return "credit_adrift"


def load_stock_adrift(recording: Recording) -> str:
    """Creates and names `stock_adrift` (see `verifiers.conservation.Account`)."""
    load_applications(recording)
    load_lines(recording)
    steps = (("decrement", "ss", "sf"), ("increment", "io"))
    lines = "saga_lines l JOIN sagas s USING (key)"
    recording.once("stock_adrift", _adrift("l.item_id", "l.quantity", lines, *steps))
    return "stock_adrift"
