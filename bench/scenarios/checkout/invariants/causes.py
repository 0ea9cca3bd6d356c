"""L4 and the order of a saga's events: a cause precedes its effect, and tr# + 1 begins after the end of tr#.

Within one partition the offsets decide; between topics the producers' timestamps (CreateTime, ms) of the first copies.
All processes share one wall clock; where the events show that it was stepped, times prove nothing and the claim is not
applicable.
"""

from typing import Final

from bench.scenarios.checkout.invariants.facts import load_sagas
from bench.scenarios.checkout.invariants.relay import replies_follow_requests
from verifiers.checker import Finding, merged, not_applicable
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

CLOCK_STEP_MS: Final = 50
_SAGA: Final = Subject("sagas", "key", "saga")
_FAILED: Final = "greatest(least(ps_ts, pf_ts), least(ss_ts, sf_ts), least(pf_ts, sf_ts))"
"""When both had answered and one of them had failed. What a redelivery says otherwise may come behind it."""


def _after(effect: str, cause: str, sentence: str) -> Rule:
    """The first `effect` bears an earlier time than its first `cause`."""
    return Rule(
        "causal-violation", f"{effect} < {cause}", f"concat('{sentence} ', {cause} - {effect}, ' ms too early')"
    )


_TIMES: Final = (
    _after("least(ps_ts, pf_ts)", "pay_ts", "the outcome stands before pay,"),
    _after("least(ss_ts, sf_ts)", "dec_ts", "the outcome stands before decrement,"),
    _after("can_ts", "greatest(ps_ts, sf_ts)", "can was sent before both outcomes,"),
    _after("inc_ts", "greatest(ss_ts, pf_ts)", "increment was sent before both outcomes,"),
    _after("co_ts", "can_ts", "canok was sent before can,"),
    _after("io_ts", "inc_ts", "incok was sent before increment,"),
    _after("success_ts", "greatest(ps_ts, ss_ts)", "success was sent before both outcomes,"),
    _after("fail_ts", _FAILED, "fail was sent before both outcomes,"),
    _after("fail_ts", "coalesce(co_ts, io_ts)", "fail was sent before the compensation was acknowledged,"),
)


def _behind(effect: str, cause: str, first: str, sentence: str) -> Rule:
    """Within one partition of one topic the effect stands at a lower offset than its cause."""
    return Rule(
        "key-reorder",
        f"{first} AND {effect} < {cause}",
        f"concat('{sentence}: offset ', {effect}, ' before ', {cause})",
    )


_OFFSETS: Final = (
    _behind("can_offset", "pay_offset", "pay_parts = 1", "can stands before its pay"),
    _behind("inc_offset", "dec_offset", "stock_parts = 1", "increment stands before its decrement"),
    _behind("co_offset", "ps_offset", "outcome_parts = 1", "canok stands before psuccess"),
    _behind("co_offset", "sf_offset", "outcome_parts = 1", "canok stands before sfail"),
    _behind("io_offset", "ss_offset", "outcome_parts = 1", "incok stands before ssuccess"),
    _behind("io_offset", "pf_offset", "outcome_parts = 1", "incok stands before pfail"),
)
_NEXT: Final = (
    Rule(
        "causal-violation",
        "begun_ts < ended_ts",
        "concat('began ', ended_ts - begun_ts, ' ms before the transaction before it had ended')",
    ),
)


def causes_precede_effects(recording: Recording) -> Finding:
    """L4: for one key no effect stands before its cause, `fail` goes out after the compensation was acknowledged, and
    an outbox is relayed in order."""
    load_sagas(recording)
    finding = merged((breaches(recording, _SAGA, _OFFSETS), replies_follow_requests(recording)))
    step = clock_step_ms(recording)
    if step > CLOCK_STEP_MS:
        return Finding(
            finding.examined, finding.counts, finding.anomalies, unknown=f"the wall clock was stepped by {step} ms"
        )
    return merged((finding, breaches(recording, _SAGA, _TIMES, examined={})))


def transactions_of_an_order_do_not_overlap(recording: Recording) -> Finding:
    """tr# + 1 of an order asks for nothing before the outcomes, or the compensation, of tr# were there."""
    load_sagas(recording)
    if clock_step_ms(recording) > CLOCK_STEP_MS:
        return not_applicable("the wall clock was stepped while the run went on")
    recording.once(
        "next_sagas",
        """SELECT b.key, least(b.pay_ts, b.dec_ts) AS begun_ts,
                  coalesce(a.co_ts, a.io_ts, greatest(least(a.ps_ts, a.pf_ts), least(a.ss_ts, a.sf_ts))) AS ended_ts
           FROM sagas b JOIN sagas a ON a.order_id = b.order_id AND a.tr = b.tr - 1 WHERE b.tr > 1""",
    )
    pairs = recording.number("SELECT count(*) FROM next_sagas")
    if not pairs:
        return not_applicable("no order was checked out twice")
    return breaches(recording, Subject("next_sagas", "key", "saga"), _NEXT, examined={"repeated transactions": pairs})


def clock_step_ms(recording: Recording) -> int:
    """How far the wall clock moved against CLOCK_MONOTONIC between two events of the run.

    Who notes an event reads both clocks, and may be held up in between: that moves one event, a step all that follow.
    """
    return recording.number(
        """WITH shown AS (SELECT median(wall_ms - monotonic_ns // 1000000) OVER (
                ORDER BY monotonic_ns ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING) AS ahead_ms FROM events)
        SELECT (max(ahead_ms) - min(ahead_ms))::BIGINT FROM shown"""
    )
