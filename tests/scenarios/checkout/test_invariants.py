"""The invariants on legal histories (no false alarm) and on histories with one thing wrong (the right alarm)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.check import Judged, examine
from tests.verifiers.legal_history import Row, legal_history
from tests.verifiers.run_folder import add_event, add_row, change, drop_row, topic_file, write
from verifiers.checker import Verdict

ORDERS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(legal_history(ORDERS, seed=7), tmp_path / "run")


def found(judged: Judged) -> dict[str, set[str]]:
    """Checker → kinds of anomaly."""
    return {j.checker.name: set(j.finding.counts) for j in judged.judgements if j.finding.counts}


def entities(judged: Judged) -> set[str]:
    return {anomaly.entity for j in judged.judgements for anomaly in j.finding.anomalies}


@pytest.mark.parametrize("seed", range(6))
def test_a_legal_history_is_valid(tmp_path: Path, seed: int) -> None:
    judged = examine(write(legal_history(50 + 10 * seed, seed=seed), tmp_path / "run"))
    assert found(judged) == {}
    assert judged.verdict is Verdict.VALID
    assert all(any(j.finding.examined.values()) for j in judged.judgements if not j.finding.not_applicable)


def test_duplicated_messages_are_duplicates_and_nothing_else(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS, seed=2, duplicates=0.2), tmp_path / "run")
    judged = examine(run)
    assert found(judged) == {"each_step_happens_once": {"duplicate"}}
    assert judged.verdict is Verdict.INVALID


@pytest.mark.parametrize(
    "disturbance",
    [
        {"event": "failpoint-reached", "failpoint": "pay@after-produce"},
        {"event": "requests-recovered", "process": "driver", "orders": 3},
        {"event": "produce-failed", "process": "driver", "reason": "_MSG_TIMED_OUT"},
    ],
    ids=lambda row: str(row["event"]),
)
def test_duplicates_are_tolerated_once_something_disturbed_the_run(tmp_path: Path, disturbance: Row) -> None:
    run = write(legal_history(ORDERS, seed=2, duplicates=0.2), tmp_path / "run")
    add_event(run, monotonic_ns=1_000_500_000, **disturbance)
    judged = examine(run)
    assert judged.verdict is Verdict.VALID
    assert found(judged) == {"each_step_happens_once": {"duplicate"}}


def test_an_empty_history_is_unknown(tmp_path: Path) -> None:
    assert examine(write(legal_history(0), tmp_path / "run")).verdict is Verdict.UNKNOWN


DATA = ("Pay-topic", "Stock-topic", "Outcomes-topic", "Outcome-checkout-topic")


@pytest.mark.parametrize("row", [0, 17, -1])
@pytest.mark.parametrize("topic", DATA)
def test_a_record_that_is_dropped_is_named(folder: Path, topic: str, row: int) -> None:
    dropped = drop_row(topic_file(folder, topic), row if row >= 0 else 40)
    judged = examine(folder)
    assert judged.safety is Verdict.INVALID
    assert dropped["key"].decode() in entities(judged)
    assert "lost-write" in found(judged)["acknowledged_records_are_there"]


def test_a_watermark_that_is_dropped_is_named(folder: Path) -> None:
    dropped = drop_row(topic_file(folder, "Outc-offs-topic"), 3)
    assert f"Outc-offs-topic[{dropped['partition']}]@{dropped['offset']}" in entities(examine(folder))


@pytest.mark.parametrize("row", [0, 30])
@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("order.orders", lambda row: row["order_id"]),
        ("order.decisions", lambda row: f"{row['order_id']}_{row['tr']}"),
        ("pay.inbox", lambda row: f"{row['order_id']}_{row['tr']}"),
        ("stock.inbox", lambda row: f"{row['order_id']}_{row['tr']}"),
    ],
)
def test_a_row_that_is_dropped_is_named(folder: Path, table: str, name: Callable[[Row], str], row: int) -> None:
    dropped = drop_row(folder / "tables" / f"{table}.parquet", row)
    judged = examine(folder)
    assert judged.safety is Verdict.INVALID
    assert name(dropped) in entities(judged)


def test_a_second_try_that_nobody_decided_is_incomplete_and_contradicts_nothing(tmp_path: Path) -> None:
    folder = write(legal_history(ORDERS, seed=1), tmp_path / "run")
    path = folder / "tables" / "order.decisions.parquet"
    rows = pq.read_table(path).to_pylist()
    place, again = next((at, row) for at, row in enumerate(rows) if row["tr"] > 1 and row["decision"] == "success")
    drop_row(path, place)
    orders = folder / "tables" / "order.orders.parquet"
    change(orders, lambda row: row["order_id"] == again["order_id"], paid=False, status="pending")
    assert found(examine(folder))["paid_means_both_succeeded"] == {"incomplete-saga"}


@pytest.mark.parametrize("part", ["tables", "initial"])
@pytest.mark.parametrize(("table", "column"), [("pay.users", "user_id"), ("stock.items", "item_id")])
def test_a_user_or_item_that_is_dropped_is_named(folder: Path, part: str, table: str, column: str) -> None:
    dropped = drop_row(folder / part / f"{table}.parquet", 2)
    judged = examine(folder)
    assert judged.safety is Verdict.INVALID
    assert dropped[column] in entities(judged)


EARLIER: Row = {"order_id": "3", "tr": 0, "was_rollback": False, "outcome": "psuccess", "balance_after": 0}


def test_inbox_rows_of_earlier_sagas_may_stand_there(folder: Path) -> None:
    for part in ("initial", "tables"):
        add_row(folder / part / "pay.inbox.parquet", EARLIER)
    judged = examine(folder)
    assert (found(judged), judged.verdict) == ({}, Verdict.VALID)


@pytest.mark.parametrize(
    ("part", "kind"), [("initial", {"missing-effect"}), ("tables", {"phantom-effect"}), ("both", {"inbox-mismatch"})]
)
def test_an_inbox_row_of_an_earlier_saga_that_goes_comes_or_changes_is_named(
    folder: Path, part: str, kind: set[str]
) -> None:
    for one in ("initial", "tables"):
        if part in (one, "both"):
            outcome = {"outcome": "pfail"} if (part, one) == ("both", "tables") else {}
            add_row(folder / one / "pay.inbox.parquet", {**EARLIER, **outcome})
    judged = examine(folder)
    assert found(judged)["inbox_matches_messages"] == kind
    assert "3_0" in entities(judged)


@pytest.mark.parametrize("row", [0, 25])
def test_an_operation_that_is_dropped_is_noticed(folder: Path, row: int) -> None:
    drop_row(folder / "operations.parquet", row)
    assert examine(folder).safety is Verdict.INVALID


def test_a_wrong_user_charged_with_the_sum_preserved_is_caught(folder: Path) -> None:
    path = folder / "tables" / "pay.users.parquet"
    one = change(path, lambda row: row["credit"] > 100, credit=100)
    other = change(path, lambda row: row["credit"] > 100 and row["user_id"] != one["user_id"], credit=0)
    change(path, lambda row: row["user_id"] == other["user_id"], credit=other["credit"] + one["credit"] - 100)
    judged = examine(folder)
    assert "balance-difference" in found(judged)["credit_is_conserved"]
    assert {one["user_id"], other["user_id"]} <= entities(judged)
    assert "total" not in entities(judged)


@pytest.mark.parametrize(
    ("table", "where", "values", "checker"),
    [
        ("order.orders", {"status": "paid"}, {"status": "pending"}, "no_order_is_pending"),
        ("order.orders", {"status": "not_paid"}, {"status": "paid", "paid": True}, "paid_means_both_succeeded"),
        ("order.orders", {"status": "paid"}, {"amount": 1}, "paid_means_both_succeeded"),
        ("order.orders", {"status": "paid"}, {"user_id": "x"}, "paid_means_both_succeeded"),
        ("order.orders", {"status": "paid"}, {"tr": 9}, "paid_means_both_succeeded"),
        ("order.decisions", {"decision": "success"}, {"decision": "fail"}, "decisions_follow_the_outcomes"),
        ("order.decisions", {"decision": "fail"}, {"replies": "[]"}, "decisions_follow_the_outcomes"),
        ("pay.inbox", {"outcome": "psuccess"}, {"outcome": "pfail"}, "inbox_matches_messages"),
        ("pay.inbox", {"outcome": "psuccess"}, {"balance_after": 3}, "credit_changes_form_a_chain"),
        ("pay.inbox", {"outcome": "pfail"}, {"balance_after": 10**9}, "credit_changes_form_a_chain"),
        ("pay.inbox", {"outcome": "psuccess"}, {"balance_after": -1}, "credit_changes_form_a_chain"),
        ("stock.inbox", {"outcome": "ssuccess"}, {"balance_after": "[5]"}, "stock_changes_form_a_chain"),
        ("stock.inbox", {"outcome": "sfail"}, {"balance_after": "[99,99,99]"}, "stock_changes_form_a_chain"),
        ("stock.items", {"item_id": "1"}, {"stock": 4}, "stock_is_conserved"),
        ("stock.items", {"item_id": "1"}, {"price": 4}, "stock_is_conserved"),
    ],
)
def test_a_changed_cell_is_caught_by_its_claim(folder: Path, table: str, where: Row, values: Row, checker: str) -> None:
    change(folder / "tables" / f"{table}.parquet", lambda row: where.items() <= row.items(), **values)
    assert checker in found(examine(folder))


def is_kind(kind: str) -> Callable[[Row], bool]:
    return lambda row: row["value"].startswith(f'["{kind}"'.encode())


@pytest.mark.parametrize(
    ("topic", "kind", "value", "checker", "anomaly"),
    [
        ("Pay-topic", "pay", b'["pay",11,"1"]', "amounts_agree", "amount-mismatch"),
        ("Stock-topic", "decrement", b'["decrement",[["1",99]]]', "amounts_agree", "amount-mismatch"),
        ("Outcomes-topic", "psuccess", b'["psuccess",11]', "amounts_agree", "response-state-mismatch"),
        ("Outcomes-topic", "psuccess", b'["pfail",11]', "decisions_follow_the_outcomes", "response-state-mismatch"),
        ("Outcomes-topic", "ssuccess", b"[1]", "bad_records_have_dead_letters", "poison-loss"),
        ("Pay-topic", "can", b"\xff", "compensation_undoes_what_succeeded", "missing-compensation"),
    ],
)
def test_a_changed_record_is_caught_by_its_claim(
    folder: Path, topic: str, kind: str, value: bytes, checker: str, anomaly: str
) -> None:
    change(topic_file(folder, topic), is_kind(kind), value=value)
    kinds = found(examine(folder))
    assert anomaly in kinds[checker]
    assert "inconsistent-offsets" in kinds["both_readers_saw_the_same"]


def test_fail_before_the_compensation_was_acknowledged_is_a_causal_violation(folder: Path) -> None:
    path = topic_file(folder, "Outcomes-topic")
    acknowledged = change(path, is_kind("canok"), timestamp_ms=2 * 10**12)
    judged = examine(folder)
    assert found(judged) == {"causes_precede_effects": {"causal-violation"}}
    assert acknowledged["key"].decode() in entities(judged)


def test_an_outcome_that_a_redelivery_says_otherwise_is_in_conflict_and_no_effect_came_too_early(folder: Path) -> None:
    outcomes = topic_file(folder, "Outcomes-topic")
    first = next(row for row in pq.read_table(outcomes).to_pylist() if is_kind("canok")(row))
    said = {"value": b'["pfail",10]', "offset": 10**6, "timestamp_ms": 2 * 10**12}
    add_row(outcomes, {**first, **said})
    kinds = found(examine(folder))
    assert "causes_precede_effects" not in kinds
    assert "conflicting-outcome" in set.union(*kinds.values())


def test_a_compensation_before_what_it_undoes_is_a_causal_violation_whatever_was_said_before(folder: Path) -> None:
    outcomes = topic_file(folder, "Outcomes-topic")
    rows = pq.read_table(outcomes).to_pylist()
    undone = {row["key"] for row in rows if is_kind("canok")(row)}
    first = change(outcomes, lambda row: row["key"] in undone and is_kind("psuccess")(row), timestamp_ms=2 * 10**12)
    add_row(outcomes, {**first, "value": b'["pfail",10]', "offset": 10**6, "timestamp_ms": 1})
    judged = examine(folder)
    said = [a.explanation for j in judged.judgements for a in j.finding.anomalies if a.entity == first["key"].decode()]
    assert any("can was sent before both outcomes" in one for one in said), said


@pytest.mark.parametrize(("topic", "effect"), [("Pay-topic", "can"), ("Stock-topic", "increment")])
def test_a_compensation_before_both_outcomes_is_a_causal_violation(folder: Path, topic: str, effect: str) -> None:
    early = change(topic_file(folder, topic), is_kind(effect), timestamp_ms=1)
    judged = examine(folder)
    assert found(judged) == {"causes_precede_effects": {"causal-violation"}}
    assert early["key"].decode() in entities(judged)


@pytest.mark.parametrize("outcome", ["psuccess", "ssuccess"])
@pytest.mark.parametrize("terminal", [b'"success"', b'"fail"'])
def test_a_terminal_before_either_outcome_is_a_causal_violation(folder: Path, outcome: str, terminal: bytes) -> None:
    ended = {
        row["key"]
        for row in pq.read_table(topic_file(folder, "Outcome-checkout-topic")).to_pylist()
        if row["value"] == terminal
    }
    late = change(
        topic_file(folder, "Outcomes-topic"),
        lambda row: row["key"] in ended and is_kind(outcome)(row),
        timestamp_ms=2 * 10**12,
    )
    judged = examine(folder)
    assert "causal-violation" in found(judged)["causes_precede_effects"]
    assert late["key"].decode() in entities(judged)


def test_a_stepped_clock_makes_times_prove_nothing(folder: Path) -> None:
    change(topic_file(folder, "Outcomes-topic"), is_kind("canok"), timestamp_ms=2 * 10**12)
    for number in range(5):
        add_event(folder, event="process-ready", monotonic_ns=10**9 + number, wall_ms=1)
    judged = examine(folder)
    assert found(judged) == {}
    assert judged.verdict is Verdict.UNKNOWN


def test_one_event_whose_writer_was_held_up_between_two_clocks_is_no_step(folder: Path) -> None:
    for number in range(5):
        add_event(folder, event="process-ready", monotonic_ns=10**9 + number)
    add_event(folder, event="process-ready", monotonic_ns=10**9 + 2, wall_ms=1)
    assert examine(folder).verdict is Verdict.VALID


def test_a_key_in_another_partition_is_caught(folder: Path) -> None:
    moved = change(topic_file(folder, "Pay-topic"), lambda row: row["partition"] == 1, partition=2, offset=10**6)
    judged = examine(folder)
    assert moved["key"].decode() in entities(judged)
    assert "wrong-partition" in found(judged)["keys_keep_their_partition"]


def test_a_second_decision_of_one_transaction_is_caught(folder: Path) -> None:
    path = folder / "tables" / "order.decisions.parquet"
    row = change(path, lambda row: True)
    add_row(path, row)
    assert "double-terminal" in found(examine(folder))["decisions_follow_the_outcomes"]


def test_a_watermark_that_passes_an_open_transaction_is_caught(folder: Path) -> None:
    published = topic_file(folder, "Outc-offs-topic")
    change(published, lambda row: row["offset"] == 1, value=b"1000", headers=[{"key": "pos", "value": b"1000"}])
    kinds = found(examine(folder))["watermark_is_sound"]
    assert {"watermark-ahead", "watermark-regress"} <= kinds


def test_p1_is_audited_at_the_position_of_the_header(folder: Path) -> None:
    published = topic_file(folder, "Outc-offs-topic")
    row = change(published, lambda row: row["offset"] == 2)
    pos = int(row["headers"][0]["value"])
    change(published, lambda other: other == row, value=str(pos).encode())
    judged = examine(folder)
    kinds = found(judged).get("watermark_is_sound", set())
    assert (int(row["value"]) == pos) or "watermark-ahead" in kinds


def test_a_pinned_watermark_is_caught(folder: Path) -> None:
    path = topic_file(folder, "Outc-offs-topic")
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 2), path)
    assert "pinned-watermark" in found(examine(folder))["watermark_is_not_pinned"]


def test_a_rebuild_that_starts_above_an_open_transaction_is_caught(folder: Path) -> None:
    add_event(folder, event="rebuild-finished", partition=0, to=1, records=0, monotonic_ns=1, **{"from": 1})
    add_event(folder, event="rebuild-finished", partition=1, to=0, records=0, monotonic_ns=1, **{"from": 0})
    assert found(examine(folder)) == {"rebuilds_start_low_enough": {"watermark-ahead"}}


@pytest.mark.parametrize("behind", [0, 1])
def test_a_rebuild_up_to_no_further_than_its_watermark_is_no_anomaly(folder: Path, behind: int) -> None:
    """A life that ends between the publishing of L and the commit of the offsets leaves just that."""
    row = change(topic_file(folder, "Outc-offs-topic"), lambda row: row["offset"] == 1)
    place = {"partition": row["partition"], "from": int(row["value"]), "to": int(row["value"]) - behind}
    add_event(folder, event="rebuild-finished", records=0, monotonic_ns=1, **place)
    assert found(examine(folder)) == {}


def test_a_rebuild_from_a_watermark_that_nobody_published_is_caught(folder: Path) -> None:
    row = change(topic_file(folder, "Outc-offs-topic"), lambda row: row["offset"] == 1)
    place = {"partition": row["partition"], "from": int(row["value"]) + 1, "to": 0}
    add_event(folder, event="rebuild-finished", records=0, monotonic_ns=1, **place)
    assert found(examine(folder)) == {"rebuilds_start_low_enough": {"watermark-ahead"}}


def test_an_answer_that_contradicts_the_state_is_caught(folder: Path) -> None:
    path = folder / "operations.parquet"
    answered = change(path, lambda row: row["kind"] == "checkout" and row["outcome"] == "ok", outcome="fail")
    judged = examine(folder)
    assert "response-state-mismatch" in found(judged)["clients_agree"]
    assert answered["entity"] in entities(judged)


def test_indefinite_operations_widen_what_may_be(folder: Path) -> None:
    change(folder / "operations.parquet", lambda row: row["kind"] == "funds", outcome="info", response=None)
    add_event(folder, event="process-exited", process="driver", exit_code=-9, monotonic_ns=1_000_500_000)
    assert examine(folder).verdict is Verdict.VALID


def test_poison_with_its_dead_letters_is_valid(tmp_path: Path) -> None:
    poison = (("Pay-topic", b"\xff"), ("Stock-topic", b'{"order": 1}'), ("Outcomes-topic", b'["psuccess",true]'))
    judged = examine(write(legal_history(ORDERS), tmp_path / "run", poison=poison))
    assert judged.verdict is Verdict.VALID
    letters = next(j for j in judged.judgements if j.checker.name == "bad_records_have_dead_letters")
    assert letters.finding.examined["bad records"] == letters.finding.examined["dead letters"] == 3


def test_poison_without_its_dead_letter_is_lost(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", poison=(("Pay-topic", b"\xff"),))
    drop_row(topic_file(run, "Pay-topic.dead-letter"), 0)
    assert "poison-loss" in found(examine(run))["bad_records_have_dead_letters"]


def test_a_dead_letter_of_a_sound_record_is_caught(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", poison=(("Pay-topic", b"\xff"),))
    path = topic_file(run, "Pay-topic.dead-letter")
    row = change(path, lambda row: True)
    headers = [head if head["key"] != "source_offset" else {**head, "value": b"0"} for head in row["headers"]]
    change(path, lambda row: True, headers=headers)
    assert "dead-lettered-and-applied" in found(examine(run))["bad_records_have_dead_letters"]


def test_every_example_carries_its_chain_of_events(folder: Path) -> None:
    dropped = drop_row(topic_file(folder, "Outcomes-topic"), 11)
    judged = examine(folder)
    chains = [
        anomaly.evidence
        for j in judged.judgements
        for anomaly in j.finding.anomalies
        if anomaly.entity == dropped["key"].decode()
    ]
    assert chains
    assert all(any("Pay-topic" in line for line in chain) for chain in chains)
    assert all(any("pay.inbox" in line for line in chain) for chain in chains)
    assert all(any("client: checkout" in line for line in chain) for chain in chains)


def test_a_record_in_an_unusual_but_legal_spelling_is_no_false_alarm(folder: Path) -> None:
    path = topic_file(folder, "Outcome-checkout-topic")
    change(path, lambda row: row["value"] == b'"success"', value=b' "success" ')
    kinds = found(examine(folder))
    assert set(kinds) == {"both_readers_saw_the_same"}


def test_a_replay_that_changes_a_table_is_a_double_effect(folder: Path) -> None:
    shutil.copytree(folder / "tables", folder / "tables-replayed")
    assert examine(folder).verdict is Verdict.VALID
    change(folder / "tables-replayed" / "pay.users.parquet", lambda row: row["user_id"] == "1", credit=1)
    assert found(examine(folder)) == {"replay_changes_no_table": {"double-effect"}}
