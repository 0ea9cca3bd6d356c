"""A run of the real system, from the command to the page: valid, complete, repeatable from its files, and undisturbed
by crashes.
"""

import shutil
from pathlib import Path

import orjson
import psycopg
import pyarrow.parquet as pq
import pytest

from bench.cli import main
from bench.cluster.endpoints import Endpoints
from bench.recording.positions import admin_client
from tests.bench.running import Ran, run


@pytest.fixture(scope="module")
def clean(cluster: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    out = tmp_path_factory.mktemp("runs")
    return run(cluster, out, "--operations", "6000", "--rate", "1500", "--warmup-s", "1", "--seed", "5", "--replay")


@pytest.fixture
def copied(clean: Ran, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean.folder, tmp_path / clean.folder.name))


def test_a_clean_run_is_valid_and_tolerates_nothing(clean: Ran) -> None:
    assert clean.verdicts["safety"] == "VALID", clean.kinds()
    assert clean.verdicts["liveness"] == "VALID"
    assert not clean.kinds(tolerated=True)


def test_every_file_of_the_contract_is_there(clean: Ran) -> None:
    files = ["run.json", "operations.parquet", "offsets.parquet", "samples.parquet", "events.jsonl", "verdicts.json"]
    files += ["measurements.json", "report.html"]
    assert not [name for name in files if not (clean.folder / name).is_file()]
    folders = ["topics", "topics-live", "journal", "acks", "tables", "initial", "logs"]
    assert not [name for name in folders if not any((clean.folder / name).iterdir())]


def test_every_operation_of_the_command_is_in_the_history(clean: Ran) -> None:
    rows = pq.read_table(clean.folder / "operations.parquet", columns=["operation", "outcome"])
    assert rows.num_rows == 6000
    assert set(rows["outcome"].to_pylist()) == {"ok", "fail"}


def test_poison_is_dead_lettered_and_what_stands_behind_it_is_processed(clean: Ran) -> None:
    letters = [pq.read_metadata(path).num_rows for path in (clean.folder / "topics").glob("*.dead-letter.parquet")]
    assert sum(letters) == 12


def test_nothing_stays_on_servers_that_the_run_did_not_start(clean: Ran, cluster: Endpoints) -> None:
    prefix = orjson.loads((clean.folder / "run.json").read_bytes())["prefix"]
    topics = admin_client({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=10).topics
    assert not [topic for topic in topics if topic.startswith(prefix)]
    with psycopg.connect(cluster.dsn) as db:
        assert not db.execute("SELECT 1 FROM pg_namespace WHERE starts_with(nspname, %s)", (prefix,)).fetchall()


def test_check_and_report_give_the_same_from_the_files_alone(copied: Path) -> None:
    before = orjson.loads((copied / "verdicts.json").read_bytes())
    (copied / "verdicts.json").unlink()
    (copied / "report.html").unlink()
    assert main(["check", str(copied)]) in (0, 4)
    assert orjson.loads((copied / "verdicts.json").read_bytes()) == before
    assert main(["report", str(copied)]) == 0
    assert (copied / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    "name",
    [
        *("topics/*Pay-topic", "topics/*Stock-topic", "topics/*Outcomes-topic", "topics/*Outcome-checkout-topic"),
        *("tables/order.orders", "tables/order.decisions", "tables/pay.users", "tables/pay.inbox"),
        *("tables/stock.items", "tables/stock.inbox"),
    ],
)
def test_a_missing_row_is_noticed_and_its_entity_named(
    copied: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(copied.glob(f"{name}.parquet"))
    table = pq.read_table(path)
    row = table.num_rows // 2
    gone = table.slice(row, 1).to_pylist()[0]
    pq.write_table(pq.ParquetFile(path).read().take([n for n in range(table.num_rows) if n != row]), path)
    assert main(["check", str(copied)]) == 1
    key = gone.get("key") or gone.get("order_id") or gone.get("user_id") or gone.get("item_id")
    entity = (key.decode() if isinstance(key, bytes) else str(key)).rpartition("_")[0] or str(key)
    found = [
        anomaly["entity"]
        for checker in orjson.loads((copied / "verdicts.json").read_bytes())["checkers"]
        for anomaly in checker["anomalies"]
    ]
    assert any(entity in words for words in found), (entity, found)
    capsys.readouterr()


def test_crashes_repeat_messages_and_never_effects(cluster: Endpoints, tmp_path: Path) -> None:
    plan = (
        "crash:pay@after-state#3+crash:stock@after-produce#3+crash:order@before-commit#3+crash:checkout@after-state#4"
        "+crash:pay@after-connect#1+crash:checkout@after-recover#1"
    )
    ran = run(cluster, tmp_path, "--operations", "8000", "--rate", "1000", "--seed", "6", "--fault", plan, "--replay")
    assert ran.verdicts["safety"] == "VALID", ran.kinds()
    assert ran.verdicts["liveness"] == "VALID"
    assert "duplicate" in ran.kinds(tolerated=True)
    reached = [line for line in (ran.folder / "events.jsonl").read_bytes().splitlines() if b"failpoint-reached" in line]
    assert len(reached) == 6


def test_a_failpoint_that_was_not_reached_makes_the_run_unknown(cluster: Endpoints, tmp_path: Path) -> None:
    ran = run(
        cluster,
        tmp_path,
        "--operations",
        "600",
        "--rate",
        "max",
        "--seed",
        "7",
        "--fault",
        "crash:checkout@after-state#2+crash:stock@after-state#9999",
    )
    assert ran.code == 2
    assert ran.verdicts["verdict"] == "UNKNOWN"
    (struck,) = [one for one in ran.verdicts["checkers"] if one["checker"] == "the_fault_struck"]
    assert struck["reason"] == "the fault did not strike: crash:stock@after-state#9999"


def test_several_workers_share_a_service(cluster: Endpoints, tmp_path: Path) -> None:
    ran = run(
        cluster, tmp_path, "--operations", "4000", "--rate", "max", "--seed", "8",
        "--workers", "pay=2", "--workers", "stock=2", "--workers", "order=2", "--set", "items=20", "--set", "users=20",
    )  # fmt: skip
    assert ran.code == 0, ran.kinds()
    assert {path.stem for path in (ran.folder / "journal").glob("pay-*")} == {"pay-0", "pay-1"}
