"""What is acknowledged while most of the brokers are gone is a promise that nobody can keep."""

from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from bench.check import examine
from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import add_event, change, write
from verifiers.checker import Verdict
from verifiers.quorum import Window, nothing_is_acknowledged_without_a_quorum, without_a_quorum
from verifiers.recording import Recording, open_recording

NAME = "nothing_is_acknowledged_without_a_quorum"
SECOND = 10**9
LATE = 4 * SECOND
"""When the last operation of these histories is answered: the brokers are gone for a while before it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A legal history on three brokers, whose last answer comes late."""
    folder = write(legal_history(60, seed=4), tmp_path / "run")
    run = orjson.loads((folder / "run.json").read_bytes())
    run["knobs"]["brokers"] = {"value": 3, "unit": "brokers"}
    (folder / "run.json").write_bytes(orjson.dumps(run))
    answers = pq.read_table(folder / "operations.parquet")["completed_ns"].to_pylist()
    assert max(answers) < LATE - 2 * SECOND
    change(
        folder / "operations.parquet", lambda row: row["completed_ns"] == max(answers), completed_ns=LATE, outcome="ok"
    )
    return folder


def brokers(folder: Path, *moves: tuple[str, int, int]) -> None:
    for event, number, at_ns in moves:
        add_event(folder, event=f"server-{event}", server=f"broker-{number}", monotonic_ns=at_ns)


def begun(folder: Path) -> int:
    """The grace ends here: everything but the last answer is older."""
    return int(sorted(pq.read_table(folder / "operations.parquet")["completed_ns"].to_pylist())[-2])


def recorded(folder: Path) -> Recording:
    return open_recording(folder)


def test_without_an_outage_the_checker_does_not_apply(folder: Path) -> None:
    brokers(folder, ("down", 1, SECOND), ("up", 1, 2 * SECOND), ("down", 2, 3 * SECOND))
    assert nothing_is_acknowledged_without_a_quorum(recorded(folder)).not_applicable is not None


def test_silence_while_most_are_gone_and_an_answer_after_it_is_legal(folder: Path) -> None:
    down = begun(folder)
    brokers(folder, ("down", 1, down), ("down", 2, down), ("up", 1, LATE - 1), ("up", 2, LATE))
    finding = nothing_is_acknowledged_without_a_quorum(recorded(folder))
    assert (finding.examined, finding.counts, finding.unknown) == ({"windows": 1, "answered after": 1}, {}, None)


def test_an_answer_while_most_are_gone_is_an_anomaly(folder: Path) -> None:
    down = begun(folder)
    brokers(folder, ("down", 1, down), ("down", 3, down), ("up", 1, LATE + SECOND))
    finding = nothing_is_acknowledged_without_a_quorum(recorded(folder))
    assert finding.counts == {"acknowledged-without-quorum": 1}
    (judged,) = [one for one in examine(folder).judgements if one.checker.name == NAME]
    assert judged.verdict is Verdict.INVALID


def test_what_the_database_alone_answers_is_legal(folder: Path) -> None:
    """A direct change; and a paid order that is checked out again."""
    path = folder / "operations.parquet"
    brokers(folder, ("down", 1, begun(folder)), ("down", 3, begun(folder)), ("up", 1, LATE + SECOND))
    answered = change(path, lambda row: row["completed_ns"] == LATE)
    change(path, lambda row: row == answered, kind="stock")
    assert nothing_is_acknowledged_without_a_quorum(recorded(folder)).counts == {}
    paid = change(path, lambda row: row["kind"] == "checkout" and row["outcome"] == "ok")
    change(path, lambda row: row["completed_ns"] == LATE, kind="checkout", entity=paid["entity"])
    assert nothing_is_acknowledged_without_a_quorum(recorded(folder)).counts == {}


def test_a_commit_while_most_are_gone_is_an_anomaly(folder: Path) -> None:
    down = begun(folder)
    change(folder / "journal" / "pay-0.parquet", lambda _row: True, committed_ns=down + SECOND + 5)
    brokers(folder, ("down", 1, down), ("down", 2, down), ("up", 1, LATE - 1))
    finding = nothing_is_acknowledged_without_a_quorum(recorded(folder))
    assert finding.counts == {"acknowledged-without-quorum": 1}
    assert "most brokers were gone" in finding.anomalies[0].explanation


def test_a_run_that_never_went_on_proves_nothing(folder: Path) -> None:
    brokers(folder, ("down", 1, LATE), ("down", 2, LATE))
    assert "nothing was answered after" in (nothing_is_acknowledged_without_a_quorum(recorded(folder)).unknown or "")


def test_an_outage_shorter_than_the_grace_is_none_and_two_are_two(folder: Path) -> None:
    brokers(folder, ("down", 1, 0), ("down", 2, 1), ("up", 2, SECOND), ("down", 3, 2 * SECOND), ("up", 1, 4 * SECOND))
    brokers(folder, ("down", 2, 5 * SECOND))
    assert without_a_quorum(recorded(folder)) == [Window(3 * SECOND, 4 * SECOND), Window(6 * SECOND, 0)]
