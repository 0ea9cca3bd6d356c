"""Where the entities of `checkout` occur: the sources of the chains of events that anomalies rest on."""

from typing import Final

from system.checkout.contract import DATA_TOPICS, OUTC_OFFS
from verifiers.dead_letters import SUFFIX
from verifiers.evidence import Source
from verifiers.traces import log_sources

_FIRST: Final = "'-inf'::DOUBLE"
_LAST: Final = "'inf'::DOUBLE"
_KEY: Final = "coalesce(try(decode(key)), '(undecodable)')"
_VALUE: Final = "coalesce(try(decode(value)), '(null or undecodable)')"
_OPERATION: Final = """concat('client: ', kind, ' ', request, ' -> ', outcome, ' ', coalesce(response, ''),
    CASE WHEN error IS NULL THEN '' ELSE ' ' || error END)"""


def _topic(topic: str, subject: str, entity: str) -> Source:
    return Source(
        subject,
        (f"topics/{topic}",),
        f"""SELECT {entity} AS entity, timestamp_ms::DOUBLE, concat('{topic}[', partition, ']@', "offset", ' ',
                   {_KEY}, ' ', {_VALUE}) FROM "topics/{topic}" WHERE list_contains($names, {entity})""",
    )


def _table(table: str, subject: str, entity: str, *columns: str, at: str = _LAST, part: str = "tables") -> Source:
    shown = ", ' ', ".join(f"'{column}=', {column}" for column in columns)
    view = f"{part}/{table}"
    return Source(
        subject,
        (view,),
        f"""SELECT {entity} AS entity, {at}, concat('{view}: ', {shown}) FROM "{view}"
            WHERE list_contains($names, {entity})""",
    )


def _operations(subject: str, kinds: str, entity: str = "entity::VARCHAR") -> Source:
    return Source(
        subject,
        ("operations",),
        f"""SELECT {entity} AS named, wall_ms(sent_ns), {_OPERATION} FROM operations
            WHERE kind IN ({kinds}) AND list_contains($names, {entity})""",
    )


_TR: Final = "order_id || '_' || tr"
_ORDER_OF: Final = "regexp_replace(try(decode(key)), '_[0-9]+$', '')"
_ORDERS: Final = ("user_id", "paid", "status", "items", "amount", "tr")
_SAGA_ORDER: Final = """SELECT n.entity, {at}, concat('{view}: order ', o.order_id, ' user=', user_id, ' paid=', paid,
    ' status=', status, ' items=', items, ' amount=', amount, ' tr=', tr) FROM "{view}" o
    JOIN (SELECT unnest($names::VARCHAR[]) AS entity) n ON o.order_id = regexp_replace(n.entity, '_[0-9]+$', '')"""
_LOGS: Final = (*DATA_TOPICS, OUTC_OFFS, *(topic + SUFFIX for topic in DATA_TOPICS))
SOURCES: Final = (
    *log_sources(_LOGS),
    *(_topic(topic, "saga", "try(decode(key))") for topic in DATA_TOPICS),
    *(_topic(topic, "order", _ORDER_OF) for topic in DATA_TOPICS),
    *(_topic(topic, "record", f"concat('{topic}[', partition, ']@', \"offset\")") for topic in _LOGS),
    _operations("order", "'checkout'"),
    _operations("user", "'funds', 'payment'"),
    _operations("item", "'stock'"),
    _operations("operation", "'checkout', 'funds', 'payment', 'stock', 'poison'", "operation::VARCHAR"),
    _operations("saga", "'checkout'", """entity || '_' || regexp_extract(response, '"tr": ?([0-9]+)', 1)"""),
    _table("order.decisions", "saga", _TR, "decision", "replies"),
    _table("order.decisions", "order", "order_id", "tr", "decision", "replies"),
    _table("pay.inbox", "saga", _TR, "was_rollback", "outcome", "balance_after"),
    _table("stock.inbox", "saga", _TR, "was_rollback", "outcome", "balance_after"),
    _table("order.orders", "order", "order_id", *_ORDERS),
    _table("order.orders", "order", "order_id", *_ORDERS, at=_FIRST, part="initial"),
    Source("saga", ("tables/order.orders",), _SAGA_ORDER.format(at=_LAST, view="tables/order.orders")),
    Source("saga", ("initial/order.orders",), _SAGA_ORDER.format(at=_FIRST, view="initial/order.orders")),
    _table("pay.users", "user", "user_id", "credit"),
    _table("pay.users", "user", "user_id", "credit", at=_FIRST, part="initial"),
    _table("stock.items", "item", "item_id", "stock", "price"),
    _table("stock.items", "item", "item_id", "stock", "price", at=_FIRST, part="initial"),
    Source(
        "user",
        ("topics/Pay-topic", "tables/pay.inbox"),
        f"""SELECT user_id, ts::DOUBLE, concat('Pay-topic[', partition, ']@', "offset", ' ',
                p.key, ' ', kind, ' ', what,
                ', inbox: ', coalesce(outcome, '-'), ', credit after: ', balance_after) FROM pay_records p
            LEFT JOIN (SELECT {_TR} AS key, was_rollback, outcome, balance_after FROM "tables/pay.inbox") i
                ON i.key = p.key AND i.was_rollback = (p.kind = 'can') WHERE list_contains($names, user_id)""",
    ),
    Source(
        "item",
        ("topics/Stock-topic", "tables/stock.inbox"),
        """SELECT item_id, coalesce(dec_ts, 0)::DOUBLE, concat('Stock-topic ', key, ' decrement ', quantity, ': ',
                l.sin, ', stock after: ', after, coalesce(' ' || l.sback || ', stock after: ' || back_after, ''))
           FROM saga_lines l JOIN sagas USING (key)
           WHERE list_contains($names, item_id)""",
    ),
)
