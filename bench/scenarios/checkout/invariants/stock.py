"""C2: stock. Per item first, then in total; a decrement is all or nothing over its items."""

from dataclasses import replace
from typing import Final

from bench.scenarios.checkout.invariants.applications import load_stock_adrift
from bench.scenarios.checkout.invariants.facts import keeps_inbox, load_direct_operations, load_lines
from bench.scenarios.checkout.invariants.records import items_of, quantities_of
from verifiers.checker import Finding, merged, not_applicable
from verifiers.conservation import Account, conserved, history_is_a_chain
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

STOCK: Final = Account("item", "stock", balances="item_balances", steps="stock_steps", looks="stock_looks")


def load_items(recording: Recording) -> None:
    """Creates `item_balances` (see `verifiers.conservation`): change = added - subtracted - quantities in paid
    orders."""
    recording.need("tables/stock.items", "initial/stock.items", "tables/order.orders")
    load_direct_operations(recording)
    recording.once(
        "item_balances",
        f"""WITH direct AS (SELECT entity, sum(change) FILTER (WHERE outcome = 'ok') AS change,
                coalesce(list(change) FILTER (WHERE outcome = 'info'), []) AS indefinite
                FROM direct_operations WHERE kind = 'stock' GROUP BY entity),
            paid AS (SELECT item_id, sum(quantity) AS quantity FROM (
                SELECT unnest({items_of("compact")}) AS item_id, unnest({quantities_of("compact")}) AS quantity
                FROM (SELECT replace(items, ' ', '') AS compact FROM "tables/order.orders"
                      WHERE paid AND items <> '[]'))
                GROUP BY item_id)
        SELECT item_id AS entity, i.stock AS initial, f.stock AS final,
               i.price AS initial_price, f.price AS final_price,
               (coalesce(direct.change, 0) - coalesce(paid.quantity, 0))::BIGINT AS change,
               coalesce(indefinite, []::BIGINT[]) AS indefinite
        FROM "tables/stock.items" f FULL JOIN "initial/stock.items" i USING (item_id)
        LEFT JOIN direct ON direct.entity = item_id LEFT JOIN paid USING (item_id)""",
    )


def load_steps(recording: Recording) -> None:
    """Creates `stock_steps` and `stock_looks` from the lines of the inbox and the answers to stock changes."""
    load_items(recording)
    load_lines(recording)
    recording.once(
        "stock_steps",
        """SELECT item_id AS entity, after + quantity AS before, after FROM saga_lines WHERE sin = 'ssuccess'
        UNION ALL SELECT item_id, back_after - quantity, back_after FROM saga_lines
                  WHERE sback = 'incok' AND sin = 'ssuccess'
        UNION ALL SELECT entity, after - change, after FROM direct_operations
                  WHERE kind = 'stock' AND outcome = 'ok'""",
    )
    recording.once(
        "stock_looks",
        """SELECT item_id AS entity, after AS seen FROM saga_lines WHERE sin = 'sfail' AND after IS NOT NULL
        UNION ALL SELECT entity, after FROM direct_operations
                  WHERE kind = 'stock' AND outcome = 'fail' AND after IS NOT NULL""",
    )
    recording.once(
        "stock_refusals",
        """SELECT key, bool_or(item_id IS NOT NULL AND (after IS NULL OR after < quantity)) AS was_short
           FROM saga_lines WHERE sin = 'sfail' GROUP BY key""",
    )


def stock_is_conserved(recording: Recording) -> Finding:
    """C2: stock = initial + added - subtracted - quantities in paid orders; never below 0; a price never changes."""
    load_items(recording)
    price = Rule(
        "immutable-changed",
        "initial_price <> final_price",
        "concat('the price is ', final_price, ' and was ', initial_price)",
    )
    account = STOCK if keeps_inbox(recording) else replace(STOCK, adrift=load_stock_adrift(recording))
    return merged((conserved(recording, account), breaches(recording, STOCK.subject, (price,), examined={})))


def stock_changes_form_a_chain(recording: Recording) -> Finding:
    """C2: every recorded stock follows from another one, is never below 0, and a decrement is all or nothing."""
    if not keeps_inbox(recording):
        return not_applicable("this guarantee keeps no inbox")
    load_steps(recording)
    lines = (
        Rule(
            "negative-balance", "after < 0 OR back_after < 0", "concat('the stock of item ', item_id, ' was ', after)"
        ),
        Rule(
            "phantom-effect",
            "sin = 'ssuccess' AND after IS NULL OR sback = 'incok' AND back_after IS NULL",
            "concat('an accepted decrement left no stock of item ', item_id)",
        ),
        Rule(
            "inbox-mismatch",
            "item_id IS NULL OR quantity IS NULL",
            "'the inbox row does not have one balance a line'",
        ),
    )
    refusals = (Rule("conflicting-outcome", "NOT was_short", "'sfail although every item had enough stock'"),)
    answers = (
        Rule(
            "response-state-mismatch",
            "kind = 'stock' AND outcome = 'fail' AND change < 0 AND after >= -change",
            "concat('a subtraction of ', -change, ' was refused at stock ', after)",
        ),
    )
    return merged(
        (
            history_is_a_chain(recording, STOCK),
            breaches(recording, Subject("saga_lines", "key", "saga"), lines, examined={}),
            breaches(recording, Subject("stock_refusals", "key", "saga"), refusals, examined={}),
            breaches(recording, Subject("direct_operations", "entity", "item"), answers, examined={}),
        )
    )
