"""C3, C4, C5, C7: what the messages and the orders of a saga must say together. A row a saga or an order, no order of time."""

from typing import Final

from bench.scenarios.checkout.invariants.facts import load_lines, load_orders, load_sagas
from verifiers.checker import Finding, merged
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

SAGA: Final = Subject("sagas", "key", "saga")
ORDER: Final = Subject("order_rows", "order_id", "order")
_STEPS: Final = ("pay", "can", "dec", "inc", "ps", "pf", "co", "ss", "sf", "io", "success", "fail")
_NAMES: Final = ("pay", "can", "decrement", "increment", "psuccess", "pfail", "canok", "ssuccess", "sfail", "incok") + (
    "success",
    "fail",
)
_REPEATED: Final = " || ".join(
    f"CASE WHEN {step}_n > 1 THEN ' {name} ' || {step}_n || ' times' ELSE '' END"
    for step, name in zip(_STEPS, _NAMES, strict=True)
)
_BOTH: Final = "(ps_n > 0 AND ss_n > 0)"
_BEGUN: Final = "(pay_n > 0 OR dec_n > 0)"


def _incomplete(where: str, sentence: str) -> Rule:
    return Rule("incomplete-saga", where, f"'{sentence}'")


_ONCE: Final = (
    Rule(
        "duplicate",
        f"greatest({', '.join(f'{step}_n' for step in _STEPS)}) > 1",
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
    return breaches(recording, SAGA, _ONCE)


_COMPENSATION: Final = (
    Rule("missing-compensation", "ps_n > 0 AND sf_n > 0 AND can_n = 0", "'psuccess and sfail, but no can'"),
    Rule("missing-compensation", "ss_n > 0 AND pf_n > 0 AND inc_n = 0", "'ssuccess and pfail, but no increment'"),
    Rule("orphan-compensation", "can_n > 0 AND NOT (ps_n > 0 AND sf_n > 0)", "'can without psuccess and sfail'"),
    Rule("orphan-compensation", "inc_n > 0 AND NOT (ss_n > 0 AND pf_n > 0)", "'increment without ssuccess and pfail'"),
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
    WHEN ps_n > 0 THEN {_CAN} WHEN ss_n > 0 THEN {_INCREMENT} ELSE '[["Outcome-checkout-topic","fail"]]' END"""
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
                 FROM saga_lines LEFT JOIN "initial/stock.items" USING (item_id) WHERE quantity IS NOT NULL GROUP BY key)
        SELECT key, s.amount, s.user_id AS payer, o.user_id, coalesce(priced, CASE WHEN lines = '[]' THEN 0 END) AS priced
        FROM sagas s LEFT JOIN priced USING (key) LEFT JOIN "tables/order.orders" o USING (order_id) WHERE pay_n > 0""",
    )
    return merged(
        (
            breaches(recording, SAGA, _AMOUNTS),
            breaches(recording, Subject("priced_sagas", "key", "saga"), _PRICES, examined={}),
        )
    )


_PAID: Final = (
    Rule(
        "conflicting-terminal",
        "paid <> coalesce(last_both, false)",
        "concat('paid is ', paid, ' against the outcomes of tr# ', tr)",
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
    """C3: paid exactly if the last tr# has psuccess and ssuccess; at most one tr# succeeds, the last; tr#s are 1..tr#."""
    load_orders(recording)
    return breaches(recording, ORDER, _PAID)


def no_order_is_pending(recording: Recording) -> Finding:
    """C7: at quiescence no order is pending."""
    load_orders(recording)
    rule = Rule("incomplete-saga", "status = 'pending'", "concat('still pending in tr# ', tr)")
    return breaches(recording, ORDER, (rule,))
