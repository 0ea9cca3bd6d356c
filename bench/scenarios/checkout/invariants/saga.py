"""C3, C4, C5, C7: what the messages and the orders of a saga must say together. A row a saga or an order, no order of
time."""

from typing import Final

from bench.scenarios.checkout.invariants.facts import STEPS, load_lines, load_sagas
from verifiers.checker import Finding, merged
from verifiers.disturbance import disturbances
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

SAGA: Final = Subject("sagas", "key", "saga")
DOUBLINGS_MAX: Final = 15
_NAMES: Final = (
    "pay",
    "can",
    "decrement",
    "increment",
    "psuccess",
    "pfail",
    "canok",
    "ssuccess",
    "sfail",
    "incok",
    "success",
    "fail",
)
_REPEATED: Final = " || ".join(
    f"CASE WHEN {step}_n > 1 THEN ' {name} ' || {step}_n || ' times' ELSE '' END"
    for step, name in zip(STEPS, _NAMES, strict=True)
)
_BOTH: Final = "(p_ok AND s_ok)"
_BEGUN: Final = "(pay_n > 0 OR dec_n > 0)"


def _incomplete(where: str, sentence: str) -> Rule:
    return Rule("incomplete-saga", where, f"'{sentence}'")


_ONCE: Final = (
    Rule(
        "duplicate",
        f"greatest({', '.join(f'{step}_n' for step in STEPS)}) > 1",
        f"'stands more than once:' || {_REPEATED}",
    ),
    Rule("conflicting-outcome", "ps_n > 0 AND pf_n > 0", "'both psuccess and pfail'"),
    Rule("conflicting-outcome", "ss_n > 0 AND sf_n > 0", "'both ssuccess and sfail'"),
    Rule("conflicting-terminal", "success_n > 0 AND fail_n > 0", "'both success and fail'"),
    Rule("phantom-effect", "ps_n + pf_n > 0 AND pay_n = 0", "'an outcome of a payment that nobody asked for'"),
    Rule("phantom-effect", "ss_n + sf_n > 0 AND dec_n = 0", "'an outcome of a decrement that nobody asked for'"),
    Rule("phantom-effect", "co_n > 0 AND can_n = 0", "'canok without can'"),
    Rule("phantom-effect", "io_n > 0 AND inc_n = 0", "'incok without increment'"),
    Rule("phantom-effect", f"success_n + fail_n > 0 AND NOT {_BEGUN}", "'a terminal outcome without a request'"),
    _incomplete("pay_n = 0 AND dec_n > 0", "a decrement without its pay"),
    _incomplete("dec_n = 0 AND pay_n > 0", "a pay without its decrement"),
    _incomplete("pay_n > 0 AND ps_n + pf_n = 0", "pay has no outcome"),
    _incomplete("dec_n > 0 AND ss_n + sf_n = 0", "decrement has no outcome"),
    _incomplete("can_n > 0 AND co_n = 0", "can was never acknowledged"),
    _incomplete("inc_n > 0 AND io_n = 0", "increment was never acknowledged"),
    _incomplete(f"{_BEGUN} AND success_n + fail_n = 0", "no terminal outcome"),
)


def each_step_happens_once(recording: Recording) -> Finding:
    """C4: a key has exactly one pay, decrement, outcome of each and terminal, and nothing without its cause."""
    load_sagas(recording)
    # A process that comes back may send again what it reads again, and each copy may be answered: twice two.
    copies = 4 ** min(max(len(disturbances(recording)), 1), DOUBLINGS_MAX)
    often = f"greatest({', '.join(f'{step}_n' for step in STEPS)}) > {copies}"
    amplified = Rule("retry-amplification", often, f"'repeated beyond what the run explains:' || {_REPEATED}")
    return breaches(recording, SAGA, (*_ONCE, amplified))


_COMPENSATION: Final = (
    Rule(
        "compensation-race",
        "outcome_parts = 1 AND co_offset < ps_offset",
        "concat('the payment took effect at ', ps_offset, ', behind its undoing at ', co_offset, ', and sticks')",
    ),
    Rule(
        "compensation-race",
        "outcome_parts = 1 AND io_offset < ss_offset",
        "concat('the decrement took effect at ', ss_offset, ', behind its undoing at ', io_offset, ', and sticks')",
    ),
    Rule("missing-compensation", "p_ok AND sf_n > 0 AND NOT s_ok AND can_n = 0", "'psuccess and sfail, but no can'"),
    Rule(
        "missing-compensation", "s_ok AND pf_n > 0 AND NOT p_ok AND inc_n = 0", "'ssuccess and pfail, but no increment'"
    ),
    Rule(
        "orphan-compensation", "can_n > 0 AND NOT (p_ok AND sf_n > 0 AND NOT s_ok)", "'can without psuccess and sfail'"
    ),
    Rule(
        "orphan-compensation",
        "inc_n > 0 AND NOT (s_ok AND pf_n > 0 AND NOT p_ok)",
        "'increment without ssuccess and pfail'",
    ),
    Rule(
        "double-compensation",
        """length(replies) - length(replace(replies, '["can"', '')) > 6
           OR length(replies) - length(replace(replies, '["increment"', '')) > 12""",
        "concat('the decision compensates twice: ', replies)",
    ),
)


def compensation_undoes_what_succeeded(recording: Recording) -> Finding:
    """C4: `can` exactly after {psuccess, sfail}, `increment` exactly after {ssuccess, pfail}, none otherwise."""
    load_sagas(recording)
    examined = {"compensations": recording.number("SELECT sum(can_n + inc_n) FROM sagas")}
    examined["sagas"] = recording.number("SELECT count(*) FROM sagas")
    return breaches(recording, SAGA, _COMPENSATION, examined=examined)


_CAN: Final = """concat('[["Pay-topic",["can",', amount_text, ',"', user_id, '"]]]')"""
_INCREMENT: Final = """concat('[["Stock-topic",["increment",', lines, ']]]')"""
_REPLIES: Final = f"""CASE WHEN {_BOTH} THEN '[["Outcome-checkout-topic","success"]]'
    WHEN p_ok THEN {_CAN} WHEN s_ok THEN {_INCREMENT} ELSE '[["Outcome-checkout-topic","fail"]]' END"""
_DECISION: Final = (
    Rule("conflicting-terminal", "decision NOT IN ('success', 'fail')", "concat('decided ', decision)"),
    _incomplete(f"{_BEGUN} AND decision IS NULL", "no decision row"),
    Rule(
        "phantom-effect",
        "decision IS NOT NULL AND (ps_n + pf_n = 0 OR ss_n + sf_n = 0)",
        "'decided without both outcomes'",
    ),
    Rule(
        "conflicting-terminal",
        f"decision IS NOT NULL AND (decision = 'success') <> {_BOTH}",
        "concat('decided ', decision, ' against the outcomes')",
    ),
    Rule("conflicting-terminal", f"success_n > 0 AND NOT {_BOTH}", "'success although one of the outcomes failed'"),
    Rule("conflicting-terminal", f"fail_n > 0 AND {_BOTH}", "'fail although both outcomes succeeded'"),
    Rule(
        "response-state-mismatch",
        f"""decision IS NOT NULL AND pay_n > 0 AND dec_n > 0 AND replace(replies, ' ', '') <> {_REPLIES}""",
        f"concat('replies are ', replies, ' but should be ', {_REPLIES})",
    ),
)


def decisions_follow_the_outcomes(recording: Recording) -> Finding:
    """C7: one decision a key, as its outcomes demand, with the replies that were due, equal to the terminal outcome."""
    load_sagas(recording)
    examined = {"decisions": recording.number("SELECT count(decision) FROM sagas")}
    repeated = (
        """SELECT order_id || '_' || tr AS key, count(*) AS n FROM "tables/order.decisions" GROUP BY ALL HAVING n > 1"""
    )
    recording.once("repeated_decisions", repeated)
    twice = Rule("double-terminal", "true", "concat('decided ', n, ' times')")
    return merged(
        (
            breaches(recording, SAGA, _DECISION, examined=examined),
            breaches(recording, Subject("repeated_decisions", "key", "saga"), (twice,), examined={}),
        )
    )


_AMOUNTS: Final = (
    Rule(
        "amount-mismatch",
        "amount_text <> amount_text_max",
        "concat('can and pay differ: ', amount_text, ', ', amount_text_max)",
    ),
    Rule(
        "amount-mismatch",
        "user_id <> user_id_max",
        "concat('can and pay name two payers: ', user_id, ', ', user_id_max)",
    ),
    Rule("amount-mismatch", "lines <> lines_max", "concat('increment and decrement differ: ', lines, ', ', lines_max)"),
    Rule(
        "response-state-mismatch",
        "p_what <> p_what_max OR p_what <> amount_text",
        "concat('an outcome says ', p_what, ', ', p_what_max, ' but the request ', amount_text)",
    ),
    Rule(
        "response-state-mismatch",
        "s_what <> s_what_max OR s_what <> lines",
        "concat('an outcome says ', s_what, ', ', s_what_max, ' but the request ', lines)",
    ),
)
_PRICES: Final = (
    Rule("amount-mismatch", "amount <> priced", "concat('asked for ', amount, ' but the items cost ', priced)"),
    Rule(
        "amount-mismatch", "payer <> user_id", "concat('charges user ', payer, ' but the order is of user ', user_id)"
    ),
)


def amounts_agree(recording: Recording) -> Finding:
    """C5: outcomes and compensations repeat the request; it charges the order's own user what its items cost."""
    load_lines(recording)
    recording.need("tables/order.orders", "initial/stock.items")
    recording.once(
        "priced_sagas",
        """WITH priced AS (SELECT key, sum(quantity * price) AS priced
                 FROM saga_lines LEFT JOIN "initial/stock.items" USING (item_id)
                 WHERE quantity IS NOT NULL GROUP BY key)
        SELECT key, s.amount, s.user_id AS payer, o.user_id,
               coalesce(priced, CASE WHEN lines = '[]' THEN 0 END) AS priced
        FROM sagas s LEFT JOIN priced USING (key) LEFT JOIN "tables/order.orders" o USING (order_id) WHERE pay_n > 0""",
    )
    return merged(
        (
            breaches(recording, SAGA, _AMOUNTS),
            breaches(recording, Subject("priced_sagas", "key", "saga"), _PRICES, examined={}),
        )
    )
