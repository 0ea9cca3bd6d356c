"""C9: what the clients were told is what happened. `info` says nothing either way; it only widens what may be."""

from typing import Final

from bench.scenarios.checkout.invariants.facts import load_orders
from verifiers.checker import Anomaly, Finding, found, merged
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_MISMATCH: Final = "response-state-mismatch"
_ANSWERS: Final = (
    Rule(_MISMATCH, "outcome NOT IN ('ok', 'fail', 'info')", "concat('the outcome is ', outcome)"),
    Rule(_MISMATCH, "outcome = 'ok' AND tr IS NULL", "'answered ok without a tr#'"),
    Rule(
        _MISMATCH,
        "outcome = 'ok' AND tr IS NOT NULL AND success_n = 0",
        "concat('answered ok, but tr# ', tr, ' has no success')",
    ),
    Rule(_MISMATCH, "outcome = 'ok' AND NOT coalesce(paid, false)", "'answered ok, but the order is not paid'"),
    Rule(
        _MISMATCH,
        "outcome = 'fail' AND tr IS NOT NULL AND fail_n = 0",
        "concat('answered fail, but tr# ', tr, ' did not fail')",
    ),
    Rule(_MISMATCH, "outcome = 'fail' AND success_n > 0", "concat('answered fail, but tr# ', tr, ' succeeded')"),
    Rule(
        "missing-effect",
        "outcome <> 'info' AND tr IS NOT NULL AND pay_n + dec_n = 0",
        "concat('tr# ', tr, ' was never asked for')",
    ),
    Rule(_MISMATCH, "asked_for <> entity", "concat('the request is about order ', asked_for)"),
    Rule("causal-violation", "acknowledged_ns > 0 AND acknowledged_ns < sent_ns", "'acknowledged before it was sent'"),
    Rule("causal-violation", "completed_ns > 0 AND completed_ns < sent_ns", "'completed before it was sent'"),
)
_ORDERS: Final = (
    Rule("phantom-effect", "last_tr > asked_n", "concat(last_tr, ' transactions, but only ', asked_n, ' checkouts')"),
    Rule("phantom-effect", "unasked_n > info_n", "concat(unasked_n, ' transactions answer no checkout')"),
)
_REAL_TIME: Final = (
    Rule(
        "causal-violation",
        "was = 'ok' AND (outcome = 'fail' OR tr <> was_tr)",
        "concat('paid as tr# ', was_tr, ' and then ', outcome, ' as ', tr)",
    ),
    Rule(
        "causal-violation",
        "was = 'fail' AND tr <= was_tr",
        "concat('tr# ', was_tr, ' had failed before it was sent, yet it got ', tr)",
    ),
)


def clients_agree(recording: Recording) -> Finding:
    """C9: 2xx exactly if paid; 4xx: that tr# failed and left nothing; every transaction was asked for by a client."""
    load_orders(recording)
    recording.once(
        "answered",
        """SELECT c.*, s.success_n, s.fail_n, s.pay_n, s.dec_n, o.paid FROM (
               SELECT *, entity || '_' || tr AS key FROM checkout_operations) c
           LEFT JOIN sagas s USING (key) LEFT JOIN "tables/order.orders" o ON o.order_id = c.entity""",
    )
    filled = """(SELECT * REPLACE (coalesce(success_n, 0) AS success_n, coalesce(fail_n, 0) AS fail_n,
        coalesce(pay_n, 0) AS pay_n, coalesce(dec_n, 0) AS dec_n) FROM answered)"""
    recording.once("answers", f"SELECT * FROM {filled}")
    examined = {
        "checkouts": recording.number("SELECT count(*) FROM answers"),
        "answered": recording.number("SELECT count(*) FROM answers WHERE outcome <> 'info'"),
    }
    return merged(
        (
            breaches(recording, Subject("answers", "entity", "order"), _ANSWERS, examined=examined),
            breaches(recording, Subject("order_rows", "order_id", "order"), _ORDERS, examined={}),
            answers_follow_time(recording),
            operations_are_complete(recording),
        )
    )


def answers_follow_time(recording: Recording) -> Finding:
    """A checkout sent after another one of the same order was answered sees at least what that one saw."""
    recording.once(
        "later_answers",
        """WITH several AS (SELECT * FROM answers WHERE outcome <> 'info' AND tr IS NOT NULL AND completed_ns > 0
                AND entity IN (SELECT order_id FROM order_rows WHERE asked_n > 1))
           SELECT b.entity, b.outcome, b.tr, a.outcome AS was, a.tr AS was_tr
           FROM several a JOIN several b ON a.entity = b.entity AND a.completed_ns < b.sent_ns""",
    )
    pairs = {"pairs in real time": recording.number("SELECT count(*) FROM later_answers")}
    return breaches(recording, Subject("later_answers", "entity", "order"), _REAL_TIME, examined=pairs)


def operations_are_complete(recording: Recording) -> Finding:
    """The history numbers every operation without a gap."""
    low, high, count, distinct = recording.rows(
        "SELECT min(operation), max(operation), count(*), count(DISTINCT operation) FROM operations"
    )[0]
    if not count or (low in (0, 1) and high - low + 1 == count == distinct):
        return Finding({"operations": count})
    gap = recording.rows(
        """SELECT operation + 1 FROM operations
           ANTI JOIN (SELECT operation - 1 AS operation FROM operations) USING (operation)
           ORDER BY 1 LIMIT 1"""
    )[0][0]
    name = str(gap if gap <= high else low - 1)
    sentence = f"{count} operations are numbered {low} to {high}, {distinct} of them distinct"
    return found({"operations": count}, [Anomaly("lost-operation", name, sentence, subject="operation")])
