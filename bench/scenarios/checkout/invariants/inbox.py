"""C6 and L9: the inboxes say what the messages say, so each accepted request took effect in its service, once."""

from typing import Final

from bench.scenarios.checkout.invariants.facts import keeps_inbox, load_sagas
from verifiers.checker import Finding, merged, not_applicable
from verifiers.recording import Recording
from verifiers.rules import Rule, Subject, breaches

_SAGA: Final = Subject("sagas", "key", "saga")


def _both_ways(row: str, requests: str, outcome: str, step: str) -> tuple[Rule, Rule, Rule]:
    """A request has its row, a row has its request, and the row says what the outcome on the topic says."""
    return (
        Rule("missing-effect", f"{requests} > 0 AND {row} IS NULL", f"'{step} has no row in the inbox'"),
        Rule(
            "phantom-effect", f"{requests} = 0 AND {row} IS NOT NULL", f"'the inbox has a {step} that nobody asked for'"
        ),
        Rule(
            "inbox-mismatch",
            f"{row} IS NOT NULL AND {outcome}",
            f"concat('the inbox says ', {row}, ', the topic another')",
        ),
    )


_RULES: Final = (
    *_both_ways(
        "pin", "pay_n", "CASE pin WHEN 'psuccess' THEN ps_n = 0 WHEN 'pfail' THEN pf_n = 0 ELSE true END", "pay"
    ),
    *_both_ways("pback", "can_n", "(pback <> 'canok' OR co_n = 0)", "can"),
    *_both_ways(
        "sin", "dec_n", "CASE sin WHEN 'ssuccess' THEN ss_n = 0 WHEN 'sfail' THEN sf_n = 0 ELSE true END", "decrement"
    ),
    *_both_ways("sback", "inc_n", "(sback <> 'incok' OR io_n = 0)", "increment"),
)


def inbox_matches_messages(recording: Recording) -> Finding:
    """C6, L9: a row a request in the inbox of its service, once, with the outcome that stands on the topic."""
    if not keeps_inbox(recording):
        return not_applicable("this guarantee keeps no inbox")
    load_sagas(recording)
    examined = {
        "inbox rows": recording.number("SELECT count(pin) + count(pback) + count(sin) + count(sback) FROM sagas")
    }
    recording.once(
        "repeated_inbox",
        " UNION ALL ".join(
            f"""SELECT order_id || '_' || tr AS key, '{service}' AS service, count(*) AS n FROM "tables/{service}.inbox"
                GROUP BY order_id, tr, was_rollback HAVING n > 1"""
            for service in ("pay", "stock")
        ),
    )
    twice = Rule("double-effect", "true", "concat(n, ' rows in the inbox of ', service)")
    repeated = Subject("repeated_inbox", "key", "saga")
    rows = breaches(recording, _SAGA, _RULES, examined=examined)
    return merged((rows, breaches(recording, repeated, (twice,), examined={}), _earlier_rows_stand(recording)))


def _earlier_rows_stand(recording: Recording) -> Finding:
    """What stood in the inboxes before the first saga, which has tr# 1, stands there at the end, and nothing else."""
    kept = [name for name in ("pay", "stock") if recording.has(f"initial/{name}.inbox")]
    if not kept:
        return Finding({})
    recording.once(
        "earlier_rows",
        " UNION ALL ".join(
            f"""SELECT order_id || '_' || tr AS key, '{service}' AS service, b.outcome AS before, a.outcome AS after
                FROM (FROM "initial/{service}.inbox" WHERE tr <= 0) b
                FULL JOIN (FROM "tables/{service}.inbox" WHERE tr <= 0) a USING (order_id, tr, was_rollback)
                WHERE b.outcome IS DISTINCT FROM a.outcome OR b.balance_after IS DISTINCT FROM a.balance_after"""
            for service in kept
        ),
    )
    rules = (
        Rule("missing-effect", "after IS NULL", "concat('an earlier row of the inbox of ', service, ' is gone')"),
        Rule("phantom-effect", "before IS NULL", "concat('the inbox of ', service, ' has a row of no saga')"),
        Rule(
            "inbox-mismatch",
            "before IS NOT NULL AND after IS NOT NULL",
            "concat('an earlier row of the inbox of ', service, ' has changed')",
        ),
    )
    return breaches(recording, Subject("earlier_rows", "key", "saga"), rules, examined={})
