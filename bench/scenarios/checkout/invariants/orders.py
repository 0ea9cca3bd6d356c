"""C3, C7: what an order says at quiescence, against its sagas and against the order that was seeded. A row an order."""

from typing import Final

from bench.scenarios.checkout.invariants.facts import load_orders
from verifiers.checker import Finding, merged
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches, repeats

ORDER: Final = Subject("order_rows", "order_id", "order")
_PAID: Final = (
    Rule(
        "conflicting-terminal",
        "paid <> coalesce(last_both, false) AND (paid OR last_decision IS NOT NULL)",
        "concat('paid is ', paid, ' against the outcomes of tr# ', tr)",
    ),
    Rule(
        "incomplete-saga",
        "NOT paid AND last_both AND last_decision IS NULL",
        "concat('both halves of tr# ', tr, ' succeeded, and nothing was decided')",
    ),
    Rule("response-state-mismatch", "paid <> (status = 'paid')", "concat('paid is ', paid, ' and status ', status)"),
    Rule("double-effect", "successes_n > 1", "concat(successes_n, ' transactions of one order succeeded')"),
    Rule(
        "double-effect",
        "success_tr < last_tr",
        "concat('tr# ', success_tr, ' succeeded, and tr# ', last_tr, ' followed')",
    ),
    Rule(
        "missing-effect",
        "is_final AND tr > coalesce(last_tr, 0)",
        "concat('tr# is ', tr, ' but the last request is of ', last_tr)",
    ),
    Rule(
        "phantom-effect", "is_final AND tr < last_tr", "concat('tr# is ', tr, ' but there is a request of ', last_tr)"
    ),
    Rule("incomplete-saga", "sagas_n <> last_tr OR first_tr <> 1", "concat('tr#s are not 1 to ', last_tr)"),
    Rule(
        "amount-mismatch",
        "paid AND amount <> last_amount",
        "concat('paid with amount ', amount, ' but asked for ', last_amount)",
    ),
    Rule(
        "amount-mismatch",
        "paid AND replace(items, ' ', '') <> last_lines",
        "concat('paid with items ', items, ' but asked for ', last_lines)",
    ),
    Rule(
        "immutable-changed",
        "items <> initial_items OR amount <> initial_amount",
        "concat('items or amount changed: ', initial_items, ' ', initial_amount, ' to ', items, ' ', amount)",
    ),
    Rule(
        "immutable-changed",
        "user_id <> initial_user_id",
        "concat('the user is ', user_id, ' and was ', initial_user_id)",
    ),
    Rule(
        "response-state-mismatch",
        "status NOT IN ('not_paid', 'pending', 'paid')",
        "concat('status ', status)",
    ),
    Rule(
        "phantom-effect",
        "initial_status <> 'not_paid' OR initial_tr <> 0 OR initial_paid",
        "concat('seeded as ', initial_status, ' with tr# ', initial_tr)",
    ),
    Rule("lost-row", "NOT is_final", "'the row of this order is gone'"),
    Rule("phantom-row", "NOT is_initial", "'the row of this order came from nowhere'"),
)


def paid_means_both_succeeded(recording: Recording) -> Finding:
    """C3: paid exactly if the last tr# has psuccess and ssuccess; at most one tr# succeeds, the last; tr#s are
    1..tr#."""
    load_orders(recording)
    return merged((breaches(recording, ORDER, _PAID), repeats(recording, ORDER)))


def no_order_is_pending(recording: Recording) -> Finding:
    """C7: at quiescence no order is pending."""
    load_orders(recording)
    rule = Rule("incomplete-saga", "status = 'pending'", "concat('still pending in tr# ', tr)")
    return breaches(recording, ORDER, (rule,))
