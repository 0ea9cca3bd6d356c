"""Every guarantee runs the whole of checkout through the public command and keeps what it claims, several crashes a
run. `idempotent` is the default of every other run (`test_run`).
"""

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from bench.cluster.endpoints import Endpoints
from bench.guarantees import TOLERATES
from tests.bench.running import Ran

# Early: once pay and stock are dead, what has piled up comes to the order in a batch or two. What repeats for certain
# is a reply that was produced and neither committed nor cleared: stock answers every record, the order only some.
PLANS = {
    "at-most-once": "crash:pay@after-commit#3+crash:stock@after-state#3+crash:order@after-produce#2",
    "at-least-once": "crash:pay@after-state#3+crash:stock@after-produce#3+crash:order@before-commit#2",
    "outbox": "crash:pay@after-commit#3+crash:stock@after-produce#3+crash:order@after-pick#2+crash:pay@after-connect#1",
    "transactional": (
        "crash:pay@after-produce#3+crash:stock@after-offsets#3+crash:order@after-commit#2"
        "+crash:checkout@after-produce#3"
    ),
}
REPEATS = {"at-most-once": False, "at-least-once": True, "outbox": True, "transactional": False}
LOAD = ("--operations", "900", "--rate", "600", "--warmup-s", "0.2", "--seed", "11")


@pytest.fixture(scope="module")
def runs(cluster: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ran]:
    """One run a guarantee, two at a time: for most of it a run waits for the group to notice a death."""

    def run(name: str) -> Ran:
        out = tmp_path_factory.mktemp("runs")
        servers = ("--bootstrap-servers", cluster.bootstrap, "--dsn", cluster.dsn)
        options = ("--guarantee", name, "--fault", PLANS[name], "--out", str(out), *servers, *LOAD)
        command = [sys.executable, "-m", "bench.cli", "run", "checkout", *options]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert (out / "latest").exists(), ended.stdout + ended.stderr
        return Ran(ended.returncode, (out / "latest").resolve())

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PLANS, pool.map(run, PLANS), strict=True))


def events(ran: Ran, name: str) -> list[dict[str, object]]:
    lines = (ran.folder / "events.jsonl").read_bytes().splitlines()
    return [event for event in map(orjson.loads, lines) if event["event"] == name]


@pytest.mark.parametrize("name", PLANS)
def test_crashes_break_nothing_that_the_guarantee_claims(name: str, runs: Mapping[str, Ran]) -> None:
    ran = runs[name]
    assert ran.verdicts["safety"] == "VALID", (ran.kinds(), [c["reason"] for c in ran.verdicts["checkers"]])
    assert ran.verdicts["liveness"] == "VALID", [c["reason"] for c in ran.verdicts["checkers"]]
    reached = [event["failpoint"] for event in events(ran, "failpoint-reached")]
    assert sorted(map(str, reached)) == sorted(PLANS[name].split("+"))
    assert ran.kinds(tolerated=True) <= TOLERATES[name]


@pytest.mark.parametrize("name", PLANS)
def test_a_run_shows_what_its_guarantee_cannot_exclude_and_nothing_else(name: str, runs: Mapping[str, Ran]) -> None:
    found = runs[name].kinds(tolerated=True)
    assert ("duplicate" in found) is REPEATS[name]
    assert ("missing-effect" in found or "incomplete-saga" in found) is (name == "at-most-once")
    if name == "transactional":
        assert not found


def test_transactions_are_told_by_name(runs: Mapping[str, Ran]) -> None:
    committed = events(runs["transactional"], "transaction-committed")
    slots = {str(event["transaction"]).rpartition("/")[0].partition("-")[2] for event in committed}
    assert slots == {"pay-0", "stock-0", "order-0", "checkout"}
    names = [event["transaction"] for event in committed]
    assert len(set(names)) == len(names)
