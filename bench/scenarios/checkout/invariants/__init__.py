"""What must hold of a `checkout` run: C1 to C10 of the specification and, through the generic verifiers, L1 to L9.

Each claim is a checker of its own; `CHECKERS` lists them in the order in which a reader wants them: state first, then
the saga, then the log. `REQUIRED` are the files that a whole recording of this scenario has.
"""

from typing import Final

from bench.scenarios.checkout.invariants.applications import requests_are_applied_once
from bench.scenarios.checkout.invariants.causes import causes_precede_effects, transactions_of_an_order_do_not_overlap
from bench.scenarios.checkout.invariants.chains import SOURCES
from bench.scenarios.checkout.invariants.clients import clients_agree
from bench.scenarios.checkout.invariants.inbox import inbox_matches_messages
from bench.scenarios.checkout.invariants.log import bad_records_have_dead_letters, keys_keep_their_partition
from bench.scenarios.checkout.invariants.money import credit_changes_form_a_chain, credit_is_conserved
from bench.scenarios.checkout.invariants.occurrences import CONDITIONS
from bench.scenarios.checkout.invariants.orders import no_order_is_pending, paid_means_both_succeeded
from bench.scenarios.checkout.invariants.saga import (
    amounts_agree,
    compensation_undoes_what_succeeded,
    decisions_follow_the_outcomes,
    each_step_happens_once,
)
from bench.scenarios.checkout.invariants.stock import stock_changes_form_a_chain, stock_is_conserved
from bench.scenarios.checkout.invariants.watermark import (
    rebuilds_start_low_enough,
    watermark_is_not_pinned,
    watermark_is_sound,
)
from system.checkout.contract import DATA_TOPICS, OUTC_OFFS
from verifiers.checker import Checker, Gate
from verifiers.delivery import (
    acknowledged_records_are_there,
    acknowledged_records_were_seen,
    both_readers_saw_the_same,
)
from verifiers.offsets import commits_follow_processing
from verifiers.ordering import consumption_follows_the_log, only_owners_consume
from verifiers.progress import every_operation_ended, quiescence_was_reached
from verifiers.quorum import nothing_is_acknowledged_without_a_quorum
from verifiers.replay import replay_changes_no_table
from verifiers.transactions import no_transaction_hangs, transactions_are_whole
from verifiers.zombies import no_zombie_takes_effect

__all__ = ["CHECKERS", "CONDITIONS", "REQUIRED", "SOURCES"]

TABLES: Final = ("order.orders", "order.decisions", "pay.users", "pay.inbox", "stock.items", "stock.inbox")
REQUIRED: Final = (
    *(f"topics/{topic}" for topic in (*DATA_TOPICS, OUTC_OFFS)),
    *(f"tables/{table}" for table in TABLES),
    *(f"initial/{table}" for table in ("order.orders", "pay.users", "stock.items")),
)
"""Views without which a run that claims to be complete is refused."""

_SAFETY: Final[Gate] = "safety"
CHECKERS: Final[tuple[Checker, ...]] = (
    Checker("credit_is_conserved", _SAFETY, credit_is_conserved),
    Checker("stock_is_conserved", _SAFETY, stock_is_conserved),
    Checker("credit_changes_form_a_chain", _SAFETY, credit_changes_form_a_chain),
    Checker("stock_changes_form_a_chain", _SAFETY, stock_changes_form_a_chain),
    Checker("paid_means_both_succeeded", _SAFETY, paid_means_both_succeeded),
    Checker("each_step_happens_once", _SAFETY, each_step_happens_once),
    Checker("compensation_undoes_what_succeeded", _SAFETY, compensation_undoes_what_succeeded),
    Checker("decisions_follow_the_outcomes", _SAFETY, decisions_follow_the_outcomes),
    Checker("amounts_agree", _SAFETY, amounts_agree),
    Checker("inbox_matches_messages", _SAFETY, inbox_matches_messages),
    Checker("requests_are_applied_once", _SAFETY, requests_are_applied_once),
    Checker("no_order_is_pending", _SAFETY, no_order_is_pending),
    Checker("causes_precede_effects", _SAFETY, causes_precede_effects),
    Checker("transactions_of_an_order_do_not_overlap", _SAFETY, transactions_of_an_order_do_not_overlap),
    Checker("watermark_is_sound", _SAFETY, watermark_is_sound, at_quiescence=False),
    Checker("watermark_is_not_pinned", _SAFETY, watermark_is_not_pinned),
    Checker("rebuilds_start_low_enough", _SAFETY, rebuilds_start_low_enough),
    Checker("clients_agree", _SAFETY, clients_agree),
    Checker("acknowledged_records_are_there", _SAFETY, acknowledged_records_are_there),
    Checker(
        "nothing_is_acknowledged_without_a_quorum",
        _SAFETY,
        nothing_is_acknowledged_without_a_quorum,
        at_quiescence=False,
    ),
    Checker("transactions_are_whole", _SAFETY, transactions_are_whole),
    Checker("both_readers_saw_the_same", _SAFETY, both_readers_saw_the_same, at_quiescence=False),
    Checker("keys_keep_their_partition", _SAFETY, keys_keep_their_partition, at_quiescence=False),
    Checker("consumption_follows_the_log", _SAFETY, consumption_follows_the_log, at_quiescence=False),
    Checker("only_owners_consume", _SAFETY, only_owners_consume, at_quiescence=False),
    Checker("no_zombie_takes_effect", _SAFETY, no_zombie_takes_effect, at_quiescence=False),
    Checker("commits_follow_processing", _SAFETY, commits_follow_processing),
    Checker("bad_records_have_dead_letters", _SAFETY, bad_records_have_dead_letters),
    Checker("replay_changes_no_table", _SAFETY, replay_changes_no_table),
    Checker("quiescence_was_reached", "liveness", quiescence_was_reached, at_quiescence=False),
    Checker("every_operation_ended", "liveness", every_operation_ended, at_quiescence=False),
    Checker("acknowledged_records_were_seen", "liveness", acknowledged_records_were_seen),
    Checker("no_transaction_hangs", "liveness", no_transaction_hangs, at_quiescence=False),
)
