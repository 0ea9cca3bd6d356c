"""What can be wrong with a `checkout`: a corruption for each kind of anomaly of the choreography, of the balances and
of the Outc-offs protocol."""

from typing import Final

from bench.corrupt import Corruption, Row, caught_by
from bench.scenarios.checkout import damage
from bench.scenarios.checkout.damage import change_cell, drop_row, saga_of


def _order(row: Row) -> str:
    return str(row["order_id"])


def _user(row: Row) -> str:
    return str(row["user_id"])


def _item(row: Row) -> str:
    return str(row["item_id"])


_ORDERS, _DECISIONS, _USERS = "tables/order.orders", "tables/order.decisions", "tables/pay.users"
_ITEMS, _PAY_INBOX = "tables/stock.items", "tables/pay.inbox"
_ALONE: Final[frozenset[str]] = frozenset()
_CHAIN: Final = frozenset({"credit_changes_form_a_chain"})
_STATE: Final = frozenset({"credit_is_conserved", "stock_is_conserved", *_CHAIN, "stock_changes_form_a_chain"})
_CLIENTS: Final = frozenset({"clients_agree"})
_PAID: Final = frozenset({"paid_means_both_succeeded"})
_SAGA: Final = frozenset(
    {
        "each_step_happens_once",
        "compensation_undoes_what_succeeded",
        "decisions_follow_the_outcomes",
        "inbox_matches_messages",
        "causes_precede_effects",
        "transactions_of_an_order_do_not_overlap",
        "consumption_follows_the_log",
        "watermark_is_sound",
        "watermark_is_not_pinned",
        *_PAID,
        *_CLIENTS,
    }
)
"""What a message that is missing or another one may contradict besides: the claims about its saga, the batch that had
it, the watermark that counted it."""

CORRUPTIONS: Final[tuple[Corruption, ...]] = (
    *caught_by(
        "credit_is_conserved",
        (
            "credit-changed",
            "balance-difference",
            "a user has one too much",
            change_cell(_USERS, "true", _user, credit=lambda row: row["credit"] + 1),
            _CHAIN,
        ),
        ("credit-negative", "negative-balance", "a user owes", change_cell(_USERS, "true", _user, credit=-1), _CHAIN),
        ("user-lost", "lost-row", "a user is gone", drop_row(_USERS, "true", _user), _ALONE),
        ("user-new", "phantom-row", "a user came from nowhere", drop_row("initial/pay.users", "true", _user), _ALONE),
    ),
    *caught_by(
        "stock_is_conserved",
        (
            "stock-changed",
            "balance-difference",
            "an item has one too few",
            change_cell(_ITEMS, "stock > 0", _item, stock=lambda row: row["stock"] - 1),
            frozenset({"stock_changes_form_a_chain"}),
        ),
        (
            "price-changed",
            "immutable-changed",
            "a price is not what it was",
            change_cell(_ITEMS, "true", _item, price=lambda row: row["price"] + 1),
            _ALONE,
        ),
    ),
    *caught_by(
        "credit_changes_form_a_chain",
        ("credit-unseen", "phantom-effect", "a credit changed with nothing between", damage.change_balance, _ALONE),
        (
            "refused-in-spite",
            "conflicting-outcome",
            "a payment is refused that the credit covered",
            change_cell(_PAY_INBOX, "outcome = 'pfail'", saga_of, balance_after=2**40),
            _ALONE,
        ),
    ),
    *caught_by(
        "paid_means_both_succeeded",
        (
            "paid-otherwise",
            "conflicting-terminal",
            "an order is not paid though both halves succeeded",
            change_cell(_ORDERS, "paid", _order, status="not_paid", paid=False),
            _STATE | _CLIENTS,
        ),
    ),
    *caught_by(
        "each_step_happens_once",
        ("terminal-lost", "incomplete-saga", "an outcome never went out", damage.silence, _CLIENTS),
        ("said-twice", "duplicate", "an outcome stands twice", damage.say_again(1), _ALONE),
        ("said-often", "retry-amplification", "an outcome stands far too often", damage.say_again(5), _ALONE),
    ),
    *caught_by(
        "compensation_undoes_what_succeeded",
        ("undoing-lost", "missing-compensation", "a can was never sent", damage.forget_compensation, _SAGA),
        ("success-undone", "orphan-compensation", "what succeeded is undone", damage.compensate_success, _SAGA),
        ("undone-before", "compensation-race", "a payment sticks behind its can", damage.overtake, _SAGA),
        (
            "undone-twice",
            "double-compensation",
            "a decision compensates twice",
            change_cell(_DECISIONS, "replies LIKE '%\"can\"%'", saga_of, replies=damage.compensate_twice),
            frozenset({"decisions_follow_the_outcomes"}),
        ),
    ),
    *caught_by(
        "decisions_follow_the_outcomes",
        ("decided-twice", "double-terminal", "a transaction has two decisions", damage.decide_twice, _ALONE),
        (
            "decided-otherwise",
            "conflicting-terminal",
            "a decision contradicts its outcomes",
            change_cell(_DECISIONS, "decision = 'success'", saga_of, decision="fail"),
            _PAID,
        ),
    ),
    *caught_by(
        "amounts_agree",
        ("answered-more", "response-state-mismatch", "an outcome names another amount", damage.answer_more, _ALONE),
        ("charged-another", "amount-mismatch", "another user is charged", damage.charge_another, _PAID),
    ),
    *caught_by(
        "inbox_matches_messages",
        (
            "inbox-row-lost",
            "missing-effect",
            "a request left no row in the inbox",
            drop_row(_PAY_INBOX, "outcome = 'pfail'", saga_of),
            _ALONE,
        ),
        (
            "inbox-row-twice",
            "double-effect",
            "a request has two rows in the inbox",
            damage.take_twice,
            _STATE | _SAGA | {"amounts_agree"},
        ),
        (
            "inbox-otherwise",
            "inbox-mismatch",
            "inbox and topic say two things",
            change_cell(_PAY_INBOX, "outcome = 'pfail'", saga_of, outcome="psuccess"),
            _CHAIN,
        ),
    ),
    *caught_by(
        "no_order_is_pending",
        (
            "order-pending",
            "incomplete-saga",
            "an order is left pending",
            change_cell(_ORDERS, "status = 'not_paid'", _order, status="pending"),
            _ALONE,
        ),
    ),
    *caught_by(
        "causes_precede_effects",
        (
            "answered-late",
            "causal-violation",
            "fail went out before the compensation was acknowledged",
            damage.answer_late,
            frozenset({"transactions_of_an_order_do_not_overlap"}),
        ),
    ),
    *caught_by(
        "watermark_is_sound",
        (
            "watermark-lowered",
            "watermark-regress",
            "L falls",
            damage.lower_watermark,
            frozenset({"watermark_is_not_pinned"}),
        ),
        ("watermark-raised", "watermark-ahead", "L passes its own position", damage.raise_watermark, _ALONE),
        ("watermark-stripped", "malformed-watermark", "L does not say where it is", damage.strip_watermark, _ALONE),
    ),
    *caught_by(
        "watermark_is_not_pinned",
        ("watermark-pinned", "pinned-watermark", "the last L never came", damage.pin_watermark, _ALONE),
    ),
    *caught_by(
        "rebuilds_start_low_enough",
        ("rebuild-high", "watermark-ahead", "a rebuild passes over an open transaction", damage.rebuild_high, _ALONE),
    ),
    *caught_by(
        "clients_agree",
        (
            "answered-wrong",
            "response-state-mismatch",
            "a client was told fail of a paid order",
            change_cell(
                "operations", "kind = 'checkout' AND outcome = 'ok'", lambda row: str(row["entity"]), outcome="fail"
            ),
            _ALONE,
        ),
        (
            "operation-lost",
            "lost-operation",
            "a client's operation is not in the history",
            drop_row("operations", "operation > 3", lambda row: str(row["operation"])),
            _STATE,
        ),
    ),
    *caught_by(
        "keys_keep_their_partition",
        ("key-moved", "wrong-partition", "a key stands in another partition", damage.move_key, _ALONE),
    ),
    *caught_by(
        "bad_records_have_dead_letters",
        ("letter-lost", "poison-loss", "bad input was skipped without a dead letter", damage.lose_letter, _ALONE),
        ("letter-of-sound", "dead-lettered-and-applied", "a sound record has a letter", damage.blame_another, _ALONE),
        ("letter-twice", "repeated-dead-letter", "a record has two dead letters", damage.repeat_letter, _ALONE),
        ("letter-stripped", "malformed-dead-letter", "a dead letter does not say why", damage.strip_letter, _ALONE),
    ),
    *caught_by(
        "replay_changes_no_table",
        ("replay-changed", "double-effect", "the log charged once more", damage.replay_otherwise, _ALONE),
    ),
)
"""By the checker that must notice them, in the order in which a report lists these."""
