"""How often the conditions occurred in which a wrong `checkout` is wrong: shortage, compensation, a rebuild with open
halves, or with finished ones."""

from typing import Final

from bench.conditions import Conditions
from bench.scenarios.checkout.invariants.watermark import finished_at_rebuilds, half_finished_at_rebuilds
from verifiers.recording import Recording


def contended(recording: Recording) -> int:
    """Refusals: credit or stock was short when a request came."""
    return recording.number(
        """SELECT (SELECT count(*) FROM "tables/pay.inbox" WHERE outcome = 'pfail')
                + (SELECT count(*) FROM "tables/stock.inbox" WHERE outcome = 'sfail')"""
        if recording.has("tables/pay.inbox") and recording.has("tables/stock.inbox")
        else "SELECT 0"
    )


def compensated(recording: Recording) -> int:
    """Decisions of which one half had succeeded: a compensation was due."""
    return recording.number(
        """SELECT count(*) FROM "tables/order.decisions" WHERE decision = 'fail' AND order_id || '_' || tr IN (
               SELECT try(decode(key)) FROM "topics/Outcomes-topic"
               WHERE try(decode(value)) LIKE '["psuccess"%' OR try(decode(value)) LIKE '["ssuccess"%')"""
        if recording.has("tables/order.decisions") and recording.has("topics/Outcomes-topic")
        else "SELECT 0"
    )


CONDITIONS: Final[Conditions] = {
    "contention": contended,
    "compensation": compensated,
    "rebuild": half_finished_at_rebuilds,
    "rebuild-of-finished": finished_at_rebuilds,
}
"""Condition → how often it occurred; run.json names the one that a wrong system needs."""
