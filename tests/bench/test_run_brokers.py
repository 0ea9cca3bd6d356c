"""Brokers die, stop, are cut off and lose their majority under one run of the public command: nothing acknowledged is
lost, and all goes on after.
"""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench.cluster.private import refusal
from tests.bench.running import Ran

BROKERS = ("kill:group-coordinator@1s~4s", "pause:majority@13s~2s")
"""Four seconds are enough for the dead broker to leave the metadata, and a transactional producer to wait for it."""

NETWORK = ("cut:pay@2s~2s", "cut-from:broker-3@8s~2s")
LOAD = ("--rate", "100", "--duration-s", "30", "--guarantee", "transactional", "--warmup-s", "0.5", "--seed", "5")
"""No broker is struck before the last one is back, which took 20 s on a busy machine and 8 s on a quiet one."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    out = tmp_path_factory.mktemp("runs")
    plan = "+".join(BROKERS if refusal() else (*BROKERS, *NETWORK))
    command = [sys.executable, "-m", "bench.cli", "run", "checkout", "--brokers", "3", "--out", str(out)]
    ended = subprocess.run([*command, "--fault", plan, *LOAD], capture_output=True, text=True, timeout=240, check=False)
    assert (out / "latest").exists(), ended.stdout + ended.stderr
    return Ran(ended.returncode, (out / "latest").resolve())


def events(folder: Path, name: str) -> dict[str, dict[str, object]]:
    found = map(orjson.loads, (folder / "events.jsonl").read_bytes().splitlines())
    return {str(event["fault"]): event for event in found if event["event"] == name}


def test_nothing_is_lost_and_all_goes_on(ran: Ran) -> None:
    assert ran.verdicts["safety"] == "VALID", (ran.kinds(), [c["reason"] for c in ran.verdicts["checkers"]])
    assert ran.verdicts["liveness"] == "VALID", [c["reason"] for c in ran.verdicts["checkers"]]
    (quorum,) = [c for c in ran.verdicts["checkers"] if c["checker"] == "nothing_is_acknowledged_without_a_quorum"]
    assert quorum["examined"]["windows"] == 1
    assert quorum["examined"]["answered after"] > 0


def test_each_fault_says_what_it_hit_and_that_it_healed(ran: Ran) -> None:
    struck, healed = events(ran.folder, "fault-struck"), events(ran.folder, "fault-healed")
    assert (
        set(struck)
        == set(healed)
        >= {str(word) for word in orjson.loads((ran.folder / "run.json").read_bytes())["fault"].split("+")}
    )
    for event in struck.values():
        assert isinstance(event["hit"], dict)
        assert event["hit"]["pids"]
    led = struck["pause:majority@13s~2s"]["hit"]
    assert isinstance(led, dict)
    assert led["partitions"].keys() == led["epochs"].keys() != set()


def test_brokers_that_faults_start_anew_keep_the_quick_compiler(ran: Ran) -> None:
    assert orjson.loads((ran.folder / "run.json").read_bytes())["environment"]["broker_compiler"] == "C1"


def test_a_cut_worker_was_seen_to_reach_nobody(ran: Ran) -> None:
    if reason := refusal():
        pytest.skip(reason)
    hit = events(ran.folder, "fault-struck")["cut:pay@2s~2s"]["hit"]
    assert isinstance(hit, dict)
    assert hit["unreachable_from"] == "pay-0"
