"""The three consumer groups of `checkout`, each a value: what it reads, how a message is claimed, who decides, what it
answers.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from system.checkout import contract
from system.checkout.order import decided, half, order
from system.checkout.pay import pay
from system.checkout.stock import stock
from system.kafka.batch import Batch, Json, wire
from system.runtime.service import InboxHandler, PendingHandler, Service
from system.store.inbox import Claim

_ROLLBACKS = ("can", "increment")


def claims(batch: Batch) -> list[Claim]:
    """(order, tr#, was rollback): the primary key of the source's inbox table."""
    return [Claim(order_id, tr, value[0] in _ROLLBACKS) for (order_id, tr), value in batch.rows()]


def undone(claims: Sequence[Claim]) -> dict[Claim, Claim]:
    """Compensation → the step that it undoes."""
    return {claim: claim._replace(was_rollback=False) for claim in claims if claim.was_rollback}


def reply(value: Json, outcome: str) -> bytes:
    """`[outcome, amount | lines]` of the request."""
    return wire([outcome, value[1]])


PAY_SERVICE = Service(
    name="pay",
    topics=(contract.PAY,),
    decode_key=contract.split_key,
    check=contract.CHECKS,
    handler=InboxHandler(
        handle=pay,
        claims=claims,
        undone=undone,
        success="psuccess",
        reply=reply,
        reply_topic=contract.OUTCOMES,
        balance_type="bigint",
    ),
)

STOCK_SERVICE = Service(
    name="stock",
    topics=(contract.STOCK,),
    decode_key=contract.split_key,
    check=contract.CHECKS,
    handler=InboxHandler(
        handle=stock,
        claims=claims,
        undone=undone,
        success="ssuccess",
        reply=reply,
        reply_topic=contract.OUTCOMES,
        balance_type="text",
    ),
)

ORDER_SERVICE = Service(
    name="order",
    topics=(contract.OUTCOMES,),
    decode_key=contract.split_key,
    check=contract.CHECKS,
    handler=PendingHandler(handle=order, half=half, decided=decided, low_watermark_topic=contract.OUTC_OFFS),
)

SERVICES: Mapping[str, Service] = MappingProxyType(
    {service.name: service for service in (PAY_SERVICE, STOCK_SERVICE, ORDER_SERVICE)}
)
