"""The facts that the claims of `checkout` are made of: one row a saga (order, tr#), one a row of an order, user, item.

`sagas` joins what every topic and table says about one key; counts are never null, `p_ok` and `s_ok` say whether the
first outcome of each half succeeded, other columns are null where nothing was said. Nothing is judged here. Every table
is made once, columnar, and keeps its complete list of entities.
"""

from typing import Final

from bench.scenarios.checkout.invariants.records import items_of, load_records, quantities_of
from system.checkout.contract import OUTC_OFFS, POS_HEADER
from verifiers.recording import Recording

_OFFSET: Final = '"offset"'


def _grouped(table: str, kinds: tuple[tuple[str, str], ...], extra: str = "") -> str:
    """Count, first offset and first time of each kind of message, a row a key."""
    columns = "".join(
        f""", count(*) FILTER (WHERE kind = '{kind}') AS {name}_n,
            min({_OFFSET}) FILTER (WHERE kind = '{kind}') AS {name}_offset,
            min(ts) FILTER (WHERE kind = '{kind}') AS {name}_ts"""
        for name, kind in kinds
    )
    return f"SELECT key{columns}{extra} FROM {table} GROUP BY key"


_PAY: Final = _grouped(
    "pay_records",
    (("pay", "pay"), ("can", "can")),
    ", max(partition) - min(partition) + 1 AS pay_parts, "
    "min(what) AS amount_text, max(what) AS amount_text_max, "
    "min(user_id) AS user_id, max(user_id) AS user_id_max",
)
_STOCK: Final = _grouped(
    "stock_records",
    (("dec", "decrement"), ("inc", "increment")),
    ", max(partition) - min(partition) + 1 AS stock_parts, min(what) AS lines, max(what) AS lines_max",
)
_PAY_SIDE: Final = "kind IN ('psuccess', 'pfail', 'canok')"
_OUTCOME: Final = _grouped(
    "outcome_records",
    (("ps", "psuccess"), ("pf", "pfail"), ("co", "canok"), ("ss", "ssuccess"), ("sf", "sfail"), ("io", "incok")),
    f""", max(partition) - min(partition) + 1 AS outcome_parts,
        min(what) FILTER (WHERE {_PAY_SIDE}) AS p_what, max(what) FILTER (WHERE {_PAY_SIDE}) AS p_what_max,
        min(what) FILTER (WHERE NOT {_PAY_SIDE}) AS s_what, max(what) FILTER (WHERE NOT {_PAY_SIDE}) AS s_what_max""",
)
_CHECKOUT: Final = _grouped("checkout_records", (("success", "success"), ("fail", "fail")))


def _inbox(service: str, rollback: bool, name: str) -> str:
    # Those below stood there before the first saga (`earlier_rows`).
    return f"""SELECT order_id || '_' || tr AS key, outcome AS {name}, balance_after AS {name}_after
               FROM "tables/{service}.inbox" WHERE tr > 0 AND {"" if rollback else "NOT "}was_rollback"""


_DECISIONS: Final = """SELECT order_id || '_' || tr AS key, min(decision) AS decision, min(replies) AS replies
    FROM "tables/order.decisions" GROUP BY order_id, tr"""
_ANSWERED: Final = """SELECT entity || '_' || tr AS key, count(*) FILTER (WHERE outcome = 'ok') AS ok_n,
    count(*) FILTER (WHERE outcome = 'fail') AS fail_answers_n, count(*) AS answers_n
    FROM checkout_operations WHERE tr IS NOT NULL GROUP BY key"""
STEPS: Final = ("pay", "can", "dec", "inc", "ps", "pf", "co", "ss", "sf", "io", "success", "fail")
"""Short names of the kinds of message; `<step>_n` counts them, `<step>_ts` and `<step>_offset` place the first."""
COUNTS: Final = tuple(f"{name}_n" for name in (*STEPS, "ok", "fail_answers", "answers"))


def load_sagas(recording: Recording) -> None:
    """Creates `checkout_operations` and `sagas`."""
    recording.need("tables/order.decisions", "tables/pay.inbox", "tables/stock.inbox", "operations")
    load_records(recording)
    load_checkout_operations(recording)
    sources = (_PAY, _STOCK, _OUTCOME, _CHECKOUT, _DECISIONS, _ANSWERED)
    inboxes = (
        _inbox("pay", False, "pin"),
        _inbox("pay", True, "pback"),
        _inbox("stock", False, "sin"),
        _inbox("stock", True, "sback"),
    )
    joined = " FULL JOIN ".join(
        f"({source}) AS part{number}" + (" USING (key)" if number else "")
        for number, source in enumerate(sources + inboxes)
    )
    filled = ", ".join(f"coalesce({name}, 0) AS {name}" for name in COUNTS)
    recording.once(
        "sagas",
        f"""SELECT * REPLACE ({filled}), {_first_succeeded("ps", "pf")} AS p_ok, {_first_succeeded("ss", "sf")} AS s_ok,
                   key[: length(key) - length(split_part(key, '_', -1)) - 1] AS order_id,
                   split_part(key, '_', -1)::INT AS tr,
                   try_cast(coalesce(amount_text, p_what) AS BIGINT) AS amount
            FROM {joined}""",
    )


def _first_succeeded(success: str, refusal: str) -> str:
    """SQL: the first of these outcomes in the log is a success. Only the first one counts, as a later one changes
    nothing."""
    return (
        f"coalesce({success}_offset IS NOT NULL AND ({refusal}_offset IS NULL OR {success}_offset < {refusal}_offset))"
    )


def keeps_inbox(recording: Recording) -> bool:
    """Whether the guarantee keeps an inbox, so that a repeated message takes no effect twice."""
    return recording.run.get("guarantee") not in ("at-most-once", "at-least-once")


def load_checkout_operations(recording: Recording) -> None:
    """Creates `checkout_operations`: the clients' checkouts with the tr# that they were answered with (null = none)."""
    recording.need("operations")
    recording.once(
        "checkout_operations",
        """SELECT operation, entity::VARCHAR AS entity, outcome::VARCHAR AS outcome, sent_ns, completed_ns,
                  split_part(request, '/', -1) AS asked_for, acknowledged_ns,
                  try_cast(nullif(regexp_extract(response, '"tr": ?([0-9]+)', 1), '') AS INT) AS tr
           FROM operations WHERE kind = 'checkout'""",
    )


def load_direct_operations(recording: Recording) -> None:
    """Creates `direct_operations`: funds, payments and stock changes; `change` is signed, `after` the balance
    answered."""
    recording.need("operations")
    recording.once(
        "direct_operations",
        """SELECT operation, kind::VARCHAR AS kind, entity::VARCHAR AS entity, outcome::VARCHAR AS outcome,
                  CASE WHEN kind = 'payment' OR request LIKE '%/subtract/%' THEN -1 ELSE 1 END
                      * try_cast(split_part(request, '/', -1) AS BIGINT) AS change,
                  try_cast(nullif(regexp_extract(response, '"(?:credit|stock)": ?(-?[0-9]+)', 1), '') AS BIGINT)
                      AS after
           FROM operations WHERE kind IN ('funds', 'payment', 'stock')""",
    )


def load_orders(recording: Recording) -> None:
    """Creates `order_rows`: each order at the end and at the beginning, beside its sagas and its clients' checkouts."""
    recording.need("tables/order.orders", "initial/order.orders")
    load_sagas(recording)
    recording.once(
        "order_rows",
        """WITH last AS (SELECT order_id, max(tr) AS last_tr, count(*) AS sagas_n, min(tr) AS first_tr,
                count(*) FILTER (WHERE decision = 'success') AS successes_n,
                arg_max_null(decision, tr) AS last_decision,
                arg_max_null(lines, tr) AS last_lines, arg_max_null(amount, tr) AS last_amount,
                max(tr) FILTER (WHERE decision = 'success') AS success_tr,
                arg_max_null(p_ok AND s_ok, tr) AS last_both,
                count(*) FILTER (WHERE answers_n = 0) AS unasked_n FROM sagas GROUP BY order_id),
            asked AS (SELECT entity AS order_id, count(*) AS asked_n, count(*) FILTER (WHERE outcome = 'info') AS info_n
                      FROM checkout_operations GROUP BY entity)
        SELECT order_id, o.user_id, o.paid, o.status, o.items, o.amount, o.tr, i.user_id AS initial_user_id,
               i.items AS initial_items, i.amount AS initial_amount, i.tr AS initial_tr,
               i.status AS initial_status,
               i.paid AS initial_paid,
               o.order_id IS NOT NULL AS is_final, i.order_id IS NOT NULL AS is_initial,
               last.* EXCLUDE (order_id), coalesce(asked_n, 0) AS asked_n, coalesce(info_n, 0) AS info_n
        FROM "tables/order.orders" o FULL JOIN "initial/order.orders" i USING (order_id)
        FULL JOIN last USING (order_id) FULL JOIN asked USING (order_id)""",
    )


def load_lines(recording: Recording) -> None:
    """Creates `saga_lines(key, item_id, quantity, after)`: a row a line of each request, with the stock after it."""
    load_sagas(recording)
    recording.once(
        "saga_lines",
        f"""SELECT key, sin, sback, unnest({items_of("lines")}) AS item_id,
                   unnest({quantities_of("lines")}) AS quantity,
                   unnest({_balances("sin_after", "lines")}) AS after,
                   unnest({_balances("sback_after", "lines")}) AS back_after
            FROM (SELECT key, lines, sin, sback, sin_after, sback_after FROM sagas
                  WHERE lines IS NOT NULL AND lines <> '[]')""",
    )


def _balances(after: str, lines: str) -> str:
    """The stocks after a row as a list; as many nulls as there are lines where the row is missing."""
    texts = f"string_split(replace({after}[2:-2], ' ', ''), ',')"
    nulls = f"[NULL::BIGINT FOR line IN string_split({lines}[4:-3], '],[\"')]"
    return f"CASE WHEN {after} IS NULL THEN {nulls} ELSE [try_cast(n AS BIGINT) FOR n IN {texts}] END"


def load_watermarks(recording: Recording) -> None:
    """Creates `watermarks`: each published L, the partition that its key names, and its `pos` header."""
    recording.need(f"topics/{OUTC_OFFS}")
    recording.once(
        "watermarks",
        f"""SELECT partition, {_OFFSET}, timestamp_ms AS ts, try_cast(try(decode(key)) AS BIGINT) AS described,
                   try_cast(try(decode(value)) AS BIGINT) AS low,
                   try_cast(try(decode(list_filter(
                       headers, lambda h: h.key = '{POS_HEADER}')[1].value)) AS BIGINT) AS pos
            FROM "topics/{OUTC_OFFS}" """,
    )
