"""C1: credit. Per user first, then in total, and at every step that a recorded balance allows to see."""

from dataclasses import replace
from typing import Final

from bench.scenarios.checkout.invariants.applications import load_credit_adrift
from bench.scenarios.checkout.invariants.facts import keeps_inbox, load_direct_operations, load_sagas
from verifiers.checker import Finding, merged, not_applicable
from verifiers.conservation import Account, conserved, history_is_a_chain
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

CREDIT: Final = Account("user", "credit", balances="user_balances", steps="credit_steps", looks="credit_looks")
SAGA: Final = Subject("sagas", "key", "saga")


def load_users(recording: Recording) -> None:
    """Creates `user_balances` (see `verifiers.conservation`): change = funds - direct payments - paid orders."""
    recording.need("tables/pay.users", "initial/pay.users", "tables/order.orders")
    load_direct_operations(recording)
    recording.once(
        "user_balances",
        """WITH direct AS (SELECT entity, sum(change) FILTER (WHERE outcome = 'ok') AS change,
                coalesce(list(change) FILTER (WHERE outcome = 'info'), []) AS indefinite,
                FROM direct_operations WHERE kind IN ('funds', 'payment') GROUP BY entity),
            paid AS (SELECT user_id, sum(amount) AS amount FROM "tables/order.orders" WHERE paid GROUP BY user_id)
        SELECT user_id AS entity, i.credit AS initial, f.credit AS final,
               (coalesce(direct.change, 0) - coalesce(paid.amount, 0))::BIGINT AS change,
               coalesce(indefinite, []::BIGINT[]) AS indefinite
        FROM "tables/pay.users" f FULL JOIN "initial/pay.users" i USING (user_id)
        LEFT JOIN direct ON direct.entity = user_id LEFT JOIN paid USING (user_id)""",
    )


def load_steps(recording: Recording) -> None:
    """Creates `credit_steps` and `credit_looks` from the inbox and from the answers to direct operations."""
    load_sagas(recording)
    load_users(recording)
    recording.once(
        "credit_steps",
        """SELECT user_id AS entity, pin_after + amount AS before, pin_after AS after FROM sagas WHERE pin = 'psuccess'
        UNION ALL SELECT user_id, pback_after - amount, pback_after FROM sagas
                  WHERE pback = 'canok' AND pin = 'psuccess'
        UNION ALL SELECT entity, after - change, after FROM direct_operations
                  WHERE kind IN ('funds', 'payment') AND outcome = 'ok'""",
    )
    recording.once(
        "credit_looks",
        """SELECT user_id AS entity, pin_after AS seen FROM sagas WHERE pin = 'pfail' AND pin_after IS NOT NULL
        UNION ALL SELECT entity, after FROM direct_operations
                  WHERE kind = 'payment' AND outcome = 'fail' AND after IS NOT NULL""",
    )


def credit_is_conserved(recording: Recording) -> Finding:
    """C1: credit = initial + funds added - direct payments - amounts of the user's paid orders; never below 0."""
    load_users(recording)
    account = CREDIT if keeps_inbox(recording) else replace(CREDIT, adrift=load_credit_adrift(recording))
    return conserved(recording, account)


def credit_changes_form_a_chain(recording: Recording) -> Finding:
    """C1: every recorded credit follows from another one, is never below 0, and decides the payment as it must."""
    if not keeps_inbox(recording):
        return not_applicable("this guarantee keeps no inbox")
    load_steps(recording)
    rules = (
        Rule(
            "negative-balance",
            "pin_after < 0 OR pback_after < 0",
            "concat('credit was ', least(pin_after, pback_after))",
        ),
        Rule(
            "conflicting-outcome",
            "pin = 'pfail' AND pin_after >= amount",
            "concat('pfail for ', amount, ' although credit was ', pin_after)",
        ),
        Rule(
            "phantom-effect",
            "pin = 'psuccess' AND pin_after IS NULL OR pback = 'canok' AND pback_after IS NULL",
            "'an accepted payment left no balance'",
        ),
    )
    answers = (
        Rule(
            "response-state-mismatch",
            "kind = 'payment' AND outcome = 'fail' AND after >= -change",
            "concat('a payment of ', -change, ' was refused at credit ', after)",
        ),
        Rule("negative-balance", "outcome = 'ok' AND after < 0", "concat('the answer says ', after)"),
        Rule(
            "response-state-mismatch",
            "outcome = 'ok' AND (after IS NULL OR change IS NULL)",
            "'accepted, but request and response do not say what changed'",
        ),
    )
    return merged(
        (
            history_is_a_chain(recording, CREDIT),
            breaches(recording, SAGA, rules, examined={}),
            breaches(recording, Subject("direct_operations", "entity", "user"), answers, examined={}),
        )
    )
