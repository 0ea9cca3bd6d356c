"""Blindness: what is changed is told, what is noticed is counted, and the same changes can be made again."""

from pathlib import Path

import orjson
import pytest

from bench.blindness import Judge, blindness, judge_of
from bench.cli import main
from bench.mutations import DROPPED, REPEATED, Mutation, held, mutated, mutations
from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import write
from verifiers.folder import content_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(legal_history(12, seed=3), tmp_path_factory.mktemp("legal") / "run")


def test_every_mutation_changes_exactly_one_file_and_can_be_made_again(folder: Path) -> None:
    content = held(content_of(folder))
    planned = list(mutations(content, each=2, seed=1))
    views = {mutation.view for mutation in planned}
    assert {"topics/Pay-topic", "tables/pay.users", "journal/pay-0", "acks/driver", "events", "run.json"} <= views
    for mutation in planned[:: len(planned) // 60]:
        changed, told = mutated(content, mutation)
        again, same = mutated(content, mutation)
        assert told == same
        assert changed.run == again.run
        assert list(changed.events) == list(again.events)
        different = {view for view, table in content.files.items() if changed.files[view] != table}
        different |= {"events"} if list(changed.events) != list(content.events) else set()
        different |= {"run.json"} if changed.run != content.run else set()
        assert different == {mutation.view} or " → " in told


@pytest.fixture(scope="module")
def judging(folder: Path) -> Judge:
    return judge_of(folder)


@pytest.mark.parametrize(
    ("view", "column", "checker"),
    [
        ("tables/pay.users", "credit", "credit_is_conserved"),
        ("tables/pay.users", REPEATED, "credit_is_conserved"),
        ("tables/order.orders", REPEATED, "paid_means_both_succeeded"),
        ("live/Pay-topic", "hash", "both_readers_saw_the_same"),
        ("journal/pay-0", "topic", "consumption_follows_the_log"),
        ("journal/pay-0", "records", "consumption_follows_the_log"),
        ("ends", DROPPED, "no_transaction_hangs"),
        ("ends", "high", "no_transaction_hangs"),
        ("run.json", "prefix", "consumption_follows_the_log"),
    ],
)
def test_a_change_is_noticed_by_a_checker_that_reads_the_file(
    judging: Judge, view: str, column: str, checker: str
) -> None:
    noticed, told = judging.noticed_by(Mutation(view, column, 0, 5))
    assert noticed is not None
    assert told
    assert view in judging.reads[checker]
    assert judging.noticed_by(Mutation(view, column, 0, 5)) == (noticed, told)


def test_the_command_writes_the_shares_of_every_file_and_says_why_the_rest_is_missed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A few columns alone, as all of them take their time.
    few = {("operations", "outcome"), ("operations", "phase"), ("tables/pay.users", "credit")}
    monkeypatch.setattr(
        "bench.blindness.mutations",
        lambda content, **how: [m for m in mutations(content, **how) if (m.view, m.column) in few],
    )
    assert main(["blindness", str(folder), "--each", "2", "--seed", "3"]) == 0
    written = orjson.loads((folder / "blindness.json").read_bytes())
    columns = written["files"]["operations"]
    assert (written["mutations"], written["noticed"]) == (6, 4)
    assert written["files"]["tables/pay.users"]["credit"]["by"] == {"credit_is_conserved": 2}
    assert columns["outcome"]["share"] == 1.0
    assert (columns["phase"]["noticed"], columns["phase"]["reason"]) == (0, "feeds the measurements")
    assert "operations" in capsys.readouterr().out
    assert blindness(folder, each=2, seed=3, processes=1)["files"] == written["files"]


def test_what_is_no_run_folder_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blindness", str(tmp_path)]) == 64
    assert "this is no run folder" in capsys.readouterr().err
