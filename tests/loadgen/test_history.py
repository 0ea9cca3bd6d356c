"""The history on disk: what is recorded survives, and every row is decided in the end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadgen.history import (
    NOT_SENT,
    UNFINISHED,
    Progress,
    create_history,
    open_history,
    read_progress,
    settled_outcomes,
)
from loadgen.operations import SCHEMA, Answers, Description, write_parquet
from loadgen.target import FAIL, INFO, OK

DYING = """
import os, signal, sys
from pathlib import Path
from loadgen.history import create_history
history = create_history(Path(sys.argv[1]), operations=3)
history.sent_ns[:2] = 5
history.outcome[0] = 1
history.error[1] = history.error_code("Timeout")
history.progress[0] = 2
os.kill(os.getpid(), signal.SIGKILL)
"""


def described(numbers: np.ndarray, answers: Answers) -> Description:
    text = pa.array([str(number) for number in numbers], pa.string())
    return Description(pa.array(["checkout"] * len(numbers)), text, text, pa.nulls(len(numbers), pa.string()))


def test_what_was_recorded_survives_sigkill(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DYING, str(tmp_path / "h")], check=False, cwd=os.getcwd())
    assert died.returncode == -signal.SIGKILL
    history = open_history(tmp_path / "h")
    assert history.sent_ns.tolist() == [5, 5, 0]
    assert history.first_unsent() == 2
    assert history.error_names == ["Timeout"]
    assert read_progress(history).sent == 2


def test_an_open_row_is_fail_where_it_was_never_sent_and_info_where_it_was(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=4)
    history.sent_ns[:3] = 1
    history.outcome[:2] = OK, FAIL
    history.error[1] = history.error_code("Refused")
    outcome, errors = settled_outcomes(history, slice(0, 4))
    assert outcome.tolist() == [OK, FAIL, INFO, FAIL]
    assert errors == [None, "Refused", UNFINISHED, NOT_SENT]


def test_every_column_has_its_space_on_the_disk_from_the_beginning(tmp_path: Path) -> None:
    """A hole would find out about a full disk when it is touched, which kills."""
    create_history(tmp_path / "h", operations=20_000)
    columns = [path for path in (tmp_path / "h").iterdir() if path.stat().st_size >= 20_000]
    assert columns
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in columns)


def test_first_unsent_is_the_length_when_all_were_sent(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=3)
    assert history.first_unsent() == 0
    history.sent_ns[:] = 1
    assert history.first_unsent() == 3


def test_an_error_keeps_its_code_and_too_many_names_share_one(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=1)
    codes = [history.error_code(f"error {number}") for number in range(400)]
    assert codes[:3] == [1, 2, 3]
    assert history.error_code("error 1") == 2
    assert max(codes) <= 255
    assert open_history(tmp_path / "h").error_names == history.error_names


def test_a_fresh_history_has_no_times_no_trs_and_no_balances(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=2, warm_up=1)
    assert len(history) == 2
    assert history.balance.tolist() == [-1, -1]
    assert history.completed_ns.tolist() == [0, 0]
    assert read_progress(history) == Progress(*[0] * len(Progress._fields))


@pytest.mark.parametrize(("operations", "warm_up"), [(0, 0), (3, 4), (3, -1)])
def test_a_history_without_rows_or_with_too_much_warm_up_is_refused(
    tmp_path: Path, operations: int, warm_up: int
) -> None:
    with pytest.raises(ValueError, match="legal"):
        create_history(tmp_path / "h", operations=operations, warm_up=warm_up)


def test_operations_parquet_has_every_row_in_schedule_order_and_the_contract_types(tmp_path: Path) -> None:
    history = create_history(tmp_path / "h", operations=5, warm_up=2)
    history.intended_ns[:] = range(10, 15)
    history.sent_ns[:4] = 20
    history.outcome[:3] = OK
    history.completed_ns[:3] = 30
    assert write_parquet(history, tmp_path / "operations.parquet", describe=described) == 5
    table = pq.read_table(tmp_path / "operations.parquet")
    assert table.schema.names == SCHEMA.names
    assert table.schema.field("sent_ns").type == pa.int64()
    rows = table.to_pylist()
    assert [row["operation"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["phase"] for row in rows] == ["warm-up", "warm-up", "measure", "measure", "measure"]
    assert [row["outcome"] for row in rows] == ["ok", "ok", "ok", "info", "fail"]
    assert [row["error"] for row in rows] == [None, None, None, UNFINISHED, NOT_SENT]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".partial"] == []
