"""Without an inbox nothing but the journals says how often a request took effect: each stored batch that covers its
record applied it once more. What repeats and losses did to a balance is reckoned here, saga by saga.

A worker journals a batch even when a failpoint kills it, so the count is exact under planned crashes. A `can` or an
`increment` is done unconditionally each time; a `pay` or a `decrement` as its outcome says, and one that nobody
answered may have been either.
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
    """Creates `applications(key, kind, requests, applied)`: how often each kind of request of a saga was applied."""
    load_sagas(recording)
    load_spans(recording)
    cover(recording, "stored_cover", "SELECT * FROM spans WHERE stored_ns > 0")
    records = (covered("pay_records", PAY, "stored_cover", "n"), covered("stock_records", STOCK, "stored_cover", "n"))
    recording.once(
        "applications",
        f"""SELECT key, kind, count(*) AS requests, sum(n)::BIGINT AS applied
            FROM ({" UNION ALL ".join(f"SELECT key, kind, n FROM ({part})" for part in records)}) GROUP BY key, kind""",
    )


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
    return f"""WITH applied AS (SELECT key, coalesce(sum(applied) FILTER (WHERE kind = '{request}'), 0) AS done,
              coalesce(sum(applied) FILTER (WHERE kind = '{back}'), 0) AS undone FROM applications GROUP BY key),
        sagas_moved AS (SELECT {entity} AS entity, {what} AS what, (greatest(undone, {acknowledged}_n) - {success}_n
                  + CASE WHEN o.paid AND o.tr = s.tr THEN 1 ELSE 0 END)::BIGINT AS times,
              greatest(done - {success}_n - {refusal}_n, 0)::BIGINT AS unanswered
            FROM {lines} JOIN applied USING (key) LEFT JOIN "tables/order.orders" o ON o.order_id = s.order_id)
        SELECT entity, sum(times * what)::BIGINT AS moved, flatten(list([-what FOR i IN range(unanswered)])) AS options
        FROM sagas_moved WHERE times <> 0 OR unanswered > 0 GROUP BY entity"""


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
